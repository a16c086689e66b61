package clock_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/clock"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// A server is a guard with a clock that a test sets by its distance from the machine's.
type server struct {
	*clock.Guard
	ahead time.Duration
	log   bytes.Buffer
}

func newServer(t *testing.T, db *store.DB, name string) *server {
	t.Helper()
	s := &server{}
	s.Guard = &clock.Guard{Store: db, Server: name, Name: name, Now: func() time.Time { return time.Now().Add(s.ahead) }, Logger: slog.New(slog.NewTextHandler(&s.log, nil))}
	must(t, s.Begin(t.Context()))
	return s
}

func (s *server) trusts() bool { return s.Trust(s.Now().UTC()) == nil }

func open(t *testing.T) *store.DB {
	t.Helper()
	return deploytest.Open(t, deploytest.SQLite(t))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAClockThatGoesBackIsNotTrusted(t *testing.T) {
	g := clock.Guard{Logger: slog.New(slog.DiscardHandler)}
	start := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		at   time.Duration
		want bool
	}{
		{0, true}, {time.Minute, true}, {time.Minute - clock.Tolerance, true}, // a correction
		{time.Minute - clock.Tolerance - 1, false}, {time.Minute - 1, false}, // until it has caught up
		{time.Minute, true}, {time.Minute - 1, true},
	} {
		err := g.Trust(start.Add(c.at))
		if (err == nil) != c.want || err != nil && !errors.Is(err, fault.Unavailable) {
			t.Errorf("at %v: %v", c.at, err)
		}
	}
}

func TestARestartForgetsNothing(t *testing.T) {
	db := open(t)
	before := newServer(t, db, "one")
	must(t, before.Beat(t.Context()))
	after := newServer(t, db, "one")
	if !after.trusts() {
		t.Error("the clock is not trusted although it went on")
	}
	after = newServer(t, db, "one")
	after.ahead = -time.Hour
	if after.trusts() {
		t.Error("the clock is trusted although it went back while the server was down")
	}
}

// The ID stays while the name changes; where there was none, in older releases, the name stands for it; and of a server that is alone, any reading is its own.
func TestARestartUnderAnotherNameForgetsNothing(t *testing.T) {
	for name, next := range map[string]*clock.Guard{
		"renamed": {Server: "old", Name: "new"}, "of an older release": {Server: "id", Name: "old"}, "without its ID": {Server: "id", Name: "the host"}, "alone": {Server: "id", Name: "new", Alone: true},
	} {
		db := open(t)
		old := newServer(t, db, "old")
		if name == "without its ID" {
			old.Name = "the host"
		}
		must(t, old.Beat(t.Context()))
		must(t, old.Confirm(t.Context())) // a count that the next one has not
		next.Store, next.Now, next.Logger = db, func() time.Time { return time.Now().Add(-time.Hour) }, slog.New(slog.DiscardHandler)
		must(t, next.Begin(t.Context()))
		for range 2 {
			must(t, next.Beat(t.Context()))
			if next.Trust(next.Now().UTC()) == nil {
				t.Errorf("%s: the clock is trusted although it went back", name)
			}
		}
		must(t, next.Confirm(t.Context()))
		again := &clock.Guard{Store: db, Server: next.Server, Name: next.Name, Alone: next.Alone, Now: next.Now, Logger: next.Logger}
		must(t, again.Begin(t.Context()))
		if err := again.Trust(again.Now().UTC()); err != nil {
			t.Errorf("%s: what was confirmed is forgotten at the next start: %v", name, err)
		}
	}
	db := open(t)
	for id, ahead := range map[string]time.Duration{"a": 0, "b": -time.Hour} {
		must(t, db.KeepReading(t.Context(), clock.Reading{Server: id, Name: id, Latest: time.Now().Add(ahead), At: time.Now()}))
	}
	alone := clock.Guard{Store: db, Server: "c", Name: "c", Alone: true, Logger: slog.New(slog.DiscardHandler)}
	must(t, alone.Begin(t.Context()))
	if alone.Trust(time.Now().Add(-time.Minute)) == nil {
		t.Error("of several readings that are its own, the latest is forgotten")
	}
	db = open(t)
	must(t, newServer(t, db, "other").Beat(t.Context()))
	stranger := newServer(t, db, "new")
	if stranger.ahead = -time.Hour; !stranger.trusts() {
		t.Error("the clock of another server is taken for one's own")
	}
}

// A confirmation is heard of at the next start by a server that was down, or killed before its next beat, and by the one that takes its place.
func TestAConfirmationReachesAServerThatIsDown(t *testing.T) {
	for name, change := range map[string]func(*server){
		"started again": func(*server) {}, "without its ID": func(s *server) { s.Server = "id" }, "alone": func(s *server) { s.Server, s.Name, s.Alone = "id", "new", true },
	} {
		db := open(t)
		must(t, newServer(t, db, "down").Beat(t.Context()))
		again, other := newServer(t, db, "down"), newServer(t, db, "other")
		again.ahead, other.ahead = -time.Hour, -time.Hour
		must(t, other.Confirm(t.Context()))
		again.Guard = &clock.Guard{Store: db, Server: "down", Name: "down", Now: again.Now, Logger: again.Logger}
		change(again)
		must(t, again.Begin(t.Context()))
		must(t, again.Beat(t.Context()))
		if !again.trusts() {
			t.Errorf("%s: the confirmation is lost", name)
		}
		if again.ahead -= time.Minute; again.trusts() {
			t.Errorf("%s: one confirmation serves twice", name)
		}
	}
}

