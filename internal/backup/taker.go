package backup

import (
	"context"
	"io"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// A Taker takes backups of a running server, one at a time.
type Taker struct {
	Source Source
	Store  interface {
		// Record keeps an event, in a transaction of its own.
		Record(ctx context.Context, e audit.Event) error
	}
	Keys   MACer
	Master string // ID of the master key
	// Files reads the secret files of the deployment.
	Files func() (map[string][]byte, error)
	Now   func() time.Time

	busy sync.Mutex
}

// A Request says for whom a backup is: a password, or public keys of age.
type Request struct {
	Password    string
	To          []string
	IncludeKeys bool // the master key and the server's certification authority
}

// Take checks a request, tells the audit log of it, and returns what writes the backup. [fault.Invalid],
// [fault.PasswordTooWeak]; the writing is refused with [fault.ServiceBusy] while another backup is written.
func (t *Taker) Take(ctx context.Context, r Request) (func(context.Context, io.Writer) error, error) {
	to, err := r.recipients()
	if err != nil {
		return nil, err
	}
	o := Options{To: to, Keys: t.Keys, Master: t.Master, Now: t.Now}
	if r.IncludeKeys {
		if o.Files, err = t.Files(); err != nil {
			return nil, err
		}
	}
	if !t.busy.TryLock() {
		return nil, fault.New(fault.ServiceBusy, "a backup is being taken: wait until it is there")
	}
	e := audit.New(ctx, t.Now(), "backup.take", "deployment:", audit.Details{"public_keys": len(r.To), "with_keys": r.IncludeKeys})
	if err := t.Store.Record(ctx, e); err != nil {
		t.busy.Unlock()
		return nil, err
	}
	return func(ctx context.Context, w io.Writer) error {
		defer t.busy.Unlock()
		return Write(ctx, w, t.Source, o)
	}, nil
}

func (r Request) recipients() ([]age.Recipient, error) {
	if (r.Password == "") == (len(r.To) == 0) {
		return nil, fault.New(fault.Invalid, "seal a backup either to a password or to public keys")
	}
	if r.Password != "" {
		to, err := ForPassword(r.Password)
		return []age.Recipient{to}, err
	}
	var all []age.Recipient
	for _, key := range r.To {
		to, err := ForKey(key)
		if err != nil {
			return nil, err
		}
		all = append(all, to)
	}
	if _, err := age.Encrypt(io.Discard, all...); err != nil { // the answer has begun when the backup is sealed
		return nil, fault.New(fault.Invalid, "these keys do not go together: a key that begins with age1pq1 hides a backup from quantum computers too, and another one beside it would not; give keys of one kind")
	}
	return all, nil
}
