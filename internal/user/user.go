// Package user is the people who hold tokens: their records and the rules for
// changing them, one by one or as a file of them; and the groups that they are
// chosen by.
package user

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// A User is one person. Times are UTC.
type User struct {
	ID      string // what the person types to sign in; compared as it is
	Name    string
	Mail    string
	Enabled bool
	Domain  string // security domain
	// Expiry is the last day on which her tokens may authenticate (0:00 UTC), zero for none.
	Expiry    time.Time
	CreatedAt time.Time
	Version   int // grows with every change
}

// ExpiredAt tells whether the user's last day is over.
func (u User) ExpiredAt(now time.Time) bool { return Over(u.Expiry, now) }

// MayAuthenticate tells whether nothing in the user's record keeps her tokens from authenticating.
func (u User) MayAuthenticate(now time.Time) bool { return u.Enabled && !u.ExpiredAt(now) }

// Over tells whether a last day is over; none (the zero time) never is.
func Over(lastDay, now time.Time) bool {
	return !lastDay.IsZero() && !now.Before(lastDay.AddDate(0, 0, 1))
}

// A Filter selects users; its zero value selects all.
type Filter struct {
	Query string // part of ID, name or mail, in any case
	Group string // only its members
	After string // only IDs after this one: the next page
	Limit int    // at most so many; 0 for all
}

// Store is what the registry needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// User returns a user; [fault.UserNotFound]. Within a transaction the row is locked for change.
	User(ctx context.Context, id string) (User, error)
	// Users lists users by ID.
	Users(ctx context.Context, f Filter) ([]User, error)
	// AddUser stores a new user; [fault.UserExists].
	AddUser(ctx context.Context, u User) error
	// SaveUser stores a changed user whose Version is still u.Version, and counts it up; else [fault.Conflict].
	SaveUser(ctx context.Context, u User) error
	// DeleteUser removes a user; [fault.UserInUse] while tokens are assigned.
	DeleteUser(ctx context.Context, id string) error
	// ForgetUser takes a user who is to be deleted out of what agents and RADIUS clients are limited to, and returns which these are, as the objects of
	// events; [fault.UserInUse] where one would be limited to nobody then.
	ForgetUser(ctx context.Context, id string) ([]string, error)
	// LockUsers returns those of the users that there are, by ID. Within a transaction their rows are locked, in the order of IDs.
	LockUsers(ctx context.Context, ids []string) (map[string]User, error)
	// AddUsers stores new users, all or none, as AddUser does one.
	AddUsers(ctx context.Context, users []User) error
	// SaveUsers stores changed users, all or none, as SaveUser does one.
	SaveUsers(ctx context.Context, users []User) error
	// DecideEnabled has it be an administrator who said of users whether they are enabled, and not the directories that they come from.
	// Whoever is enabled is from then on who has her user ID there.
	DecideEnabled(ctx context.Context, ids []string, enabled bool) error
	// AddressesElsewhere returns which of addresses in lower case (ASCII) users who are not in the scope of ctx have for their mail, and
	// which for an ID, in any case.
	AddressesElsewhere(ctx context.Context, addresses []string) (mails, ids map[string]bool, err error)
	// UsersAlike returns, by IDs in lower case (ASCII), who in the scope of ctx has them in any case.
	UsersAlike(ctx context.Context, ids []string) (map[string][]string, error)
	// UsersClaimed returns those of IDs of new users in a security domain that agents or RADIUS clients outside of the scope of who acts are limited to, and
	// that ask about users there: nobody in that scope adds users of them.
	UsersClaimed(ctx context.Context, place string, ids []string) (map[string]bool, error)
	// GroupsClaimed returns those of names of groups that agents or RADIUS clients outside of that scope are limited to.
	GroupsClaimed(ctx context.Context, names []string) (map[string]bool, error)
	// Memberships lists the groups of users, by their IDs.
	Memberships(ctx context.Context, userIDs []string) (map[string][]string, error)
	// Groups lists groups by name.
	Groups(ctx context.Context, f GroupFilter) ([]Group, error)
	// AddGroup stores a new group without members; [fault.GroupExists].
	AddGroup(ctx context.Context, g Group) error
	// AddMembers adds users to a group and returns how many were not in it; the group and the users must exist.
	AddMembers(ctx context.Context, group string, userIDs []string) (int, error)
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
	// RecordAll keeps many.
	RecordAll(ctx context.Context, events []audit.Event) error
}

// A Registry keeps the deployment's users.
type Registry struct {
	Store Store
	Now   func() time.Time
}

