// Package audit is the record of what was done: who did what to which object,
// when, from where and with what outcome.
//
// An [Event] is written in the transaction of the change that it tells of, so
// there is never one without the other; the events of one transaction are one
// [Batch], which is what a store keeps. Within a second one server gives the
// new events their places in an append-only log: a Merkle tree (as in
// Certificate Transparency, RFC 9162) whose head is signed in a
// [Checkpoint], kept in the database and outside it. That is what a [Log]
// does, beside the work and not in its way. [Verify] recomputes the tree from
// the events and names those that were changed, removed, moved or cut off. No
// event holds a seed, PIN, passcode, activation code or password
// (spec/software-token-lifecycle.md section 14).
package audit

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Outcomes of an event.
const (
	Success = "success"
	Failure = "failure"
)

// An Actor is who acts: an administrator, an API key, a user's own request or
// the server itself.
type Actor struct {
	Name   string `json:"actor"`            // "socket:root", "key:helpdesk-1", "user:alice", "server"
	Role   string `json:"role,omitempty"`   // the role it acted in
	Client string `json:"client,omitempty"` // address the request came from; no port
	// Origin is the API key that the one that acts goes back to (access.Key.Origin); "" if that is none, and nobody knows who acts. It is
	// in no event.
	Origin string `json:"-"`
	// KeyID is the ID of the API key that acts; "" if that is none. A name may be that of another key tomorrow, an ID never is. It is in no event.
	KeyID string `json:"-"`
}

// Caller is who acts, told from everybody who ever acted or will: by the name, and by the ID where that is an API key.
func (a Actor) Caller() string {
	if a.KeyID != "" {
		return "key_id:" + a.KeyID
	}
	return a.Name
}

// An Event is one thing that was done or refused.
type Event struct {
	ID          string    `json:"id"` // UUIDv7, by the time of the event
	At          time.Time `json:"at"` // UTC
	Node        string    `json:"node,omitempty"`
	Actor                 // who
	Action      string    `json:"action"`            // "token.assign", "dist.issue", "authn.fail"
	Object      string    `json:"object"`            // "token:000123456789", "user:alice"
	Outcome     string    `json:"outcome"`           // Success or Failure
	Reason      string    `json:"reason,omitempty"`  // code of a failure, or the reason that was given
	Details     Details   `json:"details,omitempty"` // before and after, in words; never a secret
	Correlation string    `json:"correlation_id,omitempty"`
}

// Details are facts of an event by name.
type Details map[string]any

// serverActor acts where nobody was named.
const serverActor = "server"

type contextKey int

const (
	actorKey contextKey = iota
	correlationKey
	sessionKey
)

// WithActor puts who acts into the context of a request.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey, a)
}

// ActorFrom returns who acts, the server itself if nobody was named.
func ActorFrom(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey).(Actor); ok {
		return a
	}
	return Actor{Name: serverActor}
}

// WithCorrelation puts the ID that ties the events of one request or one
// exchange together into its context.
func WithCorrelation(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, correlationKey, id)
}

// CorrelationFrom returns that ID, or "".
func CorrelationFrom(ctx context.Context) string {
	id, _ := ctx.Value(correlationKey).(string)
	return id
}

// WithSession puts what an agent told of the user's session into the context of a request: its events tell it too, as
// the detail "session".
func WithSession(ctx context.Context, session map[string]string) context.Context {
	return context.WithValue(ctx, sessionKey, session)
}

// New makes the event of a success, by the actor, under the correlation ID and with the session of ctx.
func New(ctx context.Context, at time.Time, action, object string, details Details) Event {
	if session, _ := ctx.Value(sessionKey).(map[string]string); session != nil {
		details = maps.Clone(details)
		if details == nil {
			details = Details{}
		}
		details["session"] = session
	}
	return Event{
		ID: newID(at).String(), At: at.UTC(), Actor: ActorFrom(ctx), Action: action, Object: object,
		Outcome: Success, Details: details, Correlation: CorrelationFrom(ctx),
	}
}

// Failed turns the event into that of a failure with a reason code.
func (e Event) Failed(reason string) Event {
	e.Outcome, e.Reason = Failure, reason
	return e
}

// Because adds the reason that somebody gave.
func (e Event) Because(reason string) Event {
	e.Reason = reason
	return e
}

// made counts the events of this process, so that those of one time stay in their order.
var made atomic.Uint32

// newID makes a UUIDv7 (RFC 9562) of the time of an event, so that the order of IDs is that of the events: 48 bits of
// milliseconds, 12 of their fraction, 22 of a counter and 40 at random.
func newID(at time.Time) (id uuid.UUID) {
	fraction := at.Nanosecond() % int(time.Millisecond) << 12 / int(time.Millisecond)
	binary.BigEndian.PutUint64(id[:], uint64(max(0, at.UnixMilli()))<<16|0x7000|uint64(fraction))
	binary.BigEndian.PutUint32(id[8:], 1<<31|made.Add(1)<<10>>2)
	_, _ = rand.Read(id[11:]) // never fails
	return id
}

// ParseRecord reads an event back. Its [Event.Record] is the same bytes again:
// numbers among the details stay as they were written (json.Number).
func ParseRecord(record []byte) (Event, error) {
	var e Event
	d := json.NewDecoder(bytes.NewReader(record))
	d.UseNumber()
	if err := d.Decode(&e); err != nil {
		return Event{}, fmt.Errorf("audit record: %w", err)
	}
	if d.More() {
		return Event{}, errors.New("audit record: more than one event")
	}
	return e, nil
}
