package tokenapp

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/fault"
)

const testCode = "314159265358"

// serverKey is slow to make, so that all test servers share one.
var serverKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// A provisioningServer serves one activation code once, as RSA's do. Its fields
// make it a faulty one, or one that repeats its last answer, as ours.
type provisioningServer struct {
	*httptest.Server
	date time.Time // of its answers; zero is the one of the test

	// Called before the answer to each step, with what a right server would send.
	hello, finished func(w http.ResponseWriter, body []byte) []byte

	serial string
	expiry time.Time

	session   string
	nonce     ctkip.Nonce
	committed []byte // the seed that it has put into effect
	requests  int

	repeats      bool
	repeated     []byte // the last answer
	lastRequests [][]byte
	connections  map[string]bool // by the client's address, that last requests came over
}

func newServer(t *testing.T) *provisioningServer {
	s := &provisioningServer{serial: "000123456789", expiry: day2031, date: now2026, connections: map[string]bool{}}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	return s
}

// link leads to the server, with the code.
func (s *provisioningServer) link() ctkip.Link {
	return ctkip.Link{URL: s.URL + "/ctkip/services/CtkipService", Code: testCode}
}

// roots trust the server.
func (s *provisioningServer) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

func (s *provisioningServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests++
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	m, err := ctkip.ParseRequest(body, r.Header.Get("Authorization"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, change := s.again(m, body, r.RemoteAddr)
	w.Header().Set("Content-Type", ctkip.AnswerType)
	w.Header().Set("Date", s.date.UTC().Format(http.TimeFormat))
	if change != nil {
		answer = change(w, answer)
	}
	w.Write(answer)
}

// again repeats the answer to the same last request, else serves.
func (s *provisioningServer) again(m *ctkip.Message, body []byte, from string) (answer []byte, change func(http.ResponseWriter, []byte) []byte) {
	if m.Step == ctkip.StepNonce {
		s.lastRequests = append(s.lastRequests, body)
		s.connections[from] = true
		if s.repeats && s.repeated != nil && bytes.Equal(body, s.lastRequests[0]) {
			return s.repeated, s.finished
		}
	}
	return s.serve(m)
}

func (s *provisioningServer) serve(m *ctkip.Message) (answer []byte, change func(http.ResponseWriter, []byte) []byte) {
	switch {
	case s.committed != nil || !m.Code.Equal(testCode):
		return ctkip.InvalidCode.Body(), nil
	case m.Step == ctkip.StepHello:
		s.session, _ = ctkip.NewSessionID(nil)
		s.nonce, _ = ctkip.NewNonce(nil)
		return m.ServerHello(s.session, &serverKey().PublicKey, s.nonce), s.hello
	case m.SessionID != s.session || !m.Echoes(s.nonce):
		return m.Failure(ctkip.Abort), nil
	}
	nonce, err := ctkip.Decrypt(serverKey(), m.EncryptedNonce)
	if err != nil {
		return m.Failure(ctkip.Abort), nil
	}
	key, mac := ctkip.Derive(&serverKey().PublicKey, nonce, s.nonce)
	answer, err = m.ServerFinished(ctkip.Finished{
		Serial: s.serial, Expiry: s.expiry, Service: "Test", Digits: 8, Interval: 60, AddPIN: true, MAC: mac, SessionID: s.session,
	})
	if err != nil {
		panic(err)
	}
	s.committed, s.repeated = key, answer
	return answer, s.finished
}

func TestProvision(t *testing.T) {
	s, a := newServer(t), testApp(t)
	var warnings []string
	token, err := a.Provision(t.Context(), s.link(), ImportOptions{Nickname: "mine"},
		Provisioner{Roots: s.roots(), Warn: func(m string) { warnings = append(warnings, m) }})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(token.Seed.Reveal(), s.committed) {
		t.Error("the seed is not the server's")
	}
	want := Info{
		Serial: "000123456789", Algorithm: "securid-aes128", Digits: 8, IntervalSeconds: 60, PINType: "pinpad",
		Expiry: "2031-01-01", Nickname: "mine", Issuer: "Test", Format: FormatCTKIP,
	}
	if token.Info() != want {
		t.Errorf("got %+v", token.Info())
	}
	if held, err := a.Find("mine"); err != nil || !same(held, token) {
		t.Errorf("held: %v", err)
	}
	if len(warnings) > 0 {
		t.Errorf("warned: %q", warnings)
	}
	if _, err = a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots()}); fault.CodeOf(err) != fault.ActivationRefused {
		t.Errorf("the code works twice: %v", err)
	}
}

