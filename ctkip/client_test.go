package ctkip

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// An edit turns what a right server sends into what a wrong one does.
type edit func(string) string

func replace(old, new string) edit {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic("nothing to replace: " + old)
		}
		return strings.ReplaceAll(s, old, new)
	}
}

// between replaces what stands between two texts.
func between(from, to, with string) edit {
	return func(s string) string {
		before, rest, ok := strings.Cut(s, from)
		_, after, ok2 := strings.Cut(rest, to)
		if !ok || !ok2 {
			panic("nothing between " + from + " and " + to)
		}
		return before + from + with + to + after
	}
}

// without removes an element of the message.
func without(name string) edit {
	return func(s string) string {
		before, rest, _ := strings.Cut(s, "<"+name)
		_, after, ok := strings.Cut(rest, "</"+name+">")
		if !ok {
			panic("no element " + name)
		}
		return before + after
	}
}

func always(body string) edit { return func(string) string { return body } }

// inner applies an edit to the message in the envelope.
func inner(e edit) edit { return field("Response", e) }

// data applies an edit to the provisioning data in the envelope.
func data(e edit) edit { return field("ProvisioningData", e) }

func field(name string, e edit) edit {
	return func(s string) string {
		_, rest, _ := strings.Cut(s, "<"+name+">")
		value, _, _ := strings.Cut(rest, "</"+name+">")
		message, ok := decode64(value)
		if !ok {
			panic("no " + name)
		}
		return between("<"+name+">", "</"+name+">", encode64([]byte(e(string(message)))))(s)
	}
}

// deepXML nests deeper than allowed.
var deepXML = strings.Repeat("<a>", maxDepth+1) + strings.Repeat("</a>", maxDepth+1)

