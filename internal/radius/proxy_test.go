package radius

import (
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// Proxies and hosts give a server up that is down: after the time in which it answers, and before gateways send their packets again, with which FreeRADIUS
// begins to wait anew.
func TestTheDocumentedClientsGiveAServerUp(t *testing.T) {
	page, err := os.ReadFile("../../docs/radius.md")
	if err != nil {
		t.Fatal(err)
	}
	seconds := func(pattern string) time.Duration {
		found := regexp.MustCompile(pattern).FindSubmatch(page)
		if found == nil {
			t.Fatalf("docs/radius.md does not say %s", pattern)
		}
		n, _ := strconv.Atoi(string(found[1]))
		return time.Duration(n) * time.Second
	}
	window, timeout := seconds(`response_window = (\d+)`), seconds(`A timeout of (\d+) seconds`)
	if window <= patience || window >= timeout {
		t.Errorf("FreeRADIUS waits %s for an answer, which takes up to %s; gateways ask again after %s", window, patience, timeout)
	}
	if pam := seconds(`pam_radius_auth.conf.*SECRET (\d+)`); pam != window {
		t.Errorf("PAM waits %s, FreeRADIUS %s", pam, window)
	}
}