// A date that nobody can read is no reason to lose a seed that the server has committed to.
func TestUnreadableExpiry(t *testing.T) {
	s, a := newServer(t), testApp(t)
	s.finished = swap(`2031-01-01T`, `2031-02-30T`)
	warned := ""
	token, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots(), Warn: func(m string) { warned += m }})
	if err != nil || !bytes.Equal(token.Seed.Reveal(), s.committed) || !token.Expiry.IsZero() || !strings.Contains(warned, "expiry none (expiry)") {
		t.Fatalf("%+v, %v, warned: %q", token.Info(), err, warned)
	}
	if held, err := a.Find(token.Serial); err != nil || !same(held, token) {
		t.Errorf("held: %v", err)
	}
}

// inner changes the message inside an answer.
func inner(change func(string) string) func(http.ResponseWriter, []byte) []byte {
	response := regexp.MustCompile(`(?s)<Response>(.*)</Response>`)
	return func(_ http.ResponseWriter, body []byte) []byte {
		return response.ReplaceAllFunc(body, func(found []byte) []byte {
			message, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(response.FindSubmatch(found)[1])))
			if err != nil {
				panic(err)
			}
			changed := change(string(message))
			if changed == string(message) {
				panic("the fault changed nothing")
			}
			return []byte("<Response>" + base64.StdEncoding.EncodeToString([]byte(changed)) + "\n</Response>")
		})
	}
}

// swap changes a part of the inner message.
func swap(pattern, to string) func(http.ResponseWriter, []byte) []byte {
	return inner(func(message string) string { return regexp.MustCompile(pattern).ReplaceAllString(message, to) })
}

// outer changes a part of the envelope.
func outer(pattern, to string) func(http.ResponseWriter, []byte) []byte {
	return func(_ http.ResponseWriter, body []byte) []byte {
		return regexp.MustCompile(pattern).ReplaceAll(body, []byte(to))
	}
}

func status(code int) func(http.ResponseWriter, []byte) []byte {
	return func(w http.ResponseWriter, body []byte) []byte {
		w.WriteHeader(code)
		return body
	}
}

// failed is an answer in place of the right one, with the status that SOAP 1.1 has for faults.
func failed(body []byte) func(http.ResponseWriter, []byte) []byte {
	return func(w http.ResponseWriter, _ []byte) []byte { return status(500)(w, body) }
}

func instead(body []byte) func(http.ResponseWriter, []byte) []byte {
	return func(http.ResponseWriter, []byte) []byte { return body }
}

func redirect(status int) func(http.ResponseWriter, []byte) []byte {
	return func(w http.ResponseWriter, body []byte) []byte {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		return body
	}
}

func zipped(w http.ResponseWriter, body []byte) []byte {
	w.Header().Set("Content-Encoding", "gzip")
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(body)
	z.Close()
	return b.Bytes()
}

// emptyFailure is a failure without the session, which some servers answer with.
func emptyFailure(root string) string {
	return `<` + root + ` xmlns="http://www.rsasecurity.com/rsalabs/otps/schemas/2005/12/ct-kip#" Status="Abort" Version="1.0"/>`
}

func noPause(context.Context, time.Duration) {}

func hangUp(http.ResponseWriter, []byte) []byte { panic(http.ErrAbortHandler) }

func cut(w http.ResponseWriter, body []byte) []byte {
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	return body[:len(body)/2]
}