func TestClientRefuses(t *testing.T) {
	v := readVector(t, exchanges[0])
	n := v.private.N
	modulus := func(b []byte) edit { return inner(between("<ds:Modulus>", "</ds:Modulus>", encode64(b))) }
	exponent := func(b ...byte) edit { return inner(between("<ds:Exponent>", "</ds:Exponent>", encode64(b))) }
	mac := func(b []byte) edit {
		return inner(func(s string) string {
			before, rest, _ := strings.Cut(s, "<Mac ")
			attrs, _, _ := strings.Cut(rest, ">")
			return before + "<Mac " + attrs + ">" + encode64(b) + "</Mac></ServerFinished>"
		})
	}
	rc, rs := v.Secrets.ClientNonce.nonce(), v.Secrets.ServerNonce.nonce()
	seed := [16]byte(v.Result.Seed)
	rfcMAC := rsaPRF(seed, append([]byte("MAC 2 computation"), rc[:]...))
	rfcOrder := PRFAES.expand(seed, 16, []byte("MAC 2 Computation"), rc[:])
	rfcSession := Session{PRF: PRFAES, Encryption: OAEP, PublicKey: &v.private.PublicKey, ServerNonce: rs}
	_, rfcWhole := rfcSession.Derive(rc)

	status := func(s Status) error { return &StatusError{s} }
	const hello, finished = 1, 3
	for _, test := range []struct {
		name string
		step int
		edit edit
		want error
	}{
		// Both answers: the envelope.
		{"nothing", hello, always(""), ErrFormat},
		{"an HTML page", hello, always("<!DOCTYPE html><html><body><p>Not found</body></html>"), ErrFormat},
		{"a well-formed page", hello, always("<html><body/></html>"), ErrFormat},
		{"JSON", hello, always(`{"error":"no"}`), ErrFormat},
		{"a truncated body", hello, func(s string) string { return s[:len(s)/2] }, ErrFormat},
		{"a second root", hello, func(s string) string { return s + "<a/>" }, ErrFormat},
		{"text after the root", hello, func(s string) string { return s + "!" }, ErrFormat},
		{"too long a body", hello, func(s string) string { return s + strings.Repeat(" ", MaxBody) }, ErrFormat},
		{"a document type", hello, replace("<soapenv:Envelope", "<!DOCTYPE a><soapenv:Envelope"), ErrFormat},
		{"an entity", hello, replace("<AuthData>", "<AuthData>&code;"), ErrFormat},
		{"a processing instruction", hello, replace("<AuthData>", "<?php ?><AuthData>"), ErrFormat},
		{"another encoding", hello, replace(`encoding="UTF-8"`, `encoding="UTF-16"`), ErrFormat},
		{"two answers", hello, replace("</ServerResponse>", "</ServerResponse><a/>"), ErrFormat},
		{"two responses", hello, replace("<Response>", "<Response/><Response>"), ErrFormat},
		{"a request as an answer", hello, always(v.Steps[0].Body), ErrFormat},
		{"text beside elements", hello, replace("<AuthData>", "text<AuthData>"), ErrFormat},
		{"the code missing", hello, between("<AuthData>", "</AuthData>", ""), ErrProtocol},
		{"another code", hello, between("<AuthData>", "</AuthData>", "123456789013"), ErrProtocol},
		{"white space around the code", hello, between("<AuthData>", "</AuthData>", " 123456789012 "), ErrProtocol},
		{"another code at the end", finished, between("<AuthData>", "</AuthData>", "123456789013"), ErrProtocol},
		{"base64 garbage", hello, between("<Response>", "</Response>", "=%="), ErrFormat},
		{"no response", hello, without("Response"), ErrFormat},
		{"a document type inside", hello, inner(replace("<ServerHello", `<!DOCTYPE a [<!ENTITY b "c">]><ServerHello`)), ErrFormat},
		{"an entity inside", finished, inner(between("<UserID xmlns=\"\">", "</UserID>", "&b;")), ErrFormat},
		{"too long a message", hello, inner(func(s string) string { return s + strings.Repeat(" ", MaxMessage) }), ErrFormat},
		{"too deep a message", hello, inner(replace("<Payload", deepXML+"<Payload")), ErrFormat},
		{"too many elements", hello, inner(replace("<Payload", strings.Repeat("<Extension/>", 100)+"<Payload")), ErrFormat},
		{"too many attributes", hello, inner(replace(`Version="1.0"`, manyAttributes(100))), ErrFormat},
		{"an attribute twice", hello, inner(replace(`Version="1.0"`, `Version="1.0" Version="1.0"`)), ErrFormat},

		// ServerHello.
		{"a fault", hello, always(string(InvalidCode.Body())), &Fault{InvalidCode.Class, InvalidCode.Message}},
		{"another message", hello, inner(replace("ServerHello", "ServerFinished")), ErrProtocol},
		{"another namespace", hello, inner(replace("2005/12/ct-kip#\" xmlns:ds=\""+nsDS+"\" xmlns:xsi=\""+nsXSI+"\" SessionID", "2005/13/ct-kip#\" SessionID")), ErrProtocol},
		{"elements in the message's namespace", hello, inner(replace(` xmlns=""`, "")), ErrProtocol},
		{"another version", hello, inner(replace(`Version="1.0"`, `Version="2.0"`)), ErrProtocol},
		{"no version", hello, inner(replace(` Version="1.0"`, "")), ErrProtocol},
		{"a failure with all its elements", hello, inner(replace(`"Continue"`, `"Abort"`)), status(Abort)},
		{"success too early", hello, inner(replace(`"Continue"`, `"Success"`)), status(Success)},
		{"an empty failure", hello, inner(always(failure(StepHello, "", UnsupportedVersion))), status(UnsupportedVersion)},
		{"no status", hello, inner(replace(` Status="Continue"`, "")), ErrProtocol},
		{"no session", hello, inner(between(`SessionID="`, `"`, "")), ErrProtocol},
		{"too long a session", hello, inner(between(`SessionID="`, `"`, strings.Repeat("a", MaxSession+1))), ErrProtocol},
		{"another key type", hello, inner(replace("SecurID-AES", "HOTP")), ErrProtocol},
		{"another encryption", hello, inner(replace("rsa-1_5", "rsa-oaep-mgf1p")), ErrProtocol},
		{"another MAC", hello, inner(replace("#ct-kip-prf-aes", "#ct-kip-prf-sha256")), ErrProtocol},
		{"no MAC algorithm", hello, inner(without("MacAlgorithm")), ErrProtocol},
		{"no key", hello, inner(without("EncryptionKey")), ErrProtocol},
		{"an empty modulus", hello, modulus(nil), ErrProtocol},
		{"a leading zero", hello, modulus(append([]byte{0}, n.Bytes()...)), ErrKey},
		{"an even modulus", hello, modulus(new(big.Int).Lsh(big.NewInt(3), 1023).Bytes()), ErrKey},
		{"a short modulus", hello, modulus(n.Bytes()[:127]), ErrKey},
		{"a huge modulus", hello, modulus(bytes.Repeat([]byte{255}, 1025)), ErrKey},
		{"an even exponent", hello, exponent(1, 0, 0), ErrKey},
		{"exponent 1", hello, exponent(1), ErrKey},
		{"exponent 0", hello, exponent(0), ErrKey},
		{"a huge exponent", hello, exponent(1, 0, 0, 0, 1), ErrKey},
		{"no exponent", hello, inner(without("ds:Exponent")), ErrProtocol},
		{"R_S of 8 octets", hello, inner(replace(encode64(rs[:]), encode64(rs[:8]))), ErrProtocol},
		{"R_S of 17 octets", hello, inner(replace(encode64(rs[:]), encode64(append(rs[:], 1)))), ErrProtocol},
		{"no R_S", hello, inner(without("Payload")), ErrProtocol},
		{"R_S twice", hello, inner(replace("<Payload xmlns=\"\"", "<Payload xmlns=\"\"><Nonce xmlns=\"\">AAAA</Nonce></Payload><Payload xmlns=\"\"")), ErrFormat},
		{"a critical extension", hello, inner(replace("<Extensions xmlns=\"\"", "<Extensions xmlns=\"\"><Extension Critical=\"true\"><X/></Extension></Extensions><Extensions xmlns=\"\" a=\"\"")), ErrFormat},
		{"an unknown critical extension", hello, inner(replace("<Extension xmlns:ct-kip", `<Extension Critical="true"><Surprise/></Extension><Extension xmlns:ct-kip`)), ErrProtocol},

		// ServerFinished.
		{"a fault at the end", finished, always(string(Unavailable.Body())), &Fault{Unavailable.Class, Unavailable.Message}},
		{"the hello again", finished, always(v.Steps[1].Body), ErrProtocol},
		{"another session", finished, inner(between(`SessionID="`, `"`, "other")), ErrProtocol},
		{"a failure with all its elements and a right MAC", finished, inner(replace(`"Success"`, `"Abort"`)), status(Abort)},
		{"an empty failure at the end", finished, inner(always(failure(StepNonce, v.Session, Abort))), status(Abort)},
		{"a status nobody knows", finished, inner(replace(`"Success"`, "\"\u202e\n\"")), status("\uFFFD")},
		{"no MAC", finished, inner(without("Mac")), ErrMAC},
		{"an empty MAC", finished, mac(nil), ErrMAC},
		{"a wrong MAC", finished, mac(make([]byte, 16)), ErrMAC},
		{"half a MAC", finished, mac(make([]byte, 8)), ErrMAC},
		{"the RFC's label", finished, mac(rfcMAC[:]), ErrMAC},
		{"the RFC's counter", finished, mac(rfcOrder), ErrMAC},
		{"the RFC's derivation", finished, mac(rfcWhole), ErrMAC},
		{"another MAC algorithm at the end", finished, inner(replace("#ct-kip-prf-aes", "#ct-kip-prf-sha256")), ErrProtocol},
		{"no serial number", finished, inner(without("TokenID")), ErrProtocol},
		{"a serial number of 11 digits", finished, inner(replace(encode64([]byte(v.Result.TokenID)), encode64([]byte("12345678901")))), ErrProtocol},
		{"a serial number with letters", finished, inner(replace(encode64([]byte(v.Result.TokenID)), encode64([]byte("12345678901a")))), ErrProtocol},
		{"a serial number as text", finished, inner(replace(encode64([]byte(v.Result.TokenID)), v.Result.TokenID+"!")), ErrProtocol},
		{"two serial numbers", finished, inner(between(`<KeyID xmlns="">`, "</KeyID>", encode64([]byte("000000000001")))), ErrProtocol},
		{"7 digits", finished, inner(between("<OTPLength>", "</OTPLength>", "7")), ErrProtocol},
		{"-8 digits", finished, inner(between("<OTPLength>", "</OTPLength>", "-8")), ErrProtocol},
		{"45 seconds", finished, inner(replace(`TimeInterval="60"`, `TimeInterval="45"`)), ErrProtocol},
		{"a counter", finished, inner(replace("<Time ", "<Counter ")), ErrProtocol},
		{"hexadecimal codes", finished, inner(replace("Decimal", "Hexadecimal")), ErrProtocol},
		{"an unknown critical extension at the end", finished, inner(replace(`<OTPFormat>`, `<Surprise/><OTPFormat>`)), ErrProtocol},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := v.client()
			err := errors.New("nothing was refused")
			if _, e := c.Start(); e != nil {
				t.Fatal(e)
			}
			body := v.Steps[hello].Body
			if test.step == hello {
				body = test.edit(body)
			}
			_, e := c.Answer([]byte(body))
			if test.step == hello {
				err = e
			} else if e != nil {
				t.Fatal(e)
			} else {
				var token Token
				if token, e = c.Finish([]byte(test.edit(v.Steps[finished].Body))); e != nil {
					err = e
				}
				if token.Seed != nil {
					t.Error("the seed got out")
				}
			}
			if !same(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if strings.Contains(err.Error(), string(v.ActivationCode)) {
				t.Errorf("the error shows the code: %v", err)
			}
		})
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	b.WriteString(`Version="1.0"`)
	for i := range n {
		fmt.Fprintf(&b, ` a%d=""`, i)
	}
	return b.String()
}

