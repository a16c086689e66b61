package server_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/store"
)

// What the settings say goes from the audit log of a running server, and its proof holds.
func TestOldEventsArePruned(t *testing.T) {
	data := folder(t)
	db, err := store.Open(t.Context(), store.Options{URL: filepath.Join(data, "tallystick.db")})
	must(t, db, err)
	var old []audit.Event
	for day := 200; day > 100; day-- {
		for _, action := range []string{"authn.success", "token.label"} {
			old = append(old, audit.New(audit.WithActor(t.Context(), audit.Actor{Name: "key:root"}), time.Now().AddDate(0, 0, -day), action, fmt.Sprintf("user:u%d", day), nil))
		}
	}
	if err := db.RecordAll(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

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
	if r.status != 0 || !strings.Contains(r.stdout, "of them pruned, as the settings said)") {
		t.Errorf("status %d: %s", r.status, r.both())
	}
	if n := strings.Count(p.said(), "level=ERROR"); n != 0 {
		t.Errorf("%d errors", n)
	}
}