// Add stores a new user, enabled, at the top of the caller's domains. ID, Name, Mail and Expiry are the caller's.
func (r *Registry) Add(ctx context.Context, u User) (User, error) {
	u.Enabled, u.Domain, u.CreatedAt, u.Version = true, domain.ScopeFrom(ctx).Top(), r.Now().UTC(), 1
	if err := u.check(); err != nil {
		return User{}, err
	}
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		if err := r.apart(ctx, User{}, u); err != nil {
			return err
		}
		if err := r.Store.AddUser(ctx, u); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "user.add", "user:"+u.ID, added(u)))
	})
	return u, err
}

// added is what is told of a new user.
func added(u User) audit.Details {
	return audit.Details{"name": u.Name, "mail": u.Mail, "enabled": u.Enabled, "domain": domain.Show(u.Domain), "expiry": showDay(u.Expiry)}
}

// edited is what is told of a change.
func edited(before, after User) audit.Details {
	return audit.Details{
		"name": after.Name, "mail": after.Mail, "enabled": after.Enabled, "was_enabled": before.Enabled,
		"expiry": showDay(after.Expiry), "was_expiry": showDay(before.Expiry),
	}
}

// showDay shows a day, and none as "".
func showDay(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateOnly)
}

// Get returns a user.
func (r *Registry) Get(ctx context.Context, id string) (User, error) { return r.Store.User(ctx, id) }

// List returns the users that f selects.
func (r *Registry) List(ctx context.Context, f Filter) ([]User, error) { return r.Store.Users(ctx, f) }

// Edit changes a user to what e says of her, but for groups, in one transaction. If version is not 0,
// the user must still be at it: else [fault.Conflict].
func (r *Registry) Edit(ctx context.Context, id string, version int, e Entry) (User, error) {
	var after User
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		before, err := r.Store.User(ctx, id)
		if err != nil {
			return err
		}
		if version != 0 && before.Version != version {
			return fault.New(fault.Conflict, "user %s was changed meanwhile: read it again", id)
		}
		after = before
		e.on(&after)
		if err := after.check(); err != nil {
			return err
		}
		if err := r.apart(ctx, before, after); err != nil {
			return err
		}
		if err := r.Store.SaveUser(ctx, after); err != nil {
			return err
		}
		after.Version++
		if e.Enabled != nil {
			if err := r.Store.DecideEnabled(ctx, []string{id}, *e.Enabled); err != nil {
				return err
			}
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "user.edit", "user:"+id, edited(before, after)))
	})
	return after, err
}

// Delete removes a user who holds no token, also out of what agents and RADIUS clients are limited to: somebody else may get her ID.
func (r *Registry) Delete(ctx context.Context, id string) error {
	return r.Store.Transact(ctx, func(ctx context.Context) error {
		if _, err := r.Store.User(ctx, id); err != nil {
			return err
		}
		from, err := r.Store.ForgetUser(ctx, id)
		if err != nil {
			return err
		}
		err = r.Store.DeleteUser(ctx, id)
		if errors.Is(err, fault.UserInUse) {
			return fault.New(fault.UserInUse, "user %s still holds tokens: unassign them first", id)
		}
		if err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "user.delete", "user:"+id, forgotten(from)))
	})
}

// forgotten is what is told of a user who was deleted.
func forgotten(from []string) audit.Details {
	if len(from) == 0 {
		return nil
	}
	return audit.Details{"no_longer_allowed_at": from}
}

// MaxName is how many bytes a name takes.
const MaxName = 256

// MaxMail is how many bytes a mail address takes: no longer one can be written in SMTP (RFC 5321).
const MaxMail = 254

// check holds what every user record keeps to.
func (u User) check() error {
	if u.ID == "" || len(u.ID) > 128 || u.ID != strings.TrimSpace(u.ID) || !Printable(u.ID) {
		return fault.New(fault.UserInvalid, "a user ID takes 1 to 128 bytes of printable text without blanks at its ends")
	}
	// Blanks at the ends do not survive in a token file.
	if len(u.Name) > MaxName || u.Name != strings.TrimSpace(u.Name) || !Printable(u.Name) {
		return fault.New(fault.UserInvalid, "a name takes up to 256 bytes of printable text without blanks at its ends")
	}
	if u.Mail != "" && !IsAddress(u.Mail) {
		return fault.New(fault.UserInvalid, "a mail address looks like name@example.com")
	}
	if !u.Expiry.IsZero() && (u.Expiry.Year() > 9999 || !u.Expiry.Equal(u.Expiry.Truncate(24*time.Hour))) {
		return fault.New(fault.UserInvalid, "a last day is one of the calendar, such as 2031-01-31")
	}
	return nil
}

// IsAddress tells whether a user record takes a text for a mail address.
func IsAddress(text string) bool {
	return len(text) <= MaxMail && Printable(text) && strings.Contains(text, "@")
}

// Printable tells whether a text, such as a nickname, can be shown as it is: it is valid UTF-8 without control or invisible characters.
func Printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
