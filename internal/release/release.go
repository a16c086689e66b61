// Package release is the page on which a user signs in to have the mail sent that is held for her: the password of a token file, or an
// activation code (mail.SignIn). The page shows no secret and keeps no session: one form, one answer, which is the same whatever was wrong.
//
// It is plain HTML without a script, and its links are relative: a proxy may have it under another path. A form that another site has a browser send is refused (http.CrossOriginProtection), nothing is in
// the URL, and what is typed is in no log.
package release

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/throttle"
)

// Path is where the page is.
const Path = "/second-mail"

// How often one address, and all together, may ask: in a second, and at once.
const (
	sourceRate, sourceBurst = 1, 10
	allRate, allBurst       = 20, 100
)

// maxForm is how many bytes a form may have.
const maxForm = 4 << 10

// A SignIn decides who is right: a mail.SignIn.
type SignIn interface {
	Release(ctx context.Context, c mail.Claim) (int, error)
}

// A Page answers on [Path]. It is safe for concurrent use.
type Page struct {
	signIn  SignIn
	service string
	now     func() time.Time
	log     *slog.Logger
	sources *throttle.Throttle
	all     *throttle.Throttle
	origins *http.CrossOriginProtection
}

// New makes the page of a service.
func New(s SignIn, service string, now func() time.Time, log *slog.Logger) *Page {
	return &Page{s, service, now, log, throttle.New(sourceRate, sourceBurst), throttle.New(allRate, allBurst), http.NewCrossOriginProtection()}
}

//go:embed page.html
var files embed.FS

var page = template.Must(template.ParseFS(files, "page.html"))

// A view is what the page says.
type view struct{ Service, State string } // State is "", sent, refused, busy or broken

// ServeHTTP shows the form, or answers one that was sent.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := p.origins.Check(r); err != nil {
		http.Error(w, "this form was sent by another site", http.StatusForbidden)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		p.show(w, http.StatusOK, "")
	case http.MethodPost:
		p.answer(w, r)
	default:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "this page is shown by GET and answered by POST", http.StatusMethodNotAllowed)
	}
}

func (p *Page) answer(w http.ResponseWriter, r *http.Request) {
	source := throttle.Source(r.RemoteAddr)
	if now := p.now(); !p.sources.Allows(throttle.Network(source).String(), now) || !p.all.Allows("", now) {
		w.Header().Set("Retry-After", "10")
		p.show(w, http.StatusTooManyRequests, "busy")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "this is not the form of this page", http.StatusBadRequest)
		return
	}
	c := mail.Claim{UserID: strings.TrimSpace(r.PostForm.Get("user")), Station: source.String()}
	switch secret := r.PostForm.Get("secret"); r.PostForm.Get("by") {
	case "password":
		c.Password = secret
	case "passcode":
		c.Passcode = secret
	}
	if c.UserID == "" || c.Password == "" && c.Passcode == "" {
		p.show(w, http.StatusOK, "refused")
		return
	}
	ctx := audit.WithActor(r.Context(), audit.Actor{Name: "second-mail", Client: source.String()})
	switch n, err := p.signIn.Release(ctx, c); {
	case err != nil:
		if !errors.Is(err, context.Canceled) {
			p.log.ErrorContext(ctx, "a user who signs in for her mail", "error", err)
		}
		p.show(w, http.StatusServiceUnavailable, "broken")
	case n == 0:
		p.show(w, http.StatusOK, "refused")
	default:
		p.show(w, http.StatusOK, "sent")
	}
}

// show writes the page.
func (p *Page) show(w http.ResponseWriter, status int, state string) {
	var b bytes.Buffer
	if err := page.Execute(&b, view{p.service, state}); err != nil {
		p.log.Error("writing a page", "error", err)
		http.Error(w, "something broke", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	for name, value := range map[string]string{
		"Content-Type":            "text/html; charset=utf-8",
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		"X-Content-Type-Options":  "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
		"Cross-Origin-Opener-Policy": "same-origin",
	} {
		h.Set(name, value)
	}
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // who is gone does not read it
}

// Style is the page's style sheet, at [StylePath].
func Style() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(style)
	})
}

// StylePath is where the page's style sheet is.
const StylePath = Path + "/style.css"

//go:embed style.css
var style []byte
