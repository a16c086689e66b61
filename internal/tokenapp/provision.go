package tokenapp

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/fault"
)

const saveTries = 3

// A Provisioner fetches tokens from provisioning servers.
type Provisioner struct {
	// Roots are the certification authorities to trust; nil are the system's.
	Roots *x509.CertPool
	// Warn tells the user what does not stop the exchange; may be nil.
	Warn func(message string)
	// Progress tells the user why it takes longer; may be nil.
	Progress func(message string)
	// Confirm asks the user whether the fetched token, whose serial number is
	// held, replaces the one that is there; nil: nobody can be asked.
	Confirm func(held Token) bool
	// Retry is called after the new token could not be written, with the reason,
	// and tells whether to try once more. nil tries three times in all.
	Retry func(reason error) bool
	// Pause waits so long, or until ctx is done; nil waits by the clock.
	Pause func(ctx context.Context, d time.Duration)
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
// Where the server's last answer is lost it is asked for again, and once more by
// an import from the same link and code within two minutes.
//
// ACTIVATION_REFUSED is the server's word on the code, SERVER_UNTRUSTED and
// SERVER_UNREACHABLE are about the way to it, MODIFIED is a wrong MAC.
func (a *App) Provision(ctx context.Context, link ctkip.Link, o ImportOptions, p Provisioner) (Token, error) {
	from := origin(link)
	a.fetching = from
	defer func() { a.fetching = "" }()
	if t, ok, err := a.takeWaiting(from, o); ok || err != nil {
		return t, err
	}
	if err := a.prepare(o, from); err != nil {
		return Token{}, err
	}
	own, err := a.DeviceID()
	if err != nil {
		return Token{}, err
	}
	e := p.exchange(link, own, journal{a, from}, a.now)
	defer e.http.CloseIdleConnections()
	t, err := e.fetch(ctx)
	if err != nil {
		return Token{}, err
	}
	return a.keep(ctx, waiting{t, from}, o, p)
}

// prepare proves that a token could be stored now. For an exchange that is to be
// finished, and not begun, it is too late to refuse for want of room.
func (a *App) prepare(o ImportOptions, from string) error {
	if err := checkNickname(o.Nickname); err != nil {
		return err
	}
	_, lost, err := journal{a, from}.last()
	if err != nil {
		return err
	}
	return a.change(func(db *database) error {
		if held := len(db.tokens); held >= a.limit() && !o.Replace && !lost {
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
	o.fetched = true
	added, err := a.Import([]Token{db.waiting[i].token}, o)
	if err != nil {
		return Token{}, true, keptAside(db.waiting[i].token, err)
	}
	return added[0], true, nil
}

// keep stores what the server has committed to, come what may.
func (a *App) keep(ctx context.Context, w waiting, o ImportOptions, p Provisioner) (Token, error) {
	var added []Token
	o.fetched = true
	err := p.insist(ctx, func() (err error) {
		added, err = a.Import([]Token{w.token}, o)
		return err
	})
	if err == nil {
		journal{a, w.from}.end()
		return added[0], nil
	}
	held, findErr := a.Find(w.token.Serial)
	if findErr == nil && held.Seed.Equal(w.token.Seed) {
		journal{a, w.from}.end()
		return held, nil // a try that ended in an error had written it all the same, or a crash came after it
	}
	if asideErr := a.insistOnAside(ctx, w, p, err); asideErr != nil {
		return Token{}, fault.Wrap(asideErr, "token %s was fetched and is lost, with its activation code used up, "+
			"unless you repeat this import within two minutes", w.token.Serial)
	}
	journal{a, w.from}.end()
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
		if p.pause(ctx, time.Second); ctx.Err() != nil {
			return err
		}
	}
}

func (p Provisioner) pause(ctx context.Context, d time.Duration) {
	if p.Pause != nil {
		p.Pause(ctx, d)
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (p Provisioner) progress(format string, args ...any) {
	if p.Progress != nil {
		p.Progress(fmt.Sprintf(format, args...))
	}
}

func (p Provisioner) warn(format string, args ...any) {
	if p.Warn != nil {
		p.Warn(fmt.Sprintf(format, args...))
	}
}

// exchange is ready to run the protocol for that link.
func (p Provisioner) exchange(link ctkip.Link, device string, j journal, now func() time.Time) *exchange {
	return &exchange{
		http: &http.Client{
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				TLSClientConfig:        &tls.Config{RootCAs: p.Roots, MinVersion: tls.VersionTLS12},
				TLSHandshakeTimeout:    15 * time.Second,
				MaxResponseHeaderBytes: 64 << 10,
				DisableCompression:     true, // no server compresses, and a body then is what was sent
			},
			// The activation code is in every request: it goes where the link says, and nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		link: link, device: device, p: p, journal: j, now: now,
		skew: func(server time.Time) { p.warnSkew(server, now()) },
	}
}

// warnSkew tells the user of a clock that is off: codes are made from it.
func (p Provisioner) warnSkew(server, now time.Time) {
	if off := now.Sub(server); off.Abs() > maxSkew {
		p.warn("this machine's clock is %s %s against the server's: codes may be refused until it is set",
			off.Abs().Round(time.Second), map[bool]string{true: "fast", false: "slow"}[off > 0])
	}
}
