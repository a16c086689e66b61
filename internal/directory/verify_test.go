package directory_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// verifies tells whether a password is taken.
func (o *office) verifies(userID, typed string) bool {
	o.t.Helper()
	right, err := o.Verify(o.t.Context(), userID, typed)
	if unasked := errors.Is(err, fault.NotFound) || errors.Is(err, fault.TooMany); !unasked {
		must(o.t, err)
	}
	return right
}

func testVerify(t *testing.T, url string, change func(*slapd) func(*directory.Directory)) {
	s := start(t, person("alice", "userPassword: her password\n")+person("bob", "userPassword: his password\n")+person("carol", "userPassword: x\n")+person("o(x", "userPassword: p\n"))
	o := newOffice(t, url)
	o.directory(s, change(s))
	o.sync(false)
	for _, c := range []struct {
		userID, password string
		want             bool
	}{
		{"alice", "her password", true}, {"alice", "his password", false}, {"alice", "", false}, {"ali*", "her password", false}, {"*", "her password", false},
		{"nobody", "her password", false}, {"bob", "his password", true}, {"o(x", "p", true}, {"alice)(uid=bob", "his password", false},
	} {
		if got := o.verifies(c.userID, c.password); got != c.want {
			t.Errorf("%s with %q: %v", c.userID, c.password, got)
		}
	}
	// Somebody else at her old place in the tree is not she.
	s.change(func(c *ldap.Conn) error {
		return errors.Join(c.ModifyDN(ldap.NewModifyDNRequest("uid=bob,ou=people,"+base, "uid=robert", true, "")),
			c.ModifyDN(ldap.NewModifyDNRequest("uid=carol,ou=people,"+base, "uid=bob", false, "")))
	})
	if o.verifies("bob", "his password") {
		t.Error("the password of robert is that of bob")
	}
	// Nor is somebody else who got her user ID, also before that is synchronised.
	s.change(remove("alice"))
	s.change(newcomer("alice"))
	s.change(modify("alice", "userPassword", "another password"))
	if o.verifies("alice", "another password") {
		t.Error("the password of another alice is taken")
	}
}

func TestVerify(t *testing.T) {
	same := func(*slapd) func(*directory.Directory) { return nil }
	t.Run("SQLite", func(t *testing.T) { testVerify(t, file(t), same) })
	t.Run("StartTLS", func(t *testing.T) {
		testVerify(t, file(t), func(s *slapd) func(*directory.Directory) {
			return func(d *directory.Directory) { d.URL, d.StartTLS = "ldap://"+s.Plain, true }
		})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		testVerify(t, storetest.Postgres(t), same)
	})
}

// After three wrong passwords a directory is not asked any more for an hour, however many ask at once: it would lock her. What it could
// not say counts for nobody.
func TestVerifyLocksNobody(t *testing.T) {
	for name, url := range map[string]func(*testing.T) string{"SQLite": file, "PostgreSQL": func(t *testing.T) string { return storetest.Postgres(t) }} {
		t.Run(name, func(t *testing.T) {
			s := start(t, person("alice", "userPassword: her password\n"))
			o := newOffice(t, url(t))
			o.directory(s, nil)
			o.sync(false)
			var all sync.WaitGroup
			var refused atomic.Int32
			for i := range 12 {
				all.Go(func() {
					if is, err := o.Verify(t.Context(), "alice", fmt.Sprint("guess ", i)); errors.Is(err, fault.TooMany) {
						refused.Add(1)
					} else if is || err != nil {
						t.Errorf("a guess: %v %v", is, err)
					}
				})
			}
			all.Wait()
			if o.verifies("alice", "her password") || refused.Load() != 12-directory.MaxTries {
				t.Error("the fourth password is asked about")
			}
			o.now = o.now.Add(directory.TryWindow)
			for range 2 { // who is right begins anew
				for range directory.MaxTries - 1 {
					o.verifies("alice", "a guess")
				}
				if !o.verifies("alice", "her password") {
					t.Error("an hour later, her password is not taken")
				}
			}
			s.Kill()
			for range directory.MaxTries + 2 {
				if _, err := o.Verify(t.Context(), "alice", "her password"); !errors.Is(err, fault.DirectoryUnreachable) || strings.Contains(err.Error(), "her password") {
					t.Errorf("without a directory: %v", err)
				}
			}
			may, err := o.db.TryDirectory(t.Context(), "alice", o.now, o.now.Add(-time.Hour), 1)
			if must(t, err); !may {
				t.Error("what the directory could not say counts as tries")
			}
		})
	}
}
