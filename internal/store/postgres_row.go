package store

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// A postgresRow reads the common types from PostgreSQL's binary format by itself: rows of tokens have fifty columns, and to find a
// plan for each, as pgx does, takes ten times as long.
type postgresRow struct{ pgx.Rows }

// Scan reads a line of an answer.
func (r postgresRow) Scan(dest ...any) error {
	values, fields := r.RawValues(), r.FieldDescriptions()
	if len(values) != len(dest) {
		return fmt.Errorf("store: %d columns are read into %d places", len(values), len(dest))
	}
	for i, v := range values {
		if fields[i].Format != pgx.BinaryFormatCode && fields[i].DataTypeOID != pgtype.TextOID {
			return r.Rows.Scan(dest...)
		}
		if err := r.set(dest[i], fields[i], v); err != nil {
			return fmt.Errorf("store: column %s: %w", fields[i].Name, err)
		}
	}
	return nil
}

func (r postgresRow) set(dest any, field pgconn.FieldDescription, v []byte) error {
	done := false
	switch field.DataTypeOID {
	case pgtype.TextOID:
		done = v != nil && setText(dest, v)
	case pgtype.Int8OID:
		done = setBigint(dest, v)
	case pgtype.BoolOID:
		if d, ok := dest.(*bool); ok && len(v) == 1 {
			*d, done = v[0] != 0, true
		}
	case pgtype.ByteaOID:
		if d, ok := dest.(*[]byte); ok {
			*d, done = nil, true
			if v != nil {
				*d = append(make([]byte, 0, len(v)), v...)
			}
		}
	}
	if done {
		return nil
	}
	if scanner, ok := dest.(sql.Scanner); ok && v == nil {
		return scanner.Scan(nil)
	} else if ok && field.DataTypeOID == pgtype.TextOID {
		return scanner.Scan(string(v))
	}
	return r.Conn().TypeMap().Scan(field.DataTypeOID, field.Format, v, dest)
}

// setText sets what is a text; false if it is something else. A text that is there already, from the row before, stays: most columns
// hold one of a few words.
func setText(dest any, v []byte) bool {
	if d, ok := dest.(*string); ok {
		if *d != string(v) {
			*d = string(v)
		}
		return true
	}
	if d := reflect.ValueOf(dest); d.Kind() == reflect.Pointer && d.Elem().Kind() == reflect.String {
		if d.Elem().String() != string(v) {
			d.Elem().SetString(string(v))
		}
		return true
	}
	return false
}

// setBigint sets what is a number or a time; false if it is something else, or NULL and no time.
func setBigint(dest any, v []byte) bool {
	if d, ok := dest.(momentOf); ok && (v == nil || len(v) == 8) {
		n := pgtype.Int8{Valid: v != nil}
		if n.Valid {
			n.Int64 = int64(binary.BigEndian.Uint64(v))
		}
		return d.ScanInt64(n) == nil
	}
	if len(v) != 8 {
		return false
	}
	n := int64(binary.BigEndian.Uint64(v))
	switch d := dest.(type) {
	case *int:
		*d = int(n)
	case *int64:
		*d = n
	default:
		return false
	}
	return true
}
