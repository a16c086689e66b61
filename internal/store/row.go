package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tallystick/tallystick/internal/fault"
)

// A row is what a line of an answer is scanned from.
type row interface{ Scan(dest ...any) error }

// A look is a SELECT, and what is done with each row of its answer.
type look struct {
	query string
	args  []any
	each  func(row) error
}

// into makes a look that gathers all rows.
func into[T any](all *[]T, scan func(row) (T, error), query string, args ...any) look {
	return look{query, args, func(r row) error {
		v, err := scan(r)
		*all = append(*all, v)
		return err
	}}
}

// look reads, within the transaction if there is one.
func (db *DB) look(ctx context.Context, looks ...look) error {
	if tx := db.current(ctx); tx != nil {
		err := tx.flush(ctx)
		if err == nil {
			err = tx.fail(tx.connection.look(ctx, looks))
		}
		return db.explain(err)
	}
	// What was gathered before a connection broke would be there twice.
	return db.again(ctx, func() (bool, error) {
		seen := false
		counted := make([]look, len(looks))
		for i, l := range looks {
			counted[i] = look{l.query, l.args, func(r row) error { seen = true; return l.each(r) }}
		}
		err := db.engine.look(ctx, counted)
		return seen, err
	})
}

// locked is what a SELECT ends with so that its rows are locked, if there is a transaction.
func (db *DB) locked(ctx context.Context) string {
	if db.current(ctx) == nil {
		return ""
	}
	return db.locks()
}

// list reads all rows of an answer.
func list[T any](ctx context.Context, db *DB, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	if !storable(args) {
		return nil, nil
	}
	var all []T
	err := db.look(ctx, into(&all, scan, query, args...))
	return all, err
}

// one reads the only row of an answer; missing is the error if there is none.
func one[T any](ctx context.Context, db *DB, missing *fault.Error, scan func(row) (T, error), query string, args ...any) (T, error) {
	var none T
	all, err := list(ctx, db, scan, query, args...)
	switch {
	case err != nil:
		return none, err
	case len(all) == 0:
		return none, missing
	}
	return all[0], nil
}

// exec runs a statement that writes and returns how many rows it touched.
func (db *DB) exec(ctx context.Context, query string, args ...any) (int, error) {
	n := 0
	err := db.run(ctx, []statement{{query, args, anyRows, nil}}, func(touched []int64) error {
		n = int(touched[0])
		return nil
	})
	return n, err
}

// A statement writes one row; it is one of many of the same text.
type statement struct {
	query string
	args  []any
	want  int64 // rows that it must touch, anyRows if that does not matter
	other error // if it touches another number
}

const anyRows = -1

// batch runs statements in one go. One that does not touch the rows that it must undoes the whole transaction.
func (db *DB) batch(ctx context.Context, statements []statement) error {
	if len(statements) == 0 {
		return nil
	}
	return db.run(ctx, statements, func(touched []int64) error {
		for i, s := range statements {
			if s.want != anyRows && touched[i] != s.want {
				return s.other
			}
		}
		return nil
	})
}

// run runs statements within a transaction, and has check look at how many rows each one touched.
func (db *DB) run(ctx context.Context, statements []statement, check func(touched []int64) error) error {
	for _, s := range statements {
		if !storable(s.args) {
			return fault.New(fault.Invalid, "text that is not UTF-8, or holds a zero byte, cannot be stored")
		}
	}
	return db.Transact(ctx, func(ctx context.Context) error {
		tx := db.current(ctx)
		if err := tx.flush(ctx); err != nil {
			return db.explain(err)
		}
		touched, err := tx.connection.batch(ctx, statements)
		if tx.fail(err) != nil {
			return db.explain(err)
		}
		return check(touched)
	})
}

// atLast has rows written when the transaction commits, in the same message, or before anything else that the transaction does.
func (db *DB) atLast(ctx context.Context, changes ...bulk) error {
	for _, c := range changes {
		for _, values := range c.rows {
			if !storable(values) {
				return fault.New(fault.Invalid, "text that is not UTF-8, or holds a zero byte, cannot be stored")
			}
		}
	}
	return db.Transact(ctx, func(ctx context.Context) error {
		tx := db.current(ctx)
		for _, c := range changes {
			if len(c.rows) > 0 {
				tx.last = append(tx.last, c)
			}
		}
		return nil
	})
}

// write writes rows now, before what follows.
func (db *DB) write(ctx context.Context, changes ...bulk) error {
	return db.Transact(ctx, func(ctx context.Context) error {
		if err := db.atLast(ctx, changes...); err != nil {
			return err
		}
		return db.explain(db.current(ctx).flush(ctx))
	})
}

// change runs a statement that writes a row; other is the error if there was none to write.
func (db *DB) change(ctx context.Context, other *fault.Error, query string, args ...any) error {
	n, err := db.exec(ctx, query, args...)
	if err == nil && n == 0 {
		return other
	}
	return err
}

// storable tells whether every text among args is one that both databases can hold. One that is not can be in no row either.
func storable(args []any) bool {
	for _, a := range args {
		if s, ok := a.(string); ok && (!utf8.ValidString(s) || strings.Contains(s, "\x00")) {
			return false
		}
	}
	return true
}

// places are the placeholders of n values: "$1, $2, $3".
func places(n int) string { return placesFrom(1, n) }

// placesFrom are those that follow others: "$4, $5, $6".
func placesFrom(first, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", first+i)
	}
	return b.String()
}

// chunk is how many rows one statement takes where there may be many.
const chunk = 250

// anys are values as arguments.
func anys[T any](values []T) []any {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return args
}

