// Package backup writes and reads sealed copies of a deployment.
//
// A backup is one file: an age file (age-encryption.org/v1) of gzip of lines
// of JSON. The first line is the [Header], which names every table with its
// columns; then come the tables, each row an array; the last line is the
// [Contents]: how many rows each table has, their SHA-256, and a MAC over all
// of it that only the deployment's keyring makes. It says the same whichever
// database it is of, so that a backup of SQLite can be restored into
// PostgreSQL and the other way round (docs/backup.md).
//
// What is secret in the database stays sealed inside, under data keys that the
// master key wraps; the master key itself is in a backup only if that was
// asked for. age hides and authenticates the file for whoever has its key, in
// chunks, so neither writing nor reading holds more than a row in memory; the
// MAC tells a backup of this deployment from one that somebody else sealed to
// the same public key.
//
//	err := backup.Write(ctx, file, db, backup.Options{To: recipients, Keys: keyring, Now: now})
//	r, err := backup.NewReader(file, identities...)
//	for {
//		t, err := r.Next() // io.EOF: all of it was right
//		row, err := r.Row() // io.EOF: no more of this table
//	}
package backup

import (
	"context"
	"time"
)

// A Kind says what a column holds.
type Kind string

// The kinds of columns. A truth value is the number 0 or 1.
const (
	Text   Kind = "text"   // string
	Number Kind = "number" // int64
	Bytes  Kind = "bytes"  // []byte; in base64
)

// A Column is one of a table.
type Column struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
}

// A Table is one of a database.
type Table struct {
	Name    string   `json:"name"`
	Columns []Column `json:"columns"`
}

// A Schema is what tables there are. A table comes after those that it refers to.
type Schema struct {
	Migrations []int64 `json:"migrations"` // that made the tables what they are
	Tables     []Table `json:"tables"`
}

// A Snapshot is a database as it was at one moment.
type Snapshot interface {
	Schema() Schema
	// Rows calls each with every row of a table: nil, int64, string or []byte for each column, good until each returns.
	Rows(ctx context.Context, t Table, each func(values []any) error) error
}

// A Source is a database that can be looked at as it is at one moment, while it goes on.
type Source interface {
	Snapshot(ctx context.Context, do func(context.Context, Snapshot) error) error
}

// A Header is what a backup begins with.
type Header struct {
	Format  string    `json:"format"` // formatName
	Version int       `json:"version"`
	TakenAt time.Time `json:"taken_at"` // UTC
	Release string    `json:"release"`  // that made it
	Master  string    `json:"master_key"`
	Schema  Schema    `json:"schema"`
	// Files are secret files that belong to the deployment, if they were asked for: the master key, and the server's own
	// certification authority. They have the names below.
	Files map[string][]byte `json:"files,omitempty"`
}

// The names of [Header].Files. A [Reader] takes no others: who made a backup may not be known, and its files are written into the data folder.
const (
	MasterKeyFile = "master.key"
	CAFile        = "ca.pem"
	CAKeyFile     = "ca.key"
)

const (
	formatName    = "tallystick-backup"
	formatVersion = 1
)

// Contents is what a backup ends with.
type Contents struct {
	Tables []Count `json:"tables"`
	MAC    []byte  `json:"mac"` // of the header and of Tables
}

// A Count says how many rows there are of a table.
type Count struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
	Hash []byte `json:"sha256"` // of their lines
}

// A MACer makes keyed hashes: a seed.Keyring.
type MACer interface {
	MAC(purpose string, parts ...[]byte) []byte
}

// macPurpose keeps the MACs of backups apart from others.
const macPurpose = "backup"
