package tokenapp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

const (
	exchangeTimeout = 60 * time.Second // both requests together; a phone network's worst
	maxSkew         = 30 * time.Second // between our clock and the server's, before the user is told
	wantedKeyBits   = 2048
	saveTries       = 3
	maxReason       = 300 // characters of an error that the user is told
)

// A Provisioner fetches tokens from provisioning servers.
type Provisioner struct {
	// Roots are the certification authorities to trust; nil are the system's.
	Roots *x509.CertPool
	// Warn tells the user what does not stop the exchange; may be nil.
	Warn func(message string)
	// Confirm asks the user whether the fetched token, whose serial number is
	// held, replaces the one that is there; nil: nobody can be asked.
	Confirm func(held Token) bool
	// Retry is called after the new token could not be written, with the reason,
	// and tells whether to try once more. nil tries three times in all.
	Retry func(reason error) bool
}

// waiting is a token that a server has committed to and that could not be
// taken in: its serial number is held, the store is full, the clock is wrong.
// Its seed exists nowhere else but on that server, so it is kept until the user
// has dealt with the reason, or deletes it.
type waiting struct {
	token Token
	from  string // origin of the link and code that it came from
}

// origin recognises link and code when the user comes back with them. The code
// is used up by then; even so only a hash of it is kept.
func origin(link ctkip.Link) string {
	sum := sha256.Sum256([]byte(link.URL + "\x00" + string(link.Code)))
	return hex.EncodeToString(sum[:])
}

// forget drops the waiting token of that serial number.
func (db *database) forget(serial string) {
	db.waiting = slices.DeleteFunc(db.waiting, func(w waiting) bool { return w.token.Serial == serial })
}

// waits is the waiting token of that serial number.
func (db *database) waits(serial string) (t Token, ok bool) {
	i := slices.IndexFunc(db.waiting, func(w waiting) bool { return w.token.Serial == serial })
	if i < 0 {
		return Token{}, false
	}
	return db.waiting[i].token, true
}

// Waiting are the serial numbers of tokens that were fetched but not taken in:
// importing from the same link and code again, with Replace where the serial
// number is held or after what the refusal asked for, completes it without
// asking the server. [App.Delete] drops one whose serial number is not held.
func (a *App) Waiting() ([]string, error) {
	db, err := a.read()
	var serials []string
	for _, w := range db.waiting {
		serials = append(serials, w.token.Serial)
	}
	return serials, err
}

// Provision trades the activation code in the link for a token and imports it
// (spec/ct-kip.md section 6). As soon as the server has answered, it holds the
// new seed for the right one and the code is used up, so what can fail is tried
// before: the database is opened and written, and must have room, or o.Replace
// must say that none is needed: no link names its serial number. A token that
// then cannot be taken in, whatever the reason, is kept aside, see [App.Waiting].
//
// ACTIVATION_REFUSED is the server's word on the code, SERVER_UNTRUSTED and
// SERVER_UNREACHABLE are about the way to it, MODIFIED is a wrong MAC.
func (a *App) Provision(ctx context.Context, link ctkip.Link, o ImportOptions, p Provisioner) (Token, error) {
	from := origin(link)
	if t, ok, err := a.takeWaiting(from, o); ok || err != nil {
		return t, err
	}
	if err := a.prepare(o); err != nil {
		return Token{}, err
	}
	own, err := a.DeviceID()
	if err != nil {
		return Token{}, err
	}
	t, err := p.Fetch(ctx, link, own, a.now())
	if err != nil {
		return Token{}, err
	}
	return a.keep(ctx, waiting{t, from}, o, p)
}

// prepare proves that a token could be stored now.
func (a *App) prepare(o ImportOptions) error {
	if err := checkNickname(o.Nickname); err != nil {
		return err
	}
	return a.change(func(db *database) error {
		if held := len(db.tokens); held >= a.limit() && !o.Replace {
			return fault.New(fault.StoreFull, "%d tokens are held, which is the limit: delete one first, "+
				"or import with --replace if this is a new seed for one of them", held).With("replace", true)
		}
		return nil
	})
}

