package tokenapp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

const (
	requestTimeout = 30 * time.Second // one request; a phone network's worst
	repeatWithin   = 2 * time.Minute  // a server may repeat its last answer so long (spec/ct-kip.md section 8.4)
	maxSkew        = 30 * time.Second // between our clock and the server's, before the user is told
	wantedKeyBits  = 2048
	maxReason      = 300 // characters of an error that the user is told
)

// pauses are those before the last request is repeated. The first is more than
// the server takes to answer the one before; all of them, a minute, leave time
// for repetitions that time out.
var pauses = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second}

// An exchange runs the protocol with one server.
type exchange struct {
	http    *http.Client
	link    ctkip.Link
	device  string // ID of this installation, for a code that is bound to one
	skew    func(server time.Time)
	p       Provisioner
	journal journal
	now     func() time.Time
}

// fetch gives the token. Where its answer was lost and the server refuses to
// repeat it, the code may be good still: the server may have noticed that the
// connection broke, and undone what it did. So another exchange follows, which a
// used code cannot begin.
func (e *exchange) fetch(ctx context.Context) (Token, error) {
	b, lost, err := e.journal.last()
	if err != nil {
		return Token{}, err
	}
	if lost {
		e.p.progress("asking %s for the answer again that was lost", e.host())
		client, err := e.resume(b)
		if err != nil {
			return Token{}, err
		}
		if t, _, err := e.finish(ctx, client, b); fault.CodeOf(err) != fault.ActivationRefused {
			return t, err
		}
	}
	t, repeated, err := e.run(ctx)
	if repeated && fault.CodeOf(err) == fault.ActivationRefused {
		lost = true
		t, _, err = e.run(ctx)
	}
	if lost && fault.CodeOf(err) == fault.ActivationRefused {
		err = fault.Wrap(err, "the last answer was lost, and the server does not repeat it")
	}
	return t, err
}

// run is one exchange from its beginning; repeated tells whether the last
// request was sent more than once.
func (e *exchange) run(ctx context.Context) (t Token, repeated bool, err error) {
	client, b, err := e.start(ctx)
	if err != nil {
		return Token{}, false, err
	}
	return e.finish(ctx, client, b)
}

// finish runs the second half. A token, a refusal or a wrong proof ends the exchange; what tells nothing of the code, as that the server
// has no database or that something between has answered, does not: the server may have done its part, and repeats its answer.
func (e *exchange) finish(ctx context.Context, client *ctkip.Client, b begun) (t Token, repeated bool, err error) {
	defer b.nonce.Erase()
	body, repeated, err := e.postLast(ctx, b)
	if err != nil {
		return Token{}, repeated, err
	}
	got, err := client.Finish(body)
	switch {
	case err == nil:
		return e.token(got), repeated, nil
	case unavailable(err):
	case refuses(err) || errors.Is(err, ctkip.ErrMAC):
		e.journal.end()
		return Token{}, repeated, e.fault(err)
	}
	return Token{}, repeated, lastLost(e.fault(err))
}

// refuses tells whether an answer says no, in whatever words.
func refuses(err error) bool {
	return errors.As(err, new(*ctkip.Fault)) || errors.As(err, new(*ctkip.StatusError))
}

// unavailable tells whether a server says that it cannot decide now.
func unavailable(err error) bool {
	var refused *ctkip.Fault
	var status *ctkip.StatusError
	return errors.As(err, &refused) && refused.Class == ctkip.Unavailable.Class || errors.As(err, &status) && status.Status == ctkip.InitializationFailed
}

// lastLost is what the user is told of a last request whose outcome nobody knows.
func lastLost(err error) error {
	return fault.Wrap(err, "the server's last answer was lost, and the activation code may be used up: repeat this import at once, "+
		"which asks for that answer again; if the code is refused, ask for a new one")
}

// client is at the beginning of an exchange; it draws that R_C.
func (e *exchange) client(nonce seed.Seed) *ctkip.Client {
	return &ctkip.Client{
		Code:   e.link.Code,
		Device: ctkip.Device{Version: "1.0", Manufacturer: "Tallystick", SerialNumber: e.device},
		Rand:   io.MultiReader(bytes.NewReader(nonce.Reveal()), rand.Reader),
	}
}

