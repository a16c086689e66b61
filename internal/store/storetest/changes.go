package storetest

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/tallystick/tallystick/internal/audit"
)

// Readers that begin anywhere, with pages of any size, see each event that has a place once, in order, and those that were added
// meanwhile.
func changesAreRead(t *testing.T, s AuditStore) {
	l := NewLog(t, s, "")
	n := 0
	record := func(batches, each int) {
		for range batches {
			var events []audit.Event
			for range each {
				events = append(events, audit.New(t.Context(), auditStart, "token.enable", fmt.Sprintf("token:%d", n), nil))
				n++
			}
			if err := s.Transact(t.Context(), func(ctx context.Context) error { return s.RecordAll(ctx, events) }); err != nil {
				t.Fatal(err)
			}
		}
		for sequence(t, l) > 0 {
		}
	}
	record(20, 7)
	record(1, 256)
	record(60, 1)
	want := func(record []byte) bool { return !bytes.HasSuffix(audit.ObjectOf(record), []byte("3")) }
	for begin, limit := range map[int]int{-1: 1, 3: 7, 6: 1000, 7: 64, 139: 3, 395: 1000, 455: 10} {
		grown := false
		for seq := begin; ; {
			found, last, err := s.Changes(t.Context(), int64(seq), want, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range found {
				if seq++; seq%10 == 3 {
					seq++
				}
				if object := string(audit.ObjectOf(e.Record)); int(e.Seq) != seq || object != fmt.Sprintf("token:%d", seq) {
					t.Fatalf("after %d, %d at a time: %s at %d, want %d", begin, limit, object, e.Seq, seq)
				}
			}
			if len(found) > limit || int(last) < seq {
				t.Fatalf("%d found, the last at %d of %d", len(found), last, seq)
			}
			if len(found) == 0 {
				if int(last) != n-1 {
					t.Errorf("after %d: the end is at %d, want %d", begin, last, n-1)
				}
				if grown {
					break
				}
				record(1, 5)
				grown = true
			}
			seq = int(last)
		}
	}
}
