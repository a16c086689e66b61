package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/audit"
)

// anyEvent is an event with texts of all kinds.
var anyEvent = rapid.Custom(func(t *rapid.T) audit.Event {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z0-9:.,"\\<>&]{0,12}`), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 8), func(b []byte) string { return string(b) }))
	value := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }), rapid.Map(rapid.Int(), func(n int) any { return n }), rapid.Map(rapid.Int64(), func(n int64) any { return n }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }), rapid.Map(rapid.SliceOf(text), func(s []string) any { return s }), rapid.Just[any](nil),
		rapid.Map(rapid.MapOf(text, text), func(m map[string]string) any { return m }), rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) any { return f }))
	return audit.Event{
		ID: text.Draw(t, "id"), At: time.Unix(rapid.Int64Range(-1e10, 2e11).Draw(t, "seconds"), rapid.Int64Range(0, 999999999).Draw(t, "nanoseconds")).UTC(),
		Node: text.Draw(t, "node"), Actor: audit.Actor{Name: text.Draw(t, "actor"), Role: text.Draw(t, "role"), Client: text.Draw(t, "client")},
		Action: text.Draw(t, "action"), Object: text.Draw(t, "object"), Outcome: text.Draw(t, "outcome"), Reason: text.Draw(t, "reason"),
		Details: rapid.MapOf(text, value).Draw(t, "details"), Correlation: text.Draw(t, "correlation"),
	}
})

func TestRecordIsTheJSONOfTheEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent.Draw(t, "event")
		got, err := e.Record()
		want, wrong := json.Marshal(e)
		if err != nil || wrong != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s, %v\nwant %s, %v", got, err, want, wrong)
		}
		if bytes.ContainsRune(got, '\n') {
			t.Fatalf("%s is more than a line", got)
		}
		if object := audit.ObjectOf(got); !bytes.Equal(object, audit.WrittenObject(e.Object)) {
			t.Fatalf("the object of %s is %s", got, object)
		}
	})
}

func TestEventsThatCannotBeWritten(t *testing.T) {
	for name, e := range map[string]audit.Event{
		"year":    audit.New(t.Context(), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "a", "o", nil),
		"details": audit.New(t.Context(), time.Now(), "a", "o", audit.Details{"x": func() {}}),
		"ID":      {ID: "x"},
	} {
		if b, err := audit.Batches([]audit.Event{e}); err == nil {
			t.Errorf("%s: %s", name, b[0].Lines)
		}
	}
}

func TestIDsAreOrderedByTime(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 678_999_000, time.UTC)
	last := ""
	for i := range 5000 {
		at := start.Add(time.Duration(i/3) * 500 * time.Nanosecond) // some at once, and across the end of a millisecond
		e := audit.New(t.Context(), at, "a", "o", nil)
		id, err := uuid.Parse(e.ID)
		if err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 || e.ID <= last {
			t.Fatalf("%s after %s, %v", e.ID, last, err)
		}
		if ms, _ := id.Time().UnixTime(); ms != at.Unix() {
			t.Fatalf("%s is of another time", id)
		}
		last = e.ID
	}
}

func TestBatches(t *testing.T) {
	var events []audit.Event
	at := func(d time.Duration, n int) {
		for range n {
			events = append(events, audit.New(context.Background(), time.Unix(1e9, 0).Add(d), "a", "o", nil))
		}
	}
	at(5*time.Second, 2)
	at(0, audit.MaxBatch+1)
	at(999*time.Millisecond, 1)
	at(time.Second, 1)
	batches, err := audit.Batches(events)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	seen := ""
	for _, b := range batches {
		sizes = append(sizes, b.Events())
		if b.Events() != len(b.Records()) {
			t.Errorf("%d events, %d records", b.Events(), len(b.Records()))
		}
		for i, record := range b.Records() {
			e, err := audit.ParseRecord(record)
			if err != nil || e.ID <= seen || i == 0 && e.ID != b.ID.String() {
				t.Fatalf("%s after %s, %v", e.ID, seen, err)
			}
			seen = e.ID
		}
	}
	// The last of the first second shares a batch with the one left over, and what comes a second after it begins the next.
	if fmt.Sprint(sizes) != fmt.Sprint([]int{audit.MaxBatch, 2, 1, 2}) {
		t.Errorf("batches of %v", sizes)
	}
}
