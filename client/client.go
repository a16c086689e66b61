// Package client talks to a Tallystick server: users, profiles, software
// tokens and their delivery, checks of passcodes, and the audit log.
//
// A [Client] is made with an API key, or on the server's own machine from the
// admin socket in its data folder, and has a method for each thing the API
// can do (the server shows the whole API at /v1/openapi.yaml):
//
//	c, err := client.New("https://tokens.example.com:8443", key, nil)
//	token, err := c.AssignNext(ctx, "alice")
//	out, err := c.Distribute(ctx, token.Serial, client.Distribution{Profile: "android"})
//
// What the server refuses comes back as an [*Error] with a stable code. Calls
// that create or issue something carry a random idempotency key, so that the
// client can send them again when a connection breaks, and the token that was
// issued is the one that is returned. Records have a version: an edit that
// names the version it was made for is refused with CONFLICT if somebody else
// was faster.
//
// Deliveries, keys, PINs and passwords are secrets. Their types do not show
// in package fmt or log/slog.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Client is one server's API. It is safe for concurrent use.
type Client struct {
	base      string
	http      *http.Client
	authorize func(*http.Request) // a func, since fmt would print a field that holds the key
}

// New makes the client of the server at an https URL. hc does the requests and
// knows which certification authorities are trusted; nil is one with a
// timeout of a minute and the system's authorities. Plain http is taken for
// the loopback address only, since the API key would be there for all to read.
func New(baseURL, apiKey string, hc *http.Client) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the address of a server looks like https://tokens.example.com:8443")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, errors.New("a server is reached over https, or its API key could be read on the way")
	}
	if hc == nil {
		hc = &http.Client{Timeout: time.Minute}
	}
	return newClient(strings.TrimSuffix(baseURL, "/"), hc, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+apiKey) }), nil
}

// Unix makes the client of the server on this machine that has its admin
// socket there. Whoever may open the socket may do everything.
func Unix(socketPath string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socketPath)
	}
	hc := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 4}}
	return newClient("http://tallystick", hc, func(*http.Request) {})
}

func newClient(base string, hc *http.Client, authorize func(*http.Request)) *Client {
	own := *hc
	// The API redirects nowhere; following would show the key and the body to another address.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: base, http: &own, authorize: authorize}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// An Error is a refusal of the server, or its word that something broke.
type Error struct {
	Status        int            // of HTTP
	Code          string         // stable: TOKEN_LIMIT_REACHED; INTERNAL for a defect or an outage
	Message       string         // for people: what is wrong, and what to do next
	Details       map[string]any // facts for programs; may be nil
	CorrelationID string         // finds the request in the server's log and audit events
}

// Error returns the message for people.
func (e *Error) Error() string { return e.Message }

// dryRun is where a context says that nothing is to be changed.
type dryRun struct{}

// DryRun makes calls with that context change nothing: the server does what they ask for, undoes it, and answers as it
// would have. Calls that edit, delete, unassign or revoke can be made so, and [Client.Configure]; the server refuses others
// with INVALID.
func DryRun(ctx context.Context) context.Context { return context.WithValue(ctx, dryRun{}, true) }

// A call is one request and what is expected of it.
type call struct {
	method  string
	path    string // escaped
	query   url.Values
	body    any       // sent as JSON, unless nil
	file    io.Reader // sent after the body, as it is read; nil for none
	version int       // for If-Match, unless 0
	once    bool      // with an idempotency key, which makes it safe to send again
	again   bool      // it is safe to send again by itself
	result  any       // what the answer's JSON is read into, *[]byte for the answer as it is, an io.Writer for a long one, nil for none
}

// Bounds of a call.
const (
	maxTries  = 3
	pause     = 200 * time.Millisecond // before the second try, doubled for the third
	maxAnswer = 64 << 20               // bytes

	jobPatience = 15 * time.Minute // more than the server takes
)

// do runs a call. What is safe to send again is sent again when the connection
// broke or the server could not tell whether it was done.
func (c *Client) do(ctx context.Context, w call) error {
	var body []byte
	if w.body != nil {
		var err error
		if body, err = json.Marshal(w.body); err != nil {
			return err
		}
		defer clear(body)
	}
	key := ""
	if w.once {
		key = rand.Text()
	}
	for try := 1; ; try++ {
		begun := time.Now()
		err := c.try(ctx, w, body, key)
		_, long := w.result.(io.Writer)                           // some of it may be written already
		over := w.startsJob() && time.Since(begun) >= jobPatience // who waited for so long has waited enough
		again := (w.once || w.again || w.method == http.MethodGet) && !long && !over && try < maxTries && ctx.Err() == nil && transient(err)
		if !again {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause << (try - 1)):
		}
	}
}

// get reads something.
func get[T any](ctx context.Context, c *Client, path string, q query) (T, error) {
	var result T
	err := c.do(ctx, call{method: http.MethodGet, path: path, query: q.Values, result: &result})
	return result, err
}

// post creates or issues something, once.
func post[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	var result T
	err := c.do(ctx, call{method: http.MethodPost, path: path, body: body, once: true, result: &result})
	return result, err
}