// Nothing that a server does wrong gives a token, and each gets a refusal that
// keeps the activation code to itself.
func TestFaultyServers(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	type change = func(http.ResponseWriter, []byte) []byte
	for name, c := range map[string]struct {
		hello, finished change
		want            fault.Code
		most            int // requests; zero is 2
	}{
		"moved permanently":        {hello: redirect(301), want: fault.ServerUnreachable},
		"found":                    {hello: redirect(302), want: fault.ServerUnreachable},
		"see other":                {hello: redirect(303), want: fault.ServerUnreachable},
		"redirect":                 {hello: redirect(307), want: fault.ServerUnreachable},
		"permanent redirect":       {hello: redirect(308), want: fault.ServerUnreachable},
		"redirect later":           {finished: redirect(307), want: fault.ActivationRefused, most: 4},
		"found later":              {finished: redirect(302), want: fault.ActivationRefused, most: 4},
		"status 500, right answer": {finished: status(500), want: fault.ActivationRefused, most: 4},
		"hangs up":                 {hello: hangUp, want: fault.ServerUnreachable},
		"hangs up later":           {finished: hangUp, want: fault.ActivationRefused, most: 4}, // it does not repeat its answer
		"compressed":               {hello: zipped, want: fault.BadFormat},
		"last answer compressed":   {finished: zipped, want: fault.BadFormat},
		"last answer too large":    {finished: instead(make([]byte, 1<<20)), want: fault.ActivationRefused, most: 4},
		"deep answer":              {hello: instead([]byte(strings.Repeat("<a>", 20000))), want: fault.BadFormat},
		"two responses":            {finished: outer(`(?s)(<Response>.*</Response>)`, `$1$1`), want: fault.BadFormat},
		"fault: tells the code":    {hello: instead(ctkip.Fault{Class: "x.Y", Message: "No " + testCode}.Body()), want: fault.ActivationRefused},
		"no code":                  {hello: outer(`<AuthData>.*</AuthData>`, ``), want: fault.BadFormat},
		"failure without content":  {hello: inner(func(string) string { return emptyFailure("ServerHello") }), want: fault.ActivationRefused},
		"failed at the end":        {finished: inner(func(string) string { return emptyFailure("ServerFinished") }), want: fault.ActivationRefused},
		"empty success":            {finished: inner(func(m string) string { return regexp.MustCompile(`(?s)<TokenID.*</Mac>`).ReplaceAllString(m, "") }), want: fault.Modified},
		"continue at the end":      {finished: swap(`Status="Success"`, `Status="Continue"`), want: fault.ActivationRefused},
		"hello again":              {finished: swap(`ServerFinished`, `ServerHello`), want: fault.BadFormat},
		"message namespace inside": {hello: swap(` xmlns=""`, ``), want: fault.BadFormat},
		"two serials":              {finished: swap(`<KeyID xmlns="">[^<]*`, `<KeyID xmlns="">`+b64([]byte("000123456788"))), want: fault.BadFormat},
		"MAC of another algorithm": {finished: swap(`ct-kip-prf-aes"`, `ct-kip-prf-sha256"`), want: fault.BadFormat},
		"hexadecimal codes":        {finished: swap(`Decimal`, `Hexadecimal`), want: fault.BadFormat},
		"codes that count":         {finished: swap(`<Time [^>]*/>`, `<Counter/>`), want: fault.BadFormat},
		"a huge key":               {hello: swap(`<ds:Modulus>[^<]*`, `<ds:Modulus>`+b64(bytes.Repeat([]byte{255}, 1025))), want: fault.BadFormat},
		"a key of 1016 bits":       {hello: swap(`<ds:Modulus>[^<]*`, `<ds:Modulus>`+b64(bytes.Repeat([]byte{255}, 127))), want: fault.BadFormat},
		"another key than it has":  {hello: swap(`<ds:Modulus>[^<]*`, `<ds:Modulus>`+b64(bytes.Repeat([]byte{255}, 256))), want: fault.ActivationRefused},
		"even exponent":            {hello: swap(`<ds:Exponent>[^<]*`, `<ds:Exponent>BA==`), want: fault.BadFormat},
		"status 500":               {hello: status(500), want: fault.ServerUnreachable},
		"status 404":               {hello: status(404), want: fault.ServerUnreachable},
		"status 204":               {hello: status(204), want: fault.ServerUnreachable},
		"status 403":               {hello: status(403), want: fault.ActivationRefused},
		"status 401":               {finished: status(401), want: fault.ActivationRefused, most: 4},
		"answer cut":               {hello: cut, want: fault.ServerUnreachable},
		"last answer cut":          {finished: cut, want: fault.ActivationRefused, most: 4},
		"answer too large":         {hello: instead(make([]byte, 1<<20)), want: fault.TooLarge},
		"empty answer":             {hello: instead(nil), want: fault.BadFormat},
		"a web page":               {hello: instead([]byte("<html><body>Welcome</body></html>")), want: fault.BadFormat},
		"no XML":                   {finished: instead([]byte("ok")), want: fault.BadFormat},
		"document type":            {hello: outer(`<soapenv:Envelope`, `<!DOCTYPE x [<!ENTITY a "b">]><soapenv:Envelope`), want: fault.BadFormat},
		"no response":              {hello: outer(`(?s)<Response>.*</Response>`, ``), want: fault.BadFormat},
		"response is no base64":    {finished: outer(`(?s)<Response>.*</Response>`, `<Response>*</Response>`), want: fault.BadFormat},
		"another code":             {hello: outer(testCode, `314159265359`), want: fault.BadFormat},
		"white space at the code":  {finished: outer(testCode, ` `+testCode), want: fault.BadFormat},
		"fault: code":              {hello: instead(ctkip.InvalidCode.Body()), want: fault.ActivationRefused},
		"fault: code, later":       {finished: instead(ctkip.InvalidCode.Body()), want: fault.ActivationRefused},
		"failed inside": {finished: inner(func(string) string {
			return strings.Replace(emptyFailure("ServerFinished"), "Abort", "InitializationFailed", 1)
		}), want: fault.ServerUnreachable},
		"fault: code, status 500":   {hello: failed(ctkip.InvalidCode.Body()), want: fault.ActivationRefused},
		"fault: last, status 500":   {finished: failed(ctkip.InvalidCode.Body()), want: fault.ActivationRefused},
		"fault: busy, status 500":   {hello: failed(ctkip.Unavailable.Body()), want: fault.ServerUnreachable},
		"a page of status 500":      {hello: failed([]byte("<html><body>Sorry</body></html>")), want: fault.ServerUnreachable},
		"a long one":                {finished: failed(make([]byte, 1<<20)), want: fault.ActivationRefused, most: 4},
		"fault: busy":               {hello: instead(ctkip.Unavailable.Body()), want: fault.ServerUnreachable},
		"failure status":            {hello: swap(`Status="Continue"`, `Status="AccessDenied"`), want: fault.ActivationRefused},
		"no common algorithm":       {hello: swap(`Status="Continue"`, `Status="NoSupportedMACAlgorithms"`), want: fault.UnsupportedVersion},
		"success too early":         {hello: swap(`Status="Continue"`, `Status="Success"`), want: fault.ActivationRefused},
		"no status":                 {hello: swap(`Status="Continue"`, ``), want: fault.BadFormat},
		"another message":           {hello: swap(`ServerHello`, `ServerGoodbye`), want: fault.BadFormat},
		"another version":           {hello: swap(`Version="1.0"><KeyType`, `Version="2.0"><KeyType`), want: fault.BadFormat},
		"no session":                {hello: swap(`SessionID="[^"]*"`, `SessionID=""`), want: fault.BadFormat},
		"a long session":            {hello: swap(`SessionID="`, `SessionID="`+strings.Repeat("a", 129)), want: fault.BadFormat},
		"another key type":          {hello: swap(`#SecurID-AES`, `#SecurID-DES`), want: fault.BadFormat},
		"another encryption":        {hello: swap(`#rsa-1_5`, `#des`), want: fault.BadFormat},
		"another MAC algorithm":     {hello: swap(`ct-kip-prf-aes<`, `ct-kip-prf-md5<`), want: fault.BadFormat},
		"no key":                    {hello: swap(`(?s)<ds:KeyValue.*</ds:KeyValue>`, ``), want: fault.BadFormat},
		"a short key":               {hello: swap(`<ds:Modulus>[^<]*`, `<ds:Modulus>`+b64(bytes.Repeat([]byte{255}, 64))), want: fault.BadFormat},
		"an even key":               {hello: swap(`<ds:Modulus>[^<]*`, `<ds:Modulus>`+b64(bytes.Repeat([]byte{254}, 256))), want: fault.BadFormat},
		"a leading zero":            {hello: swap(`<ds:Modulus>[^<]*`, `<ds:Modulus>`+b64(append([]byte{0}, bytes.Repeat([]byte{255}, 256)...))), want: fault.BadFormat},
		"exponent one":              {hello: swap(`<ds:Exponent>[^<]*`, `<ds:Exponent>AQ==`), want: fault.BadFormat},
		"a short nonce":             {hello: swap(`<Nonce xmlns="">[^<]*`, `<Nonce xmlns="">`+b64(make([]byte, 8))), want: fault.BadFormat},
		"nonce that is not its":     {hello: swap(`<Nonce xmlns="">[^<]*`, `<Nonce xmlns="">`+b64(make([]byte, 16))), want: fault.Modified},
		"abort, with a right MAC":   {finished: swap(`Status="Success"`, `Status="Abort"`), want: fault.ActivationRefused},
		"another session":           {finished: swap(`SessionID="`, `SessionID="x`), want: fault.BadFormat},
		"wrong MAC":                 {finished: swap(`(<Mac [^>]*>)[^<]*`, `${1}`+b64(make([]byte, 16))), want: fault.Modified},
		"short MAC":                 {finished: swap(`(<Mac [^>]*>)[^<]*`, `${1}`+b64(make([]byte, 8))), want: fault.Modified},
		"no MAC":                    {finished: swap(`(?s)<Mac .*</Mac>`, ``), want: fault.Modified},
		"no serial":                 {finished: swap(`<(TokenID|KeyID) xmlns="">[^<]*`, `<$1 xmlns="">`), want: fault.BadFormat},
		"a short serial":            {finished: swap(`<(TokenID|KeyID) xmlns="">[^<]*`, `<$1 xmlns="">`+b64([]byte("12345"))), want: fault.BadFormat},
		"a serial of letters":       {finished: swap(`<(TokenID|KeyID) xmlns="">[^<]*`, `<$1 xmlns="">`+b64([]byte("../../../etc"))), want: fault.BadFormat},
		"seven digits":              {finished: swap(`<OTPLength>8`, `<OTPLength>7`), want: fault.BadFormat},
		"no such interval":          {finished: swap(`TimeInterval="60"`, `TimeInterval="45"`), want: fault.BadFormat},
		"an expired token":          {finished: swap(`2031-01-01T`, `2021-01-01T`), want: fault.Expired},
		"an extension it must know": {finished: swap(`<OTPFormat>Decimal</OTPFormat>\s*<OTPLength>8</OTPLength>\s*(?s)<OTPMode.*</OTPMode>`, `<New/>`), want: fault.BadFormat},
	} {
		t.Run(name, func(t *testing.T) {
			s, a := newServer(t), testApp(t)
			s.hello, s.finished = c.hello, c.finished
			imported(t, a, ImportOptions{}, newToken("000000000001", 1))
			_, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots(), Pause: noPause})
			if got := fault.CodeOf(err); got != c.want {
				t.Errorf("got %v (%s), want %s", err, got, c.want)
			}
			if err != nil && strings.Contains(err.Error(), testCode) {
				t.Errorf("the message gives the code away: %v", err)
			}
			if s.requests > cmp.Or(c.most, 2) {
				t.Errorf("%d requests", s.requests)
			}
			if held := serials(t, a); len(held) != 1 {
				t.Errorf("holds %v", held)
			}
			// Only a right answer ends in a token that waits: our clock may be the wrong one.
			if waits, _ := a.Waiting(); (len(waits) != 0) != (c.want == fault.Expired) {
				t.Errorf("%v waits", waits)
			}
		})
	}
}