// same compares refusals by value, and other errors by kind.
func same(err, want error) bool {
	if want, ok := want.(*Fault); ok {
		got, ok := err.(*Fault)
		return ok && *got == *want
	}
	if want, ok := want.(*StatusError); ok {
		got, ok := err.(*StatusError)
		return ok && *got == *want
	}
	return errors.Is(err, want)
}

func TestClientTolerates(t *testing.T) {
	v := readVector(t, exchanges[0])
	none := edit(func(s string) string { return s })
	noDate := func(t *Token) { t.Expiry, t.Assumed = time.Time{}, []string{"expiry"} }
	for _, test := range []struct {
		name            string
		hello, finished edit
		want            func(*Token)
	}{
		{"white space around values", inner(replace("<Nonce xmlns=\"\">", "<Nonce xmlns=\"\">\n\t ")), inner(replace("</Mac>", "\n</Mac>")), nil},
		{"indentation", inner(replace("><", ">\n  <")), inner(replace("><", ">\n  <")), nil},
		{"an envelope on one line", func(s string) string { return strings.NewReplacer("\n", "", ">  ", ">").Replace(s) }, none, nil},
		{"comments", replace("<AuthData>", "<!-- ours --><AuthData>"), none, nil},
		{"broken base64", inner(func(s string) string { return replace("AQAB", "AQ\r\nAB")(s) }), none, nil},
		{"no extension in the hello", inner(without("Extensions")), none, nil},
		{"a version at the end", none, inner(replace(`Status="Success"`, `Status="Success" Version="1.0"`)), nil},
		{"no key identifier", none, inner(without("KeyID")), func(t *Token) { t.KeyID = nil }},
		{"no expiry", none, inner(without("KeyExpiryDate")), func(t *Token) { t.Expiry = time.Time{} }},
		{"a date that is none", none, inner(between(`<KeyExpiryDate xmlns="">`, "</KeyExpiryDate>", "2027-02-30T00:00:00+00:00")), noDate},
		{"a date in words", none, inner(between(`<KeyExpiryDate xmlns="">`, "</KeyExpiryDate>", "never")), noDate},
		{"a bare date", none, inner(replace("T00:00:00+00:00", "")), nil},
		{"a date elsewhere on earth", none, inner(replace("T00:00:00+00:00", "T23:30:00-09:00")), nil},
		{"no user", none, inner(without("UserID")), func(t *Token) { t.UserID = "" }},
		{"control characters in the user", none, inner(between(`<UserID xmlns="">`, "</UserID>", "a&#x9b;b")), func(t *Token) { t.UserID = "a\uFFFDb" }},
		{"no description of the codes", none, inner(without("Extensions")), func(t *Token) {
			t.Digits, t.Interval, t.Assumed = 8, 60, []string{"digits", "interval"}
		}},
		{"no interval", none, inner(replace(` TimeInterval="60"`, "")), func(t *Token) { t.Assumed = []string{"interval"} }},
		{"no length", none, inner(without("OTPLength")), func(t *Token) { t.Assumed = []string{"digits"} }},
		{"no PIN mode", none, data(always("")), func(t *Token) { t.AddPIN, t.Assumed = true, []string{"PIN"} }},
		{"several roots", none, data(always("<AddPIN>0</AddPIN><PinType>1</PinType>")), func(t *Token) { t.AddPIN, t.PINType = false, 1 }},
		{"an odd PIN mode", none, data(always("<AddPIN>2</AddPIN><PinType>0</PinType>")), func(t *Token) { t.Assumed = []string{"PIN"} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := v.finished(t)
			want := Token{Serial: f.Serial, Seed: v.Result.Seed, KeyID: []byte(f.Serial), Expiry: f.Expiry, Digits: f.Digits, Interval: f.Interval,
				PINType: f.PINType, AddPIN: f.AddPIN, ServiceID: f.Service, UserID: f.UserID, KeyBits: 1024}
			if test.want != nil {
				test.want(&want)
			}
			c := v.client()
			if _, err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Answer([]byte(test.hello(v.Steps[1].Body))); err != nil {
				t.Fatal(err)
			}
			got, err := c.Finish([]byte(test.finished(v.Steps[3].Body)))
			if err != nil {
				t.Fatal(err)
			}
			if !equalToken(got, want) {
				t.Errorf("%#v, want %#v", shown(got), shown(want))
			}
		})
	}
}

