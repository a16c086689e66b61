package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/provision"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
)

// Times of the HTTP servers: a client that is slower than this is no client of ours.
const (
	readTimeout  = 30 * time.Second
	writeTimeout = 60 * time.Second
	idleTimeout  = 2 * time.Minute
	drainTimeout = 20 * time.Second

	// What of a body waits unread in a stream of HTTP/2, bytes, and of all in its connection: long ones that wait for room leave some to short ones.
	// As much comes in each time that the line takes to and fro: a file of 1 GiB has ten minutes. Go takes less than 4 MiB for a connection.
	perStream, perConnection = 512 << 10, 4<<20 - 1
)

// Run starts a server and runs it until ctx ends; then it finishes what it is doing
// and returns nil.
func Run(ctx context.Context, c Config) error {
	if err := c.complete(); err != nil {
		return err
	}
	unlock, err := takeFolder(c.Data)
	if err != nil {
		return err
	}
	defer unlock()
	database := c.Database
	if database == "" {
		database = c.file(databaseFile)
	} else if _, err := os.Stat(c.file(databaseFile)); err == nil {
		c.Log.Warn("the embedded database in the data folder is not used, as --database or TALLYSTICK_DATABASE names another one. If that is meant, move the file away: "+
			"a server that is started here without them goes on with it, and takes codes that were used since", "file", c.file(databaseFile))
	}
	if info, err := os.Stat(database); c.Database == "" && (errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0) {
		if err := c.mayBeNew(); err != nil { // before it is made
			return err
		}
	}
	// A server that was given another deployment's database by mistake would end those that run on it, if they are of an older release, and make
	// tables in an empty one, into which an older backup could not be restored then.
	upgrading := sync.OnceFunc(func() {
		c.Log.Info("bringing the tables of an older release up to date; nobody can sign in here until this server says that it serves")
	})
	db, err := store.Open(ctx, store.Options{URL: database, Before: func(ctx context.Context, db *store.DB, empty bool) error {
		if empty {
			return c.mayBeNew()
		}
		used, err := db.DataKeys(ctx)
		if err == nil && len(used) > 0 { // otherwise its first start was cut off, and nobody uses it
			_, err = c.keyring(ctx, db)
		}
		if err == nil {
			upgrading() // it is tried several times
		}
		return err
	}})
	if err != nil {
		return err
	}
	defer db.Close()
	keys, err := c.keyring(ctx, db)
	if err != nil {
		return err
	}
	if err := c.warnOfNewCA(ctx, db); err != nil {
		return err
	}
	if risks, err := db.Risks(ctx); err != nil {
		return err
	} else if len(risks) > 0 {
		c.Log.Warn("a crash of PostgreSQL's machine may damage its data, or lose what was committed, so that codes which were accepted are accepted again: switch these settings of it on", "off", strings.Join(risks, ", "))
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listening for apps and API clients: %w", err)
	}
	defer listener.Close()
	g, ctx := errgroup.WithContext(ctx) // it ends with the server, whoever ends that
	h, err := c.build(ctx, db, keys, listener.Addr())
	if err != nil {
		return err
	}
	return c.serve(ctx, g, h, listener)
}

