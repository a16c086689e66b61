package server_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// Servers that are killed while a webhook hears of what happens: nothing is left out, nothing comes out of order, and what comes again
// comes under the same ID.
func TestWebhookOfKilledServers(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	var mu sync.Mutex
	var order []string
	ids, again := map[string]string{}, 0
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			Data struct{ Object string } `json:"data"`
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		id := r.Header.Get("Webhook-Id")
		switch known := ids[m.Data.Object]; known {
		case "":
			ids[m.Data.Object] = id
			order = append(order, m.Data.Object)
		case id:
			again++
		default:
			t.Errorf("%s came under two IDs", m.Data.Object)
		}
	}))
	defer receiver.Close()
	heard := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(order)
	}

	first, second := pair(t, storetest.Postgres(t))
	made, err := second.admin().AddWebhook(t.Context(), client.NewWebhook{
		Webhook: "crm", URL: receiver.URL, Actions: []string{"user.add"},
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw})),
	})
	must(t, made, err)
	const rounds, each = 6, 150
	var want []string
	for round := range rounds {
		for n := range each {
			id := string(rune('a'+round)) + string(rune('a'+n/26)) + string(rune('a'+n%26))
			want = append(want, "user:"+id)
			server := first
			if n%2 == 1 {
				server = second
			}
			u, err := server.admin().AddUser(t.Context(), client.NewUser{UserID: id})
			must(t, u, err)
		}
		poll(t, "some of the events", func() bool { return heard() > round*each })
		// Both, or the survivor would wait for the end of a lease; who comes back takes its own up again.
		first.kill()
		second.kill()
		first, second = start(t, first.data, first.args...), start(t, second.data, second.args...)
	}
	poll(t, "all events", func() bool { return heard() == rounds*each })
	slices.Sort(want)
	sorted := slices.Sorted(slices.Values(order))
	if !slices.Equal(sorted, want) {
		t.Errorf("heard of %d, want %d", len(sorted), len(want))
	}
	// Two servers write at once: the order is that of the log.
	place := map[string]int{}
	for e, err := range first.admin().AllChanges(t.Context(), client.ChangeFilter{After: made.Place, Actions: []string{"user.add"}}) {
		must(t, e, err)
		place[e.Object] = len(place)
	}
	for n, object := range order {
		if place[object] != n {
			t.Fatalf("%s came as number %d and is number %d of the log", object, n, place[object])
		}
	}
	poll(t, "the server to say that nothing is left", func() bool {
		w, err := first.admin().Webhook(t.Context(), "crm")
		must(t, w, err)
		return w.Behind == 0 && w.Status == http.StatusOK
	})
	t.Logf("%d of %d events came again", again, len(order))
}

// hooked adds webhooks whose receivers are not there.
func (w *witness) hooked() {
	const nowhere = "http://127.0.0.1:1/in"
	w.does("tallystick", "webhook", "add", "deaf", "--url", nowhere, "--secret-file", w.file("webhook secret", rand.Text()))
	w.does("tallystick", "webhook", "edit", "deaf", "--secret-file", w.file("changed webhook secret", rand.Text()))
	made := answer[struct{ Secret string }](w, w.shows("tallystick", "webhook", "add", "loud", "--url", nowhere, "--json"))
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(made.Secret, "whsec_"))
	w.secret("made webhook secret", string(must(w, key, err)))
	w.refused("tallystick", "webhook", "test", "deaf")
	w.does("tallystick", "webhook", "show", "loud", "--json")
}
