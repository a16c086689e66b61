package provision_test

import (
	"bytes"
	"crypto/aes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/securid"
)

// This file is an attacker who shares no code with package ctkip: other templates, another CMAC, and what it reads it
// compares with whole expected messages. What both sides of a mistake would agree on shows here.

const (
	ns11    = "http://www.rsasecurity.com/rsalabs/otps/schemas/2005/11/ct-kip#"
	ns12    = "http://www.rsasecurity.com/rsalabs/otps/schemas/2005/12/ct-kip#"
	keyType = "http://www.rsasecurity.com/rsalabs/otps/schemas/2005/09/otps-wst#SecurID-AES"
	rsa15   = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"
	xmlDecl = `<?xml version="1.0" encoding="UTF-8"?>`
	desktop = `<?xml version="1.0"?><ProvisioningData><Version>5.0.2.440</Version><Manufacturer>RSA Security Inc.</Manufacturer><FormFactor/></ProvisioningData>`
	android = `<Version>1.2</Version><Manufacturer>RSA Security Inc.</Manufacturer><FormFactor>Android</FormFactor>`
	space   = `xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`
	noise   = `xmlns:ds="http://www.w3.org/2000/09/xmldsig#" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`

	refusal = xmlDecl + "\n<soapenv:Envelope " + space + ">\n  <soapenv:Body>\n    <soapenv:Fault>\n" +
		"      <faultcode>soapenv:Server.userException</faultcode>\n" +
		"      <faultstring>java.rmi.RemoteException: The CT-KIP Web Service failed to process a client request. " +
		"com.rsa.command.exception.InsufficientPrivilegeException: Invalid authorization code.;nested exception is: \n\t" +
		"com.rsa.command.exception.InsufficientPrivilegeException: Invalid authorization code.</faultstring>\n" +
		"    </soapenv:Fault>\n  </soapenv:Body>\n</soapenv:Envelope>"
)

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// asked is the envelope of a request.
func asked(code, pd, inner string) string {
	return xmlDecl + "\n      <soapenv:Envelope " + space + ">\n        <soapenv:Body>\n" +
		"          <ClientRequest xmlns=\"http://ctkipservice.rsasecurity.com\">\n            <AuthData >" + code + "</AuthData>\n" +
		"            <ProvisioningData>" + b64([]byte(pd)) + "\n</ProvisioningData>\n            <Request>" + b64([]byte(inner)) + "\n</Request>\n" +
		"          </ClientRequest>\n        </soapenv:Body>\n      </soapenv:Envelope>"
}

// answered is the envelope of an answer.
func answered(code, pd, inner string) string {
	return xmlDecl + "\n<soapenv:Envelope " + space + ">\n  <soapenv:Body>\n" +
		"    <ServerResponse xmlns=\"http://ctkipservice.rsasecurity.com\">\n      <AuthData>" + code + "</AuthData>\n" +
		"      <ProvisioningData>" + b64([]byte(pd)) + "\n</ProvisioningData>\n      <Response>" + b64([]byte(inner)) + "\n</Response>\n" +
		"    </ServerResponse>\n  </soapenv:Body>\n</soapenv:Envelope>"
}

// failed is the answer to a request of one of the two steps that ends with a status.
func failed(root, code, sid, status string) string {
	if sid != "" {
		sid = ` SessionID="` + sid + `"`
	}
	return answered(code, desktop, xmlDecl+`<`+root+` xmlns="`+ns12+`"`+sid+` Status="`+status+`" Version="1.0"/>`)
}

func clientHello(ns, version, key, enc, mac string) string {
	entry := func(list, uri string) string {
		return `<` + list + ` xmlns=""><Algorithm xsi:type="xsd:anyURI">` + uri + `</Algorithm></` + list + `>`
	}
	return `<ClientHello xmlns="` + ns + `" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" Version="` + version + `">` +
		entry("SupportedKeyTypes", key) + entry("SupportedEncryptionAlgorithms", enc) + entry("SupportedMACAlgorithms", mac) + `</ClientHello>`
}

var plainHello = clientHello(ns11, "1.0", keyType, rsa15, ns11+"ct-kip-prf-aes")

func clientNonce(sid, encrypted, echo string) string {
	return xmlDecl + `<ClientNonce xmlns="` + ns11 + `" Version="1.0" SessionID="` + sid + `"><EncryptedNonce xmlns="">` + encrypted + "\n</EncryptedNonce>" +
		`<Extensions xmlns="" ` + noise + `><Extension xmlns="" xmlns:ct-kip="` + ns12 + `" ` + noise + `><Data>` + echo + "\n</Data></Extension></Extensions></ClientNonce>"
}