// patch changes something that is still at that version (0: at any).
func patch[T any](ctx context.Context, c *Client, path string, version int, edit any) (T, error) {
	var result T
	err := c.do(ctx, call{method: http.MethodPatch, path: path, body: edit, version: version, result: &result})
	return result, err
}

// remove deletes something.
func (c *Client) remove(ctx context.Context, path string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: path})
}

// pages goes through what next returns until it says that there is no more.
func pages[T any](next func() (items []T, more bool, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for more := true; more; {
			var items []T
			var err error
			if items, more, err = next(); err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}

func (w call) startsJob() bool {
	_, job := w.result.(*Job)
	return job && w.once
}

// transient tells whether another try may go better.
func transient(err error) bool {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Status == http.StatusServiceUnavailable
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return false
	}
	var lost *url.Error
	return errors.As(err, &lost) || errors.Is(err, io.ErrUnexpectedEOF)
}

func (c *Client) try(ctx context.Context, w call, body []byte, key string) error {
	address := c.base + w.path
	parameters := url.Values{}
	maps.Copy(parameters, w.query)
	if w.method != http.MethodGet && ctx.Value(dryRun{}) != nil {
		parameters.Set("dry_run", "true")
	}
	if len(parameters) > 0 {
		address += "?" + parameters.Encode()
	}
	var content io.Reader = bytes.NewReader(body)
	kind := "application/json"
	if w.file != nil {
		var err error
		if kind, content, err = form(body, w.file); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, w.method, address, content)
	if err != nil {
		return err
	}
	c.authorize(r)
	if body != nil {
		r.Header.Set("Content-Type", kind)
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	if w.version != 0 {
		r.Header.Set("If-Match", strconv.Quote(strconv.Itoa(w.version)))
	}
	hc := c.http
	into, long := w.result.(io.Writer)
	switch {
	case long:
		hc = c.patient(0).http // it takes as long as it takes
	case w.startsJob(): // the server answers once all that it is about is stored
		hc = c.patient(jobPatience).http
	}
	answer, err := hc.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if long && answer.StatusCode == http.StatusOK {
		if _, err := io.Copy(into, answer.Body); err != nil {
			return fmt.Errorf("the server's answer broke off: %w", err)
		}
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	if len(data) > maxAnswer {
		return errors.New("the server's answer is too large")
	}
	return w.read(answer, data)
}

// form is a body with a file, which is read as it is sent.
func form(order []byte, file io.Reader) (contentType string, body io.Reader, err error) {
	var head, tail bytes.Buffer
	parts := multipart.NewWriter(&head)
	part, err := parts.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="order"`}, "Content-Type": {"application/json"},
	})
	if err == nil {
		_, err = part.Write(order)
	}
	if err == nil {
		_, err = parts.CreateFormFile("file", "file")
	}
	if err != nil {
		return "", nil, err
	}
	end := multipart.NewWriter(&tail)
	err = errors.Join(end.SetBoundary(parts.Boundary()), end.Close())
	return parts.FormDataContentType(), io.MultiReader(&head, file, &tail), err
}

// read takes an answer apart.
func (w call) read(answer *http.Response, data []byte) error {
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return refusal(answer, data)
	}
	switch into := w.result.(type) {
	case nil:
		return nil
	case *[]byte:
		*into = data
		return nil
	}
	if err := json.Unmarshal(data, w.result); err != nil {
		return fmt.Errorf("the server's answer to %s %s is not what it should be: is this a Tallystick server?", w.method, w.path)
	}
	return nil
}

// refusal reads a problem document; anything else came from something in between.
func refusal(answer *http.Response, data []byte) error {
	var p Problem
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if kind != "application/problem+json" || json.Unmarshal(data, &p) != nil {
		return &Error{Status: answer.StatusCode, Code: "INTERNAL", Message: "the server answered " + answer.Status}
	}
	return &Error{Status: answer.StatusCode, Code: p.Code, Message: p.Message, Details: p.Details, CorrelationID: p.CorrelationID}
}

// path joins the parts of a path and escapes each of them.
func path(parts ...string) string {
	var b strings.Builder
	b.WriteString("/v1")
	for _, p := range parts {
		b.WriteByte('/')
		if p == "." || p == ".." { // would be taken for a step in the path
			b.WriteString(strings.ReplaceAll(p, ".", "%2E"))
			continue
		}
		b.WriteString(url.PathEscape(p))
	}
	return b.String()
}

// A query collects the parameters that are not at their zero value.
type query struct{ url.Values }

func newQuery() query { return query{url.Values{}} }

func (q query) text(name, value string) query {
	if value != "" {
		q.Set(name, value)
	}
	return q
}

func (q query) limit(value int) query {
	if value != 0 {
		q.Set("limit", strconv.Itoa(value))
	}
	return q
}

func (q query) flag(name string, value *bool) query {
	if value != nil {
		q.Set(name, strconv.FormatBool(*value))
	}
	return q
}

func (q query) time(name string, value time.Time) query {
	if !value.IsZero() {
		q.Set(name, value.UTC().Format(time.RFC3339Nano))
	}
	return q
}
