package audit

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tallystick/tallystick/internal/fault"
)

// A Filter selects events by time. Its zero value selects all.
type Filter struct {
	Action  string // exactly, or a prefix that ends in a dot or star: "token.*"
	Object  string // "token:000123456789"; the only one of these that is indexed
	Actor   string
	Outcome string
	Since   time.Time // at this time or later
	Until   time.Time // before this time
	Newest  bool      // the newest first, not the oldest
	After   string    // the Next of the page before, "" for the first one
	Limit   int       // at most this many
}

// A Page is some of the events that a [Filter] selects. It may be short, even
// empty, and yet not the last: one reading looks through so many events only.
type Page struct {
	Entries []Entry // without leaf hashes
	Next    string  // the After of the next page, "" if there is none
}

// A Position is where a page ends: at an event of a batch. The order of
// positions is that of the list, and it stays when events get their places.
type Position struct {
	Batch uuid.UUID
	Index int // among the batch's records
}

func (p Position) String() string { return fmt.Sprintf("%x-%d", p.Batch[:], p.Index) }

// Position reads f.After, which must not be "".
func (f Filter) Position() (p Position, err error) {
	batch, index, _ := strings.Cut(f.After, "-")
	id, err := hex.DecodeString(batch)
	if err == nil {
		p.Index, err = strconv.Atoi(index)
	}
	if err != nil || len(id) != len(p.Batch) || f.After != (Position{uuid.UUID(id), p.Index}).String() {
		return p, fault.New(fault.Invalid, "%q is not where a page of events ends: give what the page before named as the next", f.After)
	}
	p.Batch = uuid.UUID(id)
	return p, nil
}

// A Selection is a filter made ready for many records.
type Selection struct {
	filter  Filter
	needles [][]byte // that every selected record holds
}

// Selection makes f ready.
func (f Filter) Selection() Selection {
	s := Selection{filter: f}
	for name, text := range map[string]string{`"actor":`: f.Actor, `"object":`: f.Object, `"outcome":`: f.Outcome} {
		if text != "" {
			s.needles = append(s.needles, appendText([]byte(name), text))
		}
	}
	if action, isPrefix := f.action(); action != "" {
		needle := appendText([]byte(`"action":`), action)
		if isPrefix {
			needle = needle[:len(needle)-1]
		}
		s.needles = append(s.needles, needle)
	}
	return s
}

// action is what the action of an event is or, for a prefix, begins with.
func (f Filter) action() (action string, isPrefix bool) {
	action, isPrefix = strings.CutSuffix(f.Action, "*")
	return action, isPrefix || strings.HasSuffix(action, ".")
}

// May tells whether some of the records in a text can be selected, at a fraction of what reading them costs.
func (s Selection) May(lines []byte) bool {
	for _, needle := range s.needles {
		if !bytes.Contains(lines, needle) {
			return false
		}
	}
	return true
}

// Has tells whether a record is selected. One that cannot be read is, unless something is asked of it that it does not hold:
// who lists events shall see that there is something wrong. One that was pruned is not.
func (s Selection) Has(record []byte) bool {
	if len(record) == 0 || !s.May(record) {
		return false
	}
	e, err := ParseRecord(record)
	if err != nil {
		return true
	}
	f := s.filter
	action, isPrefix := f.action()
	return (action == "" || e.Action == action || isPrefix && strings.HasPrefix(e.Action, action)) &&
		(f.Object == "" || e.Object == f.Object) && (f.Actor == "" || e.Actor.Name == f.Actor) && (f.Outcome == "" || e.Outcome == f.Outcome) &&
		(f.Since.IsZero() || !e.At.Before(f.Since)) && (f.Until.IsZero() || e.At.Before(f.Until))
}

var timeMember, actorMember, objectMember, actionMember = []byte(`,"at":"`), []byte(`,"actor":"`), []byte(`,"object":"`), []byte(`,"action":"`)

// ObjectOf returns the object in a record, as it is written there, without reading the rest.
func ObjectOf(record []byte) []byte { return memberOf(record, objectMember) }

// memberOf returns a text of a record as it is written there. (Between quotes no quote is bare, so the first such member is
// that of the event and not one of its details, which come last.)
func memberOf(record, name []byte) []byte {
	_, rest, found := bytes.Cut(record, name)
	for i := 0; found && i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			return rest[:i]
		}
	}
	return nil
}

// WrittenObject is an object as a record has it, to be compared with [ObjectOf].
func WrittenObject(object string) []byte {
	b := appendText(nil, object)
	return b[1 : len(b)-1]
}