// cmacOf is AES-CMAC by the shift and the constant of SP 800-38B, on big integers.
func cmacOf(key, data []byte) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	sub := make([]byte, 16)
	block.Encrypt(sub, sub)
	shift := func() {
		n := new(big.Int).Lsh(new(big.Int).SetBytes(sub), 1)
		if n.Bit(128) == 1 {
			n.SetBit(n, 128, 0).Xor(n, big.NewInt(0x87))
		}
		n.FillBytes(sub)
	}
	shift()
	data = bytes.Clone(data)
	if len(data) == 0 || len(data)%16 != 0 {
		shift()
		data = append(data, 0x80)
		data = append(data, make([]byte, (16-len(data)%16)%16)...)
	}
	for i, v := range sub {
		data[len(data)-16+i] ^= v
	}
	state := make([]byte, 16)
	for ; len(data) > 0; data = data[16:] {
		for i := range state {
			state[i] ^= data[i]
		}
		block.Encrypt(state, state)
	}
	return state
}

func prf(key []byte, parts ...[]byte) []byte {
	return cmacOf(key, binary.BigEndian.AppendUint32(bytes.Join(parts, nil), 1))
}

// A reply is an HTTP answer.
type reply struct {
	status int
	header http.Header
	length int64
	body   string
}

// raw posts a body as an app does, but for the headers given; "" removes one.
func (s *service) raw(body string, headers ...string) reply {
	s.Helper()
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.url, strings.NewReader(body))
	s.must(err)
	req.Header.Set("Content-Type", "application/vnd.otps.ct-kip")
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	s.must(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	s.must(err)
	return reply{resp.StatusCode, resp.Header, resp.ContentLength, string(answer)}
}

// A session is what the attacker read in a ServerHello.
type session struct {
	code, sid string
	key       rsa.PublicKey
	rs        []byte
}

var helloForm = regexp.MustCompile(`SessionID="([^"]*)"[^¶]*<ds:Modulus>([^<]*)</ds:Modulus>\n<ds:Exponent>([^<]*)</ds:Exponent>[^¶]*<Nonce xmlns="">([^<]*)<`)

// inside is the message in an answer's envelope.
func inside(t *testing.T, body string) string {
	t.Helper()
	_, rest, _ := strings.Cut(body, "<Response>")
	text, _, ok := strings.Cut(rest, "\n</Response>")
	message, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || strings.ContainsAny(text, " \t\r\n") {
		t.Fatalf("no answer in %s", body)
	}
	return string(message)
}

// open sends a hello and holds the answer against its octets.
func (s *service) open(code string) session {
	s.Helper()
	return s.opened(code, desktop, s.raw(asked(code, desktop, plainHello), "SOAPAction", "StartService", "Authorization", code))
}

func (s *service) opened(code, pd string, r reply) session {
	s.Helper()
	message := inside(s.T, r.body)
	m := helloForm.FindStringSubmatch(message)
	if m == nil {
		s.Fatalf("no ServerHello: %s", message)
	}
	modulus, err := base64.StdEncoding.DecodeString(m[2])
	s.must(err)
	rs, err := base64.StdEncoding.DecodeString(m[4])
	s.must(err)
	want := xmlDecl + `<ServerHello xmlns="` + ns12 + `" ` + noise + ` SessionID="` + m[1] + `" Status="Continue" Version="1.0"><KeyType xmlns="">` + keyType + "</KeyType>\n" +
		`<EncryptionAlgorithm xmlns="">` + rsa15 + "</EncryptionAlgorithm>\n" +
		`<EncryptionKey xmlns="" ` + noise + `><ds:KeyValue xmlns="` + ns12 + `" ` + noise + `><ds:RSAKeyValue xmlns="` + ns12 + `" ` + noise + `>` +
		`<ds:Modulus>` + m[2] + "</ds:Modulus>\n<ds:Exponent>AQAB</ds:Exponent>\n</ds:RSAKeyValue>\n</ds:KeyValue>\n</EncryptionKey>\n" +
		`<Payload xmlns="" ` + noise + `><Nonce xmlns="">` + m[4] + "</Nonce>\n</Payload>\n" +
		`<Extensions xmlns="" ` + noise + `><Extension xmlns:ct-kip="` + ns12 + `" xmlns="" ` + noise + `><Data>` + m[4] + "</Data>\n</Extension>\n</Extensions>\n" +
		`<MacAlgorithm xmlns="">` + ns11 + "ct-kip-prf-aes</MacAlgorithm>\n</ServerHello>"
	if r.body != answered(code, pd, want) {
		s.Errorf("ServerHello is not as it must be:\n%s\n%s", r.body, message)
	}
	if !regexp.MustCompile(`^[0-9a-f]{34}-[A-Za-z0-9+/]{76}$`).MatchString(m[1]) {
		s.Errorf("session %q", m[1])
	}
	if len(modulus) != 256 || modulus[0] < 0x80 || len(rs) != 16 {
		s.Errorf("modulus of %d octets, nonce of %d", len(modulus), len(rs))
	}
	s.checkHeaders(r)
	return session{code, m[1], rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}, rs}
}

