package main

import (
	"cmp"
	"fmt"
	"os"
	"strconv"

	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

// app is the token app on the database that flags, environment or platform
// name.
func (c *program) app() (*tokenapp.App, error) {
	dir := cmp.Or(c.store, os.Getenv("TALLY_STORE"))
	if dir == "" {
		var err error
		if dir, err = tokenapp.DefaultDir(); err != nil { // as under cron, which may set no HOME
			return nil, fmt.Errorf("there is no folder of yours to keep tokens in (%w): name the directory of the token database with --store or TALLY_STORE", err)
		}
	}
	limit := c.limit
	if text := os.Getenv("TALLY_MAX_TOKENS"); limit == 0 && text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil {
			return nil, cli.Usagef("TALLY_MAX_TOKENS is not a number")
		}
	}
	if limit < 0 {
		return nil, cli.Usagef("a database cannot hold %d tokens", limit)
	}
	return &tokenapp.App{Dir: dir, Keys: c.keys(), Limit: limit, Now: c.now}, nil
}

// keys is where the key of the database comes from.
func (c *program) keys() tokenapp.Keys {
	keys := tokenapp.Keys{
		File:    cmp.Or(c.keyFile, os.Getenv("TALLY_KEY_FILE")),
		Keyring: tokenapp.PlatformKeyring(),
		Warn:    c.Note,
	}
	if passphrase := os.Getenv("TALLY_PASSPHRASE"); passphrase != "" {
		keys.Passphrase = func(bool) (string, error) { return passphrase, nil }
	} else if c.Interactive() {
		keys.Passphrase = c.askPassphrase
	}
	return keys
}

func (c *program) askPassphrase(confirm bool) (string, error) {
	if !confirm {
		return c.AskSecret("Passphrase of the token database: ")
	}
	c.Note("the token database is new, and there is no keyring here to keep its key")
	for {
		first, err := c.AskSecret("Choose a passphrase for it: ")
		if err != nil {
			return "", err
		}
		second, err := c.AskSecret("Once more: ")
		if err != nil || first == second {
			return first, err
		}
		c.Note("the two differ")
	}
}
