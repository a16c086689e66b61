package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

// The vectors of spec/vectors, in testdata/vectors. See the README there for
// what the fields are.
type (
	vectorToken struct {
		Serial   string
		ExpDate  string `json:"exp_date"`
		Digits   int
		Interval int
		PINMode  int `json:"pin_mode"`
	}
	vectorCode struct {
		UnixTime int64 `json:"unix_time"`
		PIN      string
		Output   string
	}
	vectorTokens struct {
		Expect vectorToken
		Codes  []vectorCode
	}
	vector struct {
		ID       string
		Version  int
		Kind     string
		String   string
		XML      string
		Input    string
		Password string
		DevID    string
		Error    string
		Note     string

		vectorTokens
		Tokens []vectorTokens
	}
)

func readVectors(t *testing.T, name string) []vector {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []vector }
	if err := json.Unmarshal(data, &file); err != nil || len(file.Cases) == 0 {
		t.Fatalf("%d cases, %v", len(file.Cases), err)
	}
	if testing.Short() { // every eighth: each runs the program several times, and the format packages test them all
		n := 0
		file.Cases = slices.DeleteFunc(file.Cases, func(vector) bool { n++; return n%8 != 1 })
	}
	return file.Cases
}

// flags are those that open the vector's source. The secrets are written to
// files, as the program takes none as an argument.
func (v vector) flags(t *testing.T) []string {
	args := []string{"--json"}
	if v.Password != "" {
		args = append(args, "--password-file", secretFile(t, v.Password+"\n"))
	}
	if v.DevID != "" {
		args = append(args, "--device-id", v.DevID)
	}
	return args
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkInfo compares what 'inspect' says with what the vector expects.
func checkInfo(t *testing.T, got tokenapp.Info, want vectorToken) {
	t.Helper()
	pinType := "fob_or_none"
	if want.PINMode >= 2 {
		pinType = "pinpad"
	}
	if got.Serial != want.Serial || got.Expiry != want.ExpDate || got.Digits != want.Digits ||
		got.IntervalSeconds != want.Interval || got.PINType != pinType || got.Algorithm != "securid-aes128" {
		t.Errorf("inspect says %+v, want %+v", got, want)
	}
}

// checkCode runs 'tally code' for one code of the vector.
func checkCode(t *testing.T, source string, flags []string, token vectorToken, want vectorCode) {
	t.Helper()
	at := time.Unix(want.UnixTime, 0).UTC()
	args := append([]string{"code", "--from", "-", "--serial", token.Serial, "--at", at.Format(time.RFC3339)}, flags...)
	if want.PIN != "" {
		args = append(args, "--pin-file", secretFile(t, want.PIN))
	}
	out, status := run(t, source, args...)
	var got shownCode
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != cli.Done {
		t.Fatalf("status %d, %v: %s", status, err, out)
	}
	interval := time.Duration(token.Interval) * time.Second
	start := at.Truncate(interval)
	left := int(start.Add(interval).Sub(at) / time.Second)
	if got != (shownCode{Serial: token.Serial, Code: want.Output, ValidFrom: start, SecondsLeft: left}) {
		t.Errorf("at %v: got %+v, want %s", at, got, want.Output)
	}
}

// TestStringVectors opens every string through the real program.
func TestStringVectors(t *testing.T) {
	for _, v := range readVectors(t, "ctf.json") {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			flags := v.flags(t)
			out, status := run(t, "", append([]string{"inspect", v.String}, flags...)...)
			var info tokenapp.Info
			if err := json.Unmarshal([]byte(out), &info); err != nil || status != cli.Done {
				t.Fatalf("status %d, %v: %s", status, err, out)
			}
			checkInfo(t, info, v.Expect)
			if info.PasswordProtected != (v.Password != "") || info.DeviceBound != (v.DevID != "") || int(info.Format[3]-'0') != v.Version {
				t.Errorf("inspect says %+v", info)
			}
			for _, code := range v.Codes {
				checkCode(t, v.String, flags, v.Expect, code)
			}
		})
	}
}

// TestFileVectors opens every token file through the real program.
func TestFileVectors(t *testing.T) {
	for _, v := range readVectors(t, "sdtid.json") {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			flags := v.flags(t)
			out, status := run(t, v.XML, append([]string{"inspect", "-"}, flags...)...)
			if status != cli.Done {
				t.Fatalf("status %d: %s", status, out)
			}
			var list struct{ Tokens []tokenapp.Info }
			if len(v.Tokens) == 1 {
				list.Tokens = make([]tokenapp.Info, 1)
				if err := json.Unmarshal([]byte(out), &list.Tokens[0]); err != nil {
					t.Fatal(err)
				}
			} else if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Tokens) != len(v.Tokens) {
				t.Fatalf("%d tokens, %v", len(list.Tokens), err)
			}
			for i, token := range v.Tokens {
				checkInfo(t, list.Tokens[i], token.Expect)
				for _, code := range token.Codes {
					checkCode(t, v.XML, flags, token.Expect, code)
				}
			}
		})
	}
}

// codesOf are the error codes that fit a class of failure.
var codesOf = map[string]string{
	"general": "BAD_FORMAT", "length": "BAD_FORMAT", "version": "UNSUPPORTED_VERSION", "checksum": "CHECKSUM_FAILED", "mac": "MODIFIED",
	"missing-secret": "PASSWORD_REQUIRED DEVICE_ID_REQUIRED", "wrong-password": "WRONG_PASSWORD", "wrong-devid": "WRONG_DEVICE",
}

// tolerated are failures of stoken on inputs with which nothing is wrong.
var tolerated = []string{
	"two tokens", "smartphone class", "bare base64 without", "text after version 3 data",
}

// TestErrorVectors refuses every damaged, changed or wrongly unlocked input for
// the right reason, whichever command reads it.
func TestErrorVectors(t *testing.T) {
	for _, v := range readVectors(t, "errors.json") {
		if slices.ContainsFunc(tolerated, func(part string) bool { return strings.Contains(v.Note, part) }) {
			continue
		}
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			flags := v.flags(t)
			commands := [][]string{{"code", "--from", "-"}, {"inspect", "-"}}
			if v.Error == "missing-secret" {
				commands = commands[:1] // what can be read without the password is shown
			}
			for _, command := range commands {
				out, status := run(t, v.Input, append(command, flags...)...)
				var refusal struct {
					Error struct{ Code, Message string }
				}
				if err := json.Unmarshal([]byte(out), &refusal); err != nil || status != cli.Refused {
					t.Fatalf("%s (%s): status %d, %v: %s", command[0], v.Note, status, err, out)
				}
				if !strings.Contains(codesOf[v.Error], refusal.Error.Code) || refusal.Error.Code == "" {
					t.Errorf("%s: %s is refused as %s (%s), want %s", command[0], v.Note, refusal.Error.Code, refusal.Error.Message, codesOf[v.Error])
				}
			}
		})
	}
}