func (s *service) checkHeaders(r reply) {
	s.Helper()
	if r.status != 200 || r.header.Get("Content-Type") != "text/xml; charset=utf-8" || r.header.Get("Cache-Control") != "no-store" ||
		r.length != int64(len(r.body)) || r.header.Get("Content-Encoding") != "" || r.header.Get("Location") != "" {
		s.Errorf("status %d, length %d of %d, headers %v", r.status, r.length, len(r.body), r.header)
	}
}

// encrypt is RSA-OAEP of any plaintext.
func (x session) encrypt(plain []byte) []byte {
	c, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &x.key, plain, nil)
	if err != nil {
		panic(err)
	}
	return c
}

// nonce is the right second request with that client nonce.
func (x session) nonce(rc []byte) string {
	return asked(x.code, desktop, clientNonce(x.sid, b64(x.encrypt(rc)), b64(x.rs)))
}

// aborted holds an answer against the one that says nothing.
func (s *service) aborted(x session, r reply) {
	s.Helper()
	s.checkHeaders(r)
	if r.body != failed("ServerFinished", x.code, x.sid, "Abort") {
		s.Errorf("not aborted: %s", r.body)
	}
}

func (s *service) faulted(r reply) {
	s.Helper()
	s.checkHeaders(r)
	if r.body != refusal {
		s.Errorf("not refused: %s", r.body)
	}
}

// finished holds the last answer against its octets and gives the seed.
func (s *service) finished(x session, rc []byte, r reply) []byte {
	s.Helper()
	s.checkHeaders(r)
	key := prf(rc, x.key.N.Bytes(), []byte("Key generation"), x.rs)
	serial := b64([]byte(s.serial))
	tok, err := s.tokens.Get(s.ctx, s.serial)
	s.must(err)
	want := xmlDecl + `<ServerFinished xmlns="` + ns12 + `" ` + noise + ` SessionID="` + x.sid + `" Status="Success"><TokenID xmlns="">` + serial + "</TokenID>\n" +
		`<KeyID xmlns="">` + serial + "</KeyID>\n" + `<KeyExpiryDate xmlns="">` + tok.Expiry.Format("2006-01-02") + "T00:00:00+00:00</KeyExpiryDate>\n" +
		`<ServiceID xmlns="">Test</ServiceID>` + "\n" + `<UserID xmlns="">alice</UserID>` + "\n" +
		`<Extensions xmlns="" ` + noise + `><Extension Critical="true" xmlns="" ` + noise + ">" +
		"<OTPFormat>Decimal</OTPFormat>\n<OTPLength>8</OTPLength>\n" +
		`<OTPMode xmlns="` + ns12 + `" ` + noise + `><Time TimeInterval="60" xmlns="` + ns12 + `" ` + noise + "/>\n</OTPMode>\n</Extension>\n</Extensions>\n" +
		`<Mac xmlns="" MacAlgorithm="` + ns12 + `ct-kip-prf-aes" ` + noise + `>` + b64(prf(key, []byte("MAC 2 Computation"), rc)) + "</Mac>\n</ServerFinished>"
	if r.body != answered(x.code, "<?xml version=\"1.0\"?>\n<ProvisioningData>\n<PinType>0</PinType><AddPIN>0</AddPIN></ProvisioningData>\n", want) {
		s.Errorf("ServerFinished is not as it must be:\n%s\n%s", r.body, inside(s.T, r.body))
	}
	return key
}

// proven checks that the server took on the seed.
func (s *service) proven(seed []byte) {
	s.Helper()
	code, err := securid.Code(seed, s.serial, 8, 60, s.Now())
	s.must(err)
	s.check(code, authentication.Accepted)
}

func random16() []byte {
	b := make([]byte, 16)
	rand.Read(b)
	return b
}

