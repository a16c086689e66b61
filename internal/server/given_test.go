package server_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/sdtid"
)

// given hands over the secrets that the rest of a life has no use for: of agents, configurations, imports, resynchronisation.
func (w *witness) given() {
	w.does("tallystick", "agent", "add", "gateway", "--hmac", "allowed")
	key := answer[struct {
		AccessKey string `json:"access_key"`
	}](w, w.shows("tallystick", "agent", "credential", "add", "gateway", "--json")).AccessKey
	w.file("access key of an agent", key)
	w.does("tallystick", "agent", "show", "gateway", "--json")
	out := filepath.Join(w.work, "access-key")
	w.does("tallystick", "agent", "credential", "add", "gateway", "--out", out)
	text, err := os.ReadFile(out)
	w.secret("written access key", strings.TrimSpace(string(must(w, text, err))))
	w.agents(key)

	// A configuration with a secret where none belongs, and with one that cannot be one.
	inline, short := w.secret("secret in a configuration", rand.Text()), w.file("short shared secret", "tooshort")
	for name, text := range map[string]string{
		"a member":      "radius_clients:\n  - {radius_client: inline, address: 192.0.2.2, secret: " + inline + "}\n",
		"a kind":        inline + ":\n  - {radius_client: inline}\n",
		"no YAML":       "radius_clients: [" + inline + "\n",
		"another value": "policies:\n  token: {pin_min: " + inline + "}\n",
		"a short one":   "radius_clients:\n  - {radius_client: short, address: 192.0.2.2, secret_file: " + short + "}\n",
		"no file":       "radius_clients:\n  - {radius_client: short, address: 192.0.2.2, secret_file: " + filepath.Join(w.work, "none") + "}\n",
	} {
		file := filepath.Join(w.work, "broken.yaml")
		must(w, 0, os.WriteFile(file, []byte(text), 0o600))
		r := w.shows("tallystick", "apply", "-f", file, "--yes", "--json")
		if r.status == 0 && name != "a short one" {
			w.Errorf("a configuration with %s was applied", name)
		}
		// Whoever reads the answer has the file. The server has no use for it, and so must not have kept it.
	}

	b := sdtid.Batch{Password: w.secret("password of a large import", rand.Text())}
	for i := range 3 {
		s := anySeed()
		w.secret(fmt.Sprint("seed of a large import ", i), string(s))
		b.Tokens = append(b.Tokens, sdtid.Token{Serial: fmt.Sprint("91000000000", i), Seed: s, Digits: 8, Interval: 60, Expiry: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)})
	}
	data, err := sdtid.Encode(b)
	file := filepath.Join(w.work, "large.sdtid")
	must(w, 0, os.WriteFile(file, must(w, data, err), 0o600))
	w.refused("tallystick", "token", "import", file, "--wait", "--password-file", w.file("wrong password of a large import", rand.Text()))
	w.does("tallystick", "token", "import", file, "--dry-run", "--wait", "--password-file", w.file("password of a large import", b.Password))
	w.does("tallystick", "token", "import", file, "--wait", "--name", "large", "--password-file", w.file("password of a large import", b.Password))
	w.does("tallystick", "job", "items", "large", "--json")

	codes := digits(8) + "\n" + digits(8) + "\n"
	path := filepath.Join(w.work, "codes")
	must(w, 0, os.WriteFile(path, []byte(codes), 0o600))
	for i, code := range strings.Fields(codes) {
		w.secret(fmt.Sprint("wrong code of a resynchronisation ", i), code)
	}
	w.refused("tallystick", "token", "resync", byFile, "--codes-file", path)
	w.does("tallystick", "token", "set-pin", byString, "--temporary", "--pin-file", w.file("temporary PIN", anyPIN(w)))
}

// agents sends keys and passcodes to where no agent is answered.
func (w *witness) agents(key string) {
	for _, at := range []string{"/mfa/v1_1/authn/initialize", "/v1/authenticate"} {
		r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.server.url+at, strings.NewReader(`{"key":"`+key+`"}`))
		must(w, r, err).Header.Set("client-key", key)
		r.Header.Set("Authorization", "Bearer "+key)
		res, err := w.server.public(w).Do(r)
		must(w, res, err)
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		w.hear("answer to an agent in the wrong place", string(must(w, text, err)))
	}
}