// start runs the first half, after which the code is as good as before.
func (e *exchange) start(ctx context.Context) (*ctkip.Client, begun, error) {
	drawn, err := ctkip.NewNonce(nil)
	if err != nil {
		return nil, begun{}, err
	}
	b := begun{nonce: seed.New(drawn[:])}
	clear(drawn[:])
	client := e.client(b.nonce)
	hello, err := client.Start()
	if err != nil {
		return nil, b, e.fault(err)
	}
	if b.hello, err = e.post(ctx, hello, false); err != nil {
		return nil, b, err
	}
	if b.request, err = client.Answer(b.hello); err != nil {
		return nil, b, e.fault(err)
	}
	b.until = e.now().Add(repeatWithin)
	return client, b, e.journal.begin(b)
}

// resume puts a client where it was when the exchange was left.
func (e *exchange) resume(b begun) (*ctkip.Client, error) {
	client := e.client(b.nonce)
	if _, err := client.Start(); err != nil {
		return nil, e.fault(err)
	}
	// The request is the kept one, octet for octet: this one is encrypted anew.
	if _, err := client.Answer(b.hello); err != nil {
		return nil, e.fault(err)
	}
	return client, nil
}

// postLast sends the last request, from which on the code may be used up. While
// no answer comes it sends the same again, over another connection; repeated
// tells whether it did.
func (e *exchange) postLast(ctx context.Context, b begun) (body []byte, repeated bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, repeatWithin)
	defer cancel()
	body, err = e.post(ctx, b.request, true)
	for _, pause := range pauses {
		if !errors.As(err, new(lostError)) || ctx.Err() != nil {
			break
		}
		e.p.progress("the server's last answer was lost: asking for it again in %s", pause)
		if e.p.pause(ctx, pause); ctx.Err() != nil {
			break
		}
		e.http.CloseIdleConnections()
		repeated = true
		body, err = e.post(ctx, b.request, true)
	}
	if errors.As(err, new(lostError)) {
		return nil, repeated, lastLost(err)
	}
	return body, repeated, fault.Wrap(err, "in the last step, after which the server may regard the activation code as used")
}

// token tells the user what is noteworthy of what came.
func (e *exchange) token(t ctkip.Token) Token {
	defer clear(t.Seed)
	if len(t.Assumed) > 0 {
		e.p.warn("the server did not say everything about token %s, or not so that it can be read; assumed: %d digits, %d seconds, %s, expiry %s (%s)", t.Serial,
			t.Digits, t.Interval, map[bool]string{true: "with PIN", false: "without PIN"}[t.AddPIN],
			cmp.Or(day(t.Expiry), "none"), strings.Join(t.Assumed, ", "))
	}
	if t.KeyBits < wantedKeyBits {
		e.p.warn("the server's key has only %d bits", t.KeyBits)
	}
	return Token{
		Serial: t.Serial, Seed: seed.New(t.Seed), Digits: t.Digits, Interval: t.Interval, AddPIN: t.AddPIN,
		Expiry: t.Expiry, Issuer: cleanText(t.ServiceID, maxIssuer), Format: FormatCTKIP,
	}
}

// A lostError is for a request that has no answer: nobody can tell whether the
// server has got it.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

// post sends one request and gives the body of the answer. To the last one every answer that is none of the protocol is lost: the server may have
// done its part, and something between has answered.
func (e *exchange) post(ctx context.Context, r ctkip.Request, last bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.link.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, fault.New(fault.BadFormat, "the link does not hold a URL that can be used")
	}
	for name, value := range r.Header {
		request.Header.Set(name, value)
	}
	response, err := e.http.Do(request)
	if err != nil {
		return nil, lostError{e.unreachable(err)}
	}
	defer response.Body.Close()
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil && e.skew != nil {
		e.skew(date)
		e.skew = nil // once is enough
	}
	switch status := response.StatusCode; {
	case status == http.StatusOK || status == http.StatusInternalServerError:
	case last:
		return nil, e.otherAnswer(status)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return nil, fault.New(fault.ActivationRefused, "the server refuses the activation code (HTTP status %d): ask for a new one", status)
	case status >= 300 && status < 400:
		return nil, fault.New(fault.ServerUnreachable, "the server sends us elsewhere (HTTP status %d), where the activation code must not go: ask for the right link", status)
	case status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout: // what stands before the server had no answer
		return nil, e.otherAnswer(status)
	default:
		return nil, e.noService(status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, ctkip.MaxBody+1))
	if err != nil {
		return nil, lostError{e.unreachable(err)}
	}
	if status := response.StatusCode; status != http.StatusOK && !ctkip.IsFault(body) {
		if last {
			return nil, e.otherAnswer(status)
		}
		return nil, e.noService(status)
	}
	if len(body) > ctkip.MaxBody {
		if last {
			return nil, e.otherAnswer(response.StatusCode)
		}
		return nil, fault.New(fault.TooLarge, "the server's answer is larger than any answer can be")
	}
	return body, nil
}