func TestUntrustedServer(t *testing.T) {
	s := newServer(t)
	refused := func(name string, link ctkip.Link, p Provisioner, want fault.Code) error {
		t.Helper()
		_, err := testApp(t).Provision(t.Context(), link, ImportOptions{}, p)
		if fault.CodeOf(err) != want {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
		return err
	}
	err := refused("nobody signed it", s.link(), Provisioner{Roots: x509.NewCertPool()}, fault.ServerUntrusted)
	if sum := fingerprint(sha256.Sum256(s.Certificate().Raw)); !regexp.MustCompile(`^([0-9A-F]{2}:){31}[0-9A-F]{2}$`).MatchString(sum) || err == nil || !strings.Contains(err.Error(), sum) {
		t.Errorf("the fingerprint %s is not in %v", sum, err)
	}
	if s.requests > 0 {
		t.Error("an untrusted server got the code")
	}
	other := s.link()
	other.URL = strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	refused("it is of another name", other, Provisioner{Roots: s.roots()}, fault.ServerUntrusted)

	old := httptest.NewUnstartedServer(s)
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.StartTLS()
	defer old.Close()
	refused("old TLS", ctkip.Link{URL: old.URL, Code: testCode}, Provisioner{Roots: s.roots()}, fault.ServerUnreachable)

	expired := httptest.NewUnstartedServer(s)
	certificate, pool := certificateFor(t, &x509.Certificate{NotAfter: time.Now().Add(-time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	expired.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	expired.StartTLS()
	defer expired.Close()
	refused("expired", ctkip.Link{URL: expired.URL, Code: testCode}, Provisioner{Roots: pool}, fault.ServerUntrusted)

	hostile := httptest.NewUnstartedServer(s)
	certificate, pool = certificateFor(t, &x509.Certificate{NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"\x1b[2J" + strings.Repeat("a", 5000)}})
	hostile.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	hostile.StartTLS()
	defer hostile.Close()
	err = refused("a name that paints", ctkip.Link{URL: strings.Replace(hostile.URL, "127.0.0.1", "localhost", 1), Code: testCode}, Provisioner{Roots: pool}, fault.ServerUntrusted)
	if err == nil || strings.ContainsRune(err.Error(), 0x1b) || len(err.Error()) > 1000 {
		t.Errorf("not fit for a terminal: %.200q", err)
	}

	plain := httptest.NewServer(s)
	defer plain.Close()
	refused("no TLS behind https", ctkip.Link{URL: strings.Replace(plain.URL, "http:", "https:", 1), Code: testCode}, Provisioner{Roots: s.roots()}, fault.ServerUnreachable)
	if s.requests > 0 {
		t.Error("a server that is not trusted got the code")
	}

	s.Close()
	refused("nobody there", s.link(), Provisioner{Roots: s.roots()}, fault.ServerUnreachable)
}

// certificateFor signs a certificate, and gives the roots that trust it.
func certificateFor(t *testing.T, template *x509.Certificate) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	template.SerialNumber, template.IsCA, template.BasicConstraintsValid = big.NewInt(1), true, true
	der, err := x509.CreateCertificate(rand.Reader, template, template, &serverKey().PublicKey, serverKey())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: serverKey()}, pool
}

// A server that says nothing, or stops in the middle, is given up in time.
func TestSilentServer(t *testing.T) {
	for name, say := range map[string]string{"nothing": "", "half": "<?xml"} {
		t.Run(name, func(t *testing.T) {
			s, a := newServer(t), testApp(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s.hello = func(w http.ResponseWriter, _ []byte) []byte {
				io.WriteString(w, say)
				http.NewResponseController(w).Flush()
				cancel() // as the end of requestTimeout does
				<-t.Context().Done()
				return nil
			}
			_, err := a.Provision(ctx, s.link(), ImportOptions{}, Provisioner{Roots: s.roots()})
			if fault.CodeOf(err) != fault.ServerUnreachable {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestBadActivationCodes(t *testing.T) {
	s := newServer(t)
	for _, code := range []ctkip.Code{"", "999999999999", "two\nlines"} {
		link := s.link()
		link.Code = code
		if _, err := testApp(t).Provision(t.Context(), link, ImportOptions{}, Provisioner{Roots: s.roots()}); fault.CodeOf(err) != fault.ActivationRefused {
			t.Errorf("code of %d characters: %v", len(code), err)
		}
	}
}

// What can be refused without asking the server is, so that no code is used up.
func TestProvisionChecksFirst(t *testing.T) {
	s := newServer(t)
	full := testApp(t)
	full.Limit = 1
	imported(t, full, ImportOptions{}, newToken("000000000001", 1))
	keyless := testApp(t)
	keyless.Keys = Keys{}
	for want, a := range map[fault.Code]*App{fault.StoreFull: full, fault.StoreLocked: keyless} {
		_, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots()})
		if fault.CodeOf(err) != want || Replaceable(err) != (want == fault.StoreFull) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if s.requests > 0 {
		t.Error("the server was asked")
	}
}

// A token that the server has committed to is not lost because its serial
// number is held: it waits for what the user decides.
func TestProvisionedDuplicateWaits(t *testing.T) {
	for name, decide := range map[string]func(a *App) (ImportOptions, error){
		"replace": func(*App) (ImportOptions, error) { return ImportOptions{Replace: true}, nil },
		"delete first": func(a *App) (ImportOptions, error) {
			_, err := removed(a, "123456789")
			return ImportOptions{}, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, a := newServer(t), testApp(t)
			old := newToken(s.serial, 1)
			old.Nickname = "mine"
			imported(t, a, ImportOptions{}, old)
			p := Provisioner{Roots: s.roots()}
			_, err := a.Provision(t.Context(), s.link(), ImportOptions{}, p)
			if !Replaceable(err) {
				t.Fatalf("got %v", err)
			}
			if held, _ := a.Find("mine"); !held.Seed.Equal(old.Seed) {
				t.Fatal("the held token was changed")
			}
			if waits, err := a.Waiting(); err != nil || len(waits) != 1 || waits[0] != s.serial {
				t.Fatalf("%v waits, %v", waits, err)
			}
			o, err := decide(a)
			if err != nil {
				t.Fatal(err)
			}
			s.Close() // it is not needed any more
			token, err := a.Provision(t.Context(), s.link(), o, p)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(token.Seed.Reveal(), s.committed) {
				t.Error("the seed is not the server's")
			}
			if waits, err := a.Waiting(); err != nil || len(waits) != 0 {
				t.Errorf("%v still waits, %v", waits, err)
			}
		})
	}
}

// Nor because of anything else that refuses it: it is taken in later, without
// the server, when the reason is gone.
func TestProvisionedTokenWaits(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(t *testing.T, a *App)
		want    fault.Code
		says    string
		solve   func(a *App) error
	}{
		"no room, one is deleted": {
			func(t *testing.T, a *App) { a.Limit = 1 }, fault.StoreFull, "delete a token",
			func(a *App) error { _, err := removed(a, "1"); return err },
		},
		"no room, more are allowed": {
			func(t *testing.T, a *App) { a.Limit = 1 }, fault.StoreFull, "--max-tokens",
			func(a *App) error { a.Limit = 2; return nil },
		},
		"a clock that is fast": {
			func(t *testing.T, a *App) { a.Now = func() time.Time { return now2026.AddDate(10, 0, 0) } }, fault.Expired, "clock",
			func(a *App) error { a.Now = func() time.Time { return now2026 }; return nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, a := newServer(t), testApp(t)
			imported(t, a, ImportOptions{}, newToken("000000000001", 1))
			c.prepare(t, a)
			p, o := Provisioner{Roots: s.roots()}, ImportOptions{Replace: true}
			for range 2 { // the second time, the server is not asked
				_, err := a.Provision(t.Context(), s.link(), o, p)
				if fault.CodeOf(err) != c.want || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "kept aside") {
					t.Fatalf("got %v", err)
				}
				if waits, err := a.Waiting(); err != nil || len(waits) != 1 || waits[0] != s.serial {
					t.Fatalf("%v waits, %v", waits, err)
				}
				s.Close()
			}
			if err := c.solve(a); err != nil {
				t.Fatal(err)
			}
			token, err := a.Provision(t.Context(), s.link(), o, p)
			if err != nil || !bytes.Equal(token.Seed.Reveal(), s.committed) {
				t.Fatalf("the seed is not the server's: %v", err)
			}
			if waits, err := a.Waiting(); err != nil || len(waits) != 0 {
				t.Errorf("%v still waits, %v", waits, err)
			}
		})
	}
}

// A full store takes a new seed for a token that is in it.
func TestProvisionReplacesInFullStore(t *testing.T) {
	s, a := newServer(t), testApp(t)
	a.Limit = 1
	imported(t, a, ImportOptions{}, newToken(s.serial, 1))
	token, err := a.Provision(t.Context(), s.link(), ImportOptions{Replace: true}, Provisioner{Roots: s.roots()})
	if err != nil || !bytes.Equal(token.Seed.Reveal(), s.committed) {
		t.Error(err)
	}
}

// A waiting token that nobody wants any more can be dropped; while its serial
// number is held, it is the held one that goes.
func TestDeleteWaiting(t *testing.T) {
	s, a := newServer(t), testApp(t)
	imported(t, a, ImportOptions{}, newToken(s.serial, 1))
	if _, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots()}); !Replaceable(err) {
		t.Fatal(err)
	}
	for want := 1; want >= 0; want-- {
		if gone, err := removed(a, "123456789"); err != nil || gone.Serial != s.serial {
			t.Fatalf("deleted %s, %v", gone.Serial, err)
		}
		if waits, err := a.Waiting(); err != nil || len(waits) != want || len(serials(t, a)) != 0 {
			t.Errorf("%v waits, want %d, %v", waits, want, err)
		}
	}
	if _, err := removed(a, "123456789"); fault.CodeOf(err) != fault.UnknownToken {
		t.Error(err)
	}
}

// Whoever was asked about a token has not said that another one of its serial may go, which another command has brought there, or left alone there, meanwhile.
func TestDeleteOnlyWhatWasShown(t *testing.T) {
	s, a := newServer(t), testApp(t)
	held := newToken(s.serial, 1)
	imported(t, a, ImportOptions{}, held)
	if _, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots()}); !Replaceable(err) {
		t.Fatal(err)
	}
	shown, waits, err := a.Meant(s.serial)
	if err != nil || waits {
		t.Fatalf("%v, %v", waits, err)
	}
	if _, err := removed(a, s.serial); err != nil { // by another command
		t.Fatal(err)
	}
	if err := a.Delete(shown); fault.CodeOf(err) != fault.UnknownToken {
		t.Errorf("the one that waits: %v", err)
	}
	shown, waits, err = a.Meant(s.serial)
	if err != nil || !waits {
		t.Fatalf("%v, %v", waits, err)
	}
	if _, err := removed(a, s.serial); err != nil {
		t.Fatal(err)
	}
	imported(t, a, ImportOptions{}, newToken(s.serial, 2))
	if err := a.Delete(shown); fault.CodeOf(err) != fault.UnknownToken || len(serials(t, a)) != 1 {
		t.Errorf("another seed: %v", err)
	}
}