func TestProbeKnowsRSAsVector(t *testing.T) {
	n, _ := new(big.Int).SetString("d67a750c87f71ce1c02b66a1711cd9089b2a202d50304aadb1d6a7292127e421ad2c274bbfd2db2d4628e9c43129226d"+
		"c2f8a0a5e0e00406ff518714357cbfedd63bac0e56a5896c680f61e42f6accf3011f15464887b993ad6e51b030745842"+
		"31f2e1efbeb047ffd567b72eca9a397777026ef8071b0ab0e19b8409b2af38d3", 16)
	rc, _ := new(big.Int).SetString("846cd036914f3bf536e7354ece07b35a", 16)
	rs, _ := new(big.Int).SetString("79956b2fd8502465ad5c5fe99b9e7786", 16)
	key := prf(rc.Bytes(), n.Bytes(), []byte("Key generation"), rs.Bytes())
	mac := prf(key, []byte("MAC 2 Computation"), rc.Bytes())
	if fmt.Sprintf("%x %x", key, mac) != "4e410e4057f9cff2fab36e56695d904c eca98d8e5bf211fb5167dada9c262296" {
		t.Fatalf("%x %x", key, mac)
	}
}

// One service serves all probes: making its RSA key is what takes long.
func TestProbe(t *testing.T) {
	s := newService(t)
	for name, probe := range map[string]func(*testing.T, *service){
		"exchanges": probeExchanges, "provisioning data": probeProvisioningData, "other hellos": probeOtherHellos, "abuse": probeAbuse, "refusals": probeRefusals,
		"oracle": probeOracle, "sessions": probeSessions, "locks": probeLocks, "races": probeRaces,
	} {
		t.Run(name, func(t *testing.T) {
			s.T = t
			s.Pass(time.Hour) // wrong codes of other probes are forgiven
			probe(t, s)
		})
	}
	if strings.Contains(s.log.String(), "level=ERROR") {
		t.Error(s.log.String())
	}
}

// A whole exchange in the octets of the specification, with each liberty that an app may take.
func probeExchanges(t *testing.T, s *service) {
	lines := regexp.MustCompile(`[A-Za-z0-9+/=]{100,}`)
	for name, c := range map[string]struct {
		headers []string
		hello   func(code string) string
		change  func(body string) string
	}{
		"as RSA's app":         {headers: []string{"SOAPAction", "StartService"}},
		"compression offered":  {headers: []string{"Accept-Encoding", "gzip, deflate, br"}},
		"no SOAPAction":        {},
		"wrong SOAPAction":     {headers: []string{"SOAPAction", `"Nothing"`}},
		"text/xml":             {headers: []string{"Content-Type", "text/xml; charset=utf-8"}},
		"application/soap+xml": {headers: []string{"Content-Type", `application/soap+xml; action="x"`}},
		"upper case type":      {headers: []string{"Content-Type", "APPLICATION/VND.OTPS.CT-KIP"}},
		"no header with code":  {headers: []string{"Authorization", ""}},
		"2005/12": {hello: func(code string) string {
			return asked(code, desktop, clientHello(ns12, "1.0", keyType, rsa15, ns12+"ct-kip-prf-aes"))
		}},
		"declaration in hello": {hello: func(code string) string { return asked(code, desktop, xmlDecl+plainHello) }},
		"blanks around values": {hello: func(code string) string {
			return asked("\n  "+code+"\t", desktop, strings.ReplaceAll(plainHello, keyType, " "+keyType+"\n"))
		}},
		"code as references": {hello: func(code string) string {
			return asked("&#x"+fmt.Sprintf("%x", code[0])+";"+code[1:], desktop, plainHello)
		}},
		"code as CDATA": {hello: func(code string) string { return asked("<![CDATA["+code+"]]>", desktop, plainHello) }},
		"base64 in lines": {change: func(body string) string {
			return lines.ReplaceAllStringFunc(body, func(b string) string { return "\r\n\t" + b[:76] + "\r\n " + b[76:] })
		}},
		"one line": {change: func(body string) string { return regexp.MustCompile(`>\s+<`).ReplaceAllString(body, "><") }},
		"a SOAP header": {change: func(body string) string {
			return strings.Replace(body, "<soapenv:Body>", "<soapenv:Header/><soapenv:Body>", 1)
		}},
		"other prefix": {change: func(body string) string { return strings.ReplaceAll(body, "soapenv", "S") }},
		"prefixed payload": {change: func(body string) string {
			return regexp.MustCompile(`<(/?)(ClientRequest|AuthData|ProvisioningData|Request)`).ReplaceAllString(strings.Replace(body, "<ClientRequest xmlns=", "<ClientRequest xmlns:p=", 1), "<${1}p:$2")
		}},
	} {
		code := s.offer()
		auth := []string{"Authorization", " " + code + "\t"}
		hello := asked(code, desktop, plainHello)
		if c.hello != nil {
			hello = c.hello(code)
		}
		if c.change == nil {
			c.change = func(body string) string { return body }
		}
		t.Log(name)
		x := s.opened(code, desktop, s.raw(c.change(hello), append(auth, c.headers...)...))
		rc := random16()
		seed := s.finished(x, rc, s.raw(c.change(x.nonce(rc)), append(auth, c.headers...)...))
		s.Pass(time.Minute)
		s.proven(seed)
	}
}