// otherAnswer is a lost one: what stands before the server has answered.
func (e *exchange) otherAnswer(status int) error {
	return lostError{fault.New(fault.ServerUnreachable, "%s has no answer from the server behind it (HTTP status %d)", e.host(), status)}
}

func (e *exchange) noService(status int) error {
	return fault.New(fault.ServerUnreachable, "%s does not provide tokens at this address (HTTP status %d)", e.host(), status)
}

func (e *exchange) host() string {
	u, err := url.Parse(e.link.URL)
	if err != nil {
		return "the server"
	}
	return u.Host
}

// fingerprint is a hash as people compare it, and as the server writes it into its log.
func fingerprint(sum [sha256.Size]byte) string {
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// unreachable gives the refusal for an error of the way to the server.
func (e *exchange) unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) && len(untrusted.UnverifiedCertificates) > 0 {
		sum := sha256.Sum256(untrusted.UnverifiedCertificates[0].Raw)
		return fault.New(fault.ServerUntrusted, "the certificate of %s is not trusted (%s); its SHA-256 fingerprint is %s: "+
			"if your administrator confirms it, give the authority that signed it with --ca FILE", e.host(), foreign(untrusted.Err), fingerprint(sum)).
			With("fingerprint", hex.EncodeToString(sum[:]))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.New(fault.ServerUnreachable, "%s does not answer in time", e.host())
	}
	return fault.New(fault.ServerUnreachable, "%s cannot be reached: %s", e.host(), foreign(err))
}

// foreign is the text of an error that may quote what a stranger sent, such as the names in a certificate, fit for a terminal.
func foreign(err error) string { return cleanText(err.Error(), maxReason) }

// fault gives the refusal for an error of package ctkip.
func (e *exchange) fault(err error) error {
	var refused *ctkip.Fault
	var status *ctkip.StatusError
	switch {
	case errors.Is(err, ctkip.ErrCode):
		return fault.New(fault.ActivationRefused, "what was given cannot be an activation code")
	case errors.As(err, &refused) && refused.Class == ctkip.Unavailable.Class:
		return fault.New(fault.ServerUnreachable, "the server cannot serve us now: %s", refused.Message)
	case errors.As(err, &refused):
		return fault.New(fault.ActivationRefused, "the server refuses: %s Codes work once and expire: ask for a new one", refused.Message)
	case errors.As(err, &status) && strings.HasPrefix(string(status.Status), "NoSupported"), errors.As(err, &status) && status.Status == ctkip.UnsupportedVersion:
		return fault.New(fault.UnsupportedVersion, "the server knows no way of ours to make a token (%s)", status.Status)
	case errors.As(err, &status) && status.Status == ctkip.InitializationFailed: // nothing was committed (spec/ct-kip.md section 4.5)
		return fault.New(fault.ServerUnreachable, "the server could not finish (%s): try again with the same activation code", status.Status)
	case errors.As(err, &status):
		return fault.New(fault.ActivationRefused, "the server ended the exchange (%s): ask for a new activation code", status.Status)
	case errors.Is(err, ctkip.ErrMAC):
		return fault.New(fault.Modified, "the server's proof is wrong, so nothing was stored: the connection may have been tampered with, "+
			"and the server may already regard the activation code as used: tell your administrator")
	}
	return fault.New(fault.BadFormat, "the server does not keep to the protocol (%v)", err)
}
