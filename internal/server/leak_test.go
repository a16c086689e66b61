package server_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/token"
)

// A witness lives the life of some tokens with the real programs, hears all that these print and store, and knows the secrets.
type witness struct {
	*testing.T
	server  *process
	work    string // folder of the files that hand secrets over
	env     []string
	secrets map[string][]byte
	heard   map[string][]byte // by where it was
}

// Invariant 11: nothing that is printed, posted or stored, on either database, shows a seed, PIN, passcode, activation code, password or key. A secret
// that the system can be given in another way joins this life of some tokens.
func TestInvariant11NothingLeaks(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a life of some tokens, searched, takes 17 s")
	}
	t.Run("SQLite", func(t *testing.T) {
		w := newWitness(t)
		w.live(filepath.Join(w.server.data, "tallystick.db"), func() []byte { return nil })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		database := storetest.Postgres(t)
		newWitness(t, "--database", database).live(database, func() []byte { return storetest.Dump(t, database) })
	})
}

// The search finds a secret in each form that it might be printed or stored in, wherever it stands.
func TestLeaksAreFound(t *testing.T) {
	secrets := map[string][]byte{"seed": anySeed(), "PIN": []byte("73914628")}
	for name, secret := range secrets {
		for _, form := range []string{
			string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)), "0" + hex.EncodeToString(secret),
			base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret),
			base64.StdEncoding.EncodeToString(slices.Concat([]byte(":"), secret, []byte(", z"))),
			base64.StdEncoding.EncodeToString(slices.Concat([]byte("x:"), secret, []byte(","))),
			"x/" + base64.URLEncoding.EncodeToString(slices.Concat([]byte("\xff\xff"), secret)), // as a path
		} {
			found := leaks(secrets, []byte("173914628 before "+form+" after"))
			if !slices.Equal(found, []string{name}) {
				t.Errorf("%s as %q: found %v", name, form, found)
			}
		}
	}
	text := "no secret 12345678, a number 173914628, and an ID b73914628c"
	for _, other := range []string{"739146001", "1739146280", "x73914628y"} { // of which a part is that of the PIN
		text += " " + base64.StdEncoding.EncodeToString([]byte(other)) + " " + hex.EncodeToString([]byte(other))
	}
	if found := leaks(secrets, []byte(text)); len(found) > 0 {
		t.Errorf("found %v where nothing is", found)
	}
}

// leaks names the secrets that a text holds, in any form.
func leaks(secrets map[string][]byte, text []byte) []string {
	text = slices.Concat(text, decoded(text))
	var found []string
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		if holds(text, secrets[name]) {
			found = append(found, name)
		}
	}
	return found
}

// holds tells whether a secret is in a text as it is. Digits within a longer number or word are not it: a PIN may be found in any time of
// day, and among the hexadecimal digits of all the IDs.
func holds(text, secret []byte) bool {
	number := len(bytes.Trim(secret, "0123456789")) == 0
	word := func(b []byte, n int) bool {
		return n >= 0 && n < len(b) && (b[n] >= '0' && b[n] <= '9' || b[n]|0x20 >= 'a' && b[n]|0x20 <= 'z')
	}
	for from := 0; ; from++ {
		n := bytes.Index(text[from:], secret)
		if n < 0 {
			return false
		}
		from += n
		if !number || !word(text, from-1) && !word(text, from+len(secret)) {
			return true
		}
	}
}

// decoded is what a text says in hexadecimal and in base64, a line for each reading: a code may begin at any character of what looks like it. It is
// read, and not searched for what a secret becomes in base64: of that only the middle is sure, and the middle of a PIN is in many other numbers.
func decoded(text []byte) []byte {
	var all []byte
	runs := func(text []byte, alphabet string) [][]byte {
		return bytes.FieldsFunc(text, func(r rune) bool { return !strings.ContainsRune(alphabet, r) })
	}
	const digits, letters = "0123456789", "abcdefghijklmnopqrstuvwxyz"
	for _, run := range runs(text, digits+"abcdefABCDEF") {
		for from := range min(2, len(run)) {
			all, _ = hex.AppendDecode(append(all, '\n'), run[from:]) // as far as it goes
		}
	}
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("+"), []byte("-")), []byte("/"), []byte("_"))
	for _, run := range runs(text, digits+letters+strings.ToUpper(letters)+"-_") {
		for from := range min(4, len(run)) {
			all, _ = base64.RawURLEncoding.AppendDecode(append(all, '\n'), run[from:])
		}
	}
	return append(all, '\n')
}

func newWitness(t *testing.T, args ...string) *witness {
	w := &witness{T: t, work: folder(t), secrets: map[string][]byte{}, heard: map[string][]byte{}}
	w.server = start(t, folder(t), append(args, "--log-level", "debug", "--radius", "127.0.0.1:0")...)
	app := newPhone(t, w.work)
	w.env = append(app.env, "TALLYSTICK_DATA="+w.server.data)
	return w
}

