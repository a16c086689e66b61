// Package webhook calls a company's own programs when something happened: a
// subscription ([Webhook]) names a URL and which events it wants, and each
// of them is posted there, signed, once the audit log has a place for it.
//
// A subscription is nothing but a place in the log, so there is no queue that
// could differ from it. Events are delivered at least once, in order, and
// under an ID that stays the same ([Sender]); one that is not taken is tried
// again, with pauses that grow, until the subscription is disabled, which is
// an event too. Requests are those of the Standard Webhooks specification
// (standardwebhooks.com), so that receivers find a library that checks them:
//
//	POST /the/path
//	webhook-id: 01a22370-6678-76cd-8000-038fe2ecf7fa
//	webhook-timestamp: 1795890000
//	webhook-signature: v1,base64(HMAC-SHA256(secret, id + "." + timestamp + "." + body))
//
//	{"type":"token.assign","timestamp":"2026-11-28T18:34:58.6Z","data":{"seq":3,...}}
//
// A subscription never hears of itself, or its failures would feed it.
package webhook

import (
	"crypto/x509"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

// A Webhook is one subscription. Times are UTC.
type Webhook struct {
	Name      string
	URL       string // https, or http to this machine or with AllowHTTP
	AllowHTTP bool   // to other machines: what is sent can be read on the way
	CA        string // PEM of the authorities that the receiver's certificate may be signed by; "" for the system's
	Secret    seed.Sealed
	Choice    audit.Choice
	GiveUp    time.Duration // how long an event is tried before the webhook is disabled
	Enabled   bool
	CreatedAt time.Time
	Version   int // grows with every edit, not with progress
	Progress
}

// A Progress is how far a subscription has come. The one who holds the lease writes it.
type Progress struct {
	Place       int64     // of the last event that was delivered, or that was not wanted
	DeliveredAt time.Time // when an event was taken last
	TriedAt     time.Time // when one was sent last
	Status      int       // what the receiver answered then; 0 if it did not
	Trouble     Trouble   // why it was not taken; "" if it was
	Tries       int       // of the event after Place that failed
	FailingFrom time.Time // since when; zero while all is well
	NextAt      time.Time // when it is tried again
	LeaseOwner  string    // the server that delivers
	LeaseUntil  time.Time
}

// A Trouble says in a word why an event was not taken.
type Trouble string

// The troubles.
const (
	Refused     Trouble = "REFUSED"     // the receiver answered with another status than 2xx
	Redirected  Trouble = "REDIRECTED"  // it named another address: none is followed
	Unreachable Trouble = "UNREACHABLE" // no connection
	Untrusted   Trouble = "UNTRUSTED"   // its certificate is signed by nobody who is trusted
	TimedOut    Trouble = "TIMED_OUT"   // no answer in time
	Gone        Trouble = "GONE"        // it answered 410: the webhook is disabled at once
)

// Bounds and defaults.
const (
	MaxWebhooks   = 100
	MaxCA         = 64 << 10 // bytes
	DefaultGiveUp = 5 * 24 * time.Hour
	MinGiveUp     = time.Hour
	MaxGiveUp     = 30 * 24 * time.Hour
)

var nameForm = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)

// Completed is the webhook with the defaults of what is not said; [fault.Invalid] if it cannot be.
func (w Webhook) Completed() (Webhook, error) {
	err := w.complete()
	return w, err
}

// complete fills in what is not said and checks the rest.
func (w *Webhook) complete() error {
	if w.GiveUp == 0 {
		w.GiveUp = DefaultGiveUp
	}
	if !nameForm.MatchString(w.Name) {
		return fault.New(fault.Invalid, "the name of a webhook takes 1 to 64 letters, digits, dots, dashes and underscores, and starts with a letter or digit")
	}
	if err := w.checkURL(); err != nil {
		return err
	}
	if w.GiveUp < MinGiveUp || w.GiveUp > MaxGiveUp {
		return fault.New(fault.Invalid, "an event is tried for 1 hour to 30 days")
	}
	if len(w.CA) > MaxCA || w.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(w.CA)) {
		return fault.New(fault.Invalid, "certificate authorities are certificates in PEM, up to 64 KB")
	}
	return w.Choice.Check()
}

func (w *Webhook) checkURL() error {
	u, err := url.Parse(w.URL)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || len(w.URL) > 2048:
		return fault.New(fault.Invalid, "the URL of a webhook looks like https://hooks.example.com/tallystick, without name, password or fragment")
	case u.Scheme == "http" && (w.AllowHTTP || loopback(u.Hostname())), u.Scheme == "https":
		return nil
	}
	return fault.New(fault.Invalid, "a webhook is called over https, since what it is told can be read on the way otherwise; http is taken for this machine only, unless it is allowed for this webhook")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// origin is the URL without its path, which may hold a token of the receiver.
func (w *Webhook) origin() string {
	u, err := url.Parse(w.URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func (w *Webhook) details() audit.Details {
	return audit.Details{
		"origin": w.origin(), "allow_http": w.AllowHTTP, "own_ca": w.CA != "", "actions": strings.Join(w.Choice.Actions, " "),
		"kinds": strings.Join(w.Choice.Kinds, " "), "give_up": w.GiveUp.String(), "enabled": w.Enabled,
	}
}
