package directory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/clock"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

// claimed is how long one server has a directory for itself at most: one that dies in the middle is waited for so long.
const claimed = 15 * time.Minute

// retryWithin is when a synchronisation that failed is tried again at the latest, however rarely a directory is read.
const retryWithin = 15 * time.Minute

// A Result is what a synchronisation did, or would.
type Result struct {
	user.Result
	Found   int // people in the directory
	Skipped int // entries there that have no user ID
	// Referrals is how many parts of the directory are on other servers, which are not asked.
	Referrals int
	Missing   int // people of before who are not there any more; they are disabled
	Joined    int // memberships of groups that were added, and
	Left      int // taken away
}

// Test connects to a directory and reads it, and tells how many people are there.
func (r *Registry) Test(ctx context.Context, name string) (Result, error) {
	d, err := r.Store.Directory(ctx, name)
	if err != nil {
		return Result{}, err
	}
	found, err := r.read(ctx, d)
	return Result{Found: len(found.people), Skipped: found.skipped, Referrals: found.referrals}, err
}

// read reads a directory.
func (r *Registry) read(ctx context.Context, d Directory) (reading, error) {
	d, err := d.Completed()
	if err != nil {
		return reading{}, err
	}
	var password []byte
	if d.Password.KeyID != 0 {
		if password, err = r.Keys.Open(ctx, d.Password, seedOf(d)); err != nil {
			return reading{}, err
		}
		defer clear(password)
	}
	people, err := r.Store.People(ctx, d.Name)
	if err != nil {
		return reading{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := dial(ctx, d, password, r.Now())
	if err != nil {
		return reading{}, err
	}
	defer l.Close()
	l.known = map[string]Person{}
	for _, p := range people {
		l.known[p.UserID] = p
	}
	return l.read()
}

// Sync takes the people of a directory. dryRun only says what would happen; force disables more people, and ends more memberships, than MaxLost
// says, but never everybody: a directory in which nobody is found changes nothing. [fault.Conflict] while another one synchronises it, or if it is
// edited meanwhile.
func (r *Registry) Sync(ctx context.Context, name string, dryRun, force bool) (Result, error) {
	return r.sync(ctx, name, dryRun, force, false)
}

// late is that of [clock.Late] for claims; to find what is put off so long, the store adds how long a directory is at most. Who is disabled there would stay
// enabled here until the time that a clock which was ahead showed.
func (r *Registry) late() time.Time { return clock.Late(r.Now(), claimed, r.Reliable) }

// SyncDue synchronises the directories whose time has come, unless another server does.
func (r *Registry) SyncDue(ctx context.Context) error {
	due, err := r.Store.DueDirectories(ctx, r.Now(), r.late())
	if err != nil {
		return err
	}
	for _, name := range due {
		// What a directory refuses is kept with it and in the audit log.
		if _, err := r.sync(ctx, name, false, false, true); err != nil && fault.CodeOf(err) == "" {
			return err
		}
	}
	return nil
}

func (r *Registry) sync(ctx context.Context, name string, dryRun, force, due bool) (Result, error) {
	if dryRun {
		d, err := r.Store.Directory(ctx, name)
		if err != nil {
			return Result{}, err
		}
		found, err := r.read(ctx, d)
		if err != nil {
			return Result{}, err
		}
		return r.apply(ctx, d, found, true, force)
	}
	now := r.Now()
	until := now.Add(claimed).Truncate(time.Microsecond) // as it is stored
	ours, err := r.Store.ClaimDirectory(ctx, name, now, until, r.late(), due)
	if err != nil {
		return Result{}, err
	}
	d, err := r.Store.Directory(ctx, name) // not before: it may have been changed
	if !ours && err == nil {
		err = fault.New(fault.Conflict, "directory %s is being synchronised already", name)
	}
	if !ours {
		return Result{}, err
	}
	d.ClaimedUntil = until
	var result Result
	if err == nil {
		result, err = r.claimedSync(ctx, d, force)
	}
	after, cancel := clock.Ending(ctx) // also if the caller has left, the next one must not wait; where a database hangs then, until the end of the claim
	defer cancel()
	if err != nil && ctx.Err() != nil { // the directory did not fail: this was broken off, and the next one is due as it was
		return Result{}, join(ctx.Err(), r.Store.ReleaseDirectory(after, name, until, nil, 0))
	}
	within := MaxEvery
	last := Last{At: r.Now().UTC(), Message: result.String()}
	if err != nil {
		within = retryWithin
		last.Code, last.Message = string(fault.CodeOf(err)), "something broke: the server's log says what"
		if last.Code != "" {
			last.Message = messageOf(err)
		} else {
			last.Code = "INTERNAL"
		}
	}
	return result, join(err, r.Store.ReleaseDirectory(after, name, until, &last, within))
}

// claimedSync reads a directory, and then changes users in one transaction, if the directory is what it was and still ours: else another
// server may have read it later than we have.
func (r *Registry) claimedSync(ctx context.Context, d Directory, force bool) (result Result, err error) {
	found, err := r.read(ctx, d)
	if err == nil {
		err = r.Store.Transact(ctx, func(ctx context.Context) error {
			if err := r.unchanged(ctx, d); err != nil {
				return err
			}
			result, err = r.apply(ctx, d, found, false, force)
			if err != nil {
				return err
			}
			return r.Store.Record(ctx, audit.New(ctx, r.Now(), "directory.sync", "directory:"+d.Name, result.details()))
		})
	}
	if code := fault.CodeOf(err); code != "" && ctx.Err() == nil {
		failed := audit.New(ctx, r.Now(), "directory.sync", "directory:"+d.Name, audit.Details{"message": messageOf(err)}).Failed(string(code))
		return Result{}, join(err, r.Store.Record(ctx, failed))
	}
	return result, err
}

// unchanged locks a directory, and refuses if it, or who has it, is not as it was.
func (r *Registry) unchanged(ctx context.Context, d Directory) error {
	is, err := r.Store.Directory(ctx, d.Name)
	if err == nil && (is.Version != d.Version || !is.ClaimedUntil.Equal(d.ClaimedUntil)) {
		err = fault.New(fault.Conflict, "directory %s was changed, or synchronised, while it was read: synchronise it again; nothing was changed", d.Name)
	}
	return err
}

// apply changes users to what was found.
func (r *Registry) apply(ctx context.Context, d Directory, found reading, dryRun, force bool) (Result, error) {
	if len(found.people) == 0 {
		return Result{}, fault.New(fault.DirectorySuspicious, "directory %s shows nobody below %s: that is never believed; nothing was changed", d.Name, d.BaseDN)
	}
	d, err := d.Completed()
	if err != nil {
		return Result{}, err
	}
	p, err := r.plan(ctx, d, found)
	if err != nil {
		return Result{}, err
	}
	if most := max(1, p.enabled*d.MaxLost/100); p.lost > most && !force {
		return Result{}, fault.New(fault.DirectorySuspicious,
			"directory %s would have %d of %d people disabled, and %d are the most (%d %%): look there, and at a dry run with --force; nothing was changed",
			d.Name, p.lost, p.enabled, most, d.MaxLost).With("disabled", p.lost).With("people", p.enabled)
	}
	applied, err := r.Users.Apply(domain.At(ctx, d.Domain), p.entries, user.Wish{Partial: true, DryRun: dryRun, AddGroups: true, Directory: true})
	if err != nil {
		return Result{}, err
	}
	for i, warning := range p.warnings {
		if row := &applied.Rows[i]; row.Action != user.Failed {
			row.Code, row.Message = fault.UserInvalid, warning
		}
	}
	result := Result{Result: applied, Found: len(found.people), Skipped: found.skipped, Referrals: found.referrals, Missing: p.missing}
	failed := map[string]bool{}
	for _, row := range applied.Rows { // one for each user
		failed[row.ID] = row.Action == user.Failed
	}
	result.Rows = append(result.Rows, p.refused...)
	result.Counts[user.Failed] += len(p.refused)
	p.people = slices.DeleteFunc(p.people, func(p Person) bool { return failed[p.UserID] })
	if !dryRun {
		if err := r.Store.SavePeople(ctx, d.Name, p.people); err != nil {
			return Result{}, err
		}
	}
	if err := r.members(ctx, d, found, p, dryRun, force, &result); err != nil {
		return Result{}, err
	}
	return result, nil
}

// A plan is what is to become of users.
type plan struct {
	entries []user.Entry
	people  []Person        // to be kept as the directory's
	refused []user.Row      // who stay as they are
	seen    map[string]bool // whom the directory shows
	stays   map[string]bool // of these, whose memberships stay too
	// warnings are of entries that are taken without what no user record takes, by their places.
	warnings map[int]string
	missing  int
	lost     int // who would be disabled
	enabled  int // of the directory's people before, and of those whom it takes over
}

// plan compares what was found with what was there before.
func (r *Registry) plan(ctx context.Context, d Directory, found reading) (plan, error) {
	before, err := r.Store.People(ctx, d.Name)
	if err != nil {
		return plan{}, err
	}
	var ids []string
	for _, was := range before {
		ids = append(ids, was.UserID)
	}
	named := map[string][]entry{}
	for _, e := range found.people {
		ids = append(ids, e.id)
		named[e.id] = append(named[e.id], e)
	}
	users, err := r.Store.LockUsers(ctx, ids)
	if err != nil {
		return plan{}, err
	}
	kept, err := r.Store.PeopleByID(ctx, ids) // as they are now that nobody changes them
	if err != nil {
		return plan{}, err
	}
	p := plan{seen: map[string]bool{}, stays: map[string]bool{}, warnings: map[int]string{}}
	for _, e := range found.people {
		if !p.seen[e.id] {
			p.compare(d, named[e.id], kept[e.id], users[e.id])
		}
		p.seen[e.id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(kept)) {
		was, u := kept[id], users[id]
		if was.Directory != d.Name {
			continue
		}
		if u.Enabled {
			p.enabled++
		}
		if !p.seen[id] {
			p.missing++
			next := was
			next.Missing = true
			p.disable(was, next, u)
		}
	}
	return p, nil
}

// compare compares the entries that have one user ID with who has it here; was and u are zero for one who is new.
func (p *plan) compare(d Directory, all []entry, was Person, u user.User) {
	e, exists, known := all[0], u.ID != "", was.Directory == d.Name
	switch {
	case len(all) > 1:
		p.duplicate(d, all, was, u)
	case exists && !known && was.Directory != "" && !was.Missing:
		p.refuse(e.id, fault.UserExists, "user "+e.id+" comes from directory "+was.Directory+", which shows her, and stays as she is")
	case exists && !known && !d.Adopt:
		p.refuse(e.id, fault.UserExists, "user "+e.id+" was not made by this directory, and stays as she is; a directory that adopts takes her over")
	case exists && !known:
		if u.Enabled {
			p.enabled++
		}
		p.take(d, e, Person{Disabled: was.Disabled && was.Other == ""}, u)
	case stranger(was, e.identity):
		p.refuse(e.id, fault.DirectoryReused, "another person there has the user ID "+e.id+" now, and would get the tokens of the one before: "+
			"take these away, or see that she is the same, and then enable her by hand")
		next := was
		next.Missing, next.Other = false, cmp.Or(e.identity, was.Other)
		p.disable(was, next, u)
	default:
		p.take(d, e, was, u)
	}
}

// stranger tells whether an entry may be of somebody else than who is known by its user ID: that of another person, or anything but her own since
// another one had the ID, or one of whom nothing was known when she went.
func stranger(was Person, identity string) bool {
	switch {
	case was.Other != "":
		return identity == "" || identity != was.Entry
	case was.Missing && was.Entry == "":
		return identity != ""
	}
	return another(was.Entry, identity)
}

// take has somebody become what an entry of the directory says.
func (p *plan) take(d Directory, e entry, was Person, u user.User) {
	exists := u.ID != ""
	next := Person{UserID: e.id, Directory: d.Name, DN: e.dn, Disabled: was.Disabled, Entry: cmp.Or(e.identity, was.Entry)}
	entry := user.Entry{ID: e.id, New: !exists, Name: e.name, Mail: e.mail, Groups: slices.Compact(slices.Sorted(slices.Values(e.groups)))}
	switch off, on := false, true; {
	case e.disabled && (!exists || u.Enabled):
		entry.Enabled, next.Disabled = &off, true
		if exists {
			p.lost++
		}
	case !e.disabled && was.Disabled: // not one whom an administrator disabled
		entry.Enabled, next.Disabled = &on, false
	}
	if e.warning != "" {
		p.warnings[len(p.entries)] = e.warning
	}
	p.entries = append(p.entries, entry)
	if next != was {
		p.people = append(p.people, next)
	}
}

// disable keeps one of the directory's people as next, disables her if she is enabled, and changes nothing else of her.
func (p *plan) disable(was, next Person, u user.User) {
	if off := false; u.Enabled {
		p.lost++
		p.entries = append(p.entries, user.Entry{ID: was.UserID, Enabled: &off})
		next.Disabled = true
	}
	if next != was {
		p.people = append(p.people, next)
	}
}

// refuse leaves somebody as she is, in her groups too.
func (p *plan) refuse(id string, code fault.Code, message string) {
	p.refused = append(p.refused, user.Row{ID: id, Action: user.Failed, Code: code, Message: message})
	p.stays[id] = true
}

// duplicate refuses several entries that have one user ID: which of them she is, nobody can tell. Where all of them are disabled, she is.
func (p *plan) duplicate(d Directory, all []entry, was Person, u user.User) {
	const named = 5
	var dns []string
	for _, e := range all[:min(len(all), named)] {
		dns = append(dns, e.dn)
	}
	p.refuse(all[0].id, fault.DirectoryDuplicate, fmt.Sprintf("%d people there have the user ID %s, and none of them is taken: %s", len(all), all[0].id, strings.Join(dns, " and ")))
	if was.Directory == d.Name {
		next := was
		next.Missing = false
		u.Enabled = u.Enabled && !slices.ContainsFunc(all, func(e entry) bool { return !e.disabled })
		p.disable(was, next, u)
	}
}

// members takes people from groups that the directory brought them into and that they are not in there any more, and keeps whom Apply has
// brought into theirs: not those who were in there before. Without force it takes no more of those whom the directory still shows than MaxLost
// says: groups that cannot be read any more look like groups without members.
func (r *Registry) members(ctx context.Context, d Directory, found reading, p plan, dryRun, force bool, result *Result) error {
	before, err := r.Store.DirectoryMembers(ctx, d.Name)
	if err != nil {
		return err
	}
	was, is := map[Member]bool{}, map[Member]bool{}
	for _, m := range before {
		was[m] = true
	}
	for _, e := range found.people {
		for _, g := range e.groups {
			is[Member{g, e.id}] = true
		}
	}
	var add, remove []Member
	for _, group := range slices.Sorted(maps.Keys(result.Members)) {
		for _, id := range result.Members[group] {
			if result.Joined++; !was[Member{group, id}] { // else somebody took her out by hand
				add = append(add, Member{group, id})
			}
		}
	}
	leaving, ended, losers := map[string][]string{}, 0, map[string]bool{}
	for _, m := range before {
		if is[m] || p.stays[m.UserID] {
			continue
		}
		remove = append(remove, m)
		leaving[m.Group] = append(leaving[m.Group], m.UserID)
		if p.seen[m.UserID] {
			ended, losers[m.UserID] = ended+1, true
		}
	}
	result.Left = len(remove)
	if most := max(1, len(before)*d.MaxLost/100); ended > most && len(losers) > 1 && !force {
		return fault.New(fault.DirectorySuspicious,
			"directory %s would end %d of %d memberships of groups, and %d are the most (%d %%): look there, and at a dry run with --force; nothing was changed",
			d.Name, ended, len(before), most, d.MaxLost).With("ended", ended).With("memberships", len(before))
	}
	if dryRun {
		return nil
	}
	for _, group := range slices.Sorted(maps.Keys(leaving)) {
		n, err := r.Store.RemoveMembers(ctx, group, leaving[group])
		if err != nil {
			return err
		}
		event := audit.New(ctx, r.Now(), "group.members", "group:"+group, audit.Details{"removed": n, "remove": leaving[group][:min(100, len(leaving[group]))], "directory": d.Name})
		if err := r.Store.Record(ctx, event); err != nil {
			return err
		}
	}
	return r.Store.SaveDirectoryMembers(ctx, d.Name, add, remove)
}
