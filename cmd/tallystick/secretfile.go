package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/tallystick/tallystick/internal/cli"
)

// A secretFile is a file that only its owner may read, open before there is something to write.
type secretFile struct {
	file    *os.File // nil once it is written or dropped
	made    bool     // it was not there before
	regular bool     // and not /dev/stdout or a named pipe
}

// openSecret opens a file for a secret. What is in it stays there until it is written.
func openSecret(name string) (*secretFile, error) {
	s := &secretFile{made: true}
	var err error
	s.file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		s.made = false
		s.file, err = cli.Interruptible(func() (*os.File, error) { return os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600) }) // a pipe waits for its reader
	}
	if err != nil {
		return nil, err
	}
	info, err := s.file.Stat()
	if err == nil {
		s.regular = info.Mode().IsRegular()
	}
	if err == nil && s.regular {
		err = s.file.Chmod(0o600) // others could read what was there
	}
	if err != nil {
		s.drop()
		return nil, err
	}
	return s, nil
}

// write puts content in the place of what was there, and closes the file.
func (s *secretFile) write(content []byte) error {
	file := s.file
	s.file = nil
	defer file.Close()
	if s.regular {
		if err := file.Truncate(0); err != nil {
			return err
		}
	}
	if _, err := file.Write(content); err != nil {
		return err
	}
	return file.Close()
}

// drop closes a file that nothing was written to, and removes it if it was not there before.
func (s *secretFile) drop() {
	if s == nil || s.file == nil {
		return
	}
	s.file.Close()
	if s.made {
		os.Remove(s.file.Name())
	}
	s.file = nil
}

// writeSecret writes a file that only its owner may read, also where there was one that others could.
func writeSecret(name string, content []byte) error {
	file, err := openSecret(name)
	if err != nil {
		return err
	}
	return file.write(content)
}