// Provisioning data goes back as it came, whatever it is.
func probeProvisioningData(t *testing.T, s *service) {
	for name, pd := range map[string]string{
		"several roots": android, "empty": "", "no XML": "\x00\xff\xfe]]><", "bomb": `<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`,
		"huge": strings.Repeat("<Version>", 4000), "deep": strings.Repeat("<a>", 9000), "format": "%s%n%[9]d", "injection": "</ProvisioningData><Response>x",
	} {
		code := s.offer()
		t.Log(name)
		x := s.opened(code, pd, s.raw(asked(code, pd, plainHello)))
		rc := random16()
		s.finished(x, rc, s.raw(strings.Replace(x.nonce(rc), b64([]byte(desktop)), b64([]byte(pd)), 1)))
	}
	code := s.offer()
	for name, pd := range map[string]string{"no base64": "<ProvisioningData>!!</ProvisioningData>", "cut base64": "<ProvisioningData>QUJDR</ProvisioningData>", "missing": "", "elements": "<ProvisioningData><a/></ProvisioningData>"} {
		t.Log(name)
		body := regexp.MustCompile(`(?s)<ProvisioningData>.*</ProvisioningData>`).ReplaceAllString(asked(code, "", plainHello), pd)
		s.opened(code, "", s.raw(body))
	}
}

// What asks for something else is told so, with the code still good and before it is looked at.
func probeOtherHellos(t *testing.T, s *service) {
	code := s.offer()
	mac := ns11 + "ct-kip-prf-aes"
	for _, c := range []struct{ inner, want string }{
		{clientHello(ns11, "2.0", keyType, rsa15, mac), "UnsupportedVersion"},
		{strings.Replace(plainHello, ` Version="1.0"`, "", 1), "UnsupportedVersion"},
		{clientHello(ns11, "1.0", "urn:other", rsa15, mac), "NoSupportedKeyTypes"},
		{clientHello(ns11, "1.0", keyType, "urn:other", mac), "NoSupportedEncryptionAlgorithms"},
		{clientHello(ns11, "1.0", keyType, rsa15, ns11+"ct-kip-prf-sha256"), "NoSupportedMACAlgorithms"},
		{strings.Replace(plainHello, "</ClientHello>", `<Extensions xmlns=""><Extension Critical="true"><New/></Extension></Extensions></ClientHello>`, 1), "UnknownCriticalExtension"},
		{"<Other/>", "UnknownRequest"},
		{strings.ReplaceAll(plainHello, "2005/11/ct-kip#\" ", "2004/11/ct-kip#\" "), "UnknownRequest"},
	} {
		for _, code := range []string{code, "000000000001"} {
			if r := s.raw(asked(code, desktop, c.inner)); r.body != failed("ServerHello", code, "", c.want) {
				t.Errorf("%s: %s", c.want, r.body)
			}
		}
	}
	x := s.open(code)
	rc := random16()
	s.finished(x, rc, s.raw(x.nonce(rc)))
}

