package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
)

// What may have been used, or gone on, after a backup was taken is over once it is restored.
func TestRestoreSettles(t *testing.T) {
	path := deploytest.SQLite(t)
	db := deploytest.Open(t, path)
	populate(t, db, 5)
	execute(t, path,
		"INSERT INTO attempt (id, agent, user_id, turn, expires_at, key_id, sealed) VALUES ('a', 'x', 'alice', 1, 1, 1, x'00')",
		"INSERT INTO decision (request_key, expires_at, key_id, sealed) VALUES (x'01', 1, 1, x'00')",
		"INSERT INTO offer SELECT 'open', min(serial), 'alice', 'p', x'01', 1, 8, 60, 'none', '', 1, 2, 'x', 'open', 0, 0, 'c' FROM token",
		"UPDATE token SET (distribution, pending_until) = ('pending_activation', 5) WHERE serial = (SELECT min(serial) FROM token)",
		"UPDATE token SET (distribution, pending_until) = ('issued', 5) WHERE serial = (SELECT max(serial) FROM token)",
		"INSERT INTO seed_fingerprint SELECT x'01', min(serial), 2 FROM token UNION SELECT x'02', max(serial), 2 FROM token",
		"INSERT INTO token_generation SELECT g.serial, 2, 'pending', g.key_id, g.sealed, f.fingerprint, g.digits, g.interval_seconds, g.pin_type, g.made_at, f.fingerprint = x'02', "+
			"99999999999, 0, 0, NULL, g.version, g.live, '', NULL FROM token_generation AS g JOIN seed_fingerprint AS f ON f.serial = g.serial AND f.number = 2",
		"INSERT INTO offer SELECT 'used', max(serial), 'alice', 'p', x'02', 1, 8, 60, 'none', '', 1, 2, 'x', 'used', 0, 0, 'c' FROM token",
		"INSERT INTO exchange (id, offer_id, dialect, nonce, server_key_id, device_id, begun_at) VALUES (x'01', 'open', 'd', x'00', 'k', '', 1)",
		`UPDATE token SET lost_at = 1, emergency = '{"kind":"set","length":8,"until":"2030-01-01T00:00:00Z","codes":[]}' WHERE serial = (SELECT min(serial) FROM token)`,
		`UPDATE token SET lost_at = 1, emergency = '{"kind":"fixed","length":8,"until":"2030-01-01T00:00:00Z","codes":[]}' WHERE serial = (SELECT max(serial) FROM token)`,
		"UPDATE token_generation SET accepted = x'01', clock_offset = 7",
		"UPDATE token_generation SET last_interval = 99999999999 WHERE serial = (SELECT max(serial) FROM token) AND state = 'current'",
		"UPDATE policy SET settings = '{\"window_small\":3}' WHERE kind = 'token'",
		"INSERT INTO policy (kind, domain, settings, version) VALUES ('settings', '', '{\"result_life\":3600000000000}', 1) ON CONFLICT DO UPDATE SET settings = excluded.settings",
		"INSERT INTO job (id, name, kind, state, dry_run, rate, total, done, failed, message, actor, created_at) VALUES ('j', 'j', 'import', 'running', 0, 0, 1, 0, 0, '', '{}', 1)",
		"INSERT INTO job (id, name, kind, state, dry_run, rate, total, done, failed, message, actor, created_at, loading_until) VALUES ('l', 'l', 'import', 'loading', 0, 0, 1, 0, 0, '', '{}', 1, 1)",
		"INSERT INTO job_item (job_id, number, key, state, code, message) VALUES ('l', 1, 'x', 'waiting', '', '')",
		// A code by mail, the link to an open one, and what brings no code.
		"INSERT INTO mail_message (id, event, serial, generation, recipient, state, key_id, sealed, created_at, next_at, expires_at, tries, claimed_by, code, trouble) "+
			"SELECT m.column1, m.column2, CASE m.column3 WHEN 'open' THEN min(t.serial) ELSE max(t.serial) END, 1, 'x', m.column4, 1, x'00', 1, 1, 1, 0, '', 0, '' "+
			"FROM token AS t, (VALUES ('code', 'activation_code', 'open', 'waiting'), ('held code', 'activation_code', 'used', 'held'), ('link', 'distribution', 'open', 'unknown'), "+
			"('file', 'redistribution', 'used', 'waiting'), ('held', 'password', 'used', 'held')) AS m GROUP BY m.column1",
		"INSERT INTO job (id, name, kind, state, dry_run, rate, total, done, failed, message, actor, created_at) VALUES ('k', 'k', 'import', 'done', 0, 0, 0, 0, 0, '', '{}', 1)",
	)
	data := take(t, db)
	for name, target := range bare {
		t.Run(name, func(t *testing.T) {
			url := target(t)
			done, err := restore(t.Context(), url, data, takenAt)
			if err != nil {
				t.Fatal(err)
			}
			after := deploytest.Open(t, url)
			lapsed, err := after.Tokens(t.Context(), token.Filter{Distribution: token.ActivationLapsed})
			if err != nil {
				t.Fatal(err)
			}
			if len(lapsed) != 1 || !slices.Equal(done.Codes, []string{lapsed[0].Serial}) || done.Tokens != 4 {
				t.Fatalf("settled %+v; lapsed are %+v", done, lapsed)
			}
			// The seed before the code that was revoked stays. One that was delivered takes over, as before.
			waiting, err := after.Tokens(t.Context(), token.Filter{Waiting: true})
			if err != nil {
				t.Fatal(err)
			}
			if lapsed[0].Pending != nil || lapsed[0].Current.Number != 1 || len(waiting) != 1 || waiting[0].Pending == nil || !waiting[0].Pending.Delivered {
				t.Errorf("%+v lapsed and %+v wait", lapsed[0], waiting)
			}
			for _, table := range []string{"attempt", "decision", "exchange", "serial_range"} {
				if rows := rowsOf(t, after, table); len(rows) != 0 {
					t.Errorf("table %s: %v", table, rows)
				}
			}
			kinds := ""
			for _, r := range rowsOf(t, after, "token") {
				if text, is := r["emergency"].(string); is {
					kinds += text
				}
			}
			if strings.Contains(kinds, `"set"`) || !strings.Contains(kinds, `"fixed"`) {
				t.Errorf("emergency access %s", kinds)
			}
			guards := map[int64]int{}
			for _, r := range rowsOf(t, after, "token_generation") {
				guards[r["last_interval"].(int64)]++
				if r["accepted"] != nil {
					t.Error("an answer is remembered")
				}
			}
			// The time of the restore, by the token's clock, and the small window.
			if want := takenAt.Unix()/60 + 7 + 3; guards[want] != 4 || guards[99999999999] != 2 {
				t.Errorf("guards %v, want %d", guards, want)
			}
			states := map[any]any{}
			for _, table := range []string{"offer", "job"} {
				for _, r := range rowsOf(t, after, table) {
					states[r["id"]] = r["state"]
					if until := takenAt.Add(time.Hour).UnixMicro(); r["id"] == "j" && r["results_until"] != until {
						t.Errorf("what the job made stays until %v, want %d", r["results_until"], until)
					}
				}
			}
			for id, want := range map[string]string{"open": "revoked", "used": "used", "j": "cancelled", "k": "done"} {
				if states[id] != want {
					t.Errorf("%s is %v, want %s", id, states[id], want)
				}
			}
			bodies := ""
			for _, r := range rowsOf(t, after, "mail_message") {
				states[r["id"]] = r["state"]
				if r["sealed"] != nil {
					bodies += r["id"].(string) + " "
				}
			}
			for id, want := range map[string]string{"code": "cancelled", "held code": "cancelled", "link": "cancelled", "file": "unknown", "held": "held"} {
				if states[id] != want || (want != "cancelled") != strings.Contains(bodies, id+" ") {
					t.Errorf("mail with the %s is %v, want %s; there are bodies of %s", id, states[id], want, bodies)
				}
			}
			if items := rowsOf(t, after, "job_item"); states["l"] != nil || len(items) != 0 {
				t.Errorf("a job that was not stored to its end is %v, with %v", states["l"], items)
			}
		})
	}
}

