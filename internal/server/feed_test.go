package server_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/tallystick/tallystick/client"
)

// lifecycle are the actions of spec/software-token-lifecycle.md section 14, by our names. A failed activation is dist.activate with another
// outcome, a failed resynchronisation resync.fail.
var lifecycle = strings.Fields(`
	profile.add profile.edit profile.delete device_def.add device_def.delete
	token.create token.import token.assign token.unassign token.enable token.disable token.edit token.delete token.lost token.found
	dist.issue dist.offer dist.download dist.activate dist.revoke redist.start redist.complete
	pin.set pin.clear pin.expire resync.done resync.fail emergency.issue emergency.use emergency.end
	replace.assign replace.done extend.done lockout.lock lockout.unlock authn.success authn.fail ntc.enter ntc.leave
	job.create job.start job.end policy.edit admin.key_add admin.key_delete key.rotate export.token export.report`)

// A receiver hears of events as a webhook does.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	heard strings.Builder
	seen  map[string]int // events by action
}

func (w *witness) receiver() *receiver {
	r := &receiver{seen: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		text, err := io.ReadAll(q.Body)
		var m struct{ Data struct{ Action string } }
		if err != nil || json.Unmarshal(text, &m) != nil {
			w.Errorf("a webhook was sent %q, %v", text, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen[m.Data.Action]++
		fmt.Fprintf(&r.heard, "%s %v\n%s\n", q.URL, q.Header, text)
	}))
	w.Cleanup(r.Close)
	return r
}

// sofar is what it has seen and heard up to now; more may come.
func (r *receiver) sofar() (seen map[string]int, heard string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.seen), r.heard.String()
}

// listened has receivers hear of every event: one of all, and one for each kind of action that the lifecycle has, which must hear of these
// and of no others. At the end each action must have reached both, and the change feed.
func (w *witness) listened() (end func()) {
	all := w.receiver()
	w.does("tallystick", "webhook", "add", "all", "--url", all.URL, "--actions", "*", "--after", "-1", "--secret-file", w.file("secret of an open webhook", rand.Text()))
	kinds := map[string]*receiver{}
	for _, action := range lifecycle {
		kind, _, _ := strings.Cut(action, ".")
		if kinds[kind] != nil {
			continue
		}
		kinds[kind] = w.receiver()
		w.does("tallystick", "webhook", "add", kind, "--url", kinds[kind].URL, "--actions", kind+".*", "--after", "-1", "--json", "--out", filepath.Join(w.work, "secret-of-"+kind))
	}
	return func() {
		poll(w.T, "the webhooks to have heard all", func() bool {
			list := answer[client.WebhookList](w, w.shows("tallystick", "webhook", "list", "--json"))
			for _, hook := range list.Webhooks {
				if hook.Behind > 0 && (hook.Webhook == "all" || kinds[hook.Webhook] != nil) {
					return false
				}
			}
			return true
		})
		feed := map[string]int{}
		for line := range strings.Lines(w.does("tallystick", "changes", "--action", "*", "--json").stdout) {
			var e client.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				w.Fatalf("%v: %s", err, line)
			}
			feed[e.Action]++
		}
		ofAll, text := all.sofar()
		w.hear("webhook of all", text)
		ofKind := map[string]map[string]int{}
		for kind, r := range kinds {
			seen, text := r.sofar()
			for action := range seen {
				if !strings.HasPrefix(action, kind+".") {
					w.Errorf("who asked for %s.* heard of %s", kind, action)
				}
			}
			ofKind[kind] = seen
			w.hear("webhook of "+kind, text)
		}
		for _, action := range lifecycle {
			kind, _, _ := strings.Cut(action, ".")
			if feed[action] == 0 || ofAll[action] < feed[action] || ofKind[kind][action] < feed[action] {
				w.Errorf("%s: %d in the feed, %d reached who hears of all, %d who hears of %s.*", action, feed[action], ofAll[action], ofKind[kind][action], kind)
			}
		}
	}
}

