package ctkip

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// inRequest applies an edit to the message in a request.
func inRequest(e edit) edit { return field("Request", e) }

func TestParseRequestRefuses(t *testing.T) {
	v := readVector(t, exchanges[0])
	const hello, nonce = 0, 2
	for _, test := range []struct {
		name    string
		step    int
		edit    edit
		want    error  // of ParseRequest, or
		refusal Status // of its message
	}{
		// HTTP 400.
		{"nothing", hello, always(""), ErrFormat, ""},
		{"JSON", hello, always("{}"), ErrFormat, ""},
		{"a truncated body", hello, func(s string) string { return s[:len(s)-20] }, ErrFormat, ""},
		{"too long a body", hello, func(s string) string { return s + strings.Repeat("\n", MaxBody) }, ErrFormat, ""},
		{"a bomb", hello, always(`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>`), ErrFormat, ""},
		{"an external entity", hello, replace("<soapenv:Envelope", `<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><soapenv:Envelope`), ErrFormat, ""},
		{"an answer", hello, always(v.Steps[1].Body), ErrFormat, ""},
		{"another envelope", hello, replace(nsSOAP, "http://www.w3.org/2003/05/soap-envelope"), ErrFormat, ""},
		{"another service", hello, replace(nsService, "urn:other"), ErrFormat, ""},
		{"no body", hello, replace("soapenv:Body", "soapenv:Header"), ErrFormat, ""},
		{"two requests", hello, replace("</ClientRequest>", "</ClientRequest><ClientRequest/>"), ErrFormat, ""},
		{"two codes", hello, replace("<AuthData >", "<AuthData>1</AuthData><AuthData>"), ErrFormat, ""},
		{"no message", hello, without("Request"), ErrFormat, ""},
		{"a message that is no base64", hello, between("<Request>", "</Request>", "!"), ErrFormat, ""},
		{"a message that is no XML", hello, inRequest(always("hello")), ErrFormat, ""},
		{"a document type inside", hello, inRequest(replace("<ClientHello", "<!DOCTYPE a><ClientHello")), ErrFormat, ""},
		{"too long a message", nonce, inRequest(func(s string) string { return s + strings.Repeat(" ", MaxMessage) }), ErrFormat, ""},
		{"too deep", hello, inRequest(replace("</SupportedKeyTypes>", deepXML+"</SupportedKeyTypes>")), ErrFormat, ""},

		// A wrong code.
		{"no code", hello, between("<AuthData >", "</AuthData>", ""), ErrCode, ""},
		{"a code that differs from the header's", hello, between("<AuthData >", "</AuthData>", "123456789013"), ErrCode, ""},

		// A status.
		{"another version", hello, inRequest(replace(`Version="1.0"`, `Version="2.0"`)), nil, UnsupportedVersion},
		{"no version", hello, inRequest(replace(` Version="1.0"`, ``)), nil, UnsupportedVersion},
		{"another key type", hello, inRequest(replace("SecurID-AES", "HOTP")), nil, NoSupportedKeyTypes},
		{"no key types", hello, inRequest(between("<ClientHello ", "<SupportedEncryptionAlgorithms",
			`xmlns="`+ns2005x11+`" xmlns:xsi="`+nsXSI+`" Version="1.0">`)), nil, NoSupportedKeyTypes},
		{"another encryption", hello, inRequest(replace("rsa-1_5", "rsa-none")), nil, NoSupportedEncryptionAlgorithms},
		{"another MAC", hello, inRequest(replace("#ct-kip-prf-aes", "#ct-kip-prf-sha256")), nil, NoSupportedMACAlgorithms},
		{"an unknown critical extension", hello, inRequest(replace("</ClientHello>", `<Extensions xmlns=""><Extension Critical="true"/></Extensions></ClientHello>`)), nil, UnknownCriticalExtension},
		{"another namespace", hello, inRequest(replace("2005/11/ct-kip#\" xmlns:xsd", "2004/11/ct-kip#\" xmlns:xsd")), nil, UnknownRequest},
		{"a server's message", hello, inRequest(always(failure(StepHello, "", Abort))), nil, UnknownRequest},
		{"a nonce that is no base64", nonce, inRequest(between(`<EncryptedNonce xmlns="">`, "</EncryptedNonce>", "!")), nil, MalformedRequest},
		{"no nonce", nonce, inRequest(without("EncryptedNonce")), nil, MalformedRequest},
		{"another version of the nonce", nonce, inRequest(replace(`Version="1.0"`, `Version="1.1"`)), nil, UnsupportedVersion},
		{"too long a session", nonce, inRequest(between(`SessionID="`, `"`, strings.Repeat("a", MaxSession+1))), nil, Abort},
		{"an unknown critical extension in the nonce", nonce, inRequest(replace(`<Extension `, `<Extension Critical="1"><X/></Extension><Extension `)), nil, UnknownCriticalExtension},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := ParseRequest([]byte(test.edit(v.Steps[test.step].Body)), string(v.ActivationCode))
			if test.want != nil {
				if !errors.Is(err, test.want) || m != nil {
					t.Errorf("%v, want %v", err, test.want)
				}
				return
			}
			if err != nil || m.Refusal != test.refusal {
				t.Fatalf("%v, %v, want %v", m, err, test.refusal)
			}
			// What the client makes of the refusal.
			c := v.client()
			if _, err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if m.Step == StepHello {
				_, err = c.Answer(m.Failure(m.Refusal))
			} else {
				if _, err := c.Answer([]byte(v.Steps[1].Body)); err != nil {
					t.Fatal(err)
				}
				_, err = c.Finish(m.Failure(m.Refusal))
			}
			if !same(err, &StatusError{test.refusal}) {
				t.Errorf("the client sees %v, want %v", err, test.refusal)
			}
		})
	}
}