// takeWaiting imports the token that waits for this link and code; ok is false
// if there is none.
func (a *App) takeWaiting(from string, o ImportOptions) (t Token, ok bool, err error) {
	db, err := a.read()
	if err != nil {
		return Token{}, false, err
	}
	i := slices.IndexFunc(db.waiting, func(w waiting) bool { return w.from == from })
	if i < 0 {
		return Token{}, false, nil
	}
	added, err := a.Import([]Token{db.waiting[i].token}, o)
	if err != nil {
		return Token{}, true, keptAside(db.waiting[i].token, err)
	}
	return added[0], true, nil
}

// keep stores what the server has committed to, come what may.
func (a *App) keep(ctx context.Context, w waiting, o ImportOptions, p Provisioner) (Token, error) {
	var added []Token
	err := p.insist(ctx, func() (err error) {
		added, err = a.Import([]Token{w.token}, o)
		return err
	})
	if err == nil {
		return added[0], nil
	}
	held, findErr := a.Find(w.token.Serial)
	if findErr == nil && held.Seed.Equal(w.token.Seed) {
		return held, nil // a try that ended in an error had written it all the same
	}
	if asideErr := a.insistOnAside(ctx, w, p, err); asideErr != nil {
		return Token{}, fault.Wrap(asideErr, "token %s was fetched, and the activation code is used up", w.token.Serial)
	}
	if Replaceable(err) && findErr == nil && p.Confirm != nil && p.Confirm(held) {
		o.Replace = true
		t, _, err := a.takeWaiting(w.from, o)
		return t, err
	}
	return Token{}, keptAside(w.token, err)
}

// insistOnAside puts the token aside that was refused for that reason. Where the
// reason was the disk, enough was tried, or the user has said so, and one last
// try follows.
func (a *App) insistOnAside(ctx context.Context, w waiting, p Provisioner, reason error) error {
	if fault.CodeOf(reason) == "" {
		return a.putAside(w)
	}
	return p.insist(ctx, func() error { return a.putAside(w) })
}

// keptAside says why a token waits that the server has committed to, and how to
// take it in.
func keptAside(t Token, reason error) error {
	const kept = "The server has made the new seed and it is kept aside: "
	switch code := fault.CodeOf(reason); {
	case Replaceable(reason):
		return fault.New(code, "token %s is here already. "+kept+
			"to take it, repeat this import with --replace, or delete the token and repeat it", t.Serial).With("replace", true)
	case code == fault.StoreFull:
		return fault.New(code, "there is no room for token %s, which is none of those that are held. "+kept+
			"to take it, delete a token that is held, or allow more with --max-tokens, and repeat this import", t.Serial)
	case code == fault.Expired:
		return fault.New(code, "token %s expired after %s by this machine's clock. "+kept+
			"if the clock is wrong, set it and repeat this import; else ask for a new token, and delete this one", t.Serial, day(t.Expiry))
	}
	return fault.Wrap(reason, "token %s was not taken in. "+kept+"repeat this import once the reason is gone", t.Serial)
}

func (a *App) putAside(w waiting) error {
	return a.change(func(db *database) error {
		db.forget(w.token.Serial)
		db.waiting = append(db.waiting, w)
		return nil
	})
}

