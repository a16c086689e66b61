//go:build !linux

package clitest

import (
	"errors"
	"os"
)

// OpenTerminal makes none.
func OpenTerminal() (keyboard, terminal *os.File, err error) {
	return nil, nil, errors.New("terminals are made on Linux only")
}
