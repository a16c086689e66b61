package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
)

// What a server keeps that is not in its database.
const (
	databaseFile    = "tallystick.db"
	checkpointsFile = "audit-checkpoints"
	idFile          = "server-id"
	caFile          = backup.CAFile
	caKeyFile       = backup.CAKeyFile
	caNewKeyFile    = "ca.key.new" // until ca.pem is there
)

// secretFiles are those that a backup may carry: the master key, and what the server's own certification authority is made of.
func (c *Config) secretFiles() (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, path := range map[string]string{
		backup.MasterKeyFile: c.masterFile(), caFile: c.file(caFile), caKeyFile: c.file(caKeyFile),
	} {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && name != backup.MasterKeyFile {
			continue // this server has its certificate from elsewhere
		}
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	return files, nil
}

// masterFile is where the master key is.
func (c *Config) masterFile() string {
	if c.MasterKey != "" {
		return c.MasterKey
	}
	return c.file(backup.MasterKeyFile)
}

// A Restore says what to bring back, and where to.
type Restore struct {
	File io.ReadSeeker
	Keys []age.Identity
	// Data is the folder of the server to be, and Database "" for the embedded database or postgres://...
	Data, Database string
	// MasterKey is the file with the deployment's master key; "" is the one in the backup or in Data.
	MasterKey string
	// Until is the time up to which codes count as used: the server that the backup is of may have accepted them. Zero is now. It is not
	// before the backup was taken, and [maxAhead] from now at most.
	Until time.Time
	// Unused says that no code was accepted after the backup was taken: codes count as they did then, and Until is not looked at.
	Unused bool
	// Trial has what is restored reach nobody by itself: mail is off, webhooks are disabled, and no directory is synchronised.
	Trial bool
	Now   func() time.Time
}

// A Restored says what was brought back.
type Restored struct {
	backup.Header
	backup.Contents
	store.Restored
	Until          time.Time // up to which codes count as used
	Proven         bool      // that who has the master key made it: it was not taken from the backup itself
	OldCheckpoints string    // where the signed heads of the log that was here before are now; "" if there were none
}

// maxAhead is how far ahead codes may count as used: for clocks of tokens that run away, at the price of a wait.
const maxAhead = time.Hour

// Run checks the whole backup, and then puts it where nothing is. After an error the target is as it was, but for empty
// tables in a PostgreSQL database and the secret files beside it, with which the same can be tried again; or else the error says that the backup may be there.
//
// The refusals are those of [backup.NewReader] and [backup.Check], [fault.RestoreTarget] and [fault.SchemaNewer].
func (r Restore) Run(ctx context.Context) (Restored, error) {
	c := Config{Data: r.Data, Database: r.Database, MasterKey: r.MasterKey, Now: r.Now}
	if err := c.complete(); err != nil {
		return Restored{}, err
	}
	unlock, err := takeFolder(c.Data)
	if err != nil {
		return Restored{}, err
	}
	defer unlock()
	if err := c.nothingHere(); err != nil {
		return Restored{}, err
	}
	whole, known, err := r.check()
	if err != nil {
		return Restored{}, err
	}
	h, now := whole.Header(), c.Now()
	if now.Before(h.TakenAt) {
		return Restored{}, fault.New(fault.Invalid, "the backup is of %s, and this machine's clock says %s: correct the clock",
			h.TakenAt.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	switch {
	case r.Unused:
		r.Until = h.TakenAt
	case r.Until.IsZero():
		r.Until = now
	case r.Until.Before(h.TakenAt.Truncate(time.Second)):
		return Restored{}, fault.New(fault.Invalid, "the backup is of %s, and codes that were used before would be accepted again: give a later --until",
			h.TakenAt.Format(time.RFC3339))
	case r.Until.After(now.Add(maxAhead)):
		return Restored{}, fault.New(fault.Invalid, "codes would be refused until %s, and it is %s: give --until a time within the next hour",
			r.Until.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if err := c.sameAuthority(h.Files); err != nil {
		return Restored{}, err
	}
	return r.fill(ctx, &c, whole, known)
}

// sameAuthority refuses a data folder with a part of another certification authority than the one in the backup: key and certificate would
// not go together, or apps and agents would trust another one.
func (c *Config) sameAuthority(files map[string][]byte) error {
	for _, name := range []string{caFile, caKeyFile} {
		here, err := os.ReadFile(c.file(name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && (files[name] == nil || bytes.Equal(here, files[name])) {
			continue
		}
		if err != nil {
			return err
		}
		return fault.New(fault.RestoreTarget, "%s is not the one in the backup: move it away, or restore into another folder", c.file(name))
	}
	return nil
}

// nothingHere refuses a data folder with an embedded database, also where the backup goes into PostgreSQL: a server that is started there without
// --database later would go on with the old one, and take codes that were used since.
func (c *Config) nothingHere() error {
	for _, companion := range []string{"", "-wal", "-shm"} {
		if _, err := os.Stat(c.file(databaseFile) + companion); !errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.RestoreTarget, "there is a database at %s: restore into another folder, or move it away", c.file(databaseFile)+companion)
		}
	}
	return nil
}

// open opens the backup from its beginning.
func (r Restore) open() (*backup.Reader, error) {
	if _, err := r.File.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return backup.NewReader(r.File, r.Keys...)
}

// check reads the backup to its end, and tells whether it is known who made it.
func (r Restore) check() (b *backup.Reader, known bool, err error) {
	if b, err = r.open(); err != nil {
		return nil, false, err
	}
	master, err := r.master(b.Header())
	if err != nil {
		return nil, false, err
	}
	known, err = backup.Check(b, master)
	// A restore that was killed has placed the key of the backup in the folder: it proves nothing.
	return b, known && (r.MasterKey != "" || b.Header().Files[backup.MasterKeyFile] == nil), err
}

// master is the master key: one that was named or is in the folder, else the one in the backup, for which nil stands.
func (r Restore) master(h backup.Header) (seed.Master, error) {
	c := Config{Data: r.Data, MasterKey: r.MasterKey}
	path := c.masterFile()
	_, err := os.Stat(path)
	switch inside := h.Files[backup.MasterKeyFile] != nil; {
	case err == nil || r.MasterKey != "":
		return seed.MasterFromFile(path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case inside:
		return nil, nil
	}
	return nil, fault.New(fault.MasterKey, "the backup is without its master key (%s), and nothing in it opens without that: give it with --master-key FILE", h.Master)
}

// fill writes what was checked.
func (r Restore) fill(ctx context.Context, c *Config, whole *backup.Reader, known bool) (Restored, error) {
	h := whole.Header()
	done := Restored{Header: h, Contents: whole.Contents(), Until: r.Until, Proven: known}
	place := func() error { return c.placeFiles(&done, h.Files) }
	url, unfinished := c.Database, ""
	if url == "" {
		unfinished = c.file(databaseFile + ".restoring")
		if err := removeDatabase(unfinished); err != nil { // an earlier one was killed
			return done, err
		}
		defer func() { _ = removeDatabase(unfinished) }()
		url = unfinished
	}
	to := store.Restore{
		Schema: h.Schema, Until: r.Until, Unused: r.Unused, Trial: r.Trial,
		Rows: func(write func(backup.Table, func() ([]any, error)) error) error {
			b, err := r.open()
			if err != nil {
				return err
			}
			return copyTables(b, whole, write)
		},
		Event: audit.New(ctx, c.Now(), "backup.restore", "deployment:", audit.Details{
			"taken_at": h.TakenAt.Format(time.RFC3339), "codes_used_until": r.Until.UTC().Format(time.RFC3339), "trial": r.Trial,
		}),
	}
	if unfinished == "" {
		to.Last = place // nothing comes after the commit that could be missing
	}
	var err error
	done.Restored, err = store.Options{URL: url}.Restore(ctx, to)
	switch {
	case err == nil:
	case done.Committed && unfinished == "":
		return done, fmt.Errorf("the backup is in the database, or may be: start a server on it, or restore into a new database: %w", err)
	case done.OldCheckpoints != "": // nothing was committed: the log is the one that was there
		err = errors.Join(err, os.Rename(done.OldCheckpoints, c.file(checkpointsFile)))
		done.OldCheckpoints = ""
	}
	if err != nil || unfinished == "" {
		return done, err
	}
	if err := place(); err != nil {
		return done, err
	}
	return done, placeDatabase(unfinished, c.file(databaseFile))
}

// copyTables has every row written, and sees that they are the ones that were checked.
func copyTables(b, checked *backup.Reader, write func(backup.Table, func() ([]any, error)) error) error {
	for {
		t, err := b.Next()
		if errors.Is(err, io.EOF) {
			if !b.Same(checked) {
				return fault.New(fault.BackupFormat, "the backup was changed while it was restored: begin again")
			}
			return nil
		}
		if err == nil {
			err = write(t, b.Row)
		}
		if err != nil {
			return err
		}
	}
}

// placeFiles puts the secret files where they are missing. Signed heads of a log that went further are evidence, and no server
// would go on with a log that is shorter than they say: they get another name.
func (c *Config) placeFiles(done *Restored, files map[string][]byte) error {
	for name, data := range files {
		path := c.file(name)
		if name == backup.MasterKeyFile {
			path = c.masterFile()
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := writeFile(path, data, map[bool]os.FileMode{true: 0o644, false: 0o600}[name == caFile]); err != nil {
			return err
		}
	}
	heads := c.file(checkpointsFile)
	if _, err := os.Stat(heads); !errors.Is(err, fs.ErrNotExist) {
		done.OldCheckpoints = heads + c.Now().UTC().Format(".before-20060102T150405Z")
		if err := os.Rename(heads, done.OldCheckpoints); err != nil {
			return err
		}
	}
	return syncFolder(c.Data)
}

// removeDatabase removes an embedded database, if there is one.
func removeDatabase(path string) error {
	var all error
	for _, companion := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + companion); !errors.Is(err, fs.ErrNotExist) {
			all = errors.Join(all, err)
		}
	}
	return all
}

// placeDatabase gives a database that is whole and closed its name.
func placeDatabase(from, to string) error {
	if _, err := os.Stat(from + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is still in use", from)
	}
	return errors.Join(os.Rename(from, to), syncFolder(filepath.Dir(to)))
}

// syncFolder makes new names in a folder survive a crash.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
