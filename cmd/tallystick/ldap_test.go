package main

import (
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tallystick/tallystick/internal/directory/directorytest"
)

// ldap starts a directory with the entries of a file.
func ldap(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ldap LDIF")
	}
	dir := ts.MkAbs("slapd")
	ts.Check(os.Mkdir(dir, 0o700))
	s, err := directorytest.Start(dir, ts.ReadFile(args[0]))
	ts.Check(err)
	ts.Defer(s.Kill)
	ts.Setenv("LDAP", "ldaps://"+s.TLS)
	ts.Setenv("LDAP_READER", directorytest.Reader)
	ts.Check(os.WriteFile(ts.MkAbs("ldap.pem"), []byte(s.CA), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("ldap.password"), []byte(directorytest.Password), 0o600))
}