// mayBeNew refuses a database in which nothing is where the folder is that of a server with another one: all users would be denied, and the
// clients of RADIUS would ask no second server.
func (c *Config) mayBeNew() error {
	info, err := os.Stat(c.file(checkpointsFile))
	if err == nil && info.Size() > 0 {
		return fault.New(fault.Conflict, "the database is empty or missing, and %s is the folder of a server that had one, whose log %s proves: "+
			"name that database (--database or TALLYSTICK_DATABASE), 'tallystick restore' its backup, or begin anew with another --data", c.Data, checkpointsFile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// keyring opens the keys of the database by the master key.
func (c *Config) keyring(ctx context.Context, db *store.DB) (*seed.Keyring, error) {
	used, err := db.DataKeys(ctx)
	if err == nil && len(used) == 0 {
		err = c.mayBeNew()
	}
	if err != nil {
		return nil, err
	}
	master, err := c.master(len(used) > 0)
	if err != nil {
		return nil, err
	}
	return seed.OpenKeyring(ctx, master, db, c.Now)
}

// master reads the master key. Its file is made at the first start, but not for a database that another key has sealed already.
func (c *Config) master(sealed bool) (seed.Master, error) {
	path := c.masterFile()
	_, err := os.Stat(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		if sealed {
			return nil, fault.New(fault.MasterKey, "this database has a master key, and it is not at %s: put it there, or give it with --master-key FILE", path)
		}
		if err := seed.MakeMasterFile(path); err != nil {
			return nil, err
		}
	}
	master, err := seed.MasterFromFile(path)
	if err == nil && missing {
		c.Printf("Made the master key %s. Without it nothing in the database opens: keep a copy in a safe place, apart from copies of the database.\n", path)
	}
	return master, err
}

// warnOfNewCA warns where a server is about to make a certification authority of its own for a database that was served before, by another server
// or from another folder: apps and agents trust the authority of that one. It refuses one to whom only the key of such an authority was given.
func (c *Config) warnOfNewCA(ctx context.Context, db *store.DB) error {
	_, err := os.Stat(c.file(caFile))
	if !errors.Is(err, fs.ErrNotExist) || c.TLSCert != "" || len(c.ACMEHosts) > 0 {
		return nil
	}
	if err := c.wholeCA(); err != nil {
		return err
	}
	_, servers, err := db.Readings(ctx) // of those that came as far as to serve
	if err == nil && len(servers) > 0 {
		c.Log.Warn("this database was served before, and this server makes a certification authority of its own: apps and agents that trust another one will refuse this server. "+
			"To go on with that one, stop this server, copy ca.pem and ca.key from the data folder of the server that made it over those here, and start again", "folder", c.Data)
	}
	return err
}

// serve runs the listeners and the housekeeping until ctx ends.
func (c *Config) serve(ctx context.Context, g *errgroup.Group, h *house, listener net.Listener) error {
	public, err := c.publicURL(listener.Addr())
	if err != nil {
		return err
	}
	tlsConfig, err := c.tlsConfig(public.Hostname(), h.shown)
	if err != nil {
		return err
	}
	socket, err := listenSocket(SocketPath(c.Data))
	if err != nil {
		return err
	}
	defer socket.Close()

	c.run(ctx, g, tls.NewListener(listener, tlsConfig), h.public, bearable())
	c.run(ctx, g, socket, h.local, 0)
	told := []any{"address", listener.Addr().String(), "public_url", public.String(), "provisioning", public.String() + provision.Path}
	if c.AgentListen != "" {
		agents, err := net.Listen("tcp", c.AgentListen)
		if err != nil {
			return fmt.Errorf("listening for agents: %w", err)
		}
		c.run(ctx, g, tls.NewListener(agents, tlsConfig), h.agents, bearable())
		told = append(told, "agents", agents.Addr().String())
	}
	if c.RADIUS.wanted() {
		if err := c.runRADIUS(ctx, g, h.radius, tlsConfig); err != nil {
			return err
		}
	}
	if c.Metrics != "" {
		metrics, err := net.Listen("tcp", c.Metrics)
		if err != nil {
			return fmt.Errorf("listening for Prometheus: %w", err)
		}
		c.Log.Info("serving metrics", "address", metrics.Addr().String())
		c.run(ctx, g, metrics, h.metrics, 0)
	}
	h.keepHouse(ctx, g)
	c.Log.Info("serving", told...)
	c.Ready(listener.Addr())
	return g.Wait()
}

// run serves handler on a listener until ctx ends, and then lets requests finish. The listener has most connections; 0 for any number.
func (c *Config) run(ctx context.Context, g *errgroup.Group, l net.Listener, handler http.Handler, most int) {
	srv := &http.Server{
		Handler: handler, ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: 32 << 10,
		HTTP2:    &http.HTTP2Config{MaxReceiveBufferPerStream: perStream, MaxReceiveBufferPerConnection: perConnection},
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	if most > 0 {
		srv.ConnState = newConnections(most, c.Log).moved
	}
	g.Go(func() error {
		if err := srv.Serve(&taking{Listener: l, log: c.Log, fail: rate.Sometimes{Interval: saidEvery}}); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		c.drain(srv, drainTimeout)
		return nil
	})
}

// drain lets the requests of a server that stops finish, and cuts off those that take longer.
func (c *Config) drain(srv *http.Server, within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		c.Log.Warn("requests that did not finish in time are cut off", "error", errors.Join(err, srv.Close()))
	}
}

// listenSocket opens the admin socket, for the owner of the data folder only. A socket that a crash left
// behind is replaced; the lock on the folder says that nobody listens there.
func listenSocket(path string) (net.Listener, error) {
	const longest = 100 // sockaddr_un holds a little more
	if len(path) > longest {
		return nil, fault.New(fault.Invalid, "the path of the admin socket %s is too long for a socket (%d bytes at most): take a shorter --data", path, longest)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := listenPrivately(path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}
