package tokenapp

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// deviceIDSize is in octets: 24 hexadecimal digits, the length that phone apps
// use and that administrators' forms take (spec/ctf.md section 5.1).
const deviceIDSize = 12

// DeviceID is the identifier of this installation, to which an administrator
// can bind a token: 24 hexadecimal digits in groups of four. It is drawn at
// random on first use and stays until [App.Reset]; it is no secret.
func (a *App) DeviceID() (string, error) {
	id, err := a.readDeviceID()
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	err = a.exclusively(func() error {
		if id, err = a.readDeviceID(); !errors.Is(err, fs.ErrNotExist) {
			return err // another process was faster
		}
		id = grouped(hex.EncodeToString(random(deviceIDSize)))
		return a.replaceFile(deviceFile, []byte(id+"\n"))
	})
	return id, err
}

func (a *App) readDeviceID() (string, error) {
	text, err := os.ReadFile(filepath.Join(a.Dir, deviceFile))
	if err != nil {
		return "", err
	}
	digits := strings.ToLower(bareID(string(text)))
	if _, err := hex.DecodeString(digits); err != nil || len(digits) != 2*deviceIDSize {
		return "", errors.New("the file " + deviceFile + " does not hold a device ID: restore it, or drop everything with 'tally reset'")
	}
	return grouped(digits), nil
}

// grouped writes digits in groups of four, as people read them out.
func grouped(digits string) string {
	var groups []string
	for ; len(digits) > 4; digits = digits[4:] {
		groups = append(groups, digits[:4])
	}
	return strings.Join(append(groups, digits), "-")
}

// DefaultDir is where this platform keeps an app's data.
func DefaultDir() (string, error) {
	switch dir := os.Getenv("XDG_DATA_HOME"); runtime.GOOS {
	case "windows", "darwin":
		base, err := os.UserConfigDir() // %AppData%, ~/Library/Application Support
		return filepath.Join(base, "tally"), err
	default:
		if filepath.IsAbs(dir) { // the specification tells to ignore any other
			return filepath.Join(dir, "tally"), nil
		}
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "share", "tally"), err
}
