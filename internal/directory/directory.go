// Package directory takes people from LDAP directories: OpenLDAP, Active
// Directory and their like. It reads and never writes there.
//
// A [Directory] says where to look and what stands for what; [Registry.Sync]
// reads all of it, page by page, and only then changes users, in one
// transaction: those who are new are added, those who are other there are
// changed, and those who are disabled or gone there are disabled here, never
// deleted. Users whom the directory did not bring are left alone. An answer
// that is empty, breaks off, or has suspiciously few people in it changes
// nothing.
package directory

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/user"
)

// A Kind is what a directory is like; it has defaults for filter and attributes.
type Kind string

// The kinds.
const (
	OpenLDAP        Kind = "openldap" // inetOrgPerson; also 389 Directory Server and FreeIPA
	ActiveDirectory Kind = "ad"
)

// A Mapping says which attributes of a person are what. Its members have the defaults of the kind.
type Mapping struct {
	ID   string `json:"user_id,omitempty"`
	Name string `json:"name,omitempty"`
	Mail string `json:"mail,omitempty"`
	// DisabledBy are the attributes that tell whether a person is disabled: userAccountControl (bit 2), accountExpires and
	// shadowExpire (a time that is over), nsAccountLock, pwdAccountLockedTime (locked by an administrator) and loginShell (nologin or false). One that a person does not have tells nothing.
	// Without any nobody is disabled there but who is missing; nil is the default.
	DisabledBy []string `json:"disabled_by,omitzero"`
}

// attributes that tell whether somebody is disabled, in lower case.
var disabling = []string{"useraccountcontrol", "accountexpires", "shadowexpire", "nsaccountlock", "pwdaccountlockedtime", "loginshell"}

var defaults = map[Kind]struct {
	filter, groupFilter string
	groups              Groups
	mapping             Mapping
}{
	OpenLDAP: {
		"(objectClass=inetOrgPerson)", "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup))", BySearch,
		Mapping{"uid", "cn", "mail", []string{"nsAccountLock", "pwdAccountLockedTime", "shadowExpire"}},
	},
	ActiveDirectory: {
		"(&(objectCategory=person)(objectClass=user))", "(objectClass=group)", ByMemberOf,
		Mapping{"sAMAccountName", "displayName", "mail", []string{"userAccountControl", "accountExpires"}},
	},
}

// Groups says how the groups of people are found.
type Groups string

// The ways.
const (
	NoGroups   Groups = "none"
	ByMemberOf Groups = "memberof" // the attribute memberOf of a person
	BySearch   Groups = "search"   // groups that name their members: member, uniqueMember, memberUid
)

// Settings are where a directory is looked at, and how.
type Settings struct {
	URL      string `json:"url"`                 // ldaps://host[:port], or ldap://host[:port] with StartTLS
	StartTLS bool   `json:"start_tls,omitempty"` // required for ldap://
	CA       string `json:"ca,omitempty"`        // certificates of authorities in PEM; "" for the system's
	BindDN   string `json:"bind_dn,omitempty"`   // "" for nobody
	BaseDN   string `json:"base_dn"`             // of people
	Filter   string `json:"filter,omitempty"`    // of people
	Mapping
	LowerCase bool `json:"lower_case,omitempty"` // user IDs are taken in lower case
	// Groups are taken by this way, and only those below GroupBase (BaseDN if it is "") that GroupFilter finds.
	Groups      Groups `json:"groups,omitempty"`
	GroupBase   string `json:"group_base,omitempty"`
	GroupFilter string `json:"group_filter,omitempty"`
	PageSize    int    `json:"page_size,omitempty"` // entries that are asked for at once; 500
	// MaxLost is how many of a hundred people one synchronisation may disable, and of a hundred memberships of groups end, without being forced; 10.
	MaxLost int `json:"max_lost,omitempty"`
	// Adopt has users who were made by hand become the directory's if it has their ID, and those of another one that does not show them any
	// more; without it they stay as they are.
	Adopt bool `json:"adopt,omitempty"`
}

// A Directory is one that people come from.
type Directory struct {
	Name string
	Kind Kind
	Settings
	Password  seed.Sealed   // of BindDN; zero without one
	Domain    string        // security domain that its people are placed in
	Every     time.Duration // between two synchronisations; 0 for only when asked
	CreatedAt time.Time
	Version   int // grows with every change

	Last Last // of the synchronisations
	// ClaimedUntil is until when one server has it for itself, which tells that server's claim from others; a time that is over for none.
	ClaimedUntil time.Time
}