// A request that cannot be read is no request.
func probeAbuse(t *testing.T, s *service) {
	code := s.offer()
	good := asked(code, desktop, plainHello)
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatal(old)
		}
		return strings.Replace(good, old, new, 1)
	}
	request := good[strings.Index(good, "<ClientRequest"):strings.Index(good, "        </soapenv:Body>")]
	inner := func(message string) string { return asked(code, desktop, message) }
	for name, body := range map[string]string{
		"DTD":                swap("\n      <soapenv:Env", "<!DOCTYPE x>\n      <soapenv:Env"),
		"internal entity":    strings.Replace(swap("\n      <soapenv:Env", `<!DOCTYPE x [<!ENTITY c "`+code+`">]><soapenv:Env`), code, "&c;", 2),
		"external entity":    swap("\n      <soapenv:Env", `<!DOCTYPE x SYSTEM "file:///etc/passwd"><soapenv:Env`),
		"unknown entity":     swap(code, "&x;"),
		"HTML entity":        swap(code, "&nbsp;"+code),
		"two requests":       swap(request, request+request),
		"two bodies":         swap("</soapenv:Envelope>", "<soapenv:Body/></soapenv:Envelope>"),
		"two codes":          swap("<AuthData >", "<AuthData>1</AuthData><AuthData >"),
		"two inner":          swap("<Request>", "<Request>QQ==</Request><Request>"),
		"deep":               swap("<AuthData >", "<x>"+strings.Repeat("<a>", 40)+strings.Repeat("</a>", 40)+"</x><AuthData >"),
		"too long":           good + strings.Repeat(" ", 64<<10),
		"one octet too long": good + strings.Repeat(" ", 64<<10+1-len(good)),
		"long inside":        inner(plainHello + strings.Repeat(" ", 16<<10+1-len(plainHello))),
		"DTD inside":         inner("<!DOCTYPE x>" + plainHello),
		"entity inside":      inner(`<!DOCTYPE x [<!ENTITY k "` + keyType + `">]>` + strings.Replace(plainHello, keyType, "&k;", 1)),
		"deep inside":        inner(strings.Repeat("<a>", 17) + strings.Repeat("</a>", 17)),
		"unclosed inside":    inner(plainHello[:len(plainHello)-1]),
		"two inside":         inner(plainHello + plainHello),
		"nothing inside":     inner(""),
		"NUL inside":         inner(strings.Replace(plainHello, keyType, keyType+"\x00", 1)),
		"bad UTF-8 inside":   inner(strings.Replace(plainHello, keyType, keyType+"\xff", 1)),
		"inner no base64":    regexp.MustCompile(`(?s)<Request>.*</Request>`).ReplaceAllString(good, "<Request>!</Request>"),
		"no inner":           regexp.MustCompile(`(?s)<Request>.*</Request>`).ReplaceAllString(good, ""),
		"NUL":                swap(code, code+"\x00"),
		"NUL reference":      swap(code, code+"&#0;"),
		"bad UTF-8":          swap(code, code+"\xc0\x80"),
		"UTF-16":             swap("UTF-8", "UTF-16"),
		"mismatched tags":    swap("</AuthData>", "</AuthDatum>"),
		"trailing":           good + "<x/>",
		"text around":        "x" + good,
		"SOAP 1.2":           swap("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"),
		"other service":      swap("http://ctkipservice.rsasecurity.com", "urn:x"),
		"bare message":       plainHello,
		"cut":                good[:len(good)/2],
		"empty":              "",
		"bomb of attributes": swap("<AuthData >", "<AuthData "+attributes(3000)+">"),
		"stylesheet":         swap("\n      <soapenv:Env", `<?xml-stylesheet href="x"?><soapenv:Env`),
	} {
		if r := s.raw(body); r.status != http.StatusBadRequest || strings.Contains(r.body, code) {
			t.Errorf("%s: status %d: %s", name, r.status, r.body)
		}
	}
	for _, contentType := range []string{"application/vnd.otps.ct-kip+xml", "application/dskpp+xml", "application/json", "multipart/form-data; boundary=x"} {
		if r := s.raw(good, "Content-Type", contentType); r.status != http.StatusBadRequest {
			t.Errorf("%s: status %d", contentType, r.status)
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"} {
		req, err := http.NewRequestWithContext(s.ctx, method, s.url, strings.NewReader(good))
		s.must(err)
		resp, err := http.DefaultTransport.RoundTrip(req)
		s.must(err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: status %d", method, resp.StatusCode)
		}
	}
	full := s.offer()
	s.opened(full, desktop, s.raw(asked(full, desktop, plainHello)+strings.Repeat(" ", 64<<10-len(good))))
	s.opened(full, desktop, s.raw(asked(full, desktop, plainHello+strings.Repeat(" ", 16<<10-len(plainHello)))))
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` a%d=""`, i)
	}
	return b.String()
}

// Codes that are refused, in either step and for whatever reason, get one answer.
func probeRefusals(t *testing.T, s *service) {
	replaced := s.offer()
	old := s.open(replaced)
	code := s.offer()
	x := s.open(code)
	hello := asked(code, desktop, plainHello)
	for name, r := range map[string]reply{
		"revoked":               s.raw(asked(replaced, desktop, plainHello)),
		"revoked meanwhile":     s.raw(old.nonce(random16())),
		"unknown":               s.raw(asked("000000000000", desktop, plainHello)),
		"unknown later":         s.raw(strings.Replace(x.nonce(random16()), code, "000000000000", 1)),
		"header differs":        s.raw(hello, "Authorization", "000000000000"),
		"header with a scheme":  s.raw(hello, "Authorization", "Bearer "+code),
		"header is a prefix":    s.raw(hello, "Authorization", code[:11]),
		"blank inside the code": s.raw(strings.Replace(hello, code, code[:6]+" "+code[6:], 1)),
		"no code":               s.raw(strings.Replace(hello, code, "", 1)),
		"markup":                s.raw(strings.Replace(hello, code, "&lt;&amp;&quot;&apos;&gt;", 1)),
	} {
		t.Log(name)
		s.faulted(r)
	}
	s.Pass(11 * time.Minute) // what was unknown is forgiven by now
	x = s.open(code)
	rc := random16()
	s.finished(x, rc, s.raw(x.nonce(rc)))
	s.faulted(s.raw(hello))

	late := s.offer()
	s.Pass(24*time.Hour - time.Minute)
	x = s.open(late)
	s.Pass(time.Minute)
	s.faulted(s.raw(x.nonce(random16())))
	s.faulted(s.raw(asked(late, desktop, plainHello)))
}

