package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

// DataKeys lists all data keys, oldest first.
func (db *DB) DataKeys(ctx context.Context) ([]seed.DataKey, error) {
	scan := func(r row) (k seed.DataKey, err error) {
		err = r.Scan(&k.ID, &k.MasterID, &k.Wrapped, moment(&k.CreatedAt))
		return k, err
	}
	return list(ctx, db, scan, "SELECT id, master_id, wrapped, created_at FROM data_key ORDER BY id")
}

// AddDataKey stores a key; [fault.Conflict] if its ID is taken.
func (db *DB) AddDataKey(ctx context.Context, k seed.DataKey) error {
	taken := fault.New(fault.Conflict, "there is a data key %d already", k.ID)
	return db.change(ctx, taken, "INSERT INTO data_key (id, master_id, wrapped, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		k.ID, k.MasterID, k.Wrapped, micros(k.CreatedAt))
}

// Rewrap stores how a key is wrapped now; [fault.Conflict] if it is not there as old any more.
func (db *DB) Rewrap(ctx context.Context, old, k seed.DataKey) error {
	gone := fault.New(fault.Conflict, "data key %d was changed meanwhile", old.ID)
	return db.change(ctx, gone, "UPDATE data_key SET master_id = $1, wrapped = $2 WHERE id = $3 AND wrapped = $4", k.MasterID, k.Wrapped, old.ID, old.Wrapped)
}

// DropDataKey removes a key; [fault.Conflict] while it seals anything. One that does not exist is no error.
func (db *DB) DropDataKey(ctx context.Context, id int64) error {
	_, err := db.exec(ctx, "DELETE FROM data_key WHERE id = $1", id)
	if errors.Is(err, fault.Conflict) {
		return fault.New(fault.Conflict, "data key %d is in use: reseal what it seals first", id)
	}
	return err
}

// Secret returns a secret of the deployment; [fault.NotFound] if there is none.
func (db *DB) Secret(ctx context.Context, name string) (seed.Sealed, error) {
	missing := fault.New(fault.NotFound, "there is no secret %q", name)
	return one(ctx, db, missing, scanSealed, "SELECT key_id, sealed FROM secret WHERE name = $1", name)
}

func scanSealed(r row) (s seed.Sealed, err error) {
	err = r.Scan(&s.KeyID, &s.Blob)
	return s, err
}

// AddSecret stores one; [fault.Conflict] if the name is taken.
func (db *DB) AddSecret(ctx context.Context, name string, s seed.Sealed) error {
	taken := fault.New(fault.Conflict, "there is a secret %q already", name)
	return db.change(ctx, taken, "INSERT INTO secret (name, key_id, sealed) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", name, s.KeyID, s.Blob)
}

// DropSecret removes one; one that does not exist is no error.
func (db *DB) DropSecret(ctx context.Context, name string) error {
	_, err := db.exec(ctx, "DELETE FROM secret WHERE name = $1", name)
	return err
}

// Bindings as they begin, before the slash; package seed makes them.
const (
	seedBinding      = "seed"
	secretBinding    = "secret"
	replyBinding     = "reply"
	exchangeBinding  = "exchange"
	accessBinding    = "credential"
	radiusBinding    = "radius"
	jobBinding       = "job"
	itemBinding      = "job-item"
	resultBinding    = "job-result"
	webhookBinding   = "webhook"
	directoryBinding = "directory"
	mailBinding      = "mail"
)

// sealed are the columns that hold secrets: which bindings they have, the table, what of a row the binding is made of, and how.
var sealed = []struct {
	kind, table, name string
	binding           func(r row, k *seed.Kept) error
}{
	{seedBinding, "token_generation", "serial, number", func(r row, k *seed.Kept) error {
		var serial string
		var number int
		err := r.Scan(&serial, &number, &k.Sealed.KeyID, &k.Sealed.Blob)
		k.Binding = seed.Of(serial, number)
		return err
	}},
	{secretBinding, "secret", "name", func(r row, k *seed.Kept) error {
		var name string
		err := r.Scan(&name, &k.Sealed.KeyID, &k.Sealed.Blob)
		k.Binding = seed.Named(name)
		return err
	}},
	{replyBinding, "reply", "actor || '/' || request_key", func(r row, k *seed.Kept) error {
		var request string
		err := r.Scan(&request, &k.Sealed.KeyID, &k.Sealed.Blob)
		k.Binding = seed.ReplyTo(request)
		return err
	}},
	{exchangeBinding, "exchange", "id", func(r row, k *seed.Kept) error {
		var id []byte
		err := r.Scan(&id, &k.Sealed.KeyID, &k.Sealed.Blob)
		k.Binding = seed.OfExchange(id)
		return err
	}},
	{accessBinding, "agent_credential", "access_id", func(r row, k *seed.Kept) error {
		var id string
		err := r.Scan(&id, &k.Sealed.KeyID, &k.Sealed.Blob)
		k.Binding = seed.OfCredential(id)
		return err
	}},
	{radiusBinding, "radius_client", "name", func(r row, k *seed.Kept) error {
		var name string
		err := r.Scan(&name, &k.Sealed.KeyID, &k.Sealed.Blob)
		k.Binding = seed.OfRADIUSClient(name)
		return err
	}},
	{webhookBinding, "webhook", "name", func(r row, k *seed.Kept) error {
		var name string
		err := r.Scan(&name, &k.Sealed.KeyID, &k.Sealed.Blob)
		k.Binding = seed.OfWebhook(name)
		return err
	}},
	{directoryBinding, "directory", "name", func(r row, k *seed.Kept) error {
		var name string
		err := r.Scan(&name, &k.Sealed.KeyID, &k.Sealed.Blob)
		k.Binding = seed.OfDirectory(name)
		return err
	}},
	{mailBinding, "mail_message", "id", func(r row, k *seed.Kept) error {
		var id string
		err := r.Scan(&id, &k.Sealed.KeyID, &k.Sealed.Blob)
		k.Binding = seed.OfMail(id)
		return err
	}},
	{jobBinding, "job", "id", func(r row, k *seed.Kept) error {
		var id string
		err := r.Scan(&id, &k.Sealed.KeyID, &k.Sealed.Blob)
		k.Binding = seed.OfJob(id)
		return err
	}},
	{itemBinding, "job_item", "job_id, number", func(r row, k *seed.Kept) error { return scanNumbered(r, k, seed.OfJobItem) }},
	{resultBinding, "job_result", "job_id, number", func(r row, k *seed.Kept) error { return scanNumbered(r, k, seed.OfJobResult) }},
}

// scanNumbered scans a secret of a numbered item of a job.
func scanNumbered(r row, k *seed.Kept, binding func(id string, number int) seed.Binding) error {
	var id string
	var number int
	err := r.Scan(&id, &number, &k.Sealed.KeyID, &k.Sealed.Blob)
	k.Binding = binding(id, number)
	return err
}

// SealedBefore returns up to limit secrets sealed under keys older than id.
func (db *DB) SealedBefore(ctx context.Context, id int64, limit int) ([]seed.Kept, error) {
	var all []seed.Kept
	for _, s := range sealed {
		scan := func(r row) (k seed.Kept, err error) {
			err = s.binding(r, &k)
			return k, err
		}
		some, err := list(ctx, db, scan, "SELECT "+s.name+", key_id, sealed FROM "+s.table+" WHERE key_id < $1 AND length(sealed) > $2 ORDER BY key_id LIMIT $3",
			id, len(destroyed), limit-len(all))
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); len(all) == limit {
			break
		}
	}
	return all, nil
}