// A Last is what came of the last synchronisation.
type Last struct {
	At      time.Time `json:"at,omitzero"`
	Code    string    `json:"code,omitempty"` // of a refusal; "" if it went well
	Message string    `json:"message"`
}

// Limits.
const (
	defaultPage = 500
	defaultLost = 10
	MinEvery    = time.Minute
	MaxEvery    = 30 * 24 * time.Hour
)

var nameRule = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)

// Completed is the directory with the defaults of its kind; [fault.DirectoryInvalid] if it cannot be.
func (d Directory) Completed() (Directory, error) {
	d.DisabledBy = slices.Clone(d.DisabledBy)
	err := d.complete()
	return d, err
}

func (d *Directory) complete() error {
	kind, known := defaults[d.Kind]
	if !known {
		return invalid("no kind of directory %q: take openldap or ad", d.Kind)
	}
	orElse(&d.Filter, kind.filter)
	orElse(&d.GroupFilter, kind.groupFilter)
	orElse(&d.Groups, kind.groups)
	orElse(&d.ID, kind.mapping.ID)
	orElse(&d.Mapping.Name, kind.mapping.Name)
	orElse(&d.Mail, kind.mapping.Mail)
	if d.DisabledBy == nil {
		d.DisabledBy = kind.mapping.DisabledBy
	}
	orElse(&d.GroupBase, d.BaseDN)
	orElse(&d.PageSize, defaultPage)
	orElse(&d.MaxLost, defaultLost)
	u, err := url.Parse(d.URL)
	switch {
	case !nameRule.MatchString(d.Name):
		return invalid("the name of a directory takes 1 to 64 letters, digits, dots, dashes and underscores, and starts with a letter or digit")
	case err != nil || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Scheme != "ldaps" && u.Scheme != "ldap":
		return invalid("the URL of a directory looks like ldaps://ldap.example.com, or ldap://ldap.example.com with StartTLS")
	case u.Scheme == "ldap" && !d.StartTLS:
		return invalid("without TLS anybody on the way reads the password and changes the people: take ldaps://, or StartTLS")
	case u.Scheme == "ldaps" && d.StartTLS:
		return invalid("StartTLS goes with ldap://: ldaps:// has TLS from the beginning")
	case d.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(d.CA)):
		return invalid("the authorities of a directory are certificates in PEM")
	case d.PageSize < 1 || d.PageSize > 10_000:
		return invalid("a page has 1 to 10000 entries")
	case d.MaxLost < 1 || d.MaxLost > 100:
		return invalid("one synchronisation disables 1 to 100 of a hundred people without being forced")
	case d.Every != 0 && (d.Every < MinEvery || d.Every > MaxEvery):
		return invalid("a directory is synchronised every minute at most, and every 30 days at least")
	case !slices.Contains([]Groups{NoGroups, ByMemberOf, BySearch}, d.Groups):
		return invalid("groups are found by memberof, by search, or not: none")
	}
	for _, attribute := range d.DisabledBy {
		if !slices.Contains(disabling, strings.ToLower(attribute)) {
			return invalid("whether somebody is disabled can be told by userAccountControl, accountExpires, shadowExpire, nsAccountLock, pwdAccountLockedTime and loginShell, not by %q", attribute)
		}
	}
	return d.checkNames()
}

// checkNames refuses names and filters that no directory understands.
func (d *Directory) checkNames() error {
	for _, dn := range []string{d.BaseDN, d.BindDN, d.GroupBase} {
		if _, err := ldap.ParseDN(dn); err != nil {
			return invalid("%q is no distinguished name: it looks like ou=people,dc=example,dc=com", dn)
		}
	}
	if d.BaseDN == "" {
		return invalid("say below which entry people are: ou=people,dc=example,dc=com")
	}
	for _, filter := range []string{d.Filter, d.GroupFilter} {
		if _, err := ldap.CompileFilter(filter); err != nil {
			return invalid("%q is no filter: it looks like (objectClass=person)", filter)
		}
	}
	return nil
}

func invalid(format string, args ...any) *fault.Error {
	return fault.New(fault.DirectoryInvalid, format, args...)
}

func orElse[T comparable](v *T, other T) {
	var zero T
	if *v == zero {
		*v = other
	}
}

