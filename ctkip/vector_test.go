package ctkip

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A vector is one recorded exchange between programs that nobody here wrote.
type vector struct {
	Name           string
	private        *rsa.PrivateKey
	ActivationCode Code   `json:"-"`
	Session        string `json:"session_id"`
	ServerKey      struct {
		PEM string `json:"pkcs8_pem"`
	} `json:"server_key"`
	Secrets struct {
		ClientNonce octets `json:"R_C_hex"`
		ServerNonce octets `json:"R_S_hex"`
		OAEP        struct {
			Seed octets `json:"seed_hex"`
		}
		Encrypted octets `json:"encrypted_nonce_hex"`
	}
	Steps []struct {
		Body    string `json:"body_utf8"`
		Headers [][2]string
		Data    string `json:"provisioning_data_utf8"`
	}
	Result struct {
		Seed     octets `json:"seed_hex"`
		TokenID  string `json:"token_id"`
		Expiry   string `json:"key_expiry"`
		Service  string `json:"service_id"`
		User     string `json:"user_id"`
		PINType  int    `json:"pin_type"`
		AddPIN   int    `json:"add_pin"`
		Digits   int    `json:"otp_length"`
		Interval int    `json:"otp_interval"`
	}
}

// octets are written in hex.
type octets []byte

func (o *octets) UnmarshalText(text []byte) (err error) {
	*o, err = hex.DecodeString(string(text))
	return err
}

func (o octets) nonce() Nonce { return Nonce(o) }

func readJSON(t testing.TB, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readVector(t testing.TB, file string) *vector {
	t.Helper()
	var v vector
	readJSON(t, file, &v)
	var code struct {
		ActivationCode string `json:"activation_code"`
	}
	readJSON(t, file, &code)
	v.ActivationCode = Code(code.ActivationCode)
	v.private = v.parseKey(t)
	return &v
}

// exchanges are the complete ones.
var exchanges = []string{"rsa-01-default.json", "rsa-02-six-digits-2048.json"}

func (v *vector) parseKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode([]byte(v.ServerKey.PEM))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

func (v *vector) header(step int, name string) string {
	for _, h := range v.Steps[step].Headers {
		if h[0] == name {
			return h[1]
		}
	}
	return ""
}

func (v *vector) client() *Client {
	return &Client{
		Code:   v.ActivationCode,
		Device: Device{Version: "5.0.2.440", Manufacturer: "RSA Security Inc."},
		Rand:   bytes.NewReader(append(bytes.Clone(v.Secrets.ClientNonce), v.Secrets.OAEP.Seed...)),
	}
}

func (v *vector) finished(t testing.TB) Finished {
	t.Helper()
	expiry, err := time.Parse(time.RFC3339, v.Result.Expiry)
	if err != nil {
		t.Fatal(err)
	}
	_, mac := Derive(&v.private.PublicKey, v.Secrets.ClientNonce.nonce(), v.Secrets.ServerNonce.nonce())
	return Finished{
		SessionID: v.Session, Serial: v.Result.TokenID, Expiry: expiry, Service: v.Result.Service, UserID: v.Result.User,
		Digits: v.Result.Digits, Interval: v.Result.Interval, PINType: v.Result.PINType, AddPIN: v.Result.AddPIN == 1, MAC: mac,
	}
}

func TestServerAnswersAsRecorded(t *testing.T) {
	for _, file := range exchanges {
		v := readVector(t, file)
		t.Run(v.Name, func(t *testing.T) {
			key := v.private
			hello, err := ParseRequest([]byte(v.Steps[0].Body), v.header(0, "Authorization"))
			if err != nil || hello.Step != StepHello || hello.Refusal != "" || hello.Code != v.ActivationCode {
				t.Fatalf("hello: %+v, %v", hello, err)
			}
			if want := (Device{Version: "5.0.2.440", Manufacturer: "RSA Security Inc."}); hello.Device != want {
				t.Errorf("device %+v, want %+v", hello.Device, want)
			}
			equal(t, hello.ServerHello(v.Session, &key.PublicKey, v.Secrets.ServerNonce.nonce()), v.Steps[1].Body)

			nonce, err := ParseRequest([]byte(v.Steps[2].Body), v.header(2, "Authorization"))
			if err != nil || nonce.Step != StepNonce || nonce.Refusal != "" || nonce.SessionID != v.Session {
				t.Fatalf("nonce: %+v, %v", nonce, err)
			}
			if !nonce.Echoes(v.Secrets.ServerNonce.nonce()) || nonce.Echoes(v.Secrets.ClientNonce.nonce()) {
				t.Error("the echo is not R_S")
			}
			clientNonce, err := Decrypt(key, nonce.EncryptedNonce)
			if err != nil || clientNonce != v.Secrets.ClientNonce.nonce() {
				t.Fatalf("R_C: %x, %v", clientNonce[:], err)
			}
			seed, _ := Derive(&key.PublicKey, clientNonce, v.Secrets.ServerNonce.nonce())
			if !bytes.Equal(seed, v.Result.Seed) {
				t.Errorf("seed %x, want %x", seed, v.Result.Seed)
			}
			body, err := nonce.ServerFinished(v.finished(t))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, body, v.Steps[3].Body)
		})
	}
}

