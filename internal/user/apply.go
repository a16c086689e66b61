package user

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// An Entry is what a file, a directory or an administrator says of a user. What is nil it does not say, and nothing is changed there.
type Entry struct {
	Line    int // in the file; 0 if there is none
	ID      string
	Name    *string
	Mail    *string
	Enabled *bool
	Expiry  *time.Time // the last day; zero for none
	Groups  []string   // that the user is to be a member of, besides those that she is
	New     bool       // she is to be added: one who is here already stays as she is
}

// A Wish says how entries are applied.
type Wish struct {
	Partial   bool // apply what can be; without it one entry that cannot be leaves everything as it was
	DryRun    bool // only say what would happen
	AddGroups bool // groups that are not there are added; without it their members cannot be
	Directory bool // a directory says it all; else it is an administrator who says whether users are enabled
}

// An Action is what becomes of a user.
type Action string

// The actions. A user who is both changed and disabled is shown as disabled.
const (
	Added     Action = "added"
	Changed   Action = "changed"
	Disabled  Action = "disabled"
	Enabled   Action = "enabled"
	Unchanged Action = "unchanged"
	Failed    Action = "failed"
)

// A Row is what became of one entry.
type Row struct {
	Line    int
	ID      string
	Action  Action
	Code    fault.Code // of a failure, or of what was left out
	Message string
}

// A Result is what became of all entries, in their order, and how many of each action there are.
type Result struct {
	Rows    []Row
	Counts  map[Action]int
	Groups  []string            // that were added
	Members map[string][]string // groups, and who came into them
}

// applyChunk is how many users are looked at and written in one go.
const applyChunk = 2000

// Apply adds the users of entries that are not there and changes those that are, in one transaction. If one cannot be
// and w.Partial is not set, the refusal is that of the first one, with the failed rows among its details.
func (r *Registry) Apply(ctx context.Context, entries []Entry, w Wish) (Result, error) {
	var a *application
	run := func(ctx context.Context) error {
		a = &application{Registry: r, wish: w, entries: entries, rows: make([]Row, len(entries))}
		return a.run(ctx)
	}
	var err error
	if w.DryRun { // without a transaction, so that looking stops nobody
		err = run(ctx)
	} else {
		err = r.Store.Transact(ctx, run)
	}
	if err != nil {
		return Result{}, err
	}
	return a.result(), nil
}

// An application is a run of Apply.
type application struct {
	*Registry
	wish    Wish
	entries []Entry
	rows    []Row

	spelled map[string]string // IDs that are added, by what they are in lower case
	groups  map[string]bool   // that there are
	barred  map[string]error  // groups that cannot be added, and why
	missing []string          // groups to be added
	joining map[string][]string
	events  []audit.Event
}

func (a *application) run(ctx context.Context) error {
	order := a.judge()
	if err := a.findGroups(ctx, order); err != nil {
		return err
	}
	// In the order of IDs, so that two at once do not wait for each other in a ring.
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(a.entries[i].ID, a.entries[j].ID) })
	a.joining, a.spelled = map[string][]string{}, map[string]string{}
	for some := range slices.Chunk(order, applyChunk) {
		if err := a.part(ctx, some); err != nil {
			return err
		}
	}
	if err := a.refusal(); err != nil && !a.wish.Partial && !a.wish.DryRun {
		return err
	}
	return a.join(ctx)
}

// judge fails entries that no user can be like, or that come a second time, and returns the places of the others.
func (a *application) judge() (order []int) {
	seen := map[string]int{}
	for i, e := range a.entries {
		a.rows[i] = Row{Line: e.Line, ID: e.ID}
		if first, twice := seen[e.ID]; twice {
			a.fail(i, fault.New(fault.UserInvalid, "user %s is named in line %d already", e.ID, a.entries[first].Line))
			continue
		}
		seen[e.ID] = i
		u := User{ID: e.ID}
		e.on(&u)
		if err := u.check(); err != nil {
			a.fail(i, err)
			continue
		}
		order = append(order, i)
	}
	return order
}

func (a *application) fail(i int, err error) {
	a.rows[i].Action, a.rows[i].Code, a.rows[i].Message = Failed, fault.CodeOf(err), err.Error()
}

// on changes a user to what the entry says, and tells whether that is a change.
func (e Entry) on(u *User) bool {
	before := *u
	if e.Name != nil {
		u.Name = *e.Name
	}
	if e.Mail != nil {
		u.Mail = *e.Mail
	}
	if e.Enabled != nil {
		u.Enabled = *e.Enabled
	}
	if e.Expiry != nil {
		u.Expiry = *e.Expiry
	}
	return *u != before
}

// named is what a refusal names of the user.
func (e Entry) named() (u User) {
	u.ID = e.ID
	e.on(&u)
	return u
}