// details are what the audit log tells of a directory, by the names of the API. Of authorities it tells the digest, which tells them apart.
func (d *Directory) details() audit.Details {
	ca := ""
	if d.CA != "" {
		ca = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(d.CA)))
	}
	return audit.Details{"kind": d.Kind, "url": d.URL, "start_tls": d.StartTLS, "ca": ca, "bind_dn": d.BindDN, "base_dn": d.BaseDN, "filter": d.Filter,
		"user_id_attribute": d.ID, "name_attribute": d.Mapping.Name, "mail_attribute": d.Mail, "disabled_by": d.DisabledBy, "lower_case": d.LowerCase,
		"groups": d.Groups, "group_base": d.GroupBase, "group_filter": d.GroupFilter, "page_size": d.PageSize, "domain": domain.Show(d.Domain),
		"every_seconds": int64(d.Every / time.Second), "max_lost": d.MaxLost, "adopt": d.Adopt}
}

// A Person is a user whom a directory has brought.
type Person struct {
	UserID    string
	Directory string // "" where it was deleted since
	DN        string
	Missing   bool   // the directory shows her no more
	Entry     string // what never changes of her entry, with the attribute: entryUUID=...; "" for none known
	Other     string // that of another person who has her user ID there now and is not taken for her; "" for nobody
	// Disabled says that the directory disabled her: it enables her again, and nobody whom an administrator disabled.
	Disabled bool
}

// A Member is a user whom a directory has brought into a group.
type Member struct{ Group, UserID string }

// Store is what the registry needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Directory returns a directory; [fault.NotFound]. Within a transaction the row is locked for change.
	Directory(ctx context.Context, name string) (Directory, error)
	// Directories lists the directories by name.
	Directories(ctx context.Context) ([]Directory, error)
	// AddDirectory stores a new directory, whose first time comes as long after d.CreatedAt as it says; [fault.Conflict] if the name is
	// taken.
	AddDirectory(ctx context.Context, d Directory) error
	// SaveDirectory stores a changed directory whose Version is still d.Version, and counts it up; else [fault.Conflict]. Last stays, and so
	// does the next time, unless Every is another one, which counts from now.
	SaveDirectory(ctx context.Context, d Directory, now time.Time) error
	// DeleteDirectory removes a directory, and not its people; [fault.NotFound].
	DeleteDirectory(ctx context.Context, name string) error
	// ClaimDirectory makes the caller the only one who synchronises a directory until a time, and tells whether it did: not
	// while another one has it, until late at most, nor, if due is true, unless DueDirectories lists it.
	ClaimDirectory(ctx context.Context, name string, now, until, late time.Time, due bool) (bool, error)
	// ReleaseDirectory ends the claim until a time, if it is there still. If last is not nil, it is kept, and the next time is as long
	// after it as the directory says by now, or within a time if that is sooner.
	ReleaseDirectory(ctx context.Context, name string, until time.Time, last *Last, within time.Duration) error
	// DueDirectories lists the names of directories whose next time is not after now, or further after late than it is ever put off,
	// unless somebody has one, until late at most.
	DueDirectories(ctx context.Context, now, late time.Time) ([]string, error)
	// People lists the users whom a directory has brought, by ID.
	People(ctx context.Context, directory string) ([]Person, error)
	// PeopleByID returns those of the users whom a directory has brought, by ID, also one that was deleted since.
	PeopleByID(ctx context.Context, ids []string) (map[string]Person, error)
	// DirectoryOf names the directory that has brought a user; [fault.NotFound].
	DirectoryOf(ctx context.Context, userID string) (string, error)
	// TryDirectory counts a try of a user's password and tells whether it may be made, on all servers: no more than most unless the last one
	// was at the moment from or before.
	TryDirectory(ctx context.Context, userID string, now, from time.Time, most int) (bool, error)
	// ForgetTries forgets all of them, or takes the last one back.
	ForgetTries(ctx context.Context, userID string, all bool) error
	// SavePeople keeps users as those of a directory, new ones and changed ones.
	SavePeople(ctx context.Context, directory string, people []Person) error
	// DirectoryMembers lists the users whom a directory has brought into groups.
	DirectoryMembers(ctx context.Context, directory string) ([]Member, error)
	// SaveDirectoryMembers adds to and takes from what a directory has brought into groups.
	SaveDirectoryMembers(ctx context.Context, directory string, add, remove []Member) error
	// LockUsers returns those of the users that there are, by ID. Within a transaction their rows are locked, in the order of IDs.
	LockUsers(ctx context.Context, ids []string) (map[string]user.User, error)
	// RemoveMembers takes users from a group and returns how many were in it.
	RemoveMembers(ctx context.Context, group string, userIDs []string) (int, error)
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// A Sealer seals passwords: a seed.Keyring.
type Sealer interface {
	Seal(secret []byte, b seed.Binding) (seed.Sealed, error)
	Open(ctx context.Context, s seed.Sealed, b seed.Binding) ([]byte, error)
}

