package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/fault"
)

const keptColumns columns = "id, access_id, user_id, attributes, methods, response_code, reason_code, life, expires_at, turn"

func keptValues(k access.KeptAttempt) ([]any, error) {
	attributes, err := json.Marshal(k.Attributes)
	return []any{k.ID, k.Credential, k.UserID, string(attributes), strings.Join(k.Methods, " "), k.Code, k.Reason, k.Life.Microseconds(), micros(k.ExpiresAt), k.Turn}, err
}

func scanKeptAttempt(r row) (k access.KeptAttempt, err error) {
	var attributes, methods string
	err = r.Scan(&k.ID, &k.Credential, &k.UserID, &attributes, &methods, &k.Code, &k.Reason, span(&k.Life), moment(&k.ExpiresAt), &k.Turn)
	if err != nil {
		return k, err
	}
	if methods != "" {
		k.Methods = strings.Fields(methods)
	}
	err = json.Unmarshal([]byte(attributes), &k.Attributes)
	return k, err
}

func noAttempt() *fault.Error { return fault.New(fault.AttemptNotFound, "there is no such attempt") }

// KeepAttempt stores an attempt for its agent to look at; one that is there stays as it is.
func (db *DB) KeepAttempt(ctx context.Context, k access.KeptAttempt) error {
	values, err := keptValues(k)
	if err != nil {
		return err
	}
	_, err = db.exec(ctx, keptColumns.insert("kept_attempt"), values...)
	return err
}

// KeptAttempt returns one; [fault.AttemptNotFound]. Within a transaction the row is locked for change.
func (db *DB) KeptAttempt(ctx context.Context, id string) (access.KeptAttempt, error) {
	return one(ctx, db, noAttempt(), scanKeptAttempt, "SELECT "+string(keptColumns)+" FROM kept_attempt WHERE id = $1"+db.locked(ctx), id)
}

// SaveKeptAttempt stores what became of one; [fault.AttemptNotFound].
func (db *DB) SaveKeptAttempt(ctx context.Context, k access.KeptAttempt) error {
	values, err := keptValues(k)
	if err != nil {
		return err
	}
	return db.change(ctx, noAttempt(), keptColumns.update("kept_attempt", "id = $11"), append(values, k.ID)...)
}

// DropKeptAttempt removes one; [fault.AttemptNotFound].
func (db *DB) DropKeptAttempt(ctx context.Context, id string) error {
	return db.change(ctx, noAttempt(), "DELETE FROM kept_attempt WHERE id = $1", id)
}

// DropKeptAttempts removes those that have expired before a moment, and returns how many.
func (db *DB) DropKeptAttempts(ctx context.Context, before time.Time) (int, error) {
	return db.exec(ctx, "DELETE FROM kept_attempt WHERE expires_at < $1", before.UnixMicro())
}

// UseSignature notes that a signed request was seen; false if it was seen before.
func (db *DB) UseSignature(ctx context.Context, signature []byte, at time.Time) (bool, error) {
	n, err := db.exec(ctx, "INSERT INTO agent_signature (signature, seen_at) VALUES ($1, $2) ON CONFLICT DO NOTHING", signature, micros(at))
	return n == 1, err
}

// DropSignatures forgets those that were seen before a moment, and returns how many.
func (db *DB) DropSignatures(ctx context.Context, before time.Time) (int, error) {
	return db.exec(ctx, "DELETE FROM agent_signature WHERE seen_at < $1", before.UnixMicro())
}
