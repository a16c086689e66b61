package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

// In a folder that others may write to, one of them has put a file, a pipe or a link where a command writes: she neither gets what is written nor
// chooses what is written over. What the caller or root has put there is taken.
func TestWhatOthersHavePutInTheWay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can put something there in another user's name")
	}
	const other, before = 65534, "what was there"
	p := &program{Program: cli.Program{Out: io.Discard, Err: io.Discard}}
	ways := map[string]func(name string) error{
		"a secret": func(name string) error { return writeSecret(name, []byte("secret")) },
		"a backup": func(name string) error { return p.writeText(name, []byte("secret")) },
		"a plot": func(name string) error {
			_, drop, err := openPlot(name)
			if err == nil {
				drop()
			}
			return err
		},
		"a folder": func(name string) error { return canWrite(name) },
	}
	file := func(name string) error { return os.WriteFile(name, []byte(before), 0o644) }
	pipe := func(name string) error { return syscall.Mkfifo(name, 0o644) }
	link := func(name string) error { return os.Symlink("victim", name) }
	dangling := func(name string) error { return os.Symlink("nothing", name) }
	folder := func(name string) error { return os.Symlink("folder", name) }
	for _, test := range []struct {
		way, what string
		put       func(string) error
		refused   bool // where it is another user's
	}{
		{"a secret", "a file", file, true},
		{"a secret", "a pipe", pipe, true},
		{"a secret", "a link", link, true},
		{"a secret", "a link to nothing", dangling, true},
		{"a backup", "a file", file, false}, // another one takes its place
		{"a backup", "a pipe", pipe, true},
		{"a backup", "a link", link, true},
		{"a backup", "a link to nothing", dangling, true},
		{"a plot", "a link", link, true},
		{"a folder", "a link", folder, true},
	} {
		for _, owner := range []int{0, other} {
			dir := t.TempDir()
			name, victim := filepath.Join(dir, "out"), filepath.Join(dir, "victim")
			err := errors.Join(file(victim), os.Mkdir(filepath.Join(dir, "folder"), 0o700), test.put(name), os.Lchown(name, owner, owner))
			if err != nil {
				t.Fatal(err)
			}
			if test.what == "a pipe" { // as whoever waits for what comes
				reader, err := os.OpenFile(name, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer reader.Close()
			}
			err = ways[test.way](name)
			if want := test.refused && owner == other; want != errors.Is(err, fault.Conflict) || !want && err != nil {
				t.Errorf("%s to %s of user %d: %v", test.way, test.what, owner, err)
			}
			if owner == 0 {
				continue
			}
			if got, err := os.ReadFile(victim); err != nil || string(got) != before {
				t.Errorf("%s to %s of another user left %q where that led: %v", test.way, test.what, got, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s to %s of another user made the file to which that led: %v", test.way, test.what, err)
			}
			if test.what == "a file" && test.refused {
				if got, err := os.ReadFile(name); err != nil || string(got) != before {
					t.Errorf("%s to %s of another user left %q in it: %v", test.way, test.what, got, err)
				}
			}
		}
	}
}
