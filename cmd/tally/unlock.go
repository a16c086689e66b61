package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

// unlockFlags are the flags that open a locked source.
type unlockFlags struct {
	c        *program
	password *cli.Secret
	deviceID string
}

func (c *program) unlockFlags(cmd *cobra.Command) *unlockFlags {
	u := &unlockFlags{c: c, password: c.SecretFlag(cmd, "password-file", "password of the source", "TALLY_PASSWORD")}
	cmd.Flags().StringVar(&u.deviceID, "device-id", "", "`ID` of the device that the source was made for")
	return u
}

// read reads the source and what the user gave to open it.
func (u *unlockFlags) read(arg string, others ...*cli.Secret) (*tokenapp.Source, tokenapp.Access, error) {
	access := tokenapp.Access{DeviceID: u.deviceID}
	if err := cli.OnlyOneStdin(arg, append(others, u.password)...); err != nil {
		return nil, access, err
	}
	var err error
	if access.Password, err = u.password.Value(); err != nil {
		return nil, access, err
	}
	source, err := tokenapp.ReadSource(arg, u.c.In)
	return source, access, err
}

// passwordTries is how often a wrong password may be typed before the command
// has to be repeated. There is no lock: the file is the user's.
const passwordTries = 3

// askPassword goes on after err: where that is a missing password, and there
// is somebody to ask, it asks and calls open again. It leaves the password in
// access.
func askPassword[T any](c *program, err error, access *tokenapp.Access, open func(tokenapp.Access) (T, error)) (T, error) {
	var none T
	if !errors.Is(err, fault.PasswordRequired) || !c.Interactive() {
		return none, err
	}
	for range passwordTries {
		if access.Password, err = c.AskSecret("Password of the token: "); err != nil {
			return none, err
		}
		var opened T
		if opened, err = open(*access); err == nil {
			return opened, nil
		}
		if !errors.Is(err, fault.WrongPassword) && !errors.Is(err, fault.PasswordRequired) {
			return none, err
		}
		c.Note("that is not the password")
	}
	return none, err
}
