package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Audit(t, func(*testing.T) storetest.AuditStore { return &memory{} })
}

func record(t testing.TB, m *memory, n int) {
	t.Helper()
	for range n {
		if err := m.Record(t.Context(), audit.New(t.Context(), time.Unix(0, 0), "token.enable", "token:1", nil)); err != nil {
			t.Fatal(err)
		}
	}
}

func sequence(t testing.TB, l *audit.Log, want int) {
	t.Helper()
	if n, err := l.Sequence(t.Context()); n != want || err != nil {
		t.Fatalf("placed %d, %v, want %d", n, err, want)
	}
}

// outside reads the file of checkpoints and verifies the log against it.
func outside(t *testing.T, m *memory, l *audit.Log) (sizes []int64, r audit.Report) {
	t.Helper()
	file, err := os.ReadFile(l.Outside)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := audit.ParseCheckpoints(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range kept {
		sizes = append(sizes, c.Size)
	}
	if r, err = audit.Verify(t.Context(), m, l.Verifier, kept); err != nil {
		t.Fatal(err)
	}
	return sizes, r
}

func TestAnyLogWithAnyTamperingIsFound(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &memory{}
		l := storetest.NewLog(t, m, "")
		for _, n := range rapid.SliceOfN(rapid.IntRange(1, 9), 1, 6).Draw(r, "batches") {
			record(t, m, n)
			sequence(t, l, n)
		}
		report, err := audit.Verify(t.Context(), m, l.Verifier, nil)
		if err != nil || report.Err() != nil {
			r.Fatalf("untouched: %v, %v", err, report.Problems)
		}
		storetest.Tamper(r, storetest.CopyLog(t, m).Clone(), l.Verifier)(r)
	})
}

// The root of eight known leaves, after the test data of RFC 6962 logs
// (certificate-transparency's merkle_tree_test).
func TestRootIsThatOfCertificateTransparency(t *testing.T) {
	m := &memory{}
	l := storetest.NewLog(t, m, "")
	for i, hexed := range []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"} {
		var b []byte
		fmt.Sscanf(hexed, "%x", &b)
		m.pending = append(m.pending, audit.Batch{ID: uuid.UUID{byte(i)}, Lines: b})
	}
	sequence(t, l, 8)
	c, _ := m.LastCheckpoint(t.Context())
	h, err := c.Open(l.Verifier)
	if err != nil || fmt.Sprintf("%x", h.Hash[:]) != "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" {
		t.Errorf("root %x, %v", h.Hash[:], err)
	}
}

func TestLogOfManyPages(t *testing.T) {
	const n = 50_000
	m := &memory{}
	l := storetest.NewLog(t, m, "")
	record(t, m, n)
	for range n / audit.MaxRound {
		sequence(t, l, audit.MaxRound)
	}
	sequence(t, l, n%audit.MaxRound)
	if r, err := audit.Verify(t.Context(), m, l.Verifier, nil); err != nil || r.Err() != nil || r.Events != n || r.Checkpoints != n/audit.MaxRound+1 {
		t.Errorf("%+v, %v", r, err)
	}
	heads := len(m.heads)
	for range audit.MaxPage { // signed heads come in pages, too
		record(t, m, 1)
		sequence(t, l, 1)
	}
	if r, err := audit.Verify(t.Context(), m, l.Verifier, nil); err != nil || r.Err() != nil || r.Checkpoints != heads+audit.MaxPage {
		t.Errorf("%d signed heads, want %d; %v, %v", r.Checkpoints, heads+audit.MaxPage, r.Err(), err)
	}
	for i := range m.entries {
		m.entries[i].Record = []byte("{}") // no report is endless
	}
	if r, err := audit.Verify(t.Context(), m, l.Verifier, nil); err != nil || len(r.Problems) != 1000 || r.Omitted != n+audit.MaxPage-1000 {
		t.Errorf("%d problems and %d more, %v", len(r.Problems), r.Omitted, err)
	}
}

