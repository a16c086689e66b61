package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tallystick/tallystick/internal/fault"
)

// A Bare is what measurements are held against: one narrow table in which single rows are changed on a condition, each in
// a durable transaction of its own, by the driver and with the settings of a [DB] and nothing in between. It knows
// nothing of tokens. It is safe for concurrent use.
type Bare struct {
	use     func(ctx context.Context, id, counter int64) (int64, error)
	setting func(ctx context.Context, name string) (string, error)
	close   func() error
}

const (
	bareTable = "CREATE TABLE bare (id BIGINT PRIMARY KEY, counter BIGINT NOT NULL)"
	bareFill  = "INSERT INTO bare WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %d) SELECT i, -1 FROM n"
	bareUse   = "UPDATE bare SET counter = $2 WHERE id = $1 AND counter < $2"
	bareDrop  = "DROP TABLE bare"
)

// OpenBare makes the table, of so many rows, in a database where there is none. On PostgreSQL it takes as many
// connections as it may use; SQLite has one writer, for whom all callers wait.
func OpenBare(ctx context.Context, o Options, rows, connections int) (*Bare, error) {
	fill := fmt.Sprintf(bareFill, rows)
	if strings.HasPrefix(o.URL, "postgres") {
		return openBarePostgres(ctx, o.URL, fill, connections)
	}
	db, err := openSQLite(ctx, o.URL)
	if err != nil {
		return nil, err
	}
	e := db.engine.(*sqliteEngine)
	b := &Bare{close: db.Close}
	do := func(ctx context.Context, query string, args ...any) (int64, error) {
		w := <-e.writer
		defer func() { e.writer <- w }()
		return w.do(ctx, query, args...)
	}
	for _, s := range []string{bareTable, fill} {
		if _, err := do(ctx, s); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	b.use = func(ctx context.Context, id, counter int64) (int64, error) { return do(ctx, bareUse, id, counter) }
	b.setting = func(ctx context.Context, name string) (value string, err error) {
		err = e.read.QueryRowContext(ctx, "PRAGMA "+name).Scan(&value)
		return value, err
	}
	return b, nil
}

func openBarePostgres(ctx context.Context, url, fill string, connections int) (*Bare, error) {
	config, err := postgresConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(connections)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	for _, s := range []string{bareTable + " WITH (fillfactor = 70)", fill, "VACUUM ANALYZE bare"} {
		if _, err := pool.Exec(ctx, s); err != nil {
			pool.Close()
			return nil, err
		}
	}
	return &Bare{
		use: func(ctx context.Context, id, counter int64) (int64, error) {
			tag, err := pool.Exec(ctx, bareUse, id, counter)
			return tag.RowsAffected(), err
		},
		setting: func(ctx context.Context, name string) (value string, err error) {
			err = pool.QueryRow(ctx, "SHOW "+pgx.Identifier{name}.Sanitize()).Scan(&value)
			return value, err
		},
		close: func() error {
			_, err := pool.Exec(context.WithoutCancel(ctx), bareDrop)
			pool.Close()
			return err
		},
	}, nil
}

// Use raises the counter of a row, in a transaction that is durable when it returns. [fault.Conflict] if it was there already.
func (b *Bare) Use(ctx context.Context, id, counter int64) error {
	n, err := b.use(ctx, id, counter)
	if err == nil && n == 0 {
		err = fault.New(fault.Conflict, "the counter of row %d is not below %d", id, counter)
	}
	return err
}

// Setting tells a setting that durability depends on: of PostgreSQL by its name there (fsync), of SQLite a pragma's (synchronous).
func (b *Bare) Setting(ctx context.Context, name string) (string, error) { return b.setting(ctx, name) }

// Close drops the table, or leaves SQLite's file, and ends the connections.
func (b *Bare) Close() error { return b.close() }