func TestClientAsksAsRecorded(t *testing.T) {
	for _, file := range exchanges {
		v := readVector(t, file)
		t.Run(v.Name, func(t *testing.T) {
			c := v.client()
			hello, err := c.Start()
			if err != nil {
				t.Fatal(err)
			}
			equal(t, hello.Body, v.Steps[0].Body)
			nonce, err := c.Answer([]byte(v.Steps[1].Body))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, nonce.Body, v.Steps[2].Body)
			for step, r := range map[int]Request{0: hello, 2: nonce} {
				if r.Header["SOAPAction"] != v.header(step, "SOAPAction") || r.Header["Authorization"] != v.header(step, "Authorization") ||
					r.Header["Content-Type"] != v.header(step, "content-type") {
					t.Errorf("headers %v, want %v", r.Header, v.Steps[step].Headers)
				}
			}
			token, err := c.Finish([]byte(v.Steps[3].Body))
			if err != nil {
				t.Fatal(err)
			}
			f := v.finished(t)
			if token.Serial != f.Serial || token.Digits != f.Digits || token.Interval != f.Interval || token.AddPIN != f.AddPIN ||
				token.PINType != f.PINType || token.UserID != f.UserID || token.ServiceID != f.Service || !token.Expiry.Equal(f.Expiry) ||
				!bytes.Equal(token.Seed, v.Result.Seed) || token.Assumed != nil || token.KeyBits != v.private.N.BitLen() {
				t.Errorf("token %+v, want %+v", []any{token.Serial, token.Digits, token.Interval, token.AddPIN, token.UserID, token.Assumed}, f)
			}
		})
	}
}

func TestFaultAsRecorded(t *testing.T) {
	v := readVector(t, "rsa-03-bad-activation-code.json")
	equal(t, InvalidCode.Body(), v.Steps[1].Body)

	c := v.client()
	hello, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, hello.Body, v.Steps[0].Body)
	_, err = c.Answer([]byte(v.Steps[1].Body))
	if fault, ok := err.(*Fault); !ok || *fault != InvalidCode {
		t.Errorf("%v, want %v", err, InvalidCode)
	}
	answer := readVector(t, exchanges[0]).Steps[1].Body
	for body, want := range map[string]bool{v.Steps[1].Body: true, answer: false, v.Steps[1].Body + answer: false, "<Fault/>": false, "": false} {
		if IsFault([]byte(body)) != want {
			t.Errorf("a fault: %t, want %t: %.80s", !want, want, body)
		}
	}
}

func equal(t *testing.T, got []byte, want string) {
	t.Helper()
	if string(got) != want {
		t.Errorf("body differs:\n%s\nwant:\n%s", got, want)
	}
}
