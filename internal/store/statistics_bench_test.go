package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/report"
	"github.com/tallystick/tallystick/internal/seed"
)

// million are the tokens of BenchmarkStatistics.
const million = 1_000_000

// fillMillion stores as many tokens as a large deployment has after years: four in five assigned, last days all over five years, PINs and
// activation codes of all ages, and some in every state that statistics know.
func fillMillion(b *testing.B, db *DB) {
	b.Helper()
	ctx := b.Context()
	if err := db.AddDataKey(ctx, seed.DataKey{ID: 1, MasterID: "m", Wrapped: []byte{1}, CreatedAt: benchTime}); err != nil {
		b.Fatal(err)
	}
	day := int64(24 * time.Hour / time.Microsecond)
	today := benchTime.Truncate(24 * time.Hour).UnixMicro()
	series := fmt.Sprintf("WITH RECURSIVE numbers (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i < %d) ", million-1)
	for _, fill := range []string{
		"INSERT INTO user_account (id, name, mail, enabled, created_at, version, search) " + series +
			"SELECT 'u' || CAST(i AS TEXT), '', '', i >= 0, 0, 1, '' FROM numbers WHERE i % 5 > 0",
		"INSERT INTO user_guard (user_id, own_locked_at) " + series +
			fmt.Sprintf("SELECT 'u' || CAST(i AS TEXT), CASE WHEN i %% 500 = 1 THEN %d END FROM numbers WHERE i %% 5 > 0", today),
		"INSERT INTO token (serial, origin, expiry, effective_expiry, user_id, assigned_by, enabled, pin_hash, pin_length, pin_set_at, last_number, tainted, " +
			"distribution, method, device_id, nickname, issue_count, created_at, version, search, lost_at, replaces) " + series +
			fmt.Sprintf("SELECT SUBSTR(CAST(100000000000 + i AS TEXT), 1), 'generated', %[1]d + (i %% 1825) * %[2]d, %[1]d + (i %% 1825 - 100) * %[2]d, "+
				"CASE WHEN i %% 5 > 0 THEN 'u' || CAST(i AS TEXT) END, '', i %% 5 > 0, "+
				"CASE WHEN i %% 5 > 1 THEN %[3]s END, 4, CASE WHEN i %% 5 > 1 THEN %[1]d - (i %% 700) * %[2]d + i END, 1, i < 0, "+
				"CASE WHEN i %% 5 = 0 THEN 'not_distributed' WHEN i %% 5 = 1 THEN 'pending_activation' WHEN i %% 50 = 2 THEN 'issued' ELSE 'confirmed' END, "+
				"'', '', '', CASE WHEN i %% 5 > 0 THEN 1 + i / 7 %% 3 ELSE 0 END, 0, 1, '', CASE WHEN i %% 300 = 3 THEN %[1]d END, '' FROM numbers", today, day, blobOne(db)),
		"INSERT INTO seed_fingerprint (fingerprint, serial, number) SELECT " + blobOf(db, "serial") + ", serial, 1 FROM token",
		"INSERT INTO token_generation (serial, number, state, key_id, sealed, fingerprint, digits, interval_seconds, pin_type, made_at, delivered, last_interval, " +
			"clock_offset, bad_passcodes, version, live) SELECT serial, 1, 'current', 1, " + blobOne(db) + ", " + blobOf(db, "serial") +
			", 8, 60, 'pinpad', 0, enabled, 0, 0, CASE WHEN serial LIKE '%777' THEN 4 ELSE 0 END, 1, enabled FROM token",
		"INSERT INTO offer (id, serial, user_id, profile, code_hash, generation, digits, interval_seconds, pin_type, device_id, created_at, expires_at, issued_by, state, " +
			"failures, abandoned, correlation) SELECT serial, serial, user_id, '', " + blobOf(db, "serial") + fmt.Sprintf(", 1, 8, 60, 'pinpad', '', 0, "+
			"%d + CAST(SUBSTR(serial, 8) AS BIGINT) * 1000000, '', 'open', 0, 0, '' FROM token WHERE distribution = 'pending_activation'", benchTime.UnixMicro()),
	} {
		if _, err := db.exec(ctx, fill); err != nil {
			b.Fatal(fill, err)
		}
	}
	if err := db.FoldTallies(ctx); err != nil {
		b.Fatal(err)
	}
	if e, is := db.engine.(postgresEngine); is { // as it does by itself after a while
		if _, err := e.pool.Exec(ctx, "VACUUM ANALYZE"); err != nil {
			b.Fatal(err)
		}
	}
}

// blobOne is a value of bytes, and blobOf the bytes of a text, in the words of the database.
func blobOne(db *DB) string {
	if _, is := db.engine.(*sqliteEngine); is {
		return "x'01'"
	}
	return `'\x01'::bytea`
}

func blobOf(db *DB, text string) string {
	if _, is := db.engine.(*sqliteEngine); is {
		return "CAST(" + text + " AS BLOB)"
	}
	return "convert_to(" + text + ", 'UTF8')"
}

// BenchmarkStatistics reads all statistics of a million tokens, with policies under which PINs and locks get old.
func BenchmarkStatistics(b *testing.B) {
	p := policy.Default()
	p.Token.PINMaxLife, p.Lockout.UnlockAfter = 365*24*time.Hour, 24*time.Hour
	q := report.NewQuestion(benchTime, policy.Alone(p), 90)
	q.IssueLimit = 2
	for name, url := range databases {
		b.Run(name, func(b *testing.B) {
			db := opened(b, url(b))
			fillMillion(b, db)
			b.ResetTimer()
			var s report.Statistics
			for range b.N {
				var err error
				if s, err = db.Statistics(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
			if s.Total != million || s.Expiring == 0 || s.NewPIN == 0 || s.NextTokencode == 0 || s.LockedUsers == 0 || s.PendingActivations == 0 || s.OverLimit == 0 {
				b.Fatalf("%+v", s)
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/look")
		})
	}
}
