package server_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
)

// signedLongAgo makes the database of a server with events that were signed when they were recorded, in order.
func signedLongAgo(t *testing.T, data string, events []audit.Event) {
	ctx, key := t.Context(), filepath.Join(data, "master.key")
	db, err := store.Open(ctx, store.Options{URL: filepath.Join(data, "tallystick.db")})
	defer must(t, db, err).Close()
	if err := seed.MakeMasterFile(key); err != nil {
		t.Fatal(err)
	}
	master, err := seed.MasterFromFile(key)
	keys, err := seed.OpenKeyring(ctx, must(t, master, err), db, func() time.Time { return events[0].At })
	pair, err := must(t, keys, err).Secret(ctx, "audit-signer", func() ([]byte, error) {
		skey, vkey, err := audit.GenerateKey("tallystick/audit")
		return []byte(skey + "\n" + vkey), err
	})
	skey, vkey, _ := strings.Cut(string(must(t, pair, err)), "\n")
	signer, err := note.NewSigner(skey)
	must(t, signer, err)
	verifier, err := note.NewVerifier(vkey)
	must(t, verifier, err)
	l := &audit.Log{Store: db, Signer: signer, Verifier: verifier, Logger: slog.New(slog.DiscardHandler)}
	for some := range slices.Chunk(events, 10) {
		if err := db.RecordAll(ctx, some); err != nil {
			t.Fatal(err)
		}
		l.Now = func() time.Time { return some[0].At }
		n, err := l.Sequence(ctx)
		must(t, n, err)
	}
}

// What the settings say goes from the audit log of a running server, and its proof holds.
func TestOldEventsArePruned(t *testing.T) {
	data := folder(t)
	var old []audit.Event
	for day := 200; day > 100; day-- {
		for _, action := range []string{"authn.success", "token.label"} {
			old = append(old, audit.New(audit.WithActor(t.Context(), audit.Actor{Name: "key:root"}), time.Now().AddDate(0, 0, -day), action, fmt.Sprintf("user:u%d", day), nil))
		}
	}
	yesterday := audit.New(t.Context(), time.Now().AddDate(0, 0, -1), "job.end", "job:1", nil) // under a clock that is right
	signedLongAgo(t, data, append(old, yesterday))

	p := start(t, data)
	days := 150
	set, err := p.admin().EditSettings(t.Context(), 0, client.SettingsEdit{AuditAuthenticationDays: &days})
	must(t, set, err)
	poll(t, "the events to have their places", func() bool {
		n, err := p.admin().AuditPending(t.Context())
		return must(t, n, err) == 0
	})
	p.terminate()
	p.exit()

	p = start(t, data)
	count := func(action string) int {
		page, err := p.admin().AuditEvents(t.Context(), client.EventFilter{Action: action})
		return len(must(t, page, err).Events)
	}
	poll(t, "old sign-ins to go", func() bool { return count("authn.*") < 100 })
	if signIns, labels := count("authn.*"), count("token.label"); signIns < 49 || signIns > 50 || labels != 100 {
		t.Errorf("%d sign-ins and %d labels are left", signIns, labels)
	}
	r := run(t.Context(), t, nil, "", "tallystick", "audit", "verify", "--data", data)
	if r.status != 0 || !strings.Contains(r.stdout, "of them pruned: authentication after 150 days)") {
		t.Errorf("status %d: %s", r.status, r.both())
	}
	if n := strings.Count(p.said(), "level=ERROR"); n != 0 {
		t.Errorf("%d errors", n)
	}
}
