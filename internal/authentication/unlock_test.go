package authentication_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

// actions are those of the events about an object, in order.
func (d *deployment) actions(object string) []string {
	d.Helper()
	page, err := d.db.Events(d.Context(), audit.Filter{Object: object})
	d.must(err)
	var all []string
	for _, e := range page.Entries {
		event, err := audit.ParseRecord(e.Record)
		d.must(err)
		all = append(all, event.Action)
	}
	return all
}

// An administrator unlocks the user everywhere, and her failures are forgotten.
func TestUnlock(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.IncorrectBeforeNTC = 0
	stranger := authentication.Source{Agent: "radius:vpn", Station: "203.0.113.9"}
	ask := func(from authentication.Source, code string) authentication.Result {
		t.Helper()
		got, err := d.engine.Begin(t.Context(), authentication.Request{UserID: "alice", Passcode: code, Source: from})
		d.must(err)
		return got.Result
	}
	d.is(d.begin(d.code(d.now)), authentication.Accepted, "")
	for range 5 {
		ask(stranger, "00000000")
		ask(vpn, "00000000")
	}
	if ask(vpn, d.later(1)) != authentication.Denied || ask(stranger, d.later(1)) != authentication.Denied {
		t.Fatal("not locked")
	}
	d.must(d.engine.Unlock(t.Context(), "alice"))
	if got := ask(stranger, d.later(1)); got != authentication.Accepted {
		t.Errorf("the stranger is %s", got)
	}
	for range 4 {
		ask(vpn, "00000000")
	}
	if got := ask(vpn, d.later(1)); got != authentication.Accepted {
		t.Errorf("four failures after it: %s", got)
	}
	d.must(d.engine.Unlock(t.Context(), "alice")) // there is nothing to do, and nothing to tell
	unlocks := 0
	for _, action := range d.actions("user:alice") {
		if action == "lockout.unlock" {
			unlocks++
		}
	}
	if unlocks != 1 {
		t.Errorf("%d events", unlocks)
	}
	if err := d.engine.Unlock(t.Context(), "nobody"); !errors.Is(err, fault.UserNotFound) {
		t.Error(err)
	}
}

// What counts of failures is what the next one would add to.
func TestFailuresThatCount(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	p := d.policy.Lockout
	few := authentication.Failures{Count: 2, Since: d.now}
	locked := authentication.Failures{Count: 5, Since: d.now, LockedAt: d.now}
	if few.At(p, d.now.Add(24*time.Hour-1)) != few || few.At(p, d.now.Add(24*time.Hour)) != (authentication.Failures{}) {
		t.Error("failures do not end with their day")
	}
	// Two that an earlier release counted, and one since, of which only that is left after a day.
	mixed := authentication.Failures{Count: 3, Since: d.now, Times: string(binary.BigEndian.AppendUint32(nil, uint32(d.now.Add(time.Hour).Unix())))}
	if mixed.At(p, d.now.Add(24*time.Hour-1)) != mixed || mixed.At(p, d.now.Add(25*time.Hour)) != (authentication.Failures{}) {
		t.Error("failures of an earlier release do not end with their day")
	}
	if got := mixed.At(p, d.now.Add(24*time.Hour)); got.Count != 1 || !got.Since.Equal(d.now.Add(time.Hour).Truncate(time.Second)) {
		t.Errorf("%+v", got)
	}
	if locked.At(p, d.now.Add(48*time.Hour)) != locked {
		t.Error("a lock ended by itself")
	}
	p.UnlockAfter = time.Minute
	if locked.At(p, d.now.Add(time.Minute-1)) != locked || locked.At(p, d.now.Add(time.Minute)) != (authentication.Failures{}) {
		t.Error("a lock does not end with its time")
	}
}

// Where the policy locks nobody, failures are counted all the same, and are as old as the first.
func TestFailuresThatLockNobody(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.IncorrectBeforeNTC, d.policy.Lockout.Failures = 0, 0
	first := d.now
	for range 7 {
		d.begin("00000000")
		d.later(60)
	}
	guards, err := d.db.Guards(t.Context(), []string{"alice"})
	d.must(err)
	failures, p := guards["alice"].Own, d.policy.Lockout
	if n := failures.At(p, d.now).Count; n != 7 || failures.At(p, first.Add(p.Within)).Count != 0 {
		t.Errorf("%d failures, %d after a day", n, failures.At(p, first.Add(p.Within)).Count)
	}
	d.is(d.begin(d.code(d.now)), authentication.Accepted, "")
}

// As many failures as lock do so within any day, not within the one that the first of them began.
func TestFailuresLockWithinAnyDay(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	d.policy.Token.IncorrectBeforeNTC = 0
	begin := d.now
	wrong := func(after time.Duration, n int) {
		d.now = begin.Add(after)
		for range n {
			d.begin("00000000")
		}
	}
	wrong(0, 1)
	wrong(23*time.Hour+30*time.Minute, 3)
	wrong(24*time.Hour, 1) // the fourth within a day
	if d.failures() != 4 {
		t.Errorf("%d failures", d.failures())
	}
	d.is(d.begin("00000000"), authentication.Denied, "") // the fifth
	d.is(d.begin(d.later(1)), authentication.Denied, "")
	if got := d.reasons(); !strings.HasSuffix(got, " "+authentication.UserLocked) {
		t.Error(got)
	}
	d.must(d.engine.Unlock(t.Context(), "alice"))
	wrong(48*time.Hour, 4)
	wrong(72*time.Hour, 4) // the day of the first four is over
	d.is(d.begin(d.later(1)), authentication.Accepted, "")
}

// A server of an earlier release, beside this one, begins counting anew and leaves the times: what it counts ends with its day all the same.
func TestFailuresThatAnEarlierReleaseBeganAnew(t *testing.T) {
	now := time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)
	var times []byte
	for range 3 {
		times = binary.BigEndian.AppendUint32(times, uint32(now.Add(-48*time.Hour).Unix()))
	}
	p := policy.Default().Lockout
	f := authentication.Failures{Count: 1, Since: now, Times: string(times)}
	if got := f.At(p, now.Add(p.Within)); got != (authentication.Failures{}) {
		t.Errorf("%+v", got)
	}
}
