package directory

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/tallystick/tallystick/internal/fault"
)

// How often a directory is asked about a user whose passwords are wrong, so that it does not lock her: directories lock after five or more.
const (
	MaxTries  = 3
	TryWindow = time.Hour
)

// Verify tells whether a password is that of a user, by binding as her entry in the directory that she comes from, over TLS. One of whom it
// has been asked [MaxTries] times without success, the last time within [TryWindow], is refused without asking: [fault.TooMany]; and so is one whom
// no directory brought: [fault.NotFound]. A user who is not there any more or is disabled there has no password. [fault.DirectoryUnreachable] and
// [fault.DirectoryRefused] are not her fault, and no try.
func (r *Registry) Verify(ctx context.Context, userID, password string) (bool, error) {
	name, err := r.Store.DirectoryOf(ctx, userID)
	if err != nil || password == "" { // a bind without password asks for nothing and succeeds
		return false, err
	}
	d, err := r.Store.Directory(ctx, name)
	if err == nil {
		d, err = d.Completed()
	}
	if err != nil {
		return false, err
	}
	now := r.Now()
	may, err := r.Store.TryDirectory(ctx, userID, now, now.Add(-TryWindow), MaxTries)
	if err == nil && !may {
		err = fault.New(fault.TooMany, "directory %s was asked about %d wrong passwords of user %s: wait an hour", name, MaxTries, userID)
	}
	if err != nil {
		return false, err
	}
	people, err := r.Store.PeopleByID(ctx, []string{userID})
	if err != nil {
		return false, err
	}
	right, err := r.bind(ctx, d, people[userID], password)
	if right || err != nil && ctx.Err() == nil {
		// Who is right begins anew, and what the directory could not say counts for nobody. Where it is she who did not wait, it may have seen the password.
		err = errors.Join(err, r.Store.ForgetTries(context.WithoutCancel(ctx), userID, right))
	}
	return right, err
}

// notNow are the results of a bind that say nothing of the password.
var notNow = []uint16{ldap.LDAPResultOperationsError, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable}

// bind finds the entry of a person as it is now, and binds as it.
func (r *Registry) bind(ctx context.Context, d Directory, who Person, password string) (bool, error) {
	var reader []byte
	if d.Password.KeyID != 0 {
		var err error
		if reader, err = r.Keys.Open(ctx, d.Password, seedOf(d)); err != nil {
			return false, err
		}
		defer clear(reader)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := dial(ctx, d, reader, r.Now())
	if err != nil {
		return false, err
	}
	defer l.Close()
	l.known = map[string]Person{who.UserID: who}
	dn, err := l.find(who)
	if err != nil || dn == "" {
		return false, err
	}
	err = l.Bind(dn, password)
	var told *ldap.Error
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &told) && told.ResultCode != ldap.ErrorNetwork && told.ResultCode < 200 && !slices.Contains(notNow, told.ResultCode):
		return false, nil // it does not let her in, for whatever reason
	}
	return false, unreachable(d, err)
}

// find returns the name of the only entry of a person who is not disabled; "" if there is none, or if it is another one's.
func (l *line) find(who Person) (string, error) {
	filter := "(&" + l.d.Filter + "(" + l.d.ID + "=" + ldap.EscapeFilter(who.UserID) + "))"
	found, err := l.Search(ldap.NewSearchRequest(l.d.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, int(requestTimeout/time.Second), false, filter,
		slices.Concat([]string{l.d.ID}, l.d.DisabledBy, identities), nil))
	if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) || ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
		return "", nil
	}
	if err != nil {
		return "", l.refusal(err, "below "+l.d.BaseDN+" it does not find a person")
	}
	if len(found.Entries) != 1 {
		return "", nil
	}
	if p := l.entry(found.Entries[0]); p.id == who.UserID && !p.disabled && !stranger(who, p.identity) {
		return p.dn, nil
	}
	return "", nil
}