// Nothing about a ciphertext can be learnt: all failures look alike, cost the session, and lock the code in the end.
func probeOracle(t *testing.T, s *service) {
	rc := random16()
	code := ""
	bad := func(x session, encrypted []byte, echo string) string {
		return asked(x.code, desktop, clientNonce(x.sid, b64(encrypted), echo))
	}
	n := 0
	for name, request := range map[string]func(x session) string{
		"zero":          func(x session) string { return bad(x, make([]byte, 256), b64(x.rs)) },
		"one":           func(x session) string { return bad(x, append(make([]byte, 255), 1), b64(x.rs)) },
		"modulus":       func(x session) string { return bad(x, x.key.N.Bytes(), b64(x.rs)) },
		"above modulus": func(x session) string { return bad(x, bytes.Repeat([]byte{255}, 256), b64(x.rs)) },
		"short":         func(x session) string { return bad(x, x.encrypt(rc)[1:], b64(x.rs)) },
		"long":          func(x session) string { return bad(x, append([]byte{0}, x.encrypt(rc)...), b64(x.rs)) },
		"empty":         func(x session) string { return bad(x, nil, b64(x.rs)) },
		"15 octets":     func(x session) string { return bad(x, x.encrypt(rc[:15]), b64(x.rs)) },
		"17 octets":     func(x session) string { return bad(x, x.encrypt(append([]byte{0}, rc...)), b64(x.rs)) },
		"no octets":     func(x session) string { return bad(x, x.encrypt(nil), b64(x.rs)) },
		"hex":           func(x session) string { return bad(x, x.encrypt(fmt.Appendf(nil, "%x", rc)), b64(x.rs)) },
		"bit flipped":   func(x session) string { c := x.encrypt(rc); c[128] ^= 1; return bad(x, c, b64(x.rs)) },
		"PKCS #1 v1.5":  func(x session) string { return bad(x, x.encrypt15(rc), b64(x.rs)) },
		"labelled": func(x session) string {
			c, _ := rsa.EncryptOAEP(sha1.New(), rand.Reader, &x.key, rc, []byte("x"))
			return bad(x, c, b64(x.rs))
		},
		"another R_S":   func(x session) string { return bad(x, x.encrypt(rc), b64(random16())) },
		"short R_S":     func(x session) string { return bad(x, x.encrypt(rc), b64(x.rs[:15])) },
		"long R_S":      func(x session) string { return bad(x, x.encrypt(rc), b64(append(x.rs, 0))) },
		"R_S no base64": func(x session) string { return bad(x, x.encrypt(rc), "!!") },
		"no R_S":        func(x session) string { return bad(x, x.encrypt(rc), "") },
		"no extension": func(x session) string {
			return asked(x.code, desktop, regexp.MustCompile(`(?s)<Extensions.*</Extensions>`).ReplaceAllString(clientNonce(x.sid, b64(x.encrypt(rc)), "x"), ""))
		},
		"R_S, unpadded": func(x session) string { return bad(x, x.encrypt(rc), strings.TrimRight(b64(x.rs), "=")) },
	} {
		if n%4 == 0 { // five failures lock a code
			code = s.offer()
		}
		n++
		t.Log(name)
		x := s.open(code)
		s.aborted(x, s.raw(request(x)))
		s.aborted(x, s.raw(x.nonce(rc))) // the session is gone
	}

	code = s.offer()
	for _, encrypted := range []string{"*", "QUJD=", "QUJDR", "QUJDRA", "QUJD-_==", "<a/>"} { // not charged to the code
		x := s.open(code)
		request := asked(code, desktop, clientNonce(x.sid, encrypted, b64(x.rs)))
		if r := s.raw(request); r.body != failed("ServerFinished", code, x.sid, "MalformedRequest") {
			t.Errorf("no base64: %s", r.body)
		}
		s.aborted(x, s.raw(request))
		s.aborted(x, s.raw(x.nonce(rc)))
	}
	x := s.open(code)
	if r := s.raw(asked(code, desktop, strings.Replace(clientNonce(x.sid, "", ""), `Version="1.0"`, `Version="2.0"`, 1))); r.body != failed("ServerFinished", code, x.sid, "UnsupportedVersion") {
		t.Errorf("version 2.0: %s", r.body)
	}
	x = s.open(code)
	s.finished(x, rc, s.raw(x.nonce(rc)))
}