// execute runs statements on the file of an embedded database.
func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, statement := range statements {
		if _, err := raw.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// A trial reaches nobody by itself; what is restored to go on does.
func TestTrialReachesNobody(t *testing.T) {
	path := deploytest.SQLite(t)
	db := deploytest.Open(t, path)
	populate(t, db, 3)
	execute(t, path,
		"INSERT INTO mail_settings VALUES (1, 1, 'h', 25, 'none', '', '', 0, 'f', '', 1, '[]', '[]', 1, '', NULL)",
		"INSERT INTO webhook VALUES ('w', 'u', 1, '', 1, x'00', '[]', '[]', 1, 1, 1, 1, 1, NULL, NULL, 0, '', 0, NULL, NULL, '', NULL)",
		"INSERT INTO directory (name, kind, settings, domain, every, next_at, claimed_until, last, created_at, version) VALUES ('d', 'ad', '{}', '', 60, 7, 0, '{}', 1, 1)",
	)
	data := take(t, db)
	for name, target := range bare {
		for _, trial := range []bool{true, false} {
			t.Run(fmt.Sprint(name, trial), func(t *testing.T) {
				url := target(t)
				if _, err := restore(t.Context(), url, data, takenAt, func(r *store.Restore) { r.Trial = trial }); err != nil {
					t.Fatal(err)
				}
				after := deploytest.Open(t, url)
				mail, err := after.MailSettings(t.Context())
				if err != nil || mail.Enabled == trial {
					t.Errorf("mail %v, %v", mail.Enabled, err)
				}
				hook, err := after.Webhook(t.Context(), "w")
				if err != nil || hook.Enabled == trial {
					t.Errorf("webhook %v, %v", hook.Enabled, err)
				}
				due, err := after.DueDirectories(t.Context(), takenAt, takenAt.AddDate(1, 0, 0))
				if err != nil || (len(due) == 0) != trial {
					t.Errorf("directories %v, %v", due, err)
				}
				if d, err := after.Directory(t.Context(), "d"); err != nil || (d.Every == 0) != trial {
					t.Errorf("a directory every %s, %v", d.Every, err)
				}
			})
		}
	}
}

// rowsOf are the rows of a table.
func rowsOf(t *testing.T, db *store.DB, table string) (all []map[string]any) {
	t.Helper()
	err := db.Snapshot(t.Context(), func(ctx context.Context, s backup.Snapshot) error {
		tables := s.Schema().Tables
		at := slices.IndexFunc(tables, func(x backup.Table) bool { return x.Name == table })
		return s.Rows(ctx, tables[at], func(values []any) error {
			named := map[string]any{}
			for i, c := range tables[at].Columns {
				named[c.Name] = values[i]
			}
			all = append(all, named)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