// columns are the columns of a table in the order in which its values are written and scanned.
type columns string

func (c columns) count() int { return strings.Count(string(c), ",") + 1 }

// of names the columns of a table that goes by another name.
func (c columns) of(table string) string {
	return table + "." + strings.ReplaceAll(string(c), ", ", ", "+table+".")
}

// without leaves out columns.
func (c columns) without(names ...string) columns {
	all := slices.DeleteFunc(strings.Split(string(c), ", "), func(name string) bool { return slices.Contains(names, name) })
	return columns(strings.Join(all, ", "))
}

// insert writes a row unless one with the same key is there.
func (c columns) insert(table string) string {
	return "INSERT INTO " + table + " (" + string(c) + ") VALUES (" + places(c.count()) + ") ON CONFLICT DO NOTHING"
}

// update writes all columns; the placeholders of where follow those of the columns.
func (c columns) update(table, where string) string {
	return "UPDATE " + table + " SET (" + string(c) + ") = (" + places(c.count()) + ") WHERE " + where
}

// conditions are the WHERE, ORDER BY and LIMIT of a list.
type conditions struct {
	where []string
	args  []any
}

// and adds a condition. Its %d, if it has one, becomes the number of the placeholder of arg.
func (c *conditions) and(condition string, arg any) {
	c.args = append(c.args, arg)
	c.where = append(c.where, fmt.Sprintf(condition, len(c.args)))
}

// text adds a condition of a text, unless it is empty.
func (c *conditions) text(condition, value string) {
	if value != "" {
		c.and(condition, value)
	}
}

// flag adds a condition of a truth value, if there is one.
func (c *conditions) flag(condition string, value *bool) {
	if value != nil {
		c.and(condition, *value)
	}
}

// moment adds a condition of a time, unless it is the zero time.
func (c *conditions) moment(condition string, at time.Time) {
	if !at.IsZero() {
		c.and(condition, micros(at))
	}
}

// containing adds the condition that the search column holds a text, in any case.
func (c *conditions) containing(text string) {
	if text != "" {
		c.and(`search LIKE $%d ESCAPE '\'`, "%"+likeEscaper.Replace(strings.ToLower(text))+"%")
	}
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// clause is all conditions, the order and, if it is above 0, the limit.
func (c *conditions) clause(order string, limit int) string {
	s := ""
	if len(c.where) > 0 {
		s = " WHERE " + strings.Join(c.where, " AND ")
	}
	s += " ORDER BY " + order
	if limit > 0 {
		s += fmt.Sprintf(" LIMIT %d", limit)
	}
	return s
}

// searchText is what a search looks through.
func searchText(parts ...string) string { return strings.ToLower(strings.Join(parts, "\n")) }

// orNull writes the zero value as NULL.
func orNull[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// bytesOrNull writes no bytes as NULL.
func bytesOrNull(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// bytesOfJSON writes the bytes of JSON, nil as NULL.
func bytesOfJSON[T any](v *T) (any, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}

// jsonOrNull is a value that is written as JSON, nil as NULL.
type jsonOrNull[T any] struct{ v *T }

// Value is what the drivers write.
func (j jsonOrNull[T]) Value() (driver.Value, error) {
	if j.v == nil {
		return nil, nil
	}
	text, err := json.Marshal(j.v)
	return string(text), err
}

// fromJSON scans what jsonOrNull or bytesOfJSON wrote.
func fromJSON[T any](v **T) sql.Scanner {
	return scanFunc(func(text any) error {
		*v = nil // what it points to may be another row's
		switch text := text.(type) {
		case nil:
			return nil
		case string:
			return json.Unmarshal([]byte(text), v)
		case []byte:
			return json.Unmarshal(text, v)
		}
		return fmt.Errorf("store: JSON is no %T", text)
	})
}

// micros writes a time in microseconds since 1970, the zero time as NULL.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

type scanFunc func(v any) error

func (f scanFunc) Scan(v any) error { return f(v) }

// moment scans what micros wrote.
func moment(t *time.Time) sql.Scanner { return momentOf{t} }

// momentOf takes its value from both drivers without a detour, since rows of tokens have many.
type momentOf struct{ t *time.Time }

// Scan takes what database/sql has.
func (m momentOf) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		return m.ScanInt64(pgtype.Int8{})
	case int64:
		return m.ScanInt64(pgtype.Int8{Int64: v, Valid: true})
	}
	return fmt.Errorf("store: a time is no %T", v)
}

// ScanInt64 takes what pgx has.
func (m momentOf) ScanInt64(n pgtype.Int8) error {
	*m.t = time.Time{}
	if n.Valid {
		*m.t = time.UnixMicro(n.Int64).UTC()
	}
	return nil
}

// span scans a length of time in microseconds.
func span(d *time.Duration) sql.Scanner {
	return scanFunc(func(v any) error {
		n, ok := v.(int64)
		if !ok {
			return fmt.Errorf("store: a length of time is no %T", v)
		}
		*d = time.Duration(n) * time.Microsecond
		return nil
	})
}

// orZero scans NULL as the zero value.
func orZero[T any](p *T) sql.Scanner {
	return scanFunc(func(v any) error {
		var n sql.Null[T]
		err := n.Scan(v)
		*p = n.V
		return err
	})
}

// text scans a single text.
func text(r row) (s string, err error) {
	err = r.Scan(&s)
	return s, err
}

// blob scans a single value of bytes.
func blob(r row) (b []byte, err error) {
	err = r.Scan(&b)
	return b, err
}

// number scans a single number.
func number(r row) (n int64, err error) {
	err = r.Scan(&n)
	return n, err
}
