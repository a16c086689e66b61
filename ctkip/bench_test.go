package ctkip

import "testing"

// BenchmarkServer is the server's share of one exchange with a 2048-bit key, without its database.
func BenchmarkServer(b *testing.B) {
	v := readVector(b, exchanges[1])
	hello, nonce := []byte(v.Steps[0].Body), []byte(v.Steps[2].Body)
	finished := v.finished(b)
	b.ReportAllocs()
	for b.Loop() {
		m, err := ParseRequest(hello, "")
		if err != nil {
			b.Fatal(err)
		}
		m.ServerHello(v.Session, &v.private.PublicKey, v.Secrets.ServerNonce.nonce())
		if m, err = ParseRequest(nonce, ""); err != nil {
			b.Fatal(err)
		}
		clientNonce, err := Decrypt(v.private, m.EncryptedNonce)
		if err != nil {
			b.Fatal(err)
		}
		_, finished.MAC = Derive(&v.private.PublicKey, clientNonce, v.Secrets.ServerNonce.nonce())
		if _, err := m.ServerFinished(finished); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseRequest is what anybody on the network can make the server do.
func BenchmarkParseRequest(b *testing.B) {
	body := []byte(readVector(b, exchanges[1]).Steps[2].Body)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest(body, ""); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDerive(b *testing.B) {
	v := readVector(b, exchanges[1])
	b.ReportAllocs()
	for b.Loop() {
		Derive(&v.private.PublicKey, v.Secrets.ClientNonce.nonce(), v.Secrets.ServerNonce.nonce())
	}
}
