package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
)

// A MasterChange exchanges the master key of a deployment whose servers are stopped.
type MasterChange struct {
	// Data is the data folder of one of the servers, and Database "" for the embedded database or postgres://...
	Data, Database string
	// From is the file with the master key; "" is the one in Data. To is that with the next one, which is made unless it is there.
	From, To string
	Now      func() time.Time
}

// recently is since when a server that runs must have said so.
const recently = 5 * beatEvery

// Run exchanges the key and returns the IDs of both. After an error, the old one goes on, or the same can be done again: with
// [fault.Unavailable] the database may have either.
// It is refused with [fault.Conflict] while a server runs, and with [fault.MasterKey] if the database is not that of From.
func (m MasterChange) Run(ctx context.Context) (from, to string, err error) {
	c := Config{Data: m.Data, Database: m.Database, MasterKey: m.From, Now: m.Now}
	if err := c.complete(); err != nil {
		return "", "", err
	}
	if _, err := os.Stat(c.Data); errors.Is(err, fs.ErrNotExist) { // or it would be made
		return "", "", fault.New(fault.NotFound, "there is no folder %s: give the --data of the server", c.Data)
	}
	unlock, err := takeFolder(c.Data)
	if err != nil {
		return "", "", err
	}
	defer unlock()
	before, err := seed.MasterFromFile(c.masterFile())
	if err != nil {
		return "", "", err
	}
	database := c.Database
	if database == "" {
		database = c.file(databaseFile)
		if _, err := os.Stat(database); errors.Is(err, fs.ErrNotExist) {
			return "", "", fault.New(fault.NotFound, "there is no database in %s: give the --data of the server, and --database if it has one", c.Data)
		}
	}
	db, err := store.OpenUnchanged(ctx, store.Options{URL: database}) // or servers that run would be cut off before it is known that they do
	if err != nil {
		return "", "", err
	}
	defer db.Close()
	now, servers, err := db.Readings(ctx)
	if err != nil {
		return "", "", err
	}
	for _, s := range servers {
		if c.Database != "" && now.Sub(s.At) < recently {
			return "", "", fault.New(fault.Conflict, "the server %s runs, or did %s ago: stop all servers, wait for a moment, and try again", s.Name, now.Sub(s.At).Round(time.Second))
		}
	}
	if err := seed.MakeMasterFile(m.To); err != nil {
		return "", "", err
	}
	after, err := seed.MasterFromFile(m.To)
	if err != nil {
		return "", "", err
	}
	if before.ID() == after.ID() {
		return "", "", fault.New(fault.Invalid, "%s holds the master key that the database has: name a file that is not there, and a new key is made in it", m.To)
	}
	err = seed.ChangeMaster(ctx, before, after, db, c.Now)
	if errors.Is(err, fault.Unavailable) { // whoever throws the next key away as that of a failure may have thrown away the only one
		err = fmt.Errorf("%w (%w)", fault.New(fault.Unavailable, "the database has the master key in %s or that in %s: keep both, and run the same again once it answers", c.masterFile(), m.To), err)
	}
	return before.ID(), after.ID(), err
}
