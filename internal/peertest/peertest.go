// Package peertest finds the programs of others that tests run as black boxes, and says what becomes of a test without them.
package peertest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// programs are where they are, or how they are called in the PATH, and the Debian packages that bring them.
var programs = map[string]struct{ path, debian string }{
	"aiosmtpd":     {"/usr/bin/aiosmtpd", "python3-aiosmtpd"},
	"chromedriver": {"/usr/bin/chromedriver", "chromium-driver"},
	"freeradius":   {"/usr/sbin/freeradius", "freeradius"}, // a daemon is in no user's PATH
	"pamtester":    {"pamtester", "pamtester"},
	"pdftotext":    {"pdftotext", "poppler-utils"},
	"pgbouncer":    {"/usr/sbin/pgbouncer", "pgbouncer"},
	"radclient":    {"radclient", "freeradius-utils"},
	"radsecproxy":  {"/usr/sbin/radsecproxy", "radsecproxy"},
	"radtest":      {"radtest", "freeradius-utils"},
	"slapd":        {"/usr/sbin/slapd", "slapd"},
	"stoken":       {"stoken", "stoken"},
	"zbarimg":      {"zbarimg", "zbar-tools"},
}

// Path is what a program is started by.
func Path(program string) string { return programs[program].path }

// Find is an error if a program is not installed, which says what to install.
func Find(program string) error {
	p, known := programs[program]
	if !known {
		panic("peertest: add the program " + program + " to the table")
	}
	if _, err := exec.LookPath(p.path); err != nil {
		return fmt.Errorf("%s is not installed: apt-get install %s", program, p.debian)
	}
	return nil
}

// Required tells whether everything that tests need must be here.
func Required() bool { return os.Getenv("CI") != "" || os.Getenv("TALLYSTICK_REQUIRE") != "" }

// Missing ends a test that cannot run here: it is skipped, but fails where all is [Required].
func Missing(t testing.TB, why error) {
	t.Helper()
	if Required() {
		t.Fatal(why)
	}
	t.Skip(why)
}

// Need ends a test as [Missing] does unless the programs are installed.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if err := Find(program); err != nil {
			Missing(t, err)
		}
	}
}

// Stoken runs stoken away from the user's own token database, and returns what it prints.
func Stoken(t testing.TB, args ...string) (string, error) {
	t.Helper()
	Need(t, "stoken")
	cmd := exec.CommandContext(t.Context(), Path("stoken"), args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("stoken %q: %w\n%s%s", args, err, out, stderr.String())
	}
	return strings.TrimSpace(string(out)), err
}
