package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// What every deployment has.
const (
	name       = "bench" // of the RADIUS client and of the agent
	schema     = "tallystick_bench"
	commonPIN  = "72940358" // longer than any part of a serial that it could be
	interval   = 60
	digits     = 8
	masterFile = "master.key"
	loopback   = "127.0.0.1" // where whoever asks is
)

// A deployment is users with tokens, who exist for one measurement.
type deployment struct {
	folder    string
	database  string // what a server is given; "" is the embedded one
	tokens    []tokenState
	secret    string // shared with the RADIUS client
	accessKey string // of the agent
	remove    []func() error
}

// deploy makes one.
func deploy(ctx context.Context, p *Plan) (*deployment, error) {
	d := &deployment{}
	err := d.make(ctx, p)
	if err != nil {
		return nil, errors.Join(err, d.drop())
	}
	return d, nil
}

// drop removes everything that was made.
func (d *deployment) drop() error {
	var err error
	for i := len(d.remove) - 1; i >= 0; i-- {
		err = errors.Join(err, d.remove[i]())
	}
	return err
}

func (d *deployment) make(ctx context.Context, p *Plan) error {
	var err error
	if d.folder, err = folder(); err != nil {
		return err
	}
	d.remove = append(d.remove, func() error { return os.RemoveAll(d.folder) })
	// What the first server will find in its data folder.
	data := d.data(0)
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	at := filepath.Join(data, "tallystick.db")
	if p.Database != "" {
		if err := d.makeSchema(ctx, p.Database); err != nil {
			return err
		}
		at = d.database
	}
	db, err := store.Open(ctx, store.Options{URL: at})
	if err != nil {
		return err
	}
	if err = d.fill(ctx, p, db); err == nil {
		err = db.FoldTallies(ctx) // as the server does in its first minute
	}
	if err := errors.Join(err, db.Close()); err != nil || p.Database == "" {
		return err
	}
	return administer(ctx, d.database, "VACUUM ANALYZE") // as a database that has lived for some minutes has done by itself
}

// data is the data folder of a server.
func (d *deployment) data(server int) string { return filepath.Join(d.folder, fmt.Sprint(server)) }

// makeSchema makes a schema in a database that holds nothing.
func (d *deployment) makeSchema(ctx context.Context, database string) error {
	at, err := url.Parse(database)
	if err != nil || at.Scheme != "postgres" && at.Scheme != "postgresql" {
		return fault.New(fault.Invalid, "a database is named by postgres://user@host/name")
	}
	conn, err := connect(ctx, database)
	if err != nil {
		return fault.New(fault.Unavailable, "the database cannot be reached: is a server there, and does the user may connect?")
	}
	defer func() { _ = conn.Close(ctx) }()
	var taken int
	err = conn.QueryRow(ctx, "SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "+
		"WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'").Scan(&taken)
	if err != nil {
		return err
	}
	if taken > 0 {
		return fault.New(fault.Invalid, "the database holds something: give an empty one (CREATE DATABASE name), "+
			"or, if an earlier run was killed, empty it with DROP SCHEMA %s CASCADE", schema)
	}
	if _, err := conn.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
		return err
	}
	d.remove = append(d.remove, func() error {
		return administer(context.WithoutCancel(ctx), database, "DROP SCHEMA "+schema+" CASCADE")
	})
	q := at.Query()
	q.Set("search_path", schema)
	at.RawQuery = q.Encode()
	d.database = at.String()
	return nil
}

// connect opens a connection by a URL that servers take, also with what it says of their pools.
func connect(ctx context.Context, database string) (*pgx.Conn, error) {
	config, err := pgxpool.ParseConfig(database)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config.ConnConfig)
}

