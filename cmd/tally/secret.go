package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// maxSecret bounds the file that a secret is read from.
const maxSecret = 4 << 10

// secretFlag is a flag that names the file of a secret, and the environment
// variable that is asked without the flag.
type secretFlag struct {
	c         *cli
	file, env string
}

func (c *cli) secretFlag(cmd *cobra.Command, name, what, env string) *secretFlag {
	s := &secretFlag{c: c, env: env}
	cmd.Flags().StringVar(&s.file, name, "", fmt.Sprintf("`file` with the %s; - is standard input (%s)", what, env))
	return s
}

// value is the secret, "" if there is none. One trailing newline is dropped.
func (s *secretFlag) value() (string, error) {
	var r io.Reader
	switch s.file {
	case "":
		return os.Getenv(s.env), nil
	case "-":
		r = s.c.in
	default:
		f, err := os.Open(s.file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		r = f
	}
	text, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxSecret {
		return "", usagef("%s is too large to hold a secret", s.file)
	}
	secret := strings.TrimSuffix(string(text), "\n")
	return strings.TrimSuffix(secret, "\r"), nil
}

// onlyOneStdin refuses a call in which two things come from standard input.
func onlyOneStdin(source string, secrets ...*secretFlag) error {
	n := 0
	if source == "-" {
		n++
	}
	for _, s := range secrets {
		if s.file == "-" {
			n++
		}
	}
	if n > 1 {
		return usagef("only one thing can come from standard input")
	}
	return nil
}

// interactive tells whether there is somebody to ask.
func (c *cli) interactive() bool {
	return term.IsTerminal(int(c.in.Fd()))
}

var errInterrupted = errors.New("interrupted")

// askSecret asks on the terminal without showing what is typed. An interrupt
// gives the terminal its echo back before it ends the program.
func (c *cli) askSecret(prompt string) (string, error) {
	fd := int(c.in.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)

	fmt.Fprint(c.err, prompt)
	defer fmt.Fprintln(c.err)
	var secret []byte
	answered := make(chan error, 1)
	go func() {
		var err error
		secret, err = term.ReadPassword(fd)
		answered <- err
	}()
	select {
	case err := <-answered:
		return string(secret), err
	case <-interrupts:
		return "", errors.Join(errInterrupted, term.Restore(fd, state))
	}
}

// confirm asks a question that only "y" or "yes" affirms.
func (c *cli) confirm(format string, args ...any) bool {
	fmt.Fprintf(c.err, format+" [y/N] ", args...)
	answer, _ := bufio.NewReader(c.in).ReadString('\n') // without an answer it is no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}
