package ctkip

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// testFinished is a token as a server describes it.
var testFinished = Finished{
	Serial: "000123456789", Expiry: time.Date(2031, 1, 31, 0, 0, 0, 0, time.UTC), Service: "Tallystick", UserID: "ann",
	Digits: 8, Interval: 60, AddPIN: true, MAC: make([]byte, 16),
}

// standardServer answers the two requests of one exchange.
type standardServer struct {
	private *rsa.PrivateKey
	shared  *Key
	auth    *Key
	info    []byte
	change  func(*Session) // before the hello

	session Session
	seed    []byte
}

func (s *standardServer) hello(t fataler, request []byte) []byte {
	m, err := ParseStandard(request)
	if err != nil {
		t.Fatal(err)
	}
	encryption, prf, refusal := m.Agree(s.shared != nil)
	if m.Refusal != "" || refusal != "" || m.Step != StepHello {
		t.Fatal(m.Refusal, refusal, m.Step)
	}
	nonce, err := NewNonce(nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := NewSessionID(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.session = Session{ID: id, PRF: prf, Encryption: encryption, ServerNonce: nonce, Auth: s.auth}
	if s.shared != nil {
		s.session.SharedName, s.session.Shared = "ours", *s.shared
	} else {
		s.session.PublicKey = &s.private.PublicKey
	}
	if s.change != nil {
		s.change(&s.session)
	}
	return m.ServerHello(&s.session, s.info)
}

func (s *standardServer) finished(t fataler, request []byte) []byte {
	m, err := ParseStandard(request)
	if err != nil {
		t.Fatal(err)
	}
	if m.Step != StepNonce || m.Refusal != "" || m.SessionID != s.session.ID || !bytes.Equal(m.ServerInfo, s.info) {
		t.Fatal(m.Step, m.Refusal, m.SessionID, m.ServerInfo)
	}
	clientNonce, err := s.session.Decrypt(s.private, m.EncryptedNonce)
	if err != nil {
		t.Fatal(err)
	}
	f := testFinished
	s.seed, f.MAC = s.session.Derive(clientNonce)
	body, err := m.ServerFinished(&s.session, []byte("key 1"), f)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// run walks through one exchange and gives the first error of the client.
func (s *standardServer) run(t fataler, c *StandardClient, edit func(string) string) (Token, error) {
	if edit == nil {
		edit = func(s string) string { return s }
	}
	request, err := c.Start()
	if err != nil {
		return Token{}, err
	}
	request, err = c.Answer([]byte(edit(string(s.hello(t, request.Body)))))
	if err != nil {
		return Token{}, err
	}
	return c.Finish([]byte(edit(string(s.finished(t, request.Body)))))
}

type fataler interface{ Fatal(...any) }

func TestStandard(t *testing.T) {
	private := readVector(t, exchanges[1]).private
	shared, old := Key{1, 2, 3}, Key{4, 5, 6}
	trigger := Trigger{TokenID: []byte("000123456789"), Nonce: &Nonce{7}}
	replacing := Trigger{TokenID: []byte("000123456789"), KeyID: []byte("key 0"), Nonce: &Nonce{7}}
	for _, test := range []struct {
		name   string
		server standardServer
		client StandardClient
	}{
		{"OAEP", standardServer{private: private}, StandardClient{Trigger: trigger}},
		{"PKCS #1 and SHA-256", standardServer{private: private, change: func(s *Session) { s.Encryption, s.PRF = PKCS1, PRFSHA256 }}, StandardClient{Trigger: trigger}},
		{"shared key", standardServer{shared: &shared}, StandardClient{Shared: &shared, SharedName: "ours"}},
		{"shared key and SHA-256", standardServer{shared: &shared, change: func(s *Session) { s.Encryption, s.PRF = SharedSHA256, PRFSHA256 }},
			StandardClient{Shared: &shared, SharedName: "ours"}},
		{"replacing a key", standardServer{private: private, auth: &old}, StandardClient{Trigger: replacing, Auth: &old}},
		{"a dedicated key", standardServer{private: private, auth: &old}, StandardClient{Trigger: trigger, Auth: &old}},
		{"information both ways", standardServer{private: private, info: []byte("server")}, StandardClient{Trigger: trigger, Info: []byte("client")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			token, err := test.server.run(t, &test.client, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(token.Seed, test.server.seed) || token.Serial != testFinished.Serial || token.Digits != 8 || token.Interval != 60 ||
				string(token.KeyID) != "key 1" || !token.Expiry.Equal(testFinished.Expiry) || token.UserID != "ann" || !token.AddPIN {
				t.Errorf("token %v with key %q", token, token.KeyID)
			}
			if len(token.Assumed) != 1 || token.Assumed[0] != "PIN" {
				t.Errorf("assumed %q, want the PIN mode only", token.Assumed)
			}
		})
	}
}

// The RFC's examples leave all elements in the default namespace.
func TestStandardReadsQualifiedElements(t *testing.T) {
	qualify := strings.NewReplacer("ct-kip:ClientHello xmlns:ct-kip=", "ClientHello xmlns=", "/ct-kip:ClientHello", "/ClientHello",
		"ct-kip:ClientNonce xmlns:ct-kip=", "ClientNonce xmlns=", "/ct-kip:ClientNonce", "/ClientNonce",
		"ct-kip:ServerHello xmlns:ct-kip=", "ServerHello xmlns=", "/ct-kip:ServerHello", "/ServerHello",
		"ct-kip:ServerFinished xmlns:ct-kip=", "ServerFinished xmlns=", "/ct-kip:ServerFinished", "/ServerFinished", `"ct-kip:`, `"`)
	s := standardServer{private: readVector(t, exchanges[1]).private, info: []byte("server")}
	c := StandardClient{Trigger: Trigger{Nonce: new(Nonce)}, Info: []byte("client")}
	if _, err := s.run(t, &c, qualify.Replace); err != nil {
		t.Error(err)
	}
	hello, _ := new(StandardClient).Start()
	if m, err := ParseStandard([]byte(qualify.Replace(string(hello.Body)))); err != nil || m.Refusal != "" {
		t.Errorf("%v, %v", m, err)
	}
}

func TestStandardClientRefuses(t *testing.T) {
	private := readVector(t, exchanges[1]).private
	old, other, shared := Key{1}, Key{2}, Key{3}
	replacing := Trigger{KeyID: []byte("key 0")}
	cut := func(from, to string) func(string) string {
		return func(s string) string {
			before, rest, ok := strings.Cut(s, from)
			_, after, ok2 := strings.Cut(rest, to)
			if !ok || !ok2 {
				return s
			}
			return before + after
		}
	}
	swap := func(old, new string) func(string) string {
		return func(s string) string { return strings.ReplaceAll(s, old, new) }
	}
	for _, test := range []struct {
		name   string
		server standardServer
		client StandardClient
		edit   func(string) string
		want   error
	}{
		{"MAC 1 missing where a key is replaced", standardServer{auth: &old}, StandardClient{Trigger: replacing, Auth: &old}, cut("<Mac ", "</Mac>"), ErrMAC},
		{"MAC 1 under another key", standardServer{auth: &other}, StandardClient{Trigger: replacing, Auth: &old}, nil, ErrMAC},
		{"MAC 1 and no key to check it", standardServer{auth: &old}, StandardClient{}, nil, ErrProtocol},
		{"a key is replaced and nothing to check it", standardServer{}, StandardClient{Trigger: replacing}, nil, ErrProtocol},
		{"MAC 2 under the new seed though an old one is there", standardServer{}, StandardClient{Auth: &old}, nil, ErrMAC},
		{"another shared key", standardServer{shared: &shared}, StandardClient{Shared: &shared, SharedName: "theirs"}, nil, ErrProtocol},
		{"an encryption that was not offered", standardServer{}, StandardClient{}, swap(string(OAEP), string(SharedAES)), ErrProtocol},
		{"a PRF that was not offered", standardServer{}, StandardClient{}, swap(string(PRFAES), "urn:md5"), ErrProtocol},
		{"no version", standardServer{}, StandardClient{}, swap(` Version="1.0"`, ``), ErrProtocol},
		{"no version in the last message", standardServer{}, StandardClient{}, func(s string) string {
			if strings.Contains(s, "Success") {
				return strings.Replace(s, ` Version="1.0"`, "", 1)
			}
			return s
		}, ErrProtocol},
		{"no key identifier", standardServer{}, StandardClient{}, cut("<KeyID>", "</KeyID>"), ErrProtocol},
		{"no MAC 2", standardServer{}, StandardClient{}, cut("<Mac ", "</Mac>"), ErrMAC},
		{"an element both qualified and not", standardServer{}, StandardClient{},
			swap("<Payload>", "<ct-kip:Payload><Nonce>AAAA</Nonce></ct-kip:Payload><Payload>"), ErrFormat},
		{"nothing", standardServer{}, StandardClient{}, func(string) string { return "" }, ErrFormat},
		{"nothing at the end", standardServer{}, StandardClient{}, func(s string) string {
			if strings.Contains(s, "Success") {
				return ""
			}
			return s
		}, ErrFormat},
		{"no session", standardServer{change: func(s *Session) { s.ID = "" }}, StandardClient{}, nil, ErrProtocol},
		{"a weak key", standardServer{}, StandardClient{}, swap("<ds:Exponent>AQAB<", "<ds:Exponent>AQ==<"), ErrKey},
		{"a critical extension of another type", standardServer{info: []byte("i")}, StandardClient{},
			swap(`xsi:type="ct-kip:ServerInfoType"`, `xsi:type="ct-kip:SurpriseType" Critical="true"`), ErrProtocol},
		{"RSA's dialect", standardServer{}, StandardClient{}, func(string) string { return readVector(t, exchanges[0]).Steps[1].Body }, ErrFormat},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.server.private = private
			token, err := test.server.run(t, &test.client, test.edit)
			if !errors.Is(err, test.want) || token.Seed != nil {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

func TestStandardServerRefuses(t *testing.T) {
	hello, err := (&StandardClient{Trigger: Trigger{TokenID: []byte("000123456789"), Nonce: new(Nonce)}}).Start()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, old, new string
		want           Status
	}{
		{"version", `Version="1.0"`, `Version="1.1"`, UnsupportedVersion},
		{"trigger nonce of 3 octets", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAA", MalformedRequest},
		{"token identifier that is no base64", "MDAwMTIzNDU2Nzg5", "!", MalformedRequest},
		{"key type", "SecurID-AES", "HOTP", NoSupportedKeyTypes},
		{"critical extension", "<SupportedKeyTypes>", `<Extensions><Extension Critical="1"><Surprise/></Extension></Extensions><SupportedKeyTypes>`, UnknownCriticalExtension},
	} {
		body := strings.ReplaceAll(string(hello.Body), test.old, test.new)
		m, err := ParseStandard([]byte(body))
		if err != nil || m.Refusal != test.want {
			t.Errorf("%s: %v, %v, want %v", test.name, m, err, test.want)
			continue
		}
		c := StandardClient{}
		if _, err := c.Start(); err != nil {
			t.Fatal(err)
		}
		_, err = c.Answer(m.Failure(m.Refusal))
		if status := new(StatusError); !errors.As(err, &status) || status.Status != test.want {
			t.Errorf("%s: the client sees %v, want %v", test.name, err, test.want)
		}
	}
	for _, list := range []struct {
		name string
		want Status
	}{{"SupportedEncryptionAlgorithms", NoSupportedEncryptionAlgorithms}, {"SupportedMACAlgorithms", NoSupportedMACAlgorithms}} {
		before, rest, _ := strings.Cut(string(hello.Body), "<"+list.name+">")
		_, after, _ := strings.Cut(rest, "</"+list.name+">")
		if m, err := ParseStandard([]byte(before + after)); err != nil || m.Refusal != list.want {
			t.Errorf("without %s: %v, %v", list.name, m, err)
		}
	}
	m, err := ParseStandard(hello.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, refusal := m.Agree(true); refusal != NoSupportedEncryptionAlgorithms {
		t.Errorf("agreed on a shared key that was not offered: %q", refusal)
	}
	if _, err := m.ServerFinished(&Session{}, nil, testFinished); !errors.Is(err, ErrProtocol) {
		t.Errorf("a key without identifier: %v", err)
	}
	if _, err := m.ServerFinished(&Session{}, []byte("key 1"), Finished{}); !errors.Is(err, ErrProtocol) {
		t.Errorf("a token without anything: %v", err)
	}
	if _, err := ParseStandard(nil); !errors.Is(err, ErrFormat) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := ParseTrigger(nil); !errors.Is(err, ErrFormat) {
		t.Errorf("no trigger: %v", err)
	}
	if _, err := ParseStandard(Trigger{}.Body()); !errors.Is(err, ErrFormat) {
		t.Errorf("a trigger as a request: %v", err)
	}
}

func TestDecryptIsUniform(t *testing.T) {
	key := readVector(t, exchanges[0]).private
	oaep := Session{Encryption: OAEP, PublicKey: &key.PublicKey}
	pkcs := Session{Encryption: PKCS1, PublicKey: &key.PublicKey}
	short, err := rsa.EncryptPKCS1v15(nil, &key.PublicKey, make([]byte, 15)) //nolint:staticcheck // what a client of the standard sends
	if err != nil {
		t.Fatal(err)
	}
	for name, ciphertext := range map[string][]byte{"nothing": nil, "short": make([]byte, 127), "long": make([]byte, 129),
		"zero": make([]byte, 128), "larger than the modulus": bytes.Repeat([]byte{255}, 128), "other padding": short} {
		if _, err := oaep.Decrypt(key, ciphertext); err != ErrDecrypt {
			t.Errorf("OAEP, %s: %v", name, err)
		}
		if _, err := pkcs.Decrypt(key, ciphertext); len(ciphertext) != 128 && err != ErrDecrypt {
			t.Errorf("PKCS #1, %s: %v", name, err)
		}
	}
	// A wrong plaintext of the right size of ciphertext gives a nonce, and never the same one.
	a, errA := pkcs.Decrypt(key, short)
	b, errB := pkcs.Decrypt(key, short)
	if errA != nil || errB != nil || a == b {
		t.Errorf("%v, %v, same %v: want two random nonces", errA, errB, a == b)
	}
	if _, err := oaep.Decrypt(nil, make([]byte, 128)); err != ErrDecrypt {
		t.Errorf("without a key: %v", err)
	}
	shared := Session{Encryption: SharedAES}
	if _, err := shared.Decrypt(nil, make([]byte, 15)); err != ErrDecrypt {
		t.Errorf("15 octets under a shared key: %v", err)
	}
}

func TestTrigger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.SliceOfN(rapid.Byte(), 1, 64)
		nonce := TriggerNonce(Code(rapid.StringMatching(`[0-9A-Za-z-]{8,40}`).Draw(t, "code")))
		want := Trigger{TokenID: id.Draw(t, "token"), KeyID: id.Draw(t, "key"), Nonce: &nonce, URL: "https://auth.example.com/ct-kip?a=1&b=2"}
		got, err := ParseTrigger(want.Body())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.TokenID, want.TokenID) || !bytes.Equal(got.KeyID, want.KeyID) || !got.Nonce.Equal(*want.Nonce) || got.URL != want.URL {
			t.Fatalf("%#v, want %#v", got, want)
		}
	})
	nonce := TriggerNonce("123456789012")
	for name, test := range map[string]struct {
		trigger Trigger
		want    error
	}{
		"no nonce":        {Trigger{}, ErrProtocol},
		"plain http":      {Trigger{Nonce: &nonce, URL: "http://auth.example.com/"}, ErrInsecure},
		"no host":         {Trigger{Nonce: &nonce, URL: "https:///x"}, ErrLink},
		"long identifier": {Trigger{Nonce: &nonce, KeyID: make([]byte, 65)}, ErrProtocol},
	} {
		if _, err := ParseTrigger(test.trigger.Body()); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	hello, _ := new(StandardClient).Start()
	if _, err := ParseTrigger(hello.Body); !errors.Is(err, ErrFormat) {
		t.Errorf("a hello as a trigger: %v", err)
	}
	other := strings.ReplaceAll(string(Trigger{Nonce: &nonce}.Body()), `Version="1.0"`, `Version="2.0"`)
	if _, err := ParseTrigger([]byte(other)); !errors.Is(err, ErrProtocol) {
		t.Errorf("another version: %v", err)
	}
}
