package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/cli"
)

// What there is of a report that was cut off is alone on standard output: an error behind it would be a second document.
func TestAReportThatIsCutOffIsNoSecondDocument(t *testing.T) {
	for _, part := range []string{`{"report":"tokens","rows":[`, ""} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusOK)
			w.Write([]byte(part))
		}))
		defer server.Close()
		t.Setenv("TALLYSTICK_API_KEY", "key")
		var out, err bytes.Buffer
		p := &program{Program: cli.Program{Name: "tallystick", In: os.Stdin, Out: &out, Err: &err}}
		status := p.run(t.Context(), []string{"report", "tokens", "--json", "--server", server.URL})
		told := err.String()
		if part == "" { // there is no document yet: the error is the one
			told = out.String()
		}
		if status != cli.Failed || !strings.HasPrefix(out.String(), part) || part != "" && out.String() != part || !strings.Contains(told, "the report was cut off") {
			t.Errorf("exit status %d: %q on standard output, %q beside it", status, &out, &err)
		}
	}
}