func TestParseRequestTolerates(t *testing.T) {
	v := readVector(t, exchanges[0])
	android := "<Version>1.2</Version><Manufacturer>RSA Security Inc.</Manufacturer><FormFactor>Android</FormFactor>"
	for _, test := range []struct {
		name, header string
		edit         edit
		want         Device
	}{
		{"no header", "", data(always(android)), Device{Version: "1.2", Manufacturer: "RSA Security Inc.", FormFactor: "Android"}},
		{"blanks around the header", " 123456789012\t", data(always("")), Device{}},
		{"blanks around the code", "123456789012", between("<AuthData >", "</AuthData>", "\n 123456789012 "), Device{Version: "5.0.2.440", Manufacturer: "RSA Security Inc."}},
		{"no provisioning data", "", without("ProvisioningData"), Device{}},
		{"provisioning data that is no base64", "", between("<ProvisioningData>", "</ProvisioningData>", "!"), Device{}},
		{"binary provisioning data", "", data(always("\xff\x00<Version>\x1b[2J</Version><FormFactor>" + strings.Repeat("é", 500) + "</FormFactor>")),
			Device{Version: "\uFFFD[2J", FormFactor: strings.Repeat("é", 128)}},
		{"a bound device", "", data(always(Device{SerialNumber: "a<b>&\"c"}.provisioningData())), Device{SerialNumber: "a<b>&\"c"}},
		{"the other year", "", inRequest(replace("2005/11/ct-kip#\" xmlns:xsd", "2005/12/ct-kip#\" xmlns:xsd")), Device{Version: "5.0.2.440", Manufacturer: "RSA Security Inc."}},
		{"base64 in lines", "", func(s string) string { return strings.ReplaceAll(s, "PENsaWVudEhlbGxv", "PENsaWVu\r\n  dEhlbGxv") }, Device{Version: "5.0.2.440", Manufacturer: "RSA Security Inc."}},
		{"a SOAP header", "", replace("<soapenv:Body>", "<soapenv:Header/><soapenv:Body>"), Device{Version: "5.0.2.440", Manufacturer: "RSA Security Inc."}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := ParseRequest([]byte(test.edit(v.Steps[0].Body)), test.header)
			if err != nil || m.Refusal != "" || m.Code != v.ActivationCode {
				t.Fatalf("%v, %v", m, err)
			}
			if m.Device != test.want {
				t.Errorf("device %+v, want %+v", m.Device, test.want)
			}
		})
	}
}