// The seed of a token that waits is nowhere else: no file drops it, and the user is told of it.
func TestFilesLeaveWhatWaits(t *testing.T) {
	s, a := newServer(t), testApp(t)
	a.Limit = 1
	p := Provisioner{Roots: s.roots()}
	imported(t, a, ImportOptions{}, newToken("000000000001", 1))
	if _, err := a.Provision(t.Context(), s.link(), ImportOptions{Replace: true}, p); fault.CodeOf(err) != fault.StoreFull {
		t.Fatal(err)
	}
	a.Limit = 2
	older := newToken(s.serial, 2)
	for _, o := range []ImportOptions{{}, {Replace: true}} {
		_, err := a.Import([]Token{older}, o)
		if fault.CodeOf(err) != fault.DuplicateSerial || Replaceable(err) || !strings.Contains(err.Error(), "tally delete "+s.serial) {
			t.Fatalf("%+v: %v", o, err)
		}
	}
	token, err := a.Provision(t.Context(), s.link(), ImportOptions{}, p)
	if err != nil || !bytes.Equal(token.Seed.Reveal(), s.committed) {
		t.Errorf("the waiting seed is gone: %v", err)
	}
}

// Where its serial number is held, a file may take the place of the held one: the one that waits goes on waiting, until it is
// taken in, or the server makes another one.
func TestFilesReplaceBesideWhatWaits(t *testing.T) {
	for _, fetch := range []bool{false, true} {
		s, a := newServer(t), testApp(t)
		p := Provisioner{Roots: s.roots()}
		imported(t, a, ImportOptions{}, newToken(s.serial, 1))
		if _, err := a.Provision(t.Context(), s.link(), ImportOptions{}, p); !Replaceable(err) {
			t.Fatal(err)
		}
		imported(t, a, ImportOptions{Replace: true}, newToken(s.serial, 2))
		if waits, err := a.Waiting(); err != nil || len(waits) != 1 {
			t.Fatalf("%v waits, %v", waits, err)
		}
		from := s.link()
		if fetch {
			if _, err := removed(a, s.serial); err != nil { // then the one that waits is the only one
				t.Fatal(err)
			}
			s = newServer(t)
			from, p.Roots = s.link(), s.roots()
		}
		token, err := a.Provision(t.Context(), from, ImportOptions{Replace: true}, p)
		if err != nil || !bytes.Equal(token.Seed.Reveal(), s.committed) {
			t.Errorf("the seed is not the server's: %v", err)
		}
		if waits, err := a.Waiting(); err != nil || len(waits) != 0 {
			t.Errorf("%v still waits, %v", waits, err)
		}
	}
}