// Reseal replaces a secret by the same one sealed anew; false if it changed or went meanwhile.
func (db *DB) Reseal(ctx context.Context, old seed.Kept, new seed.Sealed) (bool, error) {
	table, where, args, err := whereSealed(old.Binding)
	if err != nil {
		return false, err
	}
	n, err := db.exec(ctx, "UPDATE "+table+" SET key_id = $1, sealed = $2 WHERE key_id = $3 AND sealed = $4 AND "+where,
		append([]any{new.KeyID, new.Blob, old.Sealed.KeyID, old.Sealed.Blob}, args...)...)
	return n == 1, err
}

// whereSealed finds the row of a binding; placeholders begin with $5.
func whereSealed(b seed.Binding) (table, where string, args []any, err error) {
	kind, name, _ := strings.Cut(string(b), "/")
	switch kind {
	case seedBinding:
		serial, number, _ := strings.Cut(name, "/")
		n, err := strconv.Atoi(number)
		return "token_generation", "serial = $5 AND number = $6", []any{serial, n}, err
	case secretBinding:
		return "secret", "name = $5", []any{name}, nil
	case replyBinding:
		return "reply", "actor || '/' || request_key = $5", []any{name}, nil
	case exchangeBinding:
		id, err := hex.DecodeString(name)
		return "exchange", "id = $5", []any{id}, err
	case accessBinding:
		return "agent_credential", "access_id = $5", []any{name}, nil
	case radiusBinding:
		return "radius_client", "name = $5", []any{name}, nil
	case jobBinding:
		return "job", "id = $5", []any{name}, nil
	case itemBinding, resultBinding:
		id, number, _ := strings.Cut(name, "/")
		n, err := strconv.Atoi(number)
		return map[string]string{itemBinding: "job_item", resultBinding: "job_result"}[kind], "job_id = $5 AND number = $6", []any{id, n}, err
	case directoryBinding:
		return "directory", "name = $5", []any{name}, nil
	case mailBinding:
		return "mail_message", "id = $5", []any{name}, nil
	case webhookBinding:
		return "webhook", "name = $5", []any{name}, nil
	}
	return "", "", nil, fmt.Errorf("store: nothing is sealed as %q", b)
}
