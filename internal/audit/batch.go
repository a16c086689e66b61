package audit

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/fault"
)

const (
	// MaxBatch is the most events of a batch: what is read to show one of them stays small.
	MaxBatch = 256
	// BatchSpan is less than what the times of the events of a batch differ by, so that their batch's ID finds them by time.
	BatchSpan = time.Second
)

// A Batch is events that one transaction recorded together. A store keeps it
// as it is: a row for many events costs a tenth of a row for each.
type Batch struct {
	ID    uuid.UUID // of its first event; the order of IDs is that of time
	Lines []byte    // the records of its events, in the order of their IDs, with a line feed between them
}

// Records are the events of a batch.
func (b Batch) Records() [][]byte { return bytes.Split(b.Lines, lineFeed) }

// Events is how many they are.
func (b Batch) Events() int { return bytes.Count(b.Lines, lineFeed) + 1 }

var lineFeed = []byte{'\n'} // no record has one: JSON escapes it

// Waiting is a batch that has no place in the log yet.
type Waiting struct {
	ID     uuid.UUID
	Leaves []tlog.Hash // of its events, in their order
}

// Batches makes the batches of events that are recorded together.
func Batches(events []Event) ([]Batch, error) {
	inOrder := func(a, b Event) int { return cmp.Compare(a.ID, b.ID) }
	if !slices.IsSortedFunc(events, inOrder) { // they hardly ever are not
		events = slices.Clone(events)
		slices.SortStableFunc(events, inOrder)
	}
	var all []Batch
	for len(events) > 0 {
		n := 1
		for n < len(events) && n < MaxBatch && events[n].At.Sub(events[0].At).Abs() < BatchSpan {
			n++
		}
		b, err := batch(events[:n])
		if err != nil {
			return nil, err
		}
		all, events = append(all, b), events[n:]
	}
	return all, nil
}

const usualRecord = 384 // bytes

func batch(events []Event) (b Batch, err error) {
	if b.ID, err = uuid.Parse(events[0].ID); err != nil {
		return b, fault.New(fault.Invalid, "the ID of an audit event is a UUID: %v", err)
	}
	b.Lines = make([]byte, 0, usualRecord*len(events))
	for i, e := range events {
		if i > 0 {
			b.Lines = append(b.Lines, lineFeed...)
		}
		if b.Lines, err = e.appendRecord(b.Lines); err != nil {
			return b, err
		}
	}
	return b, nil
}