// encrypt15 is the padding that the messages announce and nobody uses.
func (x session) encrypt15(plain []byte) []byte {
	em := append([]byte{0, 2}, bytes.Repeat([]byte{7}, 256-3-len(plain))...)
	em = append(append(em, 0), plain...)
	c := new(big.Int).Exp(new(big.Int).SetBytes(em), big.NewInt(int64(x.key.E)), x.key.N)
	return c.FillBytes(make([]byte, 256))
}

// A session is of one code, one use and ten minutes.
func probeSessions(t *testing.T, s *service) {
	rc := random16()
	revoked := s.open(s.offer())
	code := s.offer()
	first, second := s.open(code), s.open(code)
	if first.sid == second.sid || bytes.Equal(first.rs, second.rs) || first.key.N.Cmp(second.key.N) != 0 {
		t.Error("a replayed hello gives the same session, or another key")
	}
	mixed := second
	mixed.rs = first.rs
	s.aborted(mixed, s.raw(mixed.nonce(rc)))
	foreign := revoked
	foreign.code = code
	s.aborted(foreign, s.raw(foreign.nonce(rc)))
	for _, sid := range []string{"unknown", strings.ToUpper(first.sid), first.sid + " ", first.sid[:110], "é" + first.sid} {
		x := first
		x.sid = sid
		s.aborted(x, s.raw(x.nonce(rc)))
	}
	long := first
	long.sid = strings.Repeat("a", 129)
	request := long.nonce(rc)
	long.sid = ""
	if r := s.raw(request); r.body != failed("ServerFinished", code, "", "Abort") {
		t.Errorf("a session of 129 characters: %s", r.body)
	}
	s.Pass(10 * time.Minute)
	s.aborted(first, s.raw(first.nonce(rc)))

	var open []session
	for range 6 {
		open = append(open, s.open(code))
		s.Pass(time.Second)
	}
	s.aborted(open[0], s.raw(open[0].nonce(rc)))
	request = open[1].nonce(rc)
	s.Pass(9 * time.Minute)
	last := s.raw(request)
	seed := s.finished(open[1], rc, last)
	for range 2 {
		s.Pass(time.Minute - time.Second) // the session itself ends in between
		if again := s.raw(request); again.body != last.body {
			t.Errorf("the lost answer is not repeated: %s", again.body)
		}
	}
	s.Pass(2 * time.Second)
	s.faulted(s.raw(request))
	s.faulted(s.raw(open[2].nonce(rc)))
	s.Pass(time.Minute)
	s.proven(seed)
}

func probeLocks(t *testing.T, s *service) {
	rc := random16()
	code := s.offer()
	spare := s.open(code)
	for range 5 {
		x := s.open(code)
		s.aborted(x, s.raw(asked(code, desktop, clientNonce(x.sid, "AAAA", b64(x.rs)))))
	}
	s.faulted(s.raw(asked(code, desktop, plainHello)))
	s.faulted(s.raw(spare.nonce(rc)))

	code = s.offer()
	for range 20 { // sessions may be abandoned so often
		s.open(code)
	}
	x := s.open(code)
	s.finished(x, rc, s.raw(x.nonce(rc)))

	code = s.offer()
	for range 21 {
		s.open(code)
	}
	s.faulted(s.raw(asked(code, desktop, plainHello)))
}

// A crowd on one code gets one token; on one request, one answer.
func probeRaces(t *testing.T, s *service) {
	code := s.offer()
	var open []session
	for range 5 {
		open = append(open, s.open(code))
	}
	var all sync.WaitGroup
	type outcome struct {
		x    session
		rc   []byte
		body reply
	}
	outcomes := make(chan outcome, 64)
	for i := range 64 {
		x, rc := open[i%5], random16()
		request := x.nonce(rc)
		all.Go(func() { outcomes <- outcome{x, rc, s.raw(request)} })
	}
	all.Wait()
	close(outcomes)
	won := 0
	for o := range outcomes {
		switch {
		case o.body.body == refusal, o.body.body == failed("ServerFinished", code, o.x.sid, "Abort"):
		default:
			won++
			seed := s.finished(o.x, o.rc, o.body)
			s.proven(seed)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}

	x, rc := s.open(s.offer()), random16()
	request := x.nonce(rc)
	answers := make(chan reply, 16)
	for range 16 {
		all.Go(func() { answers <- s.raw(request) })
	}
	all.Wait()
	close(answers)
	won = 0
	for r := range answers {
		if r.body != failed("ServerFinished", x.code, x.sid, "Abort") {
			won++
			s.finished(x, rc, r)
		}
	}
	if won == 0 {
		t.Error("nobody was answered")
	}
	s.finished(x, rc, s.raw(request))
}