// insist runs save until it works or the user gives up. A refusal ends it:
// trying again would not help.
func (p Provisioner) insist(ctx context.Context, save func() error) error {
	for try := 1; ; try++ {
		err := save()
		if err == nil || fault.CodeOf(err) != "" {
			return err
		}
		if p.Retry != nil {
			if !p.Retry(err) {
				return err
			}
			continue
		}
		if try == saveTries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

func (p Provisioner) warn(format string, args ...any) {
	if p.Warn != nil {
		p.Warn(fmt.Sprintf(format, args...))
	}
}

// Fetch runs the exchange and gives the token, which is stored nowhere yet.
// device is the ID of this installation, for a code that is bound to one.
func (p Provisioner) Fetch(ctx context.Context, link ctkip.Link, device string, now time.Time) (Token, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{RootCAs: p.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    15 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // no server compresses, and a body then is what was sent
	}
	defer transport.CloseIdleConnections()
	e := exchange{
		http: &http.Client{
			Transport: transport,
			// The activation code is in every request: it goes where the link says, and nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		url:    link.URL,
		client: &ctkip.Client{Code: link.Code, Device: ctkip.Device{Version: "1.0", Manufacturer: "Tallystick", SerialNumber: device}},
		skew:   func(server time.Time) { p.warnSkew(server, now) },
	}
	return e.run(ctx, p)
}

// warnSkew tells the user of a clock that is off: codes are made from it.
func (p Provisioner) warnSkew(server, now time.Time) {
	if off := now.Sub(server); off.Abs() > maxSkew {
		p.warn("this machine's clock is %s %s against the server's: codes may be refused until it is set",
			off.Abs().Round(time.Second), map[bool]string{true: "fast", false: "slow"}[off > 0])
	}
}

// An exchange is one run of the protocol with one server.
type exchange struct {
	http   *http.Client
	url    string
	client *ctkip.Client
	skew   func(server time.Time)
}

func (e exchange) run(ctx context.Context, p Provisioner) (Token, error) {
	hello, err := e.client.Start()
	if err != nil {
		return Token{}, e.fault(err)
	}
	body, err := e.post(ctx, hello)
	if err != nil {
		return Token{}, err
	}
	nonce, err := e.client.Answer(body)
	if err != nil {
		return Token{}, e.fault(err)
	}
	if body, err = e.post(ctx, nonce); err != nil {
		return Token{}, fault.Wrap(err, "in the last step, after which the server may regard the activation code as used")
	}
	t, err := e.client.Finish(body)
	if err != nil {
		return Token{}, e.fault(err)
	}
	defer clear(t.Seed)
	if len(t.Assumed) > 0 {
		p.warn("the server did not say everything about token %s; assumed: %d digits, %d seconds, %s (%s)", t.Serial,
			t.Digits, t.Interval, map[bool]string{true: "with PIN", false: "without PIN"}[t.AddPIN], strings.Join(t.Assumed, ", "))
	}
	if t.KeyBits < wantedKeyBits {
		p.warn("the server's key has only %d bits", t.KeyBits)
	}
	return Token{
		Serial: t.Serial, Seed: seed.New(t.Seed), Digits: t.Digits, Interval: t.Interval, AddPIN: t.AddPIN,
		Expiry: t.Expiry, Issuer: cleanText(t.ServiceID, maxIssuer), Format: FormatCTKIP,
	}, nil
}

// post sends one request and gives the body of the answer.
func (e exchange) post(ctx context.Context, r ctkip.Request) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(r.Body))
	if err != nil {
		return nil, fault.New(fault.BadFormat, "the link does not hold a URL that can be used")
	}
	for name, value := range r.Header {
		request.Header.Set(name, value)
	}
	response, err := e.http.Do(request)
	if err != nil {
		return nil, e.unreachable(err)
	}
	defer response.Body.Close()
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		e.skew(date)
	}
	switch status := response.StatusCode; {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return nil, fault.New(fault.ActivationRefused, "the server refuses the activation code (HTTP status %d): ask for a new one", status)
	case status >= 300 && status < 400:
		return nil, fault.New(fault.ServerUnreachable, "the server sends us elsewhere (HTTP status %d), where the activation code must not go: ask for the right link", status)
	case status != http.StatusOK:
		return nil, fault.New(fault.ServerUnreachable, "%s does not provide tokens at this address (HTTP status %d)", e.host(), status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, ctkip.MaxBody+1))
	if err != nil {
		return nil, e.unreachable(err)
	}
	if len(body) > ctkip.MaxBody {
		return nil, fault.New(fault.TooLarge, "the server's answer is larger than any answer can be")
	}
	return body, nil
}

func (e exchange) host() string {
	u, err := url.Parse(e.url)
	if err != nil {
		return "the server"
	}
	return u.Host
}

// unreachable gives the refusal for an error of the way to the server.
func (e exchange) unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) && len(untrusted.UnverifiedCertificates) > 0 {
		sum := sha256.Sum256(untrusted.UnverifiedCertificates[0].Raw)
		return fault.New(fault.ServerUntrusted, "the certificate of %s is not trusted (%s); its SHA-256 fingerprint is %x: "+
			"if your administrator confirms it, give the authority that signed it with --ca FILE", e.host(), foreign(untrusted.Err), sum).
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
func (e exchange) fault(err error) error {
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
