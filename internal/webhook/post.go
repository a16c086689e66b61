package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
)

// Times and sizes of a request.
const (
	connectTimeout = 5 * time.Second
	answerTimeout  = 15 * time.Second // for all of it; less than a lease
	readAnswer     = 64 << 10         // bytes of an answer that are read, so that the connection can be used again, and thrown away
)

// An Outcome is what came of one request.
type Outcome struct {
	Status  int     // of the answer; 0 if there was none
	Trouble Trouble // "" if the event was taken
}

// A caller sends the events of one webhook over one connection.
type caller struct {
	webhook Webhook
	key     []byte
	http    *http.Client
	now     func() time.Time
	// enclosed is that of the sender.
	enclosed func(ctx context.Context, webhook string, e audit.Event) ([]byte, error)
}

func newCaller(w Webhook, key []byte, now func() time.Time, timeout time.Duration) *caller {
	var roots *x509.CertPool // nil for the system's
	if w.CA != "" {
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(w.CA))
	}
	return &caller{webhook: w, key: key, now: now, enclosed: nothing, http: &http.Client{
		Timeout: timeout,
		// Another address is none that an administrator has agreed to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: connectTimeout}).DialContext, TLSHandshakeTimeout: connectTimeout,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: readAnswer, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
		},
	}}
}

func nothing(context.Context, string, audit.Event) ([]byte, error) { return nil, nil }

func (c *caller) close() {
	if c == nil {
		return
	}
	clear(c.key)
	c.http.CloseIdleConnections()
}

// post sends one event. An error is not the receiver's: ctx is over, or the record cannot be read.
func (c *caller) post(ctx context.Context, entry audit.Entry) (Outcome, error) {
	e, err := audit.ParseRecord(entry.Record)
	if err != nil {
		return Outcome{}, fmt.Errorf("the event at %d: %w", entry.Seq, err)
	}
	enclosed, err := c.enclosed(ctx, c.webhook.Name, e)
	if err != nil {
		return Outcome{}, err
	}
	body := message(e, entry, enclosed)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.webhook.URL, bytes.NewReader(body))
	if err != nil {
		return Outcome{}, err
	}
	at := c.now()
	// In lower case, as the specification writes them; HTTP does not mind.
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "Tallystick", "webhook-id": e.ID, "webhook-timestamp": strconv.FormatInt(at.Unix(), 10),
		"webhook-signature": signature(c.key, e.ID, at, body),
	} {
		r.Header.Set(name, value)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return Outcome{Trouble: troubleOf(err)}, ctx.Err()
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, readAnswer))
	return judge(answer.StatusCode, err), ctx.Err()
}

// message is the body of a request: the event as the change feed shows it, in the frame of Standard Webhooks, and what is enclosed.
func message(e audit.Event, entry audit.Entry, enclosed []byte) []byte {
	b := fmt.Appendf(nil, `{"type":%q,"timestamp":%q,"data":{"seq":%d,`, e.Action, e.At.UTC().Format(time.RFC3339Nano), entry.Seq)
	b = append(b, entry.Record[1:]...) // a record is a JSON object that is not empty
	if enclosed != nil {
		b = append(append(b, `,"report":`...), enclosed...)
	}
	return append(b, '}')
}

func judge(status int, cut error) Outcome {
	o := Outcome{Status: status}
	switch {
	case status == http.StatusGone:
		o.Trouble = Gone
	case status >= 300 && status < 400:
		o.Trouble = Redirected
	case status < 200 || status >= 300:
		o.Trouble = Refused
	case cut != nil:
		o.Trouble = troubleOf(cut)
	}
	return o
}

// troubleOf keeps the word and drops the text of an error, which quotes the URL.
func troubleOf(err error) Trouble {
	var slow net.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return Untrusted
	case errors.As(err, &slow) && slow.Timeout():
		return TimedOut
	}
	return Unreachable
}