// findGroups learns which of the groups that the entries in these places name there are.
func (a *application) findGroups(ctx context.Context, order []int) error {
	a.groups = map[string]bool{}
	wanted := map[string]bool{}
	for _, i := range order {
		for _, g := range a.entries[i].Groups {
			wanted[g] = true
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	there, err := a.Store.Groups(ctx, GroupFilter{})
	if err != nil {
		return err
	}
	for _, g := range there {
		a.groups[g.Name] = true
	}
	if !a.wish.AddGroups {
		return nil
	}
	for g := range wanted {
		if !a.groups[g] {
			a.missing = append(a.missing, g)
		}
	}
	slices.Sort(a.missing)
	if err := a.bar(ctx); err != nil {
		return err
	}
	for _, name := range a.missing {
		if a.groups[name] = true; a.wish.DryRun {
			continue
		}
		if err := a.Store.AddGroup(ctx, Group{Name: name, Domain: domain.ScopeFrom(ctx).Top(), CreatedAt: a.Now().UTC(), Version: 1}); err != nil {
			return err
		}
		a.events = append(a.events, audit.New(ctx, a.Now(), "group.add", "group:"+name, nil))
	}
	return nil
}

// bar takes those of the missing groups out that cannot be, or that who acts cannot add, which fails their members and nobody else.
func (a *application) bar(ctx context.Context) error {
	a.barred = map[string]error{}
	for _, name := range a.missing {
		if err := (Group{Name: name}).check(); err != nil {
			a.barred[name] = err
		}
	}
	if len(a.missing) > 0 && domain.ScopeFrom(ctx).Limited() {
		claimed, err := a.Store.GroupsClaimed(ctx, a.missing)
		if err != nil {
			return err
		}
		for name := range claimed {
			a.barred[name] = fault.New(fault.OutOfScope, "agents outside of your security domain ask about a group of the name %q: take another one, or have an administrator of all security domains add it", name)
		}
		all, err := a.Store.Groups(domain.WithScope(ctx, domain.Scope{}), GroupFilter{})
		if err != nil {
			return err
		}
		for _, g := range all {
			a.barred[g.Name] = fault.New(fault.OutOfScope, "the group name %q is taken, outside of your security domain: take another one", g.Name)
		}
	}
	a.missing = slices.DeleteFunc(a.missing, func(name string) bool { return a.barred[name] != nil })
	return nil
}

// part applies some of the entries.
func (a *application) part(ctx context.Context, order []int) error {
	p, err := a.look(ctx, order)
	if err != nil {
		return err
	}
	for n, i := range order {
		if err := a.refused(domain.ScopeFrom(ctx), a.entries[i], p, p.claims[n]); err != nil {
			a.fail(i, err)
			continue
		}
		a.take(ctx, i, p)
	}
	events := a.events
	a.events = nil
	if a.wish.DryRun {
		return nil
	}
	if err := a.Store.AddUsers(ctx, p.fresh); err != nil {
		return err
	}
	if err := a.Store.SaveUsers(ctx, p.changed); err != nil {
		return err
	}
	for _, enabled := range []bool{false, true} {
		if err := a.Store.DecideEnabled(ctx, p.decided[enabled], enabled); err != nil {
			return err
		}
	}
	return a.Store.RecordAll(ctx, events)
}

// A part is some of the entries: what there is of their users, and what is to be written.
type part struct {
	known   map[string]User     // those that there are, anywhere
	member  map[string][]string // the groups of each
	claimed map[string]bool     // names that agents elsewhere ask about
	alike   map[string][]string // who has an ID of those that are not there in another case of letters
	claims  []claim             // of each entry
	around  neighbourhood

	fresh, changed []User
	decided        map[bool][]string // whom an administrator enables or disables
}

// look reads what there is of the users of some entries, and locks it.
func (a *application) look(ctx context.Context, order []int) (*part, error) {
	ids := make([]string, len(order))
	for n, i := range order {
		ids[n] = a.entries[i].ID
	}
	p := &part{claims: make([]claim, len(order)), decided: map[bool][]string{}}
	var err error
	if p.known, err = a.Store.LockUsers(domain.WithScope(ctx, domain.Scope{}), ids); err != nil { // also those that are elsewhere
		return nil, err
	}
	if p.member, err = a.Store.Memberships(ctx, ids); err != nil {
		return nil, err
	}
	for n, i := range order {
		before := p.known[a.entries[i].ID]
		after := before
		after.ID = a.entries[i].ID
		a.entries[i].on(&after)
		p.claims[n] = claimOf(before, after)
	}
	if p.around, err = a.around(ctx, p.claims); err != nil {
		return nil, err
	}
	if p.claimed, err = a.Store.UsersClaimed(ctx, domain.ScopeFrom(ctx).Top(), ids); err != nil {
		return nil, err
	}
	p.alike, err = a.Alike(ctx, slices.DeleteFunc(ids, func(id string) bool { _, is := p.known[id]; return is })...)
	return p, err
}

// take puts down what an entry that is not refused makes of its user.
func (a *application) take(ctx context.Context, i int, p *part) {
	e, joins := a.entries[i], false
	for _, g := range e.Groups {
		if !slices.Contains(p.member[e.ID], g) {
			a.joining[g] = append(a.joining[g], e.ID)
			joins = true
		}
	}
	before, is := p.known[e.ID]
	u := before
	if !is {
		u = User{ID: e.ID, Enabled: true, Domain: domain.ScopeFrom(ctx).Top(), CreatedAt: a.Now().UTC(), Version: 1}
	}
	differs := e.on(&u)
	if is && e.Enabled != nil && !a.wish.Directory {
		p.decided[u.Enabled] = append(p.decided[u.Enabled], u.ID)
	}
	a.rows[i].Action = actionOf(is, before, u, differs || joins)
	switch {
	case !is:
		p.fresh = append(p.fresh, u)
		a.rows[i].Message = a.likeness(p, u.ID)
		a.events = append(a.events, audit.New(ctx, a.Now(), "user.add", "user:"+u.ID, added(u)))
	case differs:
		p.changed = append(p.changed, u)
		a.events = append(a.events, audit.New(ctx, a.Now(), "user.edit", "user:"+u.ID, edited(before, u)))
	}
}

// likeness tells of another user whose ID differs from that of a new one by case alone, "" if there is none.
func (a *application) likeness(p *part, id string) string {
	folded := Lower(id)
	other := a.spelled[folded]
	if there := p.alike[folded]; len(there) > 0 {
		other = there[0]
	}
	if a.spelled[folded] = id; other == "" {
		return ""
	}
	return fmt.Sprintf("beside user %s, whose ID differs by the case of letters alone: a gateway that asks a directory may take one for the other", other)
}

// refused tells why an entry cannot be taken in, by whom there is and by what names agents ask about; nil if it can.
func (a *application) refused(scope domain.Scope, e Entry, p *part, c claim) error {
	switch u, is := p.known[e.ID]; {
	case is && !scope.Covers(u.Domain):
		return fault.New(fault.OutOfScope, "the user ID %s is taken, outside of your security domain", e.ID)
	case !is && p.claimed[e.ID]:
		return fault.New(fault.OutOfScope, "agents outside of your security domain ask about a user of the name %s: take another one, or have an administrator of all security domains add her", e.ID)
	case is && e.New:
		return fault.New(fault.UserExists, "user %s was made meanwhile, and stays as she is", e.ID)
	}
	for _, g := range e.Groups {
		switch why := a.barred[g]; {
		case a.groups[g]:
		case why != nil:
			return fmt.Errorf("user %s: %w", e.ID, why)
		default:
			return fault.New(fault.GroupNotFound, "there is no group %q for user %s", g, e.ID)
		}
	}
	return p.around.refuses(c, e.named())
}

func actionOf(known bool, before, after User, changed bool) Action {
	switch {
	case !known:
		return Added
	case before.Enabled && !after.Enabled:
		return Disabled
	case !before.Enabled && after.Enabled:
		return Enabled
	case changed:
		return Changed
	}
	return Unchanged
}

// join has users become members, once all of them are there.
func (a *application) join(ctx context.Context) error {
	if a.wish.DryRun {
		return nil
	}
	for _, g := range slices.Sorted(maps.Keys(a.joining)) {
		ids := a.joining[g]
		n, err := a.Store.AddMembers(ctx, g, ids)
		if err != nil {
			return err
		}
		if err := a.Store.Record(ctx, audit.New(ctx, a.Now(), "group.members", "group:"+g, membersDetails(ids, nil, n, 0))); err != nil {
			return err
		}
	}
	return nil
}

// refusal is that of the first entry that failed, nil if none did.
func (a *application) refusal() error {
	const shown = 100
	var failed []map[string]any
	var first *Row
	n := 0
	for i := range a.rows {
		row := &a.rows[i]
		if row.Action != Failed {
			continue
		}
		if n++; n == 1 {
			first = row
		}
		if n <= shown {
			failed = append(failed, map[string]any{"line": row.Line, "user_id": row.ID, "code": row.Code, "message": row.Message})
		}
	}
	if n == 0 {
		return nil
	}
	return fault.New(first.Code, "nothing was changed, for %d of %d users cannot be: line %d: %s; a dry run shows all that cannot be", n, len(a.rows), first.Line, first.Message).
		With("failed", n).With("rows", failed)
}

func (a *application) result() Result {
	out := Result{Rows: a.rows, Counts: map[Action]int{}, Groups: a.missing, Members: a.joining}
	for _, row := range a.rows {
		out.Counts[row.Action]++
	}
	return out
}