// moved sends tokens to another deployment and a backup to another machine, and hears these as well.
func (w *witness) moved(database string) {
	target := start(w.T, folder(w.T), "--log-level", "debug")
	here := w.env
	at := func(p *process) { w.env = append(slices.Clone(here), "TALLYSTICK_DATA="+p.data) }
	at(target)
	key := filepath.Join(w.work, "target-key")
	must(w, 0, os.WriteFile(key, []byte(w.does("tallystick", "transfer", "key").stdout), 0o600))
	w.env = here
	signer := strings.TrimSpace(w.does("tallystick", "transfer", "key", "--signer").stdout)
	sent := filepath.Join(w.work, "moved.age")
	chosen := filepath.Join(w.work, "serials")
	must(w, 0, os.WriteFile(chosen, []byte(byFile+"\n"+byString+"\n910000000000\n910000000001\n"), 0o600))
	w.does("tallystick", "transfer", "export", "--select", "serials:"+chosen, "--to", key, "--with-users", "--out", sent)
	w.refused("tallystick", "transfer", "import", sent)
	sealed, err := os.ReadFile(sent)
	w.hear("transfer", string(must(w, sealed, err)))
	at(target)
	cut := filepath.Join(w.work, "cut.age")
	must(w, 0, os.WriteFile(cut, sealed[:len(sealed)-100], 0o600))
	w.refused("tallystick", "transfer", "import", cut)
	w.does("tallystick", "transfer", "import", sent, "--from", signer, "--name", "moved", "--wait")
	w.does("tallystick", "job", "items", "moved", "--json")
	w.does("tallystick", "token", "list", "--json")
	w.does("tallystick", "audit", "list", "--json")
	w.keys(filepath.Join(target.data, "tallystick.db"), target.data, "target")
	w.files(target.data, "of the target")
	target.terminate()
	target.exit()
	w.hear("log of the target", target.said())
	w.env = here
	w.keys(database, w.server.data, "source")

	identity := filepath.Join(w.work, "identity")
	recipient := strings.Fields(w.does("tallystick", "backup", "keygen", "--out", identity).stdout)
	text, err := os.ReadFile(identity)
	for line := range strings.Lines(string(must(w, text, err))) {
		if strings.HasPrefix(line, "AGE-SECRET-KEY-") {
			w.secret("key of backups", strings.TrimSpace(line))
		}
	}
	to := recipient[slices.IndexFunc(recipient, func(word string) bool { return strings.HasPrefix(word, "age1") })]
	out := filepath.Join(w.work, "whole.age")
	w.does("tallystick", "backup", "--out", out, "--to", to, "--include-keys")
	w.does("tallystick", "backup", "verify", out, "--identity", identity)
	sealed, err = os.ReadFile(out)
	w.hear("backup with keys", string(must(w, sealed, err)))
	restored := folder(w.T)
	w.does("tallystick", "restore", out, "--data", restored, "--identity", identity)
	if names, err := os.ReadDir(restored); len(must(w, names, err)) < 2 {
		w.Errorf("restored %v", names)
	}
	w.files(restored, "restored")
}

// keys notes the secrets of a deployment that it makes itself.
func (w *witness) keys(database, data, whose string) {
	db, err := store.Open(w.Context(), store.Options{URL: database})
	must(w, db, err)
	defer db.Close()
	master, err := seed.MasterFromFile(filepath.Join(data, "master.key"))
	keys, err := seed.OpenKeyring(w.Context(), must(w, master, err), db, time.Now)
	must(w, keys, err)
	for _, name := range []string{"transfer", "transfer-signer"} {
		sealed, err := db.Secret(w.Context(), name)
		must(w, sealed, err)
		plain, err := keys.Open(w.Context(), sealed, seed.Named(name))
		text := string(must(w, plain, err))
		if _, private, is := strings.Cut(text, `"Private":"`); is {
			text, _, _ = strings.Cut(private, `"`)
		}
		w.secret(name+" of the "+whose, text)
	}
}