// everything does what is left of the lifecycle, for dave.
func (w *witness) everything() {
	w.does("tallystick", "profile", "add", "open", "--device-type", "generic", "--delivery", "ctf", "--pin-type", "none")
	w.does("tallystick", "profile", "add", "spare", "--device-type", "generic", "--delivery", "file")
	w.does("tallystick", "profile", "edit", "spare", "--notes", "soon gone")
	w.does("tallystick", "profile", "delete", "spare", "--yes")
	w.does("tallystick", "device", "import", filepath.Join("..", "device", "testdata", "field.xml"))
	w.does("tallystick", "device", "delete", "Field App", "--yes")
	w.does("tallystick", "device", "import", filepath.Join("..", "device", "testdata", "field.xml"))
	w.secret("API key that stays", answer[struct{ Key string }](w, w.shows("tallystick", "api-key", "add", "stays", "--role", "auditor", "--json")).Key)
	w.does("tallystick", "policy", "edit", "token", "--emergency-life", "72h")
	w.does("tallystick", "token", "edit", byFile, "--notes", "of alice", "--tag", "laptops", "--attribute", "room=12")
	w.does("tallystick", "token", "disable", byFile)
	w.does("tallystick", "token", "enable", byFile)
	w.does("tallystick", "token", "set-pin", byFile, "--pin-file", w.file("last PIN", anyPIN(w)))
	w.does("tallystick", "token", "force-new-pin", byFile)

	w.does("tallystick", "group", "add", "lyon")
	w.does("tallystick", "group", "members", "lyon", "--add", "alice")
	w.does("tallystick", "domain", "add", "north")
	w.does("tallystick", "report", "run", "tokens", "--wait")
	w.does("tallystick", "report", "schedule", "add", "daily", "--report", "tokens")
	w.does("tallystick", "mail", "template", "edit", "distribution", "--subject", "Your token")

	for _, user := range []string{"dave", "erin"} {
		w.does("tallystick", "user", "add", user)
	}
	made := answer[struct{ Serials []string }](w, w.does("tallystick", "token", "create", "--count", "3", "--json")).Serials
	deliver := func(serial string) {
		r := w.shows("tallystick", "token", "distribute", serial, "--profile", "open", "--json")
		w.does("tally", "import", w.file("string of "+serial, handedOut(w, r).CTF))
	}
	check := func(name, passcode, want string) {
		w.Helper()
		if r := w.run("tallystick", "check", "dave", "--passcode-file", w.file(name, passcode)); strings.TrimSpace(r.stdout) != want {
			w.Errorf("%s is not %s: %s", name, want, r.both())
		}
	}
	w.does("tallystick", "token", "assign", "--user", "erin", "--serial", made[2])
	deliver(made[2])
	codes := filepath.Join(w.work, "codes of erin")
	first, second := w.codes(made[2])
	must(w, 0, os.WriteFile(codes, []byte(w.secret("first code of erin", first)+"\n"+w.secret("second code of erin", second)+"\n"), 0o600))
	w.does("tallystick", "token", "resync", made[2], "--codes-file", codes)

	old, fresh := made[0], made[1]
	w.does("tallystick", "token", "assign", "--user", "dave", "--serial", old)
	deliver(old)
	w.does("tallystick", "token", "extend", old, "--until", "2041-01-01")
	for n := range 6 {
		check(fmt.Sprint("wrong code of dave ", n), digits(8), "denied")
		if n == 2 {
			check("code that is not enough", w.code(old), "next_tokencode")
		}
	}
	w.does("tallystick", "user", "show", "dave")
	w.does("tallystick", "token", "clear-ntc", old)
	w.does("tallystick", "user", "unlock", "dave")
	w.does("tallystick", "token", "replace", old, "--with", fresh)
	deliver(fresh)
	check("code of the replacement", w.code(fresh), "accepted")
	w.does("tallystick", "clock", "correct", fresh, "--by", "90s", "--wait")
}
