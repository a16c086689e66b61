package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

// Where passwords and PINs come from without a file: a variable of this program's own, or the one that spec/cli.md has for both programs.
var (
	passwordVariables = []string{"TALLYSTICK_PASSWORD", "TALLY_PASSWORD"}
	pinVariables      = []string{"TALLYSTICK_PIN", "TALLY_PIN"}
)

// A secretFile is a file that only its owner may read, open before there is something to write.
type secretFile struct {
	file    *os.File // nil once it is written or dropped
	made    bool     // it was not there before
	regular bool     // and not /dev/stdout or a named pipe
}

// openSecret opens a file for a secret. What is in it stays there until it is written. One that another user has, who could read it, or to which
// her link leads, is refused: in a folder that she may write to, she has put it in the way.
func openSecret(name string) (*secretFile, error) {
	s := &secretFile{made: true}
	var err error
	s.file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		s.made = false
		s.file, err = openThere(name)
	}
	if err != nil {
		return nil, err
	}
	info, err := s.file.Stat()
	if err == nil {
		s.regular = info.Mode().IsRegular()
	}
	if err == nil && !s.made { // a new one has another owner only where the file system gives it one
		err = readByOthers(name, info)
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

// openThere opens for writing what has a name already.
func openThere(name string) (*os.File, error) {
	to, err := linked(name)
	if err != nil {
		return nil, err
	}
	how := os.O_WRONLY | os.O_CREATE
	if to == name {
		how |= syscall.O_NOFOLLOW // nobody has put a link there meanwhile
	}
	return cli.Interruptible(func() (*os.File, error) { return os.OpenFile(name, how, 0o600) }) // a pipe waits for its reader
}

// readByOthers refuses a file or pipe that is another user's. What standard output leads to is whose it may be: the shell's, in front of sudo.
func readByOthers(name string, info fs.FileInfo) error {
	owner := otherOwner(info)
	if owner == "" || info.Mode()&fs.ModeDevice != 0 {
		return nil
	}
	if out, err := os.Stdout.Stat(); err == nil && os.SameFile(info, out) {
		return nil
	}
	return fault.New(fault.Conflict, "%s is there already and belongs to user %s, who could read what is written: remove it, or name another file", name, owner)
}

// otherOwner is the user to whom a file belongs, "" if that is who runs this program, or root.
func otherOwner(info fs.FileInfo) string {
	stat, is := info.Sys().(*syscall.Stat_t)
	if !is || stat.Uid == 0 || int(stat.Uid) == os.Geteuid() {
		return ""
	}
	return userName(int(stat.Uid))
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

// openOut opens the file of --out for a secret that the server makes, before it does: what cannot be kept is not made. nil where there is none.
func openOut(name string) (*secretFile, error) {
	if name == "" {
		return nil, nil
	}
	return openSecret(name)
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

// writeWhole writes a file that only its owner may read, of any length, under another name first: what has its name is whole. Where the name is
// that of a link, the file that it leads to is written. What is no regular file, such as a named pipe, takes what comes.
func (p *program) writeWhole(out string, write func(io.Writer) error) (size int64, err error) {
	if out == "" {
		return 0, cli.Usagef("say which file to write: --out is empty")
	}
	if p.isOutput(out) {
		if p.JSON {
			return 0, cli.Usagef("--out %s and --json both take standard output: write to a file", out)
		}
		return counting(p.Out, write)
	}
	if info, err := os.Stat(out); err == nil && !info.Mode().IsRegular() {
		s, err := openSecret(out)
		if err != nil {
			return 0, err
		}
		size, err = counting(s.file, write)
		return size, errors.Join(err, s.file.Close())
	}
	if out, err = linked(out); err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+"-*")
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
		return 0, &fs.PathError{Op: "create", Path: out, Err: failed.Err} // who asked for out knows no other name
	} else if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	if size, err = counting(f, write); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	return size, os.Rename(f.Name(), out)
}

// writeText is writeWhole of a text that is there.
func (p *program) writeText(out string, text []byte) error {
	_, err := p.writeWhole(out, func(w io.Writer) error { _, err := w.Write(text); return err })
	return err
}

// isOutput tells whether a name is one of standard output, which then has what is written alone.
func (p *program) isOutput(name string) bool {
	out := cli.File(p.Out)
	if out == nil {
		return false
	}
	here, err := out.Stat()
	there, err2 := os.Stat(name)
	return err == nil && err2 == nil && os.SameFile(here, there)
}

// counting has something written to w, and says how much that was.
func counting(w io.Writer, write func(io.Writer) error) (int64, error) {
	c := &counter{w: w}
	buffered := bufio.NewWriterSize(c, 1<<20)
	if err := write(buffered); err != nil {
		return c.n, err
	}
	err := buffered.Flush()
	return c.n, err
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// maxLinks is how many links in a row a system follows.
const maxLinks = 40

// linked is the name of the file that a name leads to, whether it is there or not. Links of other users are refused: what is written over is for
// who runs this program to choose.
func linked(name string) (string, error) {
	for range maxLinks {
		info, _ := os.Lstat(name) // of what is not there, or not to be read, writing tells what is wrong with it
		if info == nil || info.Mode()&fs.ModeSymlink == 0 {
			break
		}
		if owner := otherOwner(info); owner != "" {
			return "", fault.New(fault.Conflict, "%s is a link of user %s, who would choose by it what is written over: remove it, or name another file", name, owner)
		}
		next, err := os.Readlink(name)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(next) {
			dir, err := filepath.EvalSymlinks(filepath.Dir(name))
			if err != nil {
				return "", err
			}
			next = filepath.Join(dir, next)
		}
		name = next
	}
	return name, nil
}

// makeFolder makes the folder that files are to be written to, unless it is there.
func makeFolder(name string) error {
	if _, err := linked(name); err != nil {
		return err
	}
	return os.MkdirAll(name, 0o700)
}