// A try to write that ended in an error may have written all the same: then the
// token is here, and nothing waits.
func TestKeepFindsWhatWasWritten(t *testing.T) {
	a, written := testApp(t), newToken("000123456789", 1)
	imported(t, a, ImportOptions{}, written)
	got, err := a.keep(t.Context(), waiting{token: written}, ImportOptions{}, Provisioner{})
	if err != nil || !same(got, written) {
		t.Error(err)
	}
	if waits, err := a.Waiting(); err != nil || len(waits) != 0 {
		t.Errorf("%v waits, %v", waits, err)
	}
}

func TestProvisionedDuplicateIsConfirmed(t *testing.T) {
	s, a := newServer(t), testApp(t)
	imported(t, a, ImportOptions{}, newToken(s.serial, 1))
	token, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{
		Roots:   s.roots(),
		Confirm: func(held Token) bool { return held.Serial == s.serial },
	})
	if err != nil || !bytes.Equal(token.Seed.Reveal(), s.committed) {
		t.Error(err)
	}
}

// breakDisk lets nothing be written from the moment that the server commits.
func breakDisk(t *testing.T, s *provisioningServer, a *App) (repair func()) {
	away := a.Dir + ".away"
	s.finished = func(_ http.ResponseWriter, body []byte) []byte {
		if err := errors.Join(os.Rename(a.Dir, away), os.WriteFile(a.Dir, nil, 0o600)); err != nil { // in the way
			t.Error(err)
		}
		return body
	}
	return func() {
		if err := errors.Join(os.Remove(a.Dir), os.Rename(away, a.Dir)); err != nil {
			t.Error(err)
		}
	}
}