func TestCheckpointIsASignedNote(t *testing.T) {
	m := &memory{}
	l := storetest.NewLog(t, m, "")
	record(t, m, 1)
	sequence(t, l, 1)
	c, err := m.LastCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("test.example/audit\n1\n%s\ntime 2026-01-02T03:04:05Z\n\n— test.example/audit ", m.entries[0].Leaf)
	if !strings.HasPrefix(string(c.Signed), want) {
		t.Errorf("got %s\nwant %s...", c.Signed, want)
	}
	for name, text := range map[string]string{
		"of another log": "other.example\n1\n" + m.entries[0].Leaf.String() + "\n",
		"without a root": "test.example/audit\n1\nroot\n",
		"of size 01":     "test.example/audit\n01\n" + m.entries[0].Leaf.String() + "\n",
		"of size -1":     "test.example/audit\n-1\n" + m.entries[0].Leaf.String() + "\n",
		"too short":      "test.example/audit\n1\n",
		"at no time":     "test.example/audit\n1\n" + m.entries[0].Leaf.String() + "\ntime now\n",
	} {
		signed, err := note.Sign(&note.Note{Text: text}, l.Signer)
		if err != nil {
			t.Fatal(err)
		}
		if h, err := (audit.Checkpoint{Size: 1, Signed: signed}).Open(l.Verifier); fault.CodeOf(err) == "" {
			t.Errorf("a checkpoint %s is taken as %+v, %v", name, h, err)
		}
	}
	if _, _, err := audit.GenerateKey("two words"); !errors.Is(err, fault.Invalid) {
		t.Errorf("an origin with a space: %v", err)
	}
}

func TestForksAreFound(t *testing.T) {
	a := &memory{}
	l := storetest.NewLog(t, a, "")
	record(t, a, 3)
	sequence(t, l, 3)
	b := &memory{tables: a.tables} // a copy of the whole database, in use beside the first
	twin := &audit.Log{Store: b, Signer: l.Signer, Verifier: l.Verifier, Now: l.Now, Logger: l.Logger}
	for _, side := range []struct {
		m *memory
		l *audit.Log
		n []int
	}{{a, l, []int{2, 4}}, {b, twin, []int{1, 1}}} {
		for _, n := range side.n {
			record(t, side.m, n)
			sequence(t, side.l, n)
		}
	}
	r, err := audit.Verify(t.Context(), a, l.Verifier, b.heads) // sizes 3, 5, 9 and 3, 4, 5
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range r.Problems {
		got = append(got, fmt.Sprint(p.Kind, p.First))
	}
	if fmt.Sprint(got) != "[fork4 fork5]" || r.Size != 9 || r.Checkpoints != 3 {
		t.Errorf("problems %v, report %+v", got, r)
	}
}