// live has everything done that the programs can do, right and wrong, and searches what is left of it.
func (w *witness) live(database string, dump func() []byte) {
	w.people()
	heard := w.listened()
	w.delivered()
	w.dynamic(database)
	w.checked()
	w.overRADIUS()
	w.lost()
	w.mistaken()
	w.overHTTP()
	w.redistributed(database)
	w.mailed(database)
	w.many(database)
	w.shown()
	w.backedUp()
	w.reported()
	w.imported()
	w.everything()
	w.given()
	w.moved(database)
	heard()
	w.fixture()

	w.files(w.server.data, "while the server runs")
	w.hear("arguments of the server", arguments(w.server.cmd.Process.Pid))
	w.server.terminate()
	if status := w.server.exit(); status != 0 {
		w.Errorf("the server ended with %d", status)
	}
	w.files(w.server.data, "after the server's end")
	w.files(filepath.Join(w.work, "store"), "token app")
	w.heard["dump"] = dump()
	w.hear("log of the server", w.server.said())
	w.seeds(database)

	if len(w.secrets) < 80 || len(w.heard) < 200 {
		w.Errorf("only %d secrets and %d texts", len(w.secrets), len(w.heard))
	}
	for where, text := range w.heard {
		if found := leaks(w.secrets, text); len(found) > 0 {
			w.Errorf("%s shows %v", where, found)
		}
	}
}

// imported takes in a CSV file with a seed in the clear.
func (w *witness) imported() {
	raw := anySeed()
	w.secret("seed of a CSV file", string(raw))
	file := filepath.Join(w.work, "records.csv")
	must(w, 0, os.WriteFile(file, fmt.Appendf(nil, "serial,seed\n777,%x\n778,%x00\n", raw, raw), 0o600))
	w.refused("tallystick", "token", "import", file, "--wait") // one of the two cannot be used
	w.refused("tallystick", "token", "import", file, "--wait", "--duplicates", "overwrite", "--json")
}

// backedUp hears a backup from outside, and opened.
func (w *witness) backedUp() {
	const password = "backup horse 5512"
	out := filepath.Join(w.work, "backup")
	w.does("tallystick", "backup", "--out", out, "--password-file", w.file("password of a backup", password))
	w.does("tallystick", "backup", "verify", out, "--password-file", filepath.Join(w.work, "password-of-a-backup"))
	sealed, err := os.ReadFile(out)
	must(w, sealed, err)
	w.hear("backup", string(sealed))
	key, err := backup.ByPassword(password)
	plain, err := age.Decrypt(bytes.NewReader(sealed), must(w, key, err))
	lines, err := gzip.NewReader(must(w, plain, err))
	text, err := io.ReadAll(must(w, lines, err))
	w.hear("opened backup", string(must(w, text, err)))
}

// secret notes a secret.
func (w *witness) secret(name, value string) string {
	if len(value) < 8 {
		w.Fatalf("%s is too short to be searched for", name)
	}
	w.secrets[name] = []byte(value)
	return value
}

// file notes a secret and gives a file that holds it.
func (w *witness) file(name, value string) string {
	path := filepath.Join(w.work, strings.ReplaceAll(name, " ", "-"))
	must(w, 0, os.WriteFile(path, []byte(w.secret(name, value)), 0o600))
	return path
}

// hear keeps what was printed somewhere.
func (w *witness) hear(where, text string) {
	w.heard[fmt.Sprintf("%s (%d)", where, len(w.heard))] = []byte(text)
}

// shows runs a command whose answer is a secret.
func (w *witness) shows(name string, args ...string) result {
	w.Helper()
	r := run(w.Context(), w, w.env, "", name, args...)
	call := name + " " + strings.Join(args, " ")
	w.hear("arguments of "+call, r.arguments+call)
	w.hear("errors of "+call, r.stderr)
	return r
}

// run runs a command that shows no secret.
func (w *witness) run(name string, args ...string) result {
	w.Helper()
	r := w.shows(name, args...)
	w.hear("answer of "+name+" "+strings.Join(args, " "), r.stdout)
	return r
}

// does runs a command that works.
func (w *witness) does(name string, args ...string) result {
	w.Helper()
	r := w.run(name, args...)
	if r.status != 0 {
		w.Fatalf("%s %v: %s", name, args, r.both())
	}
	return r
}

// refused runs a command that does not work.
func (w *witness) refused(name string, args ...string) {
	w.Helper()
	if r := w.run(name, args...); r.status == 0 {
		w.Errorf("%s %v: %s", name, args, r.both())
	}
}

// answer reads the JSON document of a command.
func answer[T any](w *witness, r result) T {
	w.Helper()
	var out T
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil || r.status != 0 {
		w.Fatalf("%v: %s", err, r.both())
	}
	return out
}

// A handed is the secrets in the answer to a distribution.
type handed struct {
	CTF            string
	CTKIPURL       string `json:"ctkip_url"`
	ActivationCode string `json:"activation_code"`
}

// handedOut reads the answer to a distribution.
func handedOut(w *witness, r result) handed {
	w.Helper()
	return answer[struct{ Delivery handed }](w, r).Delivery
}

// files hears every file in a folder.
func (w *witness) files(dir, when string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		w.hear(path+" "+when, string(text))
		return err
	})
	must(w, 0, err)
}

// seeds notes the seeds that the server holds at the moment. The files that it is started with open them.
func (w *witness) seeds(database string) {
	w.Helper()
	db, err := store.Open(w.Context(), store.Options{URL: database})
	must(w, db, err)
	defer db.Close()
	master, err := seed.MasterFromFile(filepath.Join(w.server.data, "master.key"))
	keys, err := seed.OpenKeyring(w.Context(), must(w, master, err), db, time.Now)
	must(w, keys, err)
	tokens, err := db.Tokens(w.Context(), token.Filter{})
	for _, t := range must(w, tokens, err) {
		s, err := keys.OpenSeed(w.Context(), t.Current.Sealed, t.Serial, t.Current.Number)
		w.secret(fmt.Sprintf("seed %d of %s", t.Current.Number, t.Serial), string(must(w, s, err).Reveal()))
	}
}
