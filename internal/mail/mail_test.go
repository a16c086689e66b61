package mail_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"mime"
	"mime/multipart"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/user"
)

// A postOffice is a mail server with STARTTLS and a login.
type postOffice struct {
	t         testing.TB
	server    *smtp.Server
	host      string
	port      int
	authority string

	mu     sync.Mutex
	shut   bool // it takes no connection now
	opened int
	got    []received
	refuse func(to string) error // what it says to a recipient; nil takes everybody
	atEnd  func() error          // what it says when it has a message; nil takes it
}

// A received message, read as a mail program reads it.
type received struct {
	to, id, from, subject, text, html string
	fileName                          string
	file                              []byte
}

const login, loginPassword = "tokens", "the login password"

// open opens a mail server; without TLS it offers neither STARTTLS nor a login.
func open(t testing.TB, secure bool) *postOffice {
	o := &postOffice{t: t, host: "127.0.0.1"}
	o.server = smtp.NewServer(o)
	o.server.Domain, o.server.ErrorLog = "localhost", slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if secure {
		certificate, authority := certificate(t)
		o.server.TLSConfig, o.authority = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, authority
	} else {
		o.server.AllowInsecureAuth = true
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.port = l.Addr().(*net.TCPAddr).Port
	go o.server.Serve(l)
	t.Cleanup(func() { o.server.Close() })
	return o
}

func certificate(t testing.TB) (tls.Certificate, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (o *postOffice) NewSession(*smtp.Conn) (smtp.Session, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shut {
		return nil, &smtp.SMTPError{Code: 421, Message: "not now"}
	}
	o.opened++
	return &visit{office: o}, nil
}

// shuts has it take no connection, or take them again.
func (o *postOffice) shuts(is bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shut = is
}

// visits is how many connections there were; STARTTLS begins one anew.
func (o *postOffice) visits() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.opened / 2
}

func (o *postOffice) mails() []received {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]received{}, o.got...)
}

// says changes what it answers.
func (o *postOffice) says(refuse func(string) error, atEnd func() error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refuse, o.atEnd = refuse, atEnd
}

type visit struct {
	office *postOffice
	known  bool
	to     string
}

func (*visit) AuthMechanisms() []string { return []string{sasl.Plain} }

func (v *visit) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, name, password string) error {
		if v.known = name == login && password == loginPassword; !v.known {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (v *visit) Mail(string, *smtp.MailOptions) error {
	if v.office.authority != "" && !v.known {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error {
	v.office.mu.Lock()
	defer v.office.mu.Unlock()
	if v.to = to; v.office.refuse != nil {
		return v.office.refuse(to)
	}
	return nil
}

func (v *visit) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m := read(v.office.t, string(text))
	m.to = v.to
	v.office.mu.Lock()
	v.office.got = append(v.office.got, m)
	atEnd := v.office.atEnd
	v.office.mu.Unlock()
	if atEnd != nil {
		return atEnd()
	}
	return nil
}

func (*visit) Reset()        {}
func (*visit) Logout() error { return nil }

func read(t testing.TB, text string) received {
	m, err := netmail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Error(err)
		return received{}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	out := received{id: m.Header.Get("Message-Id"), from: m.Header.Get("From"), subject: subject}
	if err != nil || m.Header.Get("Auto-Submitted") == "" {
		t.Errorf("header %v %v", m.Header, err)
	}
	out.part(t, m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), "", m.Body)
	return out
}

// part reads a part, and the parts in it.
func (m *received) part(t testing.TB, contentType, encoding, disposition string, body io.Reader) {
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Error(err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		for r := multipart.NewReader(body, parameters["boundary"]); ; {
			p, err := r.NextPart()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			m.part(t, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p.Header.Get("Content-Disposition"), p)
		}
	}
	content := decoded(t, encoding, body)
	switch {
	case disposition != "":
		_, names, err := mime.ParseMediaType(disposition)
		if err != nil {
			t.Error(err)
		}
		m.fileName, m.file = names["filename"], content
	case kind == "text/plain":
		m.text = string(content)
	case kind == "text/html":
		m.html = string(content)
	}
}

// A site is an outbox on a database, and servers that send from it.
type site struct {
	testing.TB
	*deploytest.Clock
	db     *store.DB
	outbox *mail.Outbox
	policy *policy.Registry
	logged deploytest.Log
}

func newSite(t testing.TB, url string) *site {
	s := &site{TB: t, Clock: deploytest.NewClock(time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC))}
	var keys *seed.Keyring
	s.db, keys = deploytest.New(t, url, s.Now)
	s.policy = &policy.Registry{Store: s.db, Now: s.Now}
	s.outbox = &mail.Outbox{Store: s.db, Keys: keys, Policies: s.policy, Now: s.Now, Service: "Example"}
	return s
}

func (s *site) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) sender(name string) *mail.Sender {
	return &mail.Sender{Outbox: s.outbox, Server: name, Logger: slog.New(slog.NewTextHandler(&s.logged, nil))}
}

