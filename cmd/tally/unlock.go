package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

// unlockFlags are the flags that open a locked source.
type unlockFlags struct {
	c        *cli
	password *secretFlag
	deviceID string
}

func (c *cli) unlockFlags(cmd *cobra.Command) *unlockFlags {
	u := &unlockFlags{c: c, password: c.secretFlag(cmd, "password-file", "password of the source", "TALLY_PASSWORD")}
	cmd.Flags().StringVar(&u.deviceID, "device-id", "", "`ID` of the device that the source was made for")
	return u
}

// read reads the source and what the user gave to open it.
func (u *unlockFlags) read(arg string, others ...*secretFlag) (*tokenapp.Source, tokenapp.Access, error) {
	access := tokenapp.Access{DeviceID: u.deviceID}
	if err := onlyOneStdin(arg, append(others, u.password)...); err != nil {
		return nil, access, err
	}
	var err error
	if access.Password, err = u.password.value(); err != nil {
		return nil, access, err
	}
	source, err := tokenapp.ReadSource(arg, u.c.in)
	return source, access, err
}

// passwordTries is how often a wrong password may be typed before the command
// has to be repeated. There is no lock: the file is the user's.
const passwordTries = 3

// askPassword goes on after err: where that is a missing password, and there
// is somebody to ask, it asks and calls open again. It leaves the password in
// access.
func askPassword[T any](c *cli, err error, access *tokenapp.Access, open func(tokenapp.Access) (T, error)) (T, error) {
	var none T
	if !errors.Is(err, fault.PasswordRequired) || !c.interactive() {
		return none, err
	}
	for range passwordTries {
		if access.Password, err = c.askSecret("Password of the token: "); err != nil {
			return none, err
		}
		var opened T
		if opened, err = open(*access); err == nil {
			return opened, nil
		}
		if !errors.Is(err, fault.WrongPassword) && !errors.Is(err, fault.PasswordRequired) {
			return none, err
		}
		c.note("that is not the password")
	}
	return none, err
}
