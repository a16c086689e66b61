package user

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// A Group is people who are chosen together.
type Group struct {
	Name      string
	Note      string
	Members   int    // how many, of those in the scope of who asks
	Domain    string // security domain
	CreatedAt time.Time
	Version   int // grows with every change of name or note; members come and go without
}

// A GroupFilter selects groups; its zero value selects all.
type GroupFilter struct {
	Query  string // part of name or note, in any case
	UserID string // that the user is a member of
	After  string // only names after this one: the next page
	Limit  int    // at most so many; 0 for all
}

// GroupStore is what the groups need of the database.
type GroupStore interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Group returns a group; [fault.GroupNotFound]. Within a transaction the row is locked for change.
	Group(ctx context.Context, name string) (Group, error)
	// Groups lists groups by name.
	Groups(ctx context.Context, f GroupFilter) ([]Group, error)
	// AddGroup stores a new group without members; [fault.GroupExists].
	AddGroup(ctx context.Context, g Group) error
	// SaveGroup stores a changed note of a group whose Version is still g.Version, and counts it up; else [fault.Conflict].
	SaveGroup(ctx context.Context, g Group) error
	// DeleteGroup removes a group, and not its members; [fault.GroupNotFound], or [fault.GroupInUse] while an agent or RADIUS client is limited to it.
	DeleteGroup(ctx context.Context, name string) error
	// AddMembers adds users to a group and returns how many were not in it; the group and the users must exist.
	AddMembers(ctx context.Context, group string, userIDs []string) (int, error)
	// RemoveMembers takes users from a group and returns how many were in it.
	RemoveMembers(ctx context.Context, group string, userIDs []string) (int, error)
	// LockUsers returns those of the users that there are, by ID. Within a transaction their rows are locked, in the order of IDs.
	LockUsers(ctx context.Context, ids []string) (map[string]User, error)
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// Groups keeps the deployment's groups.
type Groups struct {
	Store GroupStore
	Now   func() time.Time
}

// MaxMembers is how many members one call adds or removes.
const MaxMembers = 100_000

// Add stores a new group without members.
func (r *Groups) Add(ctx context.Context, name, note string) (Group, error) {
	g := Group{Name: name, Note: note, Domain: domain.ScopeFrom(ctx).Top(), CreatedAt: r.Now().UTC(), Version: 1}
	if err := g.check(); err != nil {
		return Group{}, err
	}
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		if err := r.Store.AddGroup(ctx, g); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "group.add", "group:"+name, audit.Details{"note": note}))
	})
	return g, err
}

// Get returns a group.
func (r *Groups) Get(ctx context.Context, name string) (Group, error) {
	return r.Store.Group(ctx, name)
}

// List returns the groups that f selects.
func (r *Groups) List(ctx context.Context, f GroupFilter) ([]Group, error) {
	return r.Store.Groups(ctx, f)
}

// Edit runs change on the group and saves it, in one transaction; the name stays. If version is not 0, the group must
// still be at it: else [fault.Conflict].
func (r *Groups) Edit(ctx context.Context, name string, version int, change func(*Group)) (Group, error) {
	var after Group
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		before, err := r.Store.Group(ctx, name)
		if err != nil {
			return err
		}
		if version != 0 && before.Version != version {
			return fault.New(fault.Conflict, "group %s was changed meanwhile: read it again", name)
		}
		after = before
		change(&after)
		after.Name = before.Name
		if err := after.check(); err != nil {
			return err
		}
		if err := r.Store.SaveGroup(ctx, after); err != nil {
			return err
		}
		after.Version++
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "group.edit", "group:"+name, audit.Details{"note": after.Note, "was": before.Note}))
	})
	return after, err
}

// Delete removes a group that no agent or RADIUS client is limited to. Its members stay what they are.
func (r *Groups) Delete(ctx context.Context, name string) error {
	return r.Store.Transact(ctx, func(ctx context.Context) error {
		if _, err := r.Store.Group(ctx, name); err != nil {
			return err
		}
		g, err := r.Store.Group(domain.WithScope(ctx, domain.Scope{}), name) // members elsewhere lose it too, and the log tells of all
		if err != nil {
			return err
		}
		if err := r.Store.DeleteGroup(ctx, name); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "group.delete", "group:"+name, audit.Details{"members": g.Members}))
	})
}

// Change adds members to a group and takes others from it, all or, after an error, none: one who is to come and is no user is
// [fault.UserNotFound]. It returns how many came and went; one who is where she is to be counts as neither, nor does one who is to go and is
// not in the scope of ctx.
func (r *Groups) Change(ctx context.Context, name string, add, remove []string) (added, removed int, err error) {
	if len(add)+len(remove) > MaxMembers {
		return 0, 0, fault.New(fault.TooLarge, "%d members are the most that can be changed at once", MaxMembers)
	}
	err = r.Store.Transact(ctx, func(ctx context.Context) error {
		if _, err := r.Store.Group(ctx, name); err != nil {
			return err
		}
		known, err := r.Store.LockUsers(ctx, append(slices.Clone(add), remove...))
		if err != nil {
			return err
		}
		for _, id := range add {
			if _, is := known[id]; !is {
				return domain.Outside(ctx, fault.New(fault.UserNotFound, "there is no user %q: no member was added or removed", id), "user %q", id)
			}
		}
		if added, err = r.Store.AddMembers(ctx, name, add); err != nil {
			return err
		}
		// One who is elsewhere is nobody here: else the count would tell that she is a member.
		leave := slices.DeleteFunc(slices.Clone(remove), func(id string) bool { _, is := known[id]; return !is })
		if removed, err = r.Store.RemoveMembers(ctx, name, leave); err != nil || added+removed == 0 {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "group.members", "group:"+name, membersDetails(add, leave, added, removed)))
	})
	return added, removed, err
}

// membersDetails names the members that came and went, as far as one event has room.
func membersDetails(add, remove []string, added, removed int) audit.Details {
	const named = 100
	return audit.Details{"added": added, "removed": removed, "add": add[:min(len(add), named)], "remove": remove[:min(len(remove), named)]}
}

// check holds what every group keeps to.
func (g Group) check() error {
	if g.Name == "" || len(g.Name) > 128 || g.Name != strings.TrimSpace(g.Name) || !Printable(g.Name) || strings.ContainsAny(g.Name, ";,") {
		return fault.New(fault.UserInvalid, "the name of a group takes 1 to 128 bytes of printable text without commas, semicolons and blanks at its ends")
	}
	if len(g.Note) > 256 || !Printable(g.Note) {
		return fault.New(fault.UserInvalid, "the note of a group takes up to 256 bytes of printable text")
	}
	return nil
}