func TestEchoMissing(t *testing.T) {
	v := readVector(t, exchanges[0])
	for name, e := range map[string]edit{
		"no extension":   inRequest(without("Extensions")),
		"no base64":      inRequest(between("<Data>", "</Data>", "!")),
		"another":        inRequest(between("<Data>", "</Data>", encode64(make([]byte, 16)))),
		"a longer":       inRequest(between("<Data>", "</Data>", encode64(append(v.Secrets.ServerNonce, 0)))),
		"only a part":    inRequest(between("<Data>", "</Data>", encode64(v.Secrets.ServerNonce[:8]))),
		"another's type": inRequest(replace("<Extension ", `<Extension xsi:type="ClientInfoType" `)),
	} {
		m, err := ParseRequest([]byte(e(v.Steps[2].Body)), "")
		if err != nil || m.Refusal != "" || m.Echoes(v.Secrets.ServerNonce.nonce()) {
			t.Errorf("%s: %v, %v: want a message that does not echo", name, m, err)
		}
	}
}

// What leaves the server is read by programs that expect single octets, so the edges of the value
// range are tested on the text.
func TestServerFinishedText(t *testing.T) {
	v := readVector(t, exchanges[0])
	m, err := ParseRequest([]byte(v.Steps[2].Body), "")
	if err != nil {
		t.Fatal(err)
	}
	text := func(f Finished) string {
		t.Helper()
		body, err := m.ServerFinished(f)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := open(body)
		if err != nil {
			t.Fatal(err)
		}
		message, _ := answer.child(nsService, "Response").base64()
		return string(message)
	}
	f := v.finished(t)
	f.UserID = ""
	if s := text(f); !strings.Contains(s, "</ServiceID>\n<UserID xmlns=\"\"/>\n<Extensions ") {
		t.Errorf("empty user: %s", s)
	}
	f.UserID = "<a&\"b'>\x00\r\n\xff"
	if s := text(f); !strings.Contains(s, "<UserID xmlns=\"\">&lt;a&amp;&quot;b'&gt;\uFFFD\uFFFD\uFFFD\uFFFD</UserID>") {
		t.Errorf("odd user: %s", s)
	}
	f.Expiry = time.Date(2030, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7*3600))
	if s := text(f); !strings.Contains(s, ">2031-01-01T00:00:00+00:00<") {
		t.Errorf("expiry in another zone: %s", s)
	}
	for name, change := range map[string]func(*Finished){
		"serial":         func(f *Finished) { f.Serial = "1234" },
		"serial letters": func(f *Finished) { f.Serial = "12345678901x" },
		"digits":         func(f *Finished) { f.Digits = 7 },
		"interval":       func(f *Finished) { f.Interval = 0 },
		"PIN type":       func(f *Finished) { f.PINType = 2 },
		"MAC":            func(f *Finished) { f.MAC = nil },
		"expiry":         func(f *Finished) { f.Expiry = time.Time{} },
		"far expiry":     func(f *Finished) { f.Expiry = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		f := v.finished(t)
		change(&f)
		if body, err := m.ServerFinished(f); !errors.Is(err, ErrProtocol) || body != nil {
			t.Errorf("%s: %v, want %v", name, err, ErrProtocol)
		}
	}
}

