package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// smtpTimeout is for a connection, and then for each message.
const smtpTimeout = 20 * time.Second

// A result is what the mail server made of a message.
type result struct {
	state   State // Sent, Waiting to be tried again, Failed or Unknown
	trouble Trouble
	code    int
	lost    bool // the connection is of no more use
}

// A connection is one to the mail server.
type connection struct {
	client   *mail.Client
	settings Settings
}

// connect dials, secures the connection and logs in. The error has a trouble; its text is that of the mail server and may quote anything.
func connect(ctx context.Context, s Settings, password []byte) (*connection, Trouble, error) {
	var roots *x509.CertPool // nil for the system's
	if s.CA != "" {
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(s.CA))
	}
	options := []mail.Option{
		mail.WithPort(s.Port), mail.WithTimeout(smtpTimeout),
		mail.WithTLSConfig(&tls.Config{ServerName: s.Host, RootCAs: roots, MinVersion: tls.VersionTLS12}),
	}
	switch s.Security {
	case TLS:
		options = append(options, mail.WithSSL())
	case NoSecurity:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if s.UserName != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.UserName), mail.WithPassword(string(password)))
	}
	c, err := mail.NewClient(s.Host, options...)
	if err != nil {
		return nil, BadMessage, err
	}
	if err := c.DialWithContext(ctx); err != nil {
		return nil, dialTrouble(err), err
	}
	return &connection{c, s}, "", nil
}

// Answers of a mail server to a login that it refuses (RFC 4954 section 6).
var loginCodes = []int{530, 534, 535, 538}

func dialTrouble(err error) Trouble {
	var certificate *tls.CertificateVerificationError
	var answer *textproto.Error
	switch {
	case errors.As(err, &certificate):
		return Untrusted
	case errors.As(err, &answer) && slices.Contains(loginCodes, answer.Code):
		return BadLogin
	case errors.As(err, &answer):
		return NotNow
	case strings.Contains(err.Error(), "does not support STARTTLS"): // the library has no error of its own for it
		return NoTLS
	}
	return Unreachable
}

func (c *connection) close() {
	if c != nil {
		_ = c.client.Close() // what was to be sent is sent
	}
}

// send sends one message.
func (c *connection) send(m Message, b body) result {
	msg, err := c.write(m, b)
	if err != nil {
		return result{state: Failed, trouble: BadMessage}
	}
	if err = c.client.Send(msg); err == nil || msg.IsDelivered() {
		return result{state: Sent, code: 250, lost: err != nil}
	}
	var e *mail.SendError
	if !errors.As(err, &e) {
		return result{state: Waiting, trouble: Unreachable, lost: true} // the connection was gone before
	}
	switch code := e.ErrorCode(); {
	case code >= 500:
		return result{Failed, Refused, code, c.client.Reset() != nil}
	case code >= 400:
		// Of one recipient or message; the others may be taken. Before one was named, it is about the server, as 421 always is.
		return result{Waiting, NotNow, code, code == 421 || e.Reason == mail.ErrSMTPMailFrom || c.client.Reset() != nil}
	case e.Reason == mail.ErrSMTPDataClose:
		// All was sent, and no answer came.
		return result{Unknown, Interrupted, 0, true}
	}
	return result{Waiting, Unreachable, 0, true}
}

// write makes a message as it travels.
func (c *connection) write(m Message, b body) (*mail.Msg, error) {
	msg := mail.NewMsg()
	err := errors.Join(msg.From(c.settings.From), msg.To(m.Recipient))
	if c.settings.ReplyTo != "" {
		err = errors.Join(err, msg.ReplyTo(c.settings.ReplyTo))
	}
	if err != nil {
		return nil, err
	}
	// The same each time, so that a mailbox may know a message that comes twice.
	msg.SetMessageIDWithValue(m.ID + "@tallystick")
	msg.SetDateWithValue(m.CreatedAt)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.Subject(b.Subject)
	msg.SetBodyString(mail.TypeTextPlain, b.Text)
	if b.HTML != "" {
		msg.AddAlternativeString(mail.TypeTextHTML, b.HTML)
	}
	if b.FileName != "" {
		return msg, msg.AttachReader(b.FileName, bytes.NewReader(b.File), mail.WithFileContentType(mail.TypeAppOctetStream))
	}
	return msg, nil
}
