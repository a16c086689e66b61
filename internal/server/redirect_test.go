package server_test

import (
	"net/http"
	"testing"
)

// What a script asks of the admin socket with an ID that it lost is refused, as over TLS: redirected, curl -L would change something else.
func TestTheAdminSocketRedirectsNothing(t *testing.T) {
	socket := newSite(t, start(t, folder(t))).any().socket
	socket.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := socket.Get("http://tallystick/v1/users//activity")
	must(t, answer, err).Body.Close()
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("%s to %q", answer.Status, answer.Header.Get("Location"))
	}
}
