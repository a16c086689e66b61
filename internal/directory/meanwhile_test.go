package directory_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// A slow sealer has something else happen while a directory is read.
type slow struct {
	directory.Sealer
	meanwhile func()
}

func (s slow) Open(ctx context.Context, sealed seed.Sealed, b seed.Binding) ([]byte, error) {
	s.meanwhile()
	return s.Sealer.Open(ctx, sealed, b)
}

// due tells whether the directory would be synchronised at a time from now.
func (o *office) due(after time.Duration) bool {
	o.t.Helper()
	names, err := o.db.DueDirectories(o.t.Context(), o.now.Add(after), o.now.Add(after+time.Hour))
	must(o.t, err)
	return slices.Contains(names, "hq")
}

// What happens while a directory is read counts: an edit, another server's claim, the end of the server.
func TestMeanwhile(t *testing.T) {
	s := start(t, people("ann", "bob"))
	deploytest.Each(t, func(t *testing.T, url string) {
		o := newOffice(t, url)
		ctx := t.Context()
		o.directory(s, func(d *directory.Directory) { d.Every = 24 * time.Hour })
		o.now = o.now.Add(time.Hour)
		edit := func(change func(*directory.Directory)) {
			t.Helper()
			_, err := o.Edit(ctx, "hq", 0, nil, change)
			must(t, err)
		}
		edit(func(d *directory.Directory) { d.MaxLost = 20 })
		if o.due(23*time.Hour-1) || !o.due(23*time.Hour) {
			t.Error("an edit made it due")
		}
		keys := o.Keys
		meanwhile := func(do func()) { o.Keys = slow{keys, do} }

		meanwhile(func() {
			edit(func(d *directory.Directory) { d.Filter, d.Every = "(uid=ann)", time.Minute })
		})
		o.refuses(fault.Conflict, false)
		if o.due(time.Minute-1) || !o.due(time.Minute) {
			t.Error("what was edited meanwhile is not what the next time goes by")
		}
		meanwhile(func() {
			edit(func(d *directory.Directory) { d.Filter, d.Every = "", 0 })
		})
		o.refuses(fault.Conflict, false)
		if o.due(1000 * time.Hour) {
			t.Error("due though it is synchronised only when asked")
		}

		// A server that was away for long does not overwrite what another one has read since, nor end its claim.
		edit(func(d *directory.Directory) { d.Every = 24 * time.Hour })
		before, err := o.Get(ctx, "hq")
		must(t, err)
		claim := func(due bool) bool {
			ours, err := o.db.ClaimDirectory(ctx, "hq", o.now, o.now.Add(15*time.Minute), o.now.Add(time.Hour), due)
			must(t, err)
			return ours
		}
		recorded := func() int {
			page, err := o.db.Events(ctx, audit.Filter{Action: "directory.sync", Since: o.now, Limit: 9})
			must(t, err)
			return len(page.Entries)
		}
		meanwhile(func() {
			if o.now = o.now.Add(15 * time.Minute); !claim(false) {
				t.Error("a claim without end")
			}
		})
		if _, err := o.Sync(ctx, "hq", false, false); !errors.Is(err, fault.Conflict) {
			t.Errorf("%v", err)
		}
		after, err := o.Get(ctx, "hq")
		must(t, err)
		same(t, []any{len(o.users()), after.Last}, []any{0, before.Last})
		if claim(false) {
			t.Error("the other server's claim is gone")
		}

		// Who is stopped in the middle leaves it to the next one, without a word against the directory.
		o.now = o.now.Add(25 * time.Hour)
		leaving, leave := context.WithCancel(ctx)
		meanwhile(leave)
		if err := o.SyncDue(leaving); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		after, err = o.Get(ctx, "hq")
		must(t, err)
		same(t, after.Last, before.Last)
		same(t, recorded(), 0)
		if !claim(true) {
			t.Error("not due any more")
		}

		// Who fails is asked again soon.
		o.now = o.now.Add(15 * time.Minute)
		meanwhile(func() {})
		edit(func(d *directory.Directory) { d.Filter = "(uid=nobody)" })
		o.refuses(fault.DirectorySuspicious, false)
		same(t, recorded(), 1)
		if o.due(15*time.Minute-1) || !o.due(15*time.Minute) {
			t.Error("not tried again in time")
		}
	})
}