func equalToken(a, b Token) bool {
	return fmt.Sprint(shown(a)) == fmt.Sprint(shown(b)) && bytes.Equal(a.Seed, b.Seed)
}

// shown is everything but the seed, and printable.
func shown(t Token) []any {
	return []any{t.Serial, string(t.KeyID), t.Expiry, t.Digits, t.Interval, t.PINType, t.AddPIN, t.ServiceID, t.UserID, slices.Clone(t.Assumed), t.KeyBits}
}

func TestClientEchoesServerInfo(t *testing.T) {
	v := readVector(t, exchanges[0])
	c := v.client()
	if _, err := c.Start(); err != nil {
		t.Fatal(err)
	}
	request, err := c.Answer([]byte(inner(between("<Data>", "</Data>", encode64([]byte("anything"))))(v.Steps[1].Body)))
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseRequest(request.Body, request.Header["Authorization"])
	if err != nil || string(m.serverNonce) != "anything" {
		t.Errorf("echo %q, %v", m.serverNonce, err)
	}
}

func TestClientTurns(t *testing.T) {
	v := readVector(t, exchanges[0])
	c := v.client()
	if _, err := c.Answer(nil); err != ErrTurn {
		t.Errorf("answer before start: %v", err)
	}
	if _, err := c.Finish(nil); err != ErrTurn {
		t.Errorf("finish before start: %v", err)
	}
	if _, err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Start(); err != ErrTurn {
		t.Errorf("a second start: %v", err)
	}
	if _, err := c.Answer([]byte(v.Steps[1].Body)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Finish(nil); !errors.Is(err, ErrFormat) {
		t.Errorf("a bad end: %v", err)
	}
	if c.clientNonce != (Nonce{}) {
		t.Error("R_C outlives the exchange")
	}
	if _, err := c.Finish([]byte(v.Steps[3].Body)); err != ErrTurn {
		t.Errorf("a second end: %v", err)
	}
	if _, err := c.Start(); err != ErrTurn {
		t.Errorf("a start after the end: %v", err)
	}

	var s StandardClient
	if _, err := s.Answer(nil); err != ErrTurn {
		t.Errorf("standard answer before start: %v", err)
	}
	if _, err := s.Finish(nil); err != ErrTurn {
		t.Errorf("standard finish before start: %v", err)
	}
	if _, err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(); err != ErrTurn {
		t.Errorf("a second standard start: %v", err)
	}
}

// Whoever keeps R_C and the server's hello can read the answer to the request that was sent, with another client.
func TestClientTakesUpAnExchange(t *testing.T) {
	v := readVector(t, exchanges[0])
	c := v.client()
	c.Rand = io.MultiReader(bytes.NewReader(v.Secrets.ClientNonce), rand.Reader)
	if _, err := c.Start(); err != nil {
		t.Fatal(err)
	}
	again, err := c.Answer([]byte(v.Steps[1].Body))
	if err != nil || string(again.Body) == v.Steps[2].Body {
		t.Errorf("the request is the same, or %v", err)
	}
	got, err := c.Finish([]byte(v.Steps[3].Body))
	if err != nil || !bytes.Equal(got.Seed, v.Result.Seed) {
		t.Errorf("another seed, %v", err)
	}
}

func TestRandomSourceFails(t *testing.T) {
	broken := errors.New("no entropy")
	v := readVector(t, exchanges[0])
	for _, have := range []int{0, 16} { // none for R_C, none for OAEP
		c := v.client()
		c.Rand = iotest.TimeoutReader(bytes.NewReader(make([]byte, have)))
		if have == 0 {
			c.Rand = iotest.ErrReader(broken)
		}
		if _, err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Answer([]byte(v.Steps[1].Body)); err == nil || have == 0 && !errors.Is(err, broken) {
			t.Errorf("after %d octets: %v", have, err)
		}
	}
	if _, err := NewSessionID(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("session: %v", err)
	}
	if _, err := NewNonce(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("nonce: %v", err)
	}
	s := StandardClient{Auth: new(Key), Rand: iotest.ErrReader(broken)}
	if _, err := s.Start(); !errors.Is(err, broken) {
		t.Errorf("standard: %v", err)
	}
}

func TestClientWantsACode(t *testing.T) {
	for _, code := range []Code{"", "with blank", "line\nfeed", "umläut", Code(strings.Repeat("1", 129))} {
		c := Client{Code: code}
		if _, err := c.Start(); err != ErrCode {
			t.Errorf("%q: %v, want %v", string(code), err, ErrCode)
		}
	}
}

func TestForeignTextInFaults(t *testing.T) {
	for text, want := range map[string]Fault{
		"java.rmi.RemoteException: a;nested exception is: \n\tcom.x.Gone: over; nested exception is:\n com.y.Gone: really: over": {"com.y.Gone", "really: over"},
		"plain words":                        {"", "plain words"},
		"your code 123456789012 is \x1b[31m": {"", "your code (code) is \uFFFD[31m"},
		"":                                   {"", ""},
		strings.Repeat("x", 1000):            {"", strings.Repeat("x", 500)},
	} {
		got := readFault(&node{children: []*node{{name: xmlName("faultstring"), text: text}}}, "123456789012")
		if *got != want {
			t.Errorf("%q: %+v, want %+v", text, *got, want)
		}
		if got.Error() == "" {
			t.Error("an error without words")
		}
	}
}

// Nothing that a careless caller prints, logs or encodes shows a code, a nonce, a key or a seed.
func TestSecretsDoNotPrint(t *testing.T) {
	secret := "123456789012"
	nonce := Nonce([]byte("nonce-nonce-nonc"))
	key := Key([]byte("nonce-nonce-nonc"))
	c := &Client{Code: Code(secret), clientNonce: nonce}
	request, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseRequest(request.Body, secret)
	if err != nil {
		t.Fatal(err)
	}
	standard := &StandardClient{Shared: &key, clientNonce: nonce, Trigger: Trigger{Nonce: &nonce}}
	for _, v := range []any{
		Code(secret), c, request, *m, m, Link{URL: "https://example.com", Code: Code(secret)}, nonce, key,
		Token{Serial: "000000000001", Seed: nonce[:]}, &Token{Seed: nonce[:]}, standard, standard.Trigger,
		Session{ServerNonce: nonce, Shared: key, Auth: &key}, &StandardMessage{TriggerNonce: &nonce},
	} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("", "v", v)
		encoded, _ := json.Marshal(v) // may refuse
		out.Write(encoded)
		for _, leak := range []string{secret, fmt.Sprintf("%x", secret), "nonce-nonce", fmt.Sprintf("%x", nonce[:]), encode64(nonce[:]), "110 111 110", "0x6e"} {
			if strings.Contains(out.String(), leak) {
				t.Errorf("%T shows %q: %s", v, leak, out.String())
			}
		}
	}
}

func xmlName(local string) xml.Name { return xml.Name{Local: local} }