func TestCheckpointsAreKeptOutside(t *testing.T) {
	m := &memory{}
	dir := filepath.Join(t.TempDir(), "elsewhere")
	l := storetest.NewLog(t, m, filepath.Join(dir, "checkpoints"))
	record(t, m, 2)
	if n, err := l.Sequence(t.Context()); n != 2 || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("placed %d with nowhere to keep the checkpoint, %v", n, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	sequence(t, l, 0) // nothing new, but the checkpoint is made up for
	record(t, m, 1)
	sequence(t, l, 1)
	if sizes, r := outside(t, m, l); fmt.Sprint(sizes) != "[2 3]" || r.Err() != nil {
		t.Errorf("kept %v, %v", sizes, r.Err())
	}
}

func TestCrashBeforeTheCheckpointIsOutside(t *testing.T) {
	m := &memory{}
	path := filepath.Join(t.TempDir(), "checkpoints")
	l := storetest.NewLog(t, m, path)
	record(t, m, 2)
	sequence(t, l, 2)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	record(t, m, 3)
	sequence(t, l, 3)
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for crash := len(before); crash <= len(after); crash++ { // in the middle of the append, wherever
		if err := os.WriteFile(path, after[:crash], 0o600); err != nil {
			t.Fatal(err)
		}
		restarted := &audit.Log{Store: m, Signer: l.Signer, Verifier: l.Verifier, Outside: path, Now: l.Now, Logger: l.Logger}
		sequence(t, restarted, 0)
		sizes, r := outside(t, m, restarted)
		if sizes[0] != 2 || sizes[len(sizes)-1] != 5 || r.Err() != nil || r.Checkpoints != 2 {
			t.Fatalf("crash after %d bytes: kept %v, %v", crash, sizes, r.Err())
		}
	}
}

func TestOlderDatabaseIsRefused(t *testing.T) {
	m := &memory{}
	l := storetest.NewLog(t, m, filepath.Join(t.TempDir(), "checkpoints"))
	record(t, m, 2)
	sequence(t, l, 2)
	backup := m.tables
	record(t, m, 2)
	sequence(t, l, 2)
	m.tables = backup
	record(t, m, 1)
	restarted := &audit.Log{Store: m, Signer: l.Signer, Verifier: l.Verifier, Outside: l.Outside, Now: l.Now, Logger: l.Logger}
	for _, server := range []*audit.Log{l, restarted, restarted} {
		if n, err := server.Sequence(t.Context()); n != 0 || !errors.Is(err, fault.AuditTampered) || !strings.Contains(err.Error(), l.Outside) {
			t.Errorf("placed %d, %v", n, err)
		}
	}
	if _, r := outside(t, m, l); len(r.Problems) != 1 || r.Problems[0].Kind != audit.CutOff || r.Problems[0].First != 2 || r.Problems[0].Last != 3 {
		t.Errorf("problems %v", r.Problems)
	}

	if err := os.Rename(l.Outside, l.Outside+".old"); err != nil { // the way out that the refusal names
		t.Fatal(err)
	}
	restored := &audit.Log{Store: m, Signer: l.Signer, Verifier: l.Verifier, Outside: l.Outside, Now: l.Now, Logger: l.Logger}
	sequence(t, restored, 1)
}

func TestRewrittenPastIsNotSigned(t *testing.T) {
	for name, tamper := range map[string]func(*memory){
		"events without a checkpoint": func(m *memory) { m.entries = append(m.entries, audit.Entry{Seq: 3}) },
		"events cut off":              func(m *memory) { m.entries = m.entries[:2] },
		"checkpoints gone":            func(m *memory) { m.heads = nil },
		"newest checkpoint gone":      func(m *memory) { m.heads = m.heads[:1] },
		"a hash changed":              func(m *memory) { m.tiles[audit.TileAt{}][2*tlog.HashSize] ^= 1 },
		"hashes gone":                 func(m *memory) { m.tiles[audit.TileAt{}] = m.tiles[audit.TileAt{}][:tlog.HashSize] },
		"a checkpoint changed":        func(m *memory) { m.heads[1].Signed[1] ^= 1 },
	} {
		m := &memory{}
		l := storetest.NewLog(t, m, "")
		record(t, m, 1)
		sequence(t, l, 1)
		record(t, m, 2)
		sequence(t, l, 2)
		tamper(m)
		record(t, m, 1)
		fresh := &audit.Log{Store: m, Signer: l.Signer, Verifier: l.Verifier, Now: l.Now, Logger: l.Logger}
		for _, server := range []*audit.Log{l, fresh, fresh} {
			if n, err := server.Sequence(t.Context()); n != 0 || !errors.Is(err, fault.AuditTampered) {
				t.Errorf("%s: placed %d, %v", name, n, err)
			}
		}
	}
}

func TestAnotherServerAtWorkIsNoError(t *testing.T) {
	m := &memory{busy: true}
	l := storetest.NewLog(t, m, "")
	record(t, m, 1)
	sequence(t, l, 0)
	m.busy = false
	sequence(t, l, 1)
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		var logged deploytest.Log
		l := storetest.NewLog(t, m, "")
		l.Logger, l.Now = slog.New(slog.NewTextHandler(&logged, nil)), time.Now
		size := func() int64 { n, _ := m.Size(t.Context()); return n }
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.Run(ctx); close(done) }()
		synctest.Wait()

		record(t, m, 2500) // more than one round takes
		time.Sleep(time.Second)
		synctest.Wait()
		if size() != 2500 {
			t.Errorf("%d events placed after a second", size())
		}
		flip := func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.tiles[audit.TileAt{Number: 9}][0] ^= 1 // which grows: 2500 is 9 * 256 and some
		}
		flip()
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if n := strings.Count(logged.String(), "level=ERROR"); n != 2 || !strings.Contains(logged.String(), string(fault.AuditTampered)) {
			t.Errorf("%d errors logged in 90 s, want one at once and one a minute later: %s", n, logged.String())
		}
		flip()
		time.Sleep(time.Second)
		synctest.Wait()
		record(t, m, 1)
		stop()
		<-done
		if size() != 2501 {
			t.Errorf("%d events placed at the end", size())
		}
	})
}

func TestRecordIsTheSameAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := audit.Event{
			ID: rapid.String().Draw(t, "id"), At: time.Unix(rapid.Int64Range(0, 1<<35).Draw(t, "s"), 5).In(time.FixedZone("", 3600)),
			Actor: audit.Actor{Name: rapid.String().Draw(t, "actor")}, Object: rapid.String().Draw(t, "object"),
			Details: audit.Details{rapid.String().Draw(t, "name"): rapid.Int64().Draw(t, "value"), "f": rapid.Float64().Draw(t, "f"), "s": rapid.String().Draw(t, "s")},
		}
		first, err := e.Record()
		if err != nil {
			t.Fatal(err)
		}
		back, err := audit.ParseRecord(first)
		if err != nil || !back.At.Equal(e.At) || back.At.Location() != time.UTC {
			t.Fatalf("%v, %v", back, err)
		}
		if again, err := back.Record(); err != nil || !bytes.Equal(first, again) {
			t.Fatalf("%s, %v, want %s", again, err, first)
		}
	})
	for _, bad := range []string{"", "{", "[]", "{} {}"} {
		if _, err := audit.ParseRecord([]byte(bad)); err == nil {
			t.Errorf("%q is an event", bad)
		}
	}
}

// FuzzParseCheckpoints: no file makes the reader panic, and each checkpoint it
// finds is found again when it stands alone.
func FuzzParseCheckpoints(f *testing.F) {
	m := &memory{}
	l := storetest.NewLog(f, m, "")
	record(f, m, 1)
	sequence(f, l, 1)
	signed := m.heads[0].Signed
	f.Add(signed)
	f.Add(append(append(bytes.Clone(signed), '\n'), signed...))
	f.Add(append(signed[:40:40], signed...))
	f.Add([]byte("\n\n— \n\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		found, err := audit.ParseCheckpoints(file)
		if (err == nil) != (len(found) > 0) {
			t.Fatalf("%d checkpoints, %v", len(found), err)
		}
		for _, c := range found {
			again, err := audit.ParseCheckpoints(c.Signed)
			if err != nil || len(again) != 1 || !bytes.Equal(again[0].Signed, c.Signed) {
				t.Fatalf("%q alone: %v, %v", c.Signed, again, err)
			}
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	ctx := audit.WithCorrelation(audit.WithActor(b.Context(), audit.Actor{Name: "radius:vpn-gateway", Client: "192.0.2.17"}), "01994c1e-7a2b-7c3d-8e4f-5a6b7c8d9e0f")
	e := audit.New(ctx, time.Unix(1e9, 1e6), "authn.success", "user:alice", audit.Details{"token": "000123456789", "method": "securid", "offset": 1})
	for name, record := range map[string]func() ([]byte, error){"ours": e.Record, "encoding/json": func() ([]byte, error) { return json.Marshal(e) }} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := record(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	const n = 100_000
	m := &memory{}
	l := storetest.NewLog(b, m, "")
	record(b, m, n)
	for n := 1; n > 0; {
		var err error
		if n, err = l.Sequence(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if r, err := audit.Verify(b.Context(), m, l.Verifier, nil); err != nil || r.Err() != nil {
			b.Fatal(err, r.Err())
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// A log takes events beside the work; whoever has its public key verifies it.
func ExampleVerify() {
	skey, vkey, _ := audit.GenerateKey("tallystick.example.com/audit")
	signer, _ := note.NewSigner(skey)
	verifier, _ := note.NewVerifier(vkey)
	store := &memory{}
	l := &audit.Log{Store: store, Signer: signer, Verifier: verifier, Now: time.Now, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}

	ctx := audit.WithActor(context.Background(), audit.Actor{Name: "key:helpdesk-1"})
	for _, serial := range []string{"000000000017", "000000000025"} {
		_ = store.Record(ctx, audit.New(ctx, time.Now(), "token.enable", "token:"+serial, nil))
	}
	placed, _ := l.Sequence(ctx)
	fmt.Println(placed, "events placed")

	store.entries[1].Record = bytes.Replace(store.entries[1].Record, []byte("helpdesk-1"), []byte("helpdesk-2"), 1)
	report, _ := audit.Verify(ctx, store, verifier, nil)
	fmt.Println(report.Err())
	// Output:
	// 2 events placed
	// the event at 1 was changed
}