// A Registry keeps the deployment's directories and takes people from them.
type Registry struct {
	Store Store
	Users *user.Registry
	Keys  Sealer
	Now   func() time.Time
	// Reliable tells whether this server's clock can be relied on now; nil for always.
	Reliable func() bool
}

// Add stores a new directory. A password goes with a BindDN.
func (r *Registry) Add(ctx context.Context, d Directory, password string) (Directory, error) {
	d.CreatedAt, d.Version = r.Now().UTC(), 1
	if _, err := d.Completed(); err != nil {
		return d, err
	}
	if err := r.seal(&d, password); err != nil {
		return d, err
	}
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		if err := r.Store.AddDirectory(ctx, d); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "directory.add", "directory:"+d.Name, d.details()))
	})
	return d, err
}

// seal keeps a password with a directory.
func (r *Registry) seal(d *Directory, password string) (err error) {
	if (d.BindDN == "") != (password == "") {
		return invalid("a bind DN and a password go together")
	}
	if d.Password = (seed.Sealed{}); password != "" {
		d.Password, err = r.Keys.Seal([]byte(password), seed.OfDirectory(d.Name))
	}
	return err
}

// HasPassword tells whether a password is the one that a directory is read with; "" is none.
func (r *Registry) HasPassword(ctx context.Context, d Directory, password string) (bool, error) {
	if d.Password.KeyID == 0 {
		return password == "", nil
	}
	has, err := r.Keys.Open(ctx, d.Password, seedOf(d))
	if err != nil {
		return false, err
	}
	defer clear(has)
	return subtle.ConstantTimeCompare(has, []byte(password)) == 1, nil
}

// Brought is how many users a directory has brought.
func (r *Registry) Brought(ctx context.Context, name string) (int, error) {
	people, err := r.Store.People(ctx, name)
	return len(people), err
}

// Get returns a directory.
func (r *Registry) Get(ctx context.Context, name string) (Directory, error) {
	return r.Store.Directory(ctx, name)
}

// List returns the directories by name.
func (r *Registry) List(ctx context.Context) ([]Directory, error) { return r.Store.Directories(ctx) }

// Edit runs change on the directory and saves it, in one transaction; name and kind stay. A password that is not nil replaces the one there
// was. If version is not 0, the directory must still be at it: else [fault.Conflict].
func (r *Registry) Edit(ctx context.Context, name string, version int, password *string, change func(*Directory)) (Directory, error) {
	var after Directory
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		before, err := r.Store.Directory(ctx, name)
		if err != nil {
			return err
		}
		if version != 0 && before.Version != version {
			return fault.New(fault.Conflict, "directory %s was changed meanwhile: read it again", name)
		}
		after = before
		change(&after)
		after.Name, after.Kind, after.Version, after.CreatedAt = before.Name, before.Kind, before.Version, before.CreatedAt
		if _, err := after.Completed(); err != nil {
			return err
		}
		switch {
		case password != nil:
			err = r.seal(&after, *password)
		case after.BindDN == "":
			after.Password = seed.Sealed{}
		case after.Password.KeyID == 0:
			err = invalid("a bind DN and a password go together")
		case after.URL != before.URL || after.CA != before.CA: // whoever may change where it goes, or who is trusted to be there, would be told it
			err = invalid("another URL or authority takes the password again, for it would be told it: give the password, too")
		}
		if err != nil {
			return err
		}
		if err := r.Store.SaveDirectory(ctx, after, r.Now()); err != nil {
			return err
		}
		after.Version++
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "directory.edit", "directory:"+name, audit.Details{
			"before": before.details(), "after": after.details(), "password_changed": password != nil,
		}))
	})
	return after, err
}

// Delete removes a directory. Its people stay, as if they had been made by hand; whom it disabled, one that adopts her may enable.
func (r *Registry) Delete(ctx context.Context, name string) error {
	return r.Store.Transact(ctx, func(ctx context.Context) error {
		if err := r.Store.DeleteDirectory(ctx, name); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "directory.delete", "directory:"+name, nil))
	})
}