// uses sets mail up to go to a mail server.
func (s *site) uses(o *postOffice) {
	s.Helper()
	password := loginPassword
	_, err := s.outbox.EditSettings(s.Context(), 0, &password, func(m *mail.Settings) {
		m.Enabled, m.Host, m.Port, m.From, m.CA, m.UserName = true, o.host, o.port, "Tokens <tokens@example.com>", o.authority, login
		if o.authority == "" {
			m.Security, m.UserName = mail.NoSecurity, ""
		}
	})
	s.ok(err)
	s.sets(func(m *mail.Settings) { m.Port = o.port })
}

func (s *site) sets(change func(*mail.Settings)) {
	s.Helper()
	_, err := s.outbox.EditSettings(s.Context(), 0, nil, change)
	s.ok(err)
}

// delivers puts a delivery to alice into the outbox.
func (s *site) delivers(change func(*parcel)) []string {
	s.Helper()
	d := delivery()
	change(&d)
	ids, err := s.deliver(d)
	s.ok(err)
	return ids
}

func (s *site) deliver(d parcel) (ids []string, err error) {
	err = s.db.Transact(s.Context(), func(ctx context.Context) error {
		ids, err = s.outbox.Deliver(ctx, []distribution.Posted{d.Posted}, string(d.Secret))
		return err
	})
	return ids, err
}

// A parcel is a delivery, and how its second part goes.
type parcel struct {
	distribution.Posted
	Secret mail.Channel
}

func delivery() parcel {
	return parcel{Posted: distribution.Posted{
		Delivery: distribution.Delivery{
			Serial: "000123456789", Job: "job", Method: device.File, FileName: "alice_000123456789.sdtid", File: []byte("<TKNBatch>the file</TKNBatch>"), Locked: true, Lock: "file password",
			Profile: "phone", DeviceType: "android", Expiry: time.Date(2031, 11, 28, 0, 0, 0, 0, time.UTC),
		},
		User: user.User{ID: "alice", Name: "Alice <Example> & Söhne", Mail: "alice@example.com"},
	}}
}

func (s *site) message(id string) mail.Message {
	s.Helper()
	m, err := s.outbox.Get(s.Context(), id)
	s.ok(err)
	return m
}

func (s *site) is(id string, state mail.State, trouble mail.Trouble) mail.Message {
	s.Helper()
	m := s.message(id)
	if m.State != state || m.Trouble != trouble {
		s.Errorf("message is %s %s (%d), want %s %s", m.State, m.Trouble, m.Code, state, trouble)
	}
	return m
}

func (s *site) sends(name string) {
	s.Helper()
	s.ok(s.sender(name).Once(s.Context()))
}

func each(t *testing.T, test func(*testing.T, *site)) {
	deploytest.Each(t, func(t *testing.T, url string) { test(t, newSite(t, url)) })
}
