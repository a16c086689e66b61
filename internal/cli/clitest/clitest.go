// Package clitest runs command lines at a terminal, as a person would, for the tests of both programs.
package clitest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tallystick/tallystick/internal/cli"
)

// patience is how long a program may take, which only asks: what takes longer does not end by itself.
const patience = time.Minute

// Interrupt is the command 'interrupt PROMPT COMMAND...' of test scripts. It runs a program at a terminal of its own, waits until
// it has said PROMPT on standard error, and presses ctrl-c; the program must end as one that failed. Only its standard input is that terminal.
func Interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: interrupt PROMPT COMMAND...")
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"HOME", "PATH", "GORACE", "TALLYSTICK_DATA", "TALLY_STORE", "TALLY_KEY_FILE", "DBUS_SESSION_BUS_ADDRESS"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	errs, err := interrupt(cmd, ts.Stdout(), args[0])
	fmt.Fprint(ts.Stderr(), errs)
	ts.Check(err)
	if got := cmd.ProcessState.ExitCode(); got != cli.Failed {
		ts.Fatalf("exit status %d, not %d", got, cli.Failed)
	}
}

// interrupt runs a program that must ask with a prompt, and returns what it says on standard error.
func interrupt(cmd *exec.Cmd, out io.Writer, prompt string) (words string, err error) {
	keyboard, terminal, err := OpenTerminal()
	if err != nil {
		return "", err
	}
	defer keyboard.Close()
	defer terminal.Close()
	cmd.Stdin, cmd.Stdout = terminal, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // the terminal is its descriptor 0
	errs, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	impatient := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer impatient.Stop()
	words, err = press(errs, keyboard, prompt)
	if wrong := cmd.Wait(); wrong != nil && !errors.As(wrong, new(*exec.ExitError)) {
		err = errors.Join(err, wrong)
	}
	return words, err
}

// press presses ctrl-c once errs has prompt, and returns all that errs has.
func press(errs io.Reader, keyboard *os.File, prompt string) (string, error) {
	const ctrlC = "\x03"
	var words bytes.Buffer
	buffer, pressed := make([]byte, 4<<10), false
	for {
		n, err := errs.Read(buffer)
		words.Write(buffer[:n])
		if !pressed && bytes.Contains(words.Bytes(), []byte(prompt)) {
			pressed = true
			if _, err := keyboard.WriteString(ctrlC); err != nil {
				return words.String(), err
			}
		}
		switch {
		case err == io.EOF && !pressed:
			return words.String(), fmt.Errorf("it did not ask %q", prompt)
		case err == io.EOF:
			return words.String(), nil
		case err != nil:
			return words.String(), err
		}
	}
}
