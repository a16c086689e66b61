package server_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jimlambrt/gldap"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/directory/directorytest"
	"github.com/tallystick/tallystick/internal/report"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// A freezer leads to a database that hangs from the first statement that holds a text on, until it goes on. What was sent to it meanwhile arrives then.
type freezer struct {
	hangs, goesOn chan struct{}
	once          sync.Once
	goOn          func()
}

func freezeAt(t *testing.T, database, statement string) (url string, f *freezer) {
	f = &freezer{hangs: make(chan struct{}), goesOn: make(chan struct{})}
	f.goOn = sync.OnceFunc(func() { close(f.goesOn) })
	t.Cleanup(f.goOn)
	pass := func(from, to net.Conn, look bool) {
		defer to.Close()
		for part := make([]byte, 64<<10); ; {
			n, err := from.Read(part)
			if look && bytes.Contains(part[:n], []byte(statement)) {
				f.once.Do(func() { close(f.hangs) })
			}
			select {
			case <-f.hangs:
				<-f.goesOn
			default:
			}
			if _, broken := to.Write(part[:n]); err != nil || broken != nil {
				return
			}
		}
	}
	return storetest.Through(t, database, func(from, to net.Conn) { go pass(from, to, true); go pass(to, from, false) }), f
}

// await waits until something is told of.
func await[T any](t *testing.T, what string, told <-chan T) {
	t.Helper()
	select {
	case <-told:
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
	}
}

// A server that is to end while PostgreSQL hangs does so, whatever its workers are in the middle of. Nothing of that is lost or done twice, and another server
// goes on with it.
func TestServersEndWhileTheDatabaseHangs(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the workers wait for the database, 10 s")
	}
	database, ctx := storetest.Postgres(t), t.Context()
	o := openPostOffice(t)
	var mu sync.Mutex
	heard := map[string]string{}                                  // IDs of messages by what they are about
	posts, release := make(chan string, 100), make(chan struct{}) // what is posted, and the answer
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct{ Data struct{ Object string } }
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		mu.Lock()
		if id := r.Header.Get("Webhook-Id"); heard[m.Data.Object] != "" && heard[m.Data.Object] != id {
			t.Errorf("%s came under two IDs", m.Data.Object)
		}
		heard[m.Data.Object] = r.Header.Get("Webhook-Id")
		mu.Unlock()
		posts <- m.Data.Object
		io.Copy(io.Discard, r.Body)
		<-release
	}))
	t.Cleanup(receiver.Close)
	searched := make(chan struct{}, 100)
	ldap, ca := directorytest.Imitated(t, func(*gldap.SimpleBindMessage) int { return gldap.ResultSuccess }, func(*gldap.SearchMessage) map[string]map[string][]string {
		searched <- struct{}{}
		<-release
		return map[string]map[string][]string{"uid=ann,dc=example": {"uid": {"ann"}}}
	})

	answer := sync.OnceFunc(func() { close(release) })
	t.Cleanup(answer)

	p := start(t, folder(t), "--database", database)
	mails(t, p, o.port)
	base, bind, password, none, every := "dc=example", "cn=reader", client.Secret("of the reader"), "none", int64(3600)
	d, err := p.admin().AddDirectory(ctx, client.NewDirectory{Directory: "hq", Kind: "openldap", DirectoryEdit: client.DirectoryEdit{
		URL: &ldap, CA: &ca, BindDN: &bind, Password: &password, BaseDN: &base, Groups: &none, EverySeconds: &every,
	}})
	must(t, d, err)
	hook, err := p.admin().AddWebhook(ctx, client.NewWebhook{
		Webhook: "crm", URL: receiver.URL, Actions: []string{"user.add"},
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw})),
	})
	must(t, hook, err)
	p.terminate()
	p.exit()

	raw, err := pgx.Connect(ctx, database)
	defer must(t, raw, err).Close(ctx)
	changed, err := raw.Exec(ctx, "UPDATE directory SET next_at = 0") // an hour later, when the next server starts
	must(t, changed, err)

	hanging, f := freezeAt(t, database, "INSERT INTO report_run_part")
	p = start(t, p.data, "--database", hanging)
	held := o.hold()
	free := sync.OnceFunc(func() { o.free(held) })
	t.Cleanup(free)
	sent := mailed(t, p, "bob")
	await(t, "the mail server", o.here)
	await(t, "the webhook", posts)
	await(t, "the directory", searched)
	made, err := p.admin().AddReportRun(ctx, client.ReportOrder{Report: "users", Format: "csv", Columns: []string{"user"}})
	must(t, made, err)
	await(t, "the report", f.hangs)
	free()
	p.terminate()
	if status := p.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	f.goOn()
	answer()

	p = start(t, p.data, "--database", database)
	poll(t, "what became of the mail", func() bool {
		states := map[string]int{}
		for _, id := range sent {
			m, err := p.admin().MailMessage(ctx, id)
			states[must(t, m, err).State]++
		}
		return states["sent"]+states["unknown"] == len(sent)
	})
	for id, n := range o.got {
		if n != 1 {
			t.Errorf("message %s arrived %d times", id, n)
		}
	}
	poll(t, "the webhook to hear of what it was told of", func() bool {
		w, err := p.admin().Webhook(ctx, "crm")
		must(t, w, err)
		return w.Behind == 0 && w.Status == http.StatusOK
	})
	p.terminate()
	p.exit()

	// Whoever looks when the claims of the server that ended are over has its report and its directory, unless what it said at its end arrived and they are
	// made by now.
	db, err := store.Open(ctx, store.Options{URL: database})
	defer must(t, db, err).Close()
	later := time.Now().Add(20 * time.Minute)
	run, err := db.Run(ctx, made.Run)
	if must(t, run, err); run.State != report.RunDone {
		run, err = db.ClaimRun(ctx, "test", later, later.AddDate(1, 0, 0), later.Add(time.Minute))
		if must(t, run, err); run.ID != made.Run {
			t.Errorf("the run %+v waits", run)
		}
	}
	known, err := db.People(ctx, "hq")
	due, wrong := db.DueDirectories(ctx, later, later.AddDate(1, 0, 0))
	if len(must(t, known, err)) == 0 && !slices.Equal(must(t, due, wrong), []string{"hq"}) {
		t.Errorf("directories %v are due", due)
	}
}
