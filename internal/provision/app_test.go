package provision_test

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/provision"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

// behindTLS serves the endpoint to our app over a line that loses the answers
// for which lose says so, after the server has made them.
func (s *service) behindTLS(lose func() bool) (link ctkip.Link, roots *x509.CertPool) {
	s.Helper()
	target, err := url.Parse(s.url)
	s.must(err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(*http.Response) error {
		if lose() {
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	line := httptest.NewTLSServer(proxy)
	s.Cleanup(line.Close)
	roots = x509.NewCertPool()
	roots.AddCert(line.Certificate())
	return ctkip.Link{URL: line.URL + provision.Path, Code: ctkip.Code(s.offer())}, roots
}

func (s *service) app() *tokenapp.App {
	dir := s.TempDir()
	return &tokenapp.App{Dir: filepath.Join(dir, "store"), Keys: tokenapp.Keys{File: filepath.Join(dir, "key")}, Now: s.Now}
}

// Our app and our server agree on the token although its last answer is lost,
// by the app's own repetition or, within two minutes, by the user's.
func TestOurAppSurvivesALostAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		lost, imports int
	}{
		"once":                         {1, 1},
		"until the user imports again": {7, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			answers := 0
			link, roots := s.behindTLS(func() bool {
				answers++
				return answers > 1 && answers <= 1+c.lost // the first is the hello
			})
			app := s.app()
			p := tokenapp.Provisioner{Roots: roots, Pause: func(_ context.Context, d time.Duration) { s.Pass(d) }}
			for range c.imports - 1 {
				if _, err := app.Provision(s.ctx, link, tokenapp.ImportOptions{}, p); fault.CodeOf(err) != fault.ServerUnreachable {
					t.Fatalf("got %v", err)
				}
			}
			got, err := app.Provision(s.ctx, link, tokenapp.ImportOptions{}, p)
			s.must(err)
			code, err := got.Code(s.Now(), "")
			s.must(err)
			s.check(code.Text, authentication.Accepted)
			if answers != 2+c.lost {
				t.Errorf("%d answers, want the hello's, %d that were lost and one", answers, c.lost)
			}
		})
	}
}
