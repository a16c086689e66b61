package mail

import (
	"context"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"net"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// A Security is how a connection to the mail server is protected.
type Security string

// The ways. NoSecurity is for a mail server on this machine.
const (
	STARTTLS   Security = "starttls" // required: without it nothing is sent
	TLS        Security = "tls"      // from the first byte
	NoSecurity Security = "none"
)

// Settings say how mail is sent. Each field's comment gives its default.
type Settings struct {
	Enabled   bool     // whether anything is sent; what waits goes on waiting. Off
	Host      string   // the mail server
	Port      int      // 587 for starttls, 465 for tls, 25 for none
	Security  Security // starttls
	CA        string   // PEM of the authorities that its certificate may be signed by; "" for the system's
	UserName  string   // to log in; "" for not at all
	Password  bool     // whether there is one, a sealed secret of the deployment
	From      string   // "Tokens <tokens@example.com>"
	ReplyTo   string   // "" for none
	PerMinute int      // messages at most, of all servers together. 600
	Notify    []string // addresses of administrators who are told when a job is over, or waits to be approved
	// ExpiryDays are how many days before the end of a token its user is told, each once. 30 and 7; none for not at all.
	ExpiryDays []int
	Version    int // 0 before the first ones

	Trouble   Trouble   // what was wrong with the mail server last; "" if nothing is
	TroubleAt time.Time // since when
}

// Bounds.
const (
	maxPerMinute  = 60_000
	maxExpiryDays = 365
	maxList       = 10
	maxCA         = 64 << 10 // bytes
	maxPassword   = 256      // bytes
)

// defaults are the settings before there are any.
func defaults() Settings {
	return Settings{Security: STARTTLS, PerMinute: 600, ExpiryDays: []int{30, 7}}
}

// passwordName is the secret that is the password to log in.
const passwordName = "mail-password"

var hostForm = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z.-]{0,251}[0-9A-Za-z])?$`)

// Completed are the settings with the defaults of what is not said; [fault.Invalid] if they cannot be.
func (s Settings) Completed() (Settings, error) {
	s.ExpiryDays = slices.Clone(s.ExpiryDays)
	err := s.complete()
	return s, err
}

// Secure changes how connections are protected. Unless a port is given, it is the usual one of the new way from then on.
func (s *Settings) Secure(by *Security, port *int) {
	if by != nil && *by != s.Security {
		s.Security, s.Port = *by, 0
	}
	if port != nil {
		s.Port = *port
	}
}

// complete fills in what follows from the rest, and checks.
func (s *Settings) complete() error {
	if s.Port == 0 {
		s.Port = map[Security]int{STARTTLS: 587, TLS: 465, NoSecurity: 25}[s.Security]
	}
	ip := net.ParseIP(s.Host)
	switch {
	case s.Enabled && (s.Host == "" || s.From == ""):
		return fault.New(fault.Invalid, "mail takes a mail server (host) and an address that it comes from")
	case s.Host != "" && ip == nil && !hostForm.MatchString(s.Host):
		return fault.New(fault.Invalid, "the mail server is a host name or an address, without port")
	case s.Port < 1 || s.Port > 65535:
		return fault.New(fault.Invalid, "a port lies between 1 and 65535")
	case !slices.Contains([]Security{STARTTLS, TLS, NoSecurity}, s.Security):
		return fault.New(fault.Invalid, "a connection is secured by starttls or tls, or by none")
	case s.Security == NoSecurity && s.Host != "" && s.Host != "localhost" && !ip.IsLoopback():
		return fault.New(fault.Invalid, "without TLS mail goes to a mail server on this machine only: secrets could be read on the way")
	case len(s.CA) > maxCA || s.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(s.CA)):
		return fault.New(fault.Invalid, "certificate authorities are certificates in PEM, up to 64 KB")
	case s.PerMinute < 1 || s.PerMinute > maxPerMinute:
		return fault.New(fault.Invalid, "mail is limited to 1 to %d messages a minute", maxPerMinute)
	case len(s.UserName) > 256 || strings.ContainsAny(s.UserName, "\r\n\x00"):
		return fault.New(fault.Invalid, "a user name takes up to 256 bytes on one line")
	case len(s.Notify) > maxList || len(s.ExpiryDays) > maxList:
		return fault.New(fault.Invalid, "name at most %d addresses, and %d numbers of days", maxList, maxList)
	}
	for _, address := range append([]string{s.From, s.ReplyTo}, s.Notify...) {
		if _, err := mail.ParseAddress(address); address != "" && err != nil {
			return fault.New(fault.Invalid, "a mail address looks like tokens@example.com, or Tokens <tokens@example.com>")
		}
	}
	for _, days := range s.ExpiryDays {
		if days < 1 || days > maxExpiryDays {
			return fault.New(fault.Invalid, "users are told 1 to %d days before a token ends", maxExpiryDays)
		}
	}
	slices.Sort(s.ExpiryDays)
	s.ExpiryDays = slices.Compact(s.ExpiryDays)
	slices.Reverse(s.ExpiryDays)
	return nil
}

func (s *Settings) details() audit.Details {
	return audit.Details{
		"enabled": s.Enabled, "host": s.Host, "port": s.Port, "security": s.Security, "own_ca": s.CA != "", "user_name": s.UserName, "from": s.From,
		"reply_to": s.ReplyTo, "per_minute": s.PerMinute, "notify": s.Notify, "expiry_days": s.ExpiryDays,
	}
}

// Elsewhere tells whether the password would be told to another mail server than with other settings. Without TLS that is who listens at the port.
func (s Settings) Elsewhere(than Settings) bool {
	return s.Host != than.Host || s.CA != than.CA || s.Security == NoSecurity && (s.Port != than.Port || s.Security != than.Security)
}

// Settings returns the settings, or the defaults before there are any.
func (o *Outbox) Settings(ctx context.Context) (Settings, error) {
	return orDefaults(o.Store.MailSettings(ctx))
}

func orDefaults(s Settings, err error) (Settings, error) {
	if errors.Is(err, fault.NotFound) {
		return defaults(), nil
	}
	return s, err
}

// HasPassword tells whether a password is the one that settings log in with; "" is none.
func (o *Outbox) HasPassword(ctx context.Context, s Settings, password string) (bool, error) {
	if !s.Password {
		return password == "", nil
	}
	has, err := o.Keys.Secret(ctx, passwordName, func() ([]byte, error) { return nil, errors.New("the password of the mail server is gone") })
	if err != nil {
		return false, err
	}
	defer clear(has)
	return subtle.ConstantTimeCompare(has, []byte(password)) == 1, nil
}

// EditSettings runs change on the settings and saves them, in one transaction. A password that is not nil replaces the one there was; "" is
// none. Without it the one there is goes to no other mail server: [fault.Invalid]. If version is not 0, the settings must still be at it: else [fault.Conflict].
func (o *Outbox) EditSettings(ctx context.Context, version int, password *string, change func(*Settings)) (Settings, error) {
	var after Settings
	err := o.Store.Transact(ctx, func(ctx context.Context) error {
		before, err := orDefaults(o.Store.LockMailSettings(ctx))
		if err != nil {
			return err
		}
		if version != 0 && before.Version != version {
			return fault.New(fault.Conflict, "the mail settings were changed meanwhile: read them again")
		}
		after = before
		change(&after)
		after.Version, after.Password = before.Version, before.Password
		if password == nil && after.Password && after.Elsewhere(before) {
			return fault.New(fault.Invalid, "another mail server, or another authority for it, or without TLS another port, takes the password again, for it would be told it: give the password, or an empty one for none")
		}
		if password != nil {
			after.Password = *password != ""
			if err := o.keepPassword(ctx, *password); err != nil {
				return err
			}
		}
		if err := after.complete(); err != nil {
			return err
		}
		after.Trouble, after.TroubleAt = "", time.Time{}
		if err := o.Store.SaveMailSettings(ctx, after); err != nil {
			return err
		}
		after.Version++
		details := audit.Details{"before": before.details(), "after": after.details(), "password_changed": password != nil}
		return o.Store.Record(ctx, audit.New(ctx, o.Now(), "mail.settings", "mail:settings", details))
	})
	return after, err
}

// keepPassword replaces the password to log in; "" is none.
func (o *Outbox) keepPassword(ctx context.Context, password string) error {
	if len(password) > maxPassword || strings.ContainsAny(password, "\r\n\x00") {
		return fault.New(fault.Invalid, "a password takes up to %d bytes on one line", maxPassword)
	}
	if err := o.Keys.DropSecret(ctx, passwordName); err != nil || password == "" {
		return err
	}
	_, err := o.Keys.Secret(ctx, passwordName, func() ([]byte, error) { return []byte(password), nil })
	return err
}