// A disk that fails between the server's commit and ours must not cost the
// token.
func TestProvisionInsistsOnWriting(t *testing.T) {
	s, a := newServer(t), testApp(t)
	repair := breakDisk(t, s, a)
	tries := 0
	token, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots(), Retry: func(reason error) bool {
		if tries++; tries < 3 {
			return true
		}
		repair()
		return true
	}})
	if err != nil || tries != 3 {
		t.Fatalf("after %d tries: %v", tries, err)
	}
	if held, err := a.Find(token.Serial); err != nil || !bytes.Equal(held.Seed.Reveal(), s.committed) {
		t.Errorf("held: %v", err)
	}
	if _, err := os.Stat(filepath.Join(a.Dir, newFile)); err == nil {
		t.Error("a half-written file stays")
	}
}

// Who gives up writing has the token put aside, if only that can be written.
func TestProvisionPutsAsideWhatWasNotWritten(t *testing.T) {
	s, a := newServer(t), testApp(t)
	repair := breakDisk(t, s, a)
	p := Provisioner{Roots: s.roots(), Retry: func(error) bool {
		repair()
		return false
	}}
	if _, err := a.Provision(t.Context(), s.link(), ImportOptions{}, p); err == nil || !strings.Contains(err.Error(), "kept aside") {
		t.Fatalf("got %v", err)
	}
	s.Close()
	token, err := a.Provision(t.Context(), s.link(), ImportOptions{}, p)
	if err != nil || !bytes.Equal(token.Seed.Reveal(), s.committed) {
		t.Error(err)
	}
}

func TestClockWarning(t *testing.T) {
	for off, want := range map[time.Duration]string{0: "", 29 * time.Second: "", -29 * time.Second: "", time.Minute: "1m0s slow", -time.Hour: "1h0m0s fast"} {
		s, a := newServer(t), testApp(t)
		s.date = now2026.Add(off)
		var warnings []string
		_, err := a.Provision(t.Context(), s.link(), ImportOptions{}, Provisioner{Roots: s.roots(), Warn: func(m string) { warnings = append(warnings, m) }})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(warnings, "\n"); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("server %v ahead: warned %q", off, got)
		}
	}
}