func TestAConfirmationReachesEveryServer(t *testing.T) {
	db := open(t)
	one, two := newServer(t, db, "one"), newServer(t, db, "two")
	for _, s := range []*server{one, two} {
		must(t, s.Beat(t.Context()))
		s.ahead = -time.Hour
		if s.trusts() {
			t.Fatal("a clock that went back is trusted")
		}
	}
	must(t, one.Confirm(t.Context()))
	if !one.trusts() {
		t.Error("not trusted after the confirmation")
	}
	if two.trusts() {
		t.Error("trusted before it heard of the confirmation")
	}
	must(t, two.Beat(t.Context()))
	if !two.trusts() {
		t.Error("not trusted after it heard of the confirmation")
	}
	one.ahead -= time.Minute
	if one.trusts() {
		t.Error("one confirmation serves twice")
	}
	must(t, one.Beat(t.Context()))
	if one.trusts() {
		t.Error("one confirmation serves twice")
	}
	must(t, one.Beat(t.Context()))
	events, err := db.Events(t.Context(), audit.Filter{Action: "clock.back"})
	must(t, err)
	var alarms []string
	for _, e := range events.Entries { // each time once
		alarm, err := audit.ParseRecord(e.Record)
		must(t, err)
		if alarms = append(alarms, alarm.Object); strings.HasPrefix(fmt.Sprint(alarm.Details["behind_seconds"]), "-") {
			t.Errorf("an alarm about a clock that went on: %v", alarm.Details)
		}
	}
	if slices.Sort(alarms); !slices.Equal(alarms, []string{"server:one", "server:one", "server:two"}) {
		t.Errorf("alarms %q", alarms)
	}
	if events, err = db.Events(t.Context(), audit.Filter{Action: "clock.confirm"}); err != nil || len(events.Entries) != 1 {
		t.Errorf("%d confirmations are recorded, %v", len(events.Entries), err)
	}
	if again := newServer(t, db, "two"); !func() bool { again.ahead = two.ahead; return again.trusts() }() {
		t.Error("a restart forgets the confirmation")
	}
	state, err := one.State(t.Context())
	must(t, err)
	if state.Trusted || state.Behind <= 0 || state.Behind > time.Minute { // it has gone on since
		t.Errorf("state %+v", state)
	}
}

// Section 10.2: servers on one database agree within 10 seconds, or raise an alarm.
func TestClocksThatDifferRaiseAnAlarmOnce(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { differ(t, open(t)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		db, err := store.Open(t.Context(), store.Options{URL: storetest.Postgres(t)})
		must(t, err)
		t.Cleanup(func() { db.Close() })
		differ(t, db)
	})
}

func differ(t *testing.T, db *store.DB) {
	one, two := newServer(t, db, "one"), newServer(t, db, "two")
	must(t, db.KeepReading(t.Context(), clock.Reading{Server: "gone", Name: "gone", Latest: time.Now(), Ahead: time.Hour, At: time.Now().Add(-2 * time.Minute)}))
	two.ahead = 5 * time.Second // a slow look of this machine comes on top
	for _, s := range []*server{one, two, one, two} {
		must(t, s.Beat(t.Context()))
	}
	if one.Skew() < time.Second || one.Skew() > clock.MaxSkew || strings.Contains(one.log.String()+two.log.String(), "too far apart") {
		t.Errorf("an alarm without reason: %v", one.Skew())
	}
	two.ahead = 11 * time.Second
	for _, s := range []*server{two, one, two, one} {
		must(t, s.Beat(t.Context()))
		if n := strings.Count(s.log.String(), "too far apart"); n != 1 || s.Skew() < clock.MaxSkew {
			t.Errorf("%s: %d alarms, skew %v", s.Server, n, s.Skew())
		}
	}
	state, err := one.State(t.Context())
	must(t, err)
	if state.Skew < clock.MaxSkew || len(state.Servers) != 2 {
		t.Errorf("state %+v", state)
	}
	events, err := db.Events(t.Context(), audit.Filter{Action: "clock.skew"})
	must(t, err)
	if len(events.Entries) != 2 {
		t.Errorf("%d events", len(events.Entries))
	}
	two.ahead = 0
	must(t, one.Confirm(t.Context())) // two's clock went back
	for _, s := range []*server{two, one} {
		must(t, s.Beat(t.Context()))
		if s.Skew() > clock.MaxSkew {
			t.Errorf("%s: still apart by %v", s.Server, s.Skew())
		}
	}
}