// administer runs a statement on a connection of its own.
func administer(ctx context.Context, database, statement string) error {
	conn, err := connect(ctx, database)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// fill makes users, tokens, and who may ask about them.
func (d *deployment) fill(ctx context.Context, p *Plan, db *store.DB) error {
	file := filepath.Join(d.data(0), masterFile)
	if err := seed.MakeMasterFile(file); err != nil {
		return err
	}
	master, err := seed.MasterFromFile(file)
	if err != nil {
		return err
	}
	keys, err := seed.OpenKeyring(ctx, master, db, p.Now)
	if err != nil {
		return err
	}
	d.secret = rand.Text()
	clients := &access.RADIUSRegistry{Store: db, Keys: keys, Now: p.Now}
	if _, err := clients.Add(ctx, access.RADIUSClient{Name: name, Address: netip.MustParsePrefix(loopback + "/32"), Challenges: true}, d.secret); err != nil {
		return err
	}
	agents := &access.Agents{Store: db, Keys: keys, Now: p.Now}
	if _, err := agents.Add(ctx, access.Agent{Name: name}); err != nil {
		return err
	}
	if _, d.accessKey, err = agents.AddCredential(ctx, name, "", 0); err != nil {
		return err
	}
	return d.populate(ctx, p, db, keys)
}

const (
	atOnce    = 1000 // users and tokens that are stored in one transaction
	populates = 4    // transactions at the same time
)

// populate makes as many users as the plan says, each with a token in hand who has signed in from here before: what
// the first time takes would else be taken for what many users take.
func (d *deployment) populate(ctx context.Context, p *Plan, db *store.DB, keys *seed.Keyring) error {
	d.tokens = make([]tokenState, p.Tokens)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(populates)
	now := p.Now().UTC()
	from := authentication.Source{Agent: (&access.RADIUSClient{Name: name}).Agent(), Station: loopback}
	if p.Protocol == REST {
		from.Agent = (&access.Agent{Name: name}).Actor()
	}
	for first := 0; first < p.Tokens && ctx.Err() == nil; first += atOnce {
		g.Go(func() error {
			var users []user.User
			var tokens []token.Token
			var guards []authentication.Guard
			for n := first; n < min(first+atOnce, p.Tokens); n++ {
				u := user.User{ID: userID(n), Name: "User " + fmt.Sprint(n), Enabled: true, CreatedAt: now, Version: 1}
				t, err := made(keys, n, &d.tokens[n], now)
				if err != nil {
					return err
				}
				users, tokens, guards = append(users, u), append(tokens, t), append(guards, seen(keys, u.ID, from))
			}
			return db.Transact(ctx, func(ctx context.Context) error {
				if err := db.AddUsers(ctx, users); err != nil {
					return err
				}
				if err := db.AddTokens(ctx, tokens); err != nil {
					return err
				}
				if err := db.Settle(ctx, authentication.Settlement{Guards: guards}); err != nil {
					return err
				}
				return db.Record(ctx, audit.New(ctx, now, "token.create", "token:"+tokens[0].Serial, audit.Details{"count": len(tokens)}))
			})
		})
	}
	return g.Wait()
}

// seen is the guard of a new user who has signed in from one place.
func seen(keys *seed.Keyring, userID string, from authentication.Source) authentication.Guard {
	return authentication.Guard{UserID: userID, Sources: authentication.SourceMark(keys, userID, from)}
}

func userID(n int) string { return fmt.Sprintf("user%08d", n) }

func serial(n int) string { return fmt.Sprintf("2%011d", n) }

// made is the token of a user, with a PIN and confirmed, as after its first code.
func made(keys *seed.Keyring, n int, s *tokenState, now time.Time) (token.Token, error) {
	rand.Read(s.seed[:])
	settings := token.Settings{Digits: digits, Interval: interval, PINType: device.Fob}
	secret := seed.New(s.seed[:])
	defer secret.Erase()
	g, err := token.NewGeneration(keys, serial(n), 1, secret, settings, now)
	if err != nil {
		return token.Token{}, err
	}
	g.Delivered = true
	y, m, day := now.Date()
	birth := time.Date(y, m, day, 0, 0, 0, 0, time.UTC)
	t := token.Token{
		Serial: serial(n), Origin: token.Generated, Birth: birth, Expiry: birth.AddDate(5, 0, 0), EffectiveExpiry: birth.AddDate(5, 0, 0),
		Current: g, LastNumber: 1, Distribution: token.Confirmed, Method: device.CTF, DistributedAt: now, ConfirmedAt: now, IssueCount: 1,
		CreatedAt: now, Version: 1,
	}
	if err := t.Assign(userID(n), name, now); err != nil {
		return t, err
	}
	t.PIN.Hash, err = pin.New(keys, pin.Token{Serial: t.Serial, Type: device.Fob, Digits: digits}, commonPIN)
	t.PIN.Length, t.PIN.SetAt = len(commonPIN), now
	return t, err
}

// isConflict tells whether somebody else was at the same row.
func isConflict(err error) bool { return fault.CodeOf(err) == fault.Conflict }

// requestID names a message of an agent.
func requestID() string {
	var raw [16]byte
	rand.Read(raw[:])
	return hex.EncodeToString(raw[:])
}

var errEnded = errors.New("the server has ended")

// environment is that of a server: nothing of whoever measures leads it elsewhere.
func environment(database string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TALLYSTICK_") {
			env = append(env, v)
		}
	}
	if database != "" { // it may hold a password: not on the command line
		env = append(env, "TALLYSTICK_DATABASE="+database)
	}
	return env
}