func TestFailureText(t *testing.T) {
	want := `<?xml version="1.0" encoding="UTF-8"?><ServerFinished xmlns="` + ns2005x12 + `" SessionID="SID" Status="Abort" Version="1.0"/>`
	if got := failure(StepNonce, "SID", Abort); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	want = `<?xml version="1.0" encoding="UTF-8"?><ServerHello xmlns="` + ns2005x12 + `" Status="UnsupportedVersion" Version="1.0"/>`
	if got := failure(StepHello, "", UnsupportedVersion); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestNewSessionID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{34}-[0-9A-Za-z+/]{76}$`)
	seen := map[string]bool{}
	for range 100 {
		id, err := NewSessionID(nil)
		if err != nil || !form.MatchString(id) || seen[id] || len(id) > MaxSession {
			t.Fatalf("%q, %v", id, err)
		}
		seen[id] = true
	}
	id, err := NewSessionID(bytes.NewReader(make([]byte, 74)))
	if want := strings.Repeat("0", 34) + "-" + strings.Repeat("A", 76); err != nil || id != want {
		t.Errorf("%q, %v, want %q", id, err, want)
	}
}

// Whatever server and client draw and whatever is said about the token, both end with the same.
func TestExchange(t *testing.T) {
	vectors := []*vector{readVector(t, exchanges[0]), readVector(t, exchanges[1])}
	text := rapid.StringOfN(rapid.Rune(), 0, 100, -1)
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SampledFrom(vectors).Draw(t, "key")
		key := v.private
		random := bytes.NewReader(rapid.SliceOfN(rapid.Byte(), 200, 200).Draw(t, "random"))
		c := Client{Code: Code(rapid.StringMatching(`[!-~]{1,40}`).Draw(t, "code")), Device: Device{SerialNumber: text.Draw(t, "device")}, Rand: random}
		day := rapid.Int64Range(0, 60000).Draw(t, "day")
		want := Finished{
			Serial: rapid.StringMatching(`[0-9]{12}`).Draw(t, "serial"), Expiry: time.Unix(day*86400, 0).UTC(),
			Service: text.Draw(t, "service"), UserID: text.Draw(t, "user"),
			Digits: rapid.SampledFrom([]int{6, 8}).Draw(t, "digits"), Interval: rapid.SampledFrom([]int{30, 60}).Draw(t, "interval"),
			PINType: rapid.IntRange(0, 1).Draw(t, "PIN type"), AddPIN: rapid.Bool().Draw(t, "add PIN"),
		}
		request, err := c.Start()
		if err != nil {
			t.Fatal(err)
		}
		m, err := ParseRequest(request.Body, request.Header["Authorization"])
		if err != nil || m.Refusal != "" || m.Code != c.Code || m.Device.SerialNumber != clean(escapeOnly(c.Device.SerialNumber), 128) {
			t.Fatalf("%+v, %v", m, err)
		}
		if want.SessionID, err = NewSessionID(random); err != nil {
			t.Fatal(err)
		}
		serverNonce, err := NewNonce(random)
		if err != nil {
			t.Fatal(err)
		}
		if request, err = c.Answer(m.ServerHello(want.SessionID, &key.PublicKey, serverNonce)); err != nil {
			t.Fatal(err)
		}
		if m, err = ParseRequest(request.Body, request.Header["Authorization"]); err != nil || m.Refusal != "" || !m.Echoes(serverNonce) || m.SessionID != want.SessionID {
			t.Fatalf("%+v, %v", m, err)
		}
		clientNonce, err := Decrypt(key, m.EncryptedNonce)
		if err != nil {
			t.Fatal(err)
		}
		var seed []byte
		seed, want.MAC = Derive(&key.PublicKey, clientNonce, serverNonce)
		body, err := m.ServerFinished(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Finish(body)
		if err != nil {
			t.Fatal(err)
		}
		if !equalToken(got, Token{Serial: want.Serial, Seed: seed, KeyID: []byte(want.Serial), Expiry: want.Expiry, Digits: want.Digits, Interval: want.Interval,
			PINType: want.PINType, AddPIN: want.AddPIN, ServiceID: clean(escapeOnly(want.Service), 128), UserID: clean(escapeOnly(want.UserID), 256), KeyBits: key.N.BitLen()}) {
			t.Fatalf("%v, want %+v", shown(got), want)
		}
	})
}

// escapeOnly is what is left of a text on its way through XML.
func escapeOnly(s string) string { return unescapes.Replace(escape(s)) }
