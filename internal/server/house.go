package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"sort"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/agentapi"
	"github.com/tallystick/tallystick/internal/api"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/care"
	"github.com/tallystick/tallystick/internal/clock"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/provision"
	"github.com/tallystick/tallystick/internal/radius"
	"github.com/tallystick/tallystick/internal/recent"
	"github.com/tallystick/tallystick/internal/records"
	"github.com/tallystick/tallystick/internal/release"
	"github.com/tallystick/tallystick/internal/report"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/transfer"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/internal/webhook"
)

// A house is everything a running server is made of.
type house struct {
	db          *store.DB
	keys        *seed.Keyring
	tokens      *token.Registry
	distributor *distribution.Distributor
	directories *directory.Registry
	policies    *policy.Registry
	engine      *authentication.Engine
	clock       *clock.Guard
	reports     *report.Registry
	radius      *radius.Server
	jobs        *job.Registry
	audit       *audit.Log
	webhooks    *webhook.Sender
	outbox      *mail.Outbox
	signIn      *mail.SignIn
	mailer      *mail.Sender
	log         *slog.Logger
	pinged      recent.Value[struct{}] // the database was seen to be written to
	shown       *shownCert

	public  http.Handler // TLS: API with keys, provisioning, health
	agents  http.Handler // TLS: the SecurID Authentication API
	local   http.Handler // admin socket: the API without keys, health, metrics
	metrics http.Handler // plain: metrics
}

// build makes the house. at is where it will be reached.
func (c *Config) build(ctx context.Context, db *store.DB, keys *seed.Keyring, at net.Addr) (*house, error) {
	public, err := c.publicURL(at)
	if err != nil {
		return nil, err
	}
	log, vkey, err := c.auditLog(ctx, db, keys)
	if err != nil {
		return nil, err
	}
	devices := &device.Registry{Store: db, Now: c.Now}
	users := &user.Registry{Store: db, Now: c.Now}
	h := &house{
		db: db, shown: &shownCert{log: c.Log, now: c.Now}, keys: keys, audit: log, log: c.Log,
		tokens: &token.Registry{Store: db, Now: c.Now},
		distributor: &distribution.Distributor{
			Store: db, Devices: devices, Keys: keys, Now: c.Now, Endpoint: public.String() + provision.Path, Service: c.Service,
			OwnAuthority: c.TLSCert == "" && len(c.ACMEHosts) == 0,
		},
	}
	record := &records.Registry{Store: db, Keys: keys, Now: c.Now}
	if err := record.BeginSerials(ctx); err != nil {
		return nil, err
	}
	m := newMeters(db, h.shown, c.Now)
	id, err := c.serverID()
	if err != nil {
		return nil, err
	}
	h.clock = &clock.Guard{Store: db, Server: id, Name: hostName() + ":" + c.Data, Alone: c.Database == "", Now: c.Now, Logger: c.Log}
	if err := h.clock.Begin(ctx); err != nil {
		return nil, err
	}
	h.note(ctx, "comparing clocks", h.clock.Beat(ctx))
	h.policies = &policy.Registry{Store: db, Now: c.Now}
	domains := &domain.Registry{Store: db, Now: c.Now, Changed: h.policies.Forget}
	h.reports = &report.Registry{Store: db, Runs: db, Policies: h.policies, Domains: domains, Now: c.Now, Base: public.String(), Reliable: h.reliable}
	h.engine = &authentication.Engine{Store: db, Groups: db.Writers(), Keys: keys, Policies: h.policies, Now: c.Now, Trust: h.clock.Trust, Decided: m.decided}
	gateways := &access.RADIUSRegistry{Store: db, Keys: keys, Now: c.Now}
	h.radius = c.radiusServer(h, gateways, domains, m)
	gateways.Changed = h.radius.Changed
	h.directories = &directory.Registry{Store: db, Users: users, Keys: keys, Now: c.Now, Reliable: h.reliable}
	agents := &access.Agents{Store: db, Keys: keys, Now: c.Now}
	h.jobs = &job.Registry{Store: db, Keys: keys, Domains: domains, Now: c.Now, Logger: c.Log, Reliable: h.reliable}
	if c.Database == "" {
		if err := h.jobs.Abandon(ctx); err != nil {
			return nil, err
		}
	}
	for _, w := range h.distributor.Workers() {
		h.jobs.Register(w)
	}
	record.Jobs = h.jobs
	h.jobs.Register(record.ImportWorker())
	h.jobs.Register(record.CreateWorker())
	moves := &transfer.Deployment{Store: db, Keys: keys, Users: users, Jobs: h.jobs, Now: c.Now}
	h.jobs.Register(moves.Worker())
	h.webhooks = &webhook.Sender{Store: db, Feed: log, Keys: keys, Server: id, Now: c.Now, Logger: c.Log, Reliable: h.reliable, Tried: m.posted}
	cared := &care.Jobs{Store: db, Tokens: h.tokens, Jobs: h.jobs}
	cared.Register()
	c.mailing(h, id, public, m)
	hooks := &webhook.Registry{Store: db, Keys: keys, Now: c.Now, Sender: h.webhooks, Schedules: h.reports.PostedTo}
	h.reports.Posts = hooks.PostsReports
	h.webhooks.Enclosed = h.reports.Enclosure
	a, err := api.New(api.Config{
		Users: users, Groups: &user.Groups{Store: db, Now: c.Now}, Domains: domains, Directories: h.directories, Profiles: &profile.Registry{Store: db, Devices: devices, Now: c.Now},
		Policies: h.policies, Tokens: h.tokens, Care: cared,
		Keys: &access.Registry{Store: db, Hash: keys, Now: c.Now}, Agents: agents, RADIUS: gateways, UserReplies: &access.UserReplies{Store: db, Now: c.Now}, Records: record, Distributor: h.distributor,
		Authenticator: h.engine, Clock: h.clock, Reports: h.reports,
		Jobs: h.jobs,
		Mail: h.outbox, Mailer: h.mailer, SignIn: h.signIn,
		Webhooks: hooks,
		Keyring:  keys, Log: log, VerifierKey: vkey, Store: db, Stopping: ctx.Done(), Now: c.Now, Logger: c.Log,
		Transfer: moves, Spool: c.Data, UploadLimit: c.UploadLimit,
		Backup: &backup.Taker{Source: db, Store: db, Keys: keys, Master: keys.MasterID(), Files: c.secretFiles, Now: c.Now},
	})
	if err != nil {
		return nil, err
	}
	h.agents = m.measured("agents", direct(agentapi.New(agentapi.Config{
		Engine: h.engine, Agents: agents, Domains: domains, Store: db, Now: c.Now, Logger: c.Log, Counted: m.answered,
		RequireHMAC: c.AgentHMAC, Alias: c.AgentAlias,
	})))
	h.route(a, provision.New(h.distributor, c.Log, c.Now), release.New(h.signIn, c.Service, c.Now, c.Log), m)
	return h, nil
}

// mailing has users and administrators written to: of their tokens, and of jobs and reports that end.
func (c *Config) mailing(h *house, server string, public *url.URL, m *meters) {
	h.outbox = &mail.Outbox{Store: h.db, Keys: h.keys, Policies: h.policies, Now: c.Now, Service: c.Service, SignInURL: public.String() + release.Path}
	h.engine.Courier, h.distributor.Post = h.outbox, h.outbox
	h.mailer = &mail.Sender{Outbox: h.outbox, Server: server, Logger: c.Log, Tried: m.mailed, Reliable: h.reliable}
	h.jobs.Register(h.outbox.Reminders(string(access.Distribute)))
	h.jobs.Ended, h.jobs.Asked = h.outbox.JobFinished, h.outbox.JobAsked
	h.reports.Ended = func(ctx context.Context, r report.Run) error {
		return h.outbox.ReportFinished(ctx, mail.Report{
			Run: r.ID, Schedule: r.Schedule, Name: r.Order.Report, State: string(r.State), Rows: r.Rows, FileName: r.FileName(), Size: r.Size, Until: r.Until,
			To: r.Order.MailTo,
		})
	}
	h.outbox.Report = func(ctx context.Context, id string) ([]byte, error) {
		run, err := h.db.Run(ctx, id)
		if err != nil {
			return nil, err
		}
		return h.reports.Whole(ctx, run)
	}
	h.signIn = &mail.SignIn{
		Outbox: h.outbox, Password: h.directories.Verify, Pace: signInPace,
		Passcode: func(ctx context.Context, userID, passcode, station string) (bool, error) {
			d, err := h.engine.Begin(ctx, authentication.Request{UserID: userID, Passcode: passcode, TokenOnly: true, Source: authentication.Source{Agent: "second-mail", Station: station}})
			return d.Result == authentication.Accepted, err
		},
	}
}

// apiPath is what all that the API has is below.
const apiPath = "/v1/"

// route says what is answered where.
func (h *house) route(a *api.API, apps, second http.Handler, m *meters) {
	health := func(mux *http.ServeMux) *http.ServeMux {
		mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
		mux.HandleFunc("GET /readyz", h.ready)
		return mux
	}
	public := health(http.NewServeMux())
	public.Handle(apiPath, a.Public())
	public.Handle(provision.Path, apps)
	public.Handle(release.Path, second)
	public.Handle("GET "+release.StylePath, release.Style())
	h.public = m.measured("public", direct(public))

	local := health(http.NewServeMux())
	local.Handle(apiPath, a.Local())
	local.Handle("GET /metrics", m.handler())
	h.local = m.measured("local", direct(local))

	metrics := http.NewServeMux()
	metrics.Handle("GET /metrics", m.handler())
	h.metrics = metrics
}

// direct answers nothing to a path that a ServeMux would redirect to a tidier one: an app that follows takes its
// activation code along (spec/ct-kip.md section 2.3). As a ServeMux does, it looks at the path as it was sent: what is escaped there is part
// of a name.
func direct(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent := r.URL.EscapedPath()
		if tidy := path.Clean(sent); sent+"/" == apiPath || tidy != sent && (tidy == "/" || tidy+"/" != sent) {
			if !strings.HasPrefix(tidy+"/", apiPath) {
				http.NotFound(w, r)
				return
			}
			at := *r.URL // the API refuses it in its own words
			at.Path, at.RawPath = apiPath, ""
			r = r.WithContext(r.Context())
			r.URL = &at
		}
		next.ServeHTTP(w, r)
	})
}

// ready tells whether the server can do its work: the database can be written to.
func (h *house) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := h.writable(ctx, h.db.Ping); err != nil {
		h.log.WarnContext(ctx, "not ready", "error", err)
		said := "the database cannot be written to"
		if reason := new(fault.Error); errors.As(err, &reason) {
			said += ": " + reason.Message
		}
		http.Error(w, said, http.StatusServiceUnavailable)
		return
	}
	if err := h.clock.Trust(h.clock.Now().UTC()); err != nil {
		http.Error(w, "the clock went back", http.StatusServiceUnavailable)
		return
	}
	w.Write([]byte("ready\n"))
}

// reliable tells whether this server's clock is one to go by for what cannot be undone.
func (h *house) reliable() bool {
	return h.clock.Trust(h.clock.Now()) == nil && h.clock.Skew() <= clock.MaxSkew
}

// beat tells other servers of this one's clock until ctx ends, or a newer release has changed the database, which [fault.SchemaNewer] says and ends
// the server: what that release has made users and tokens subject to, this one knows nothing of.
func (h *house) beat(ctx context.Context) error {
	return watch(ctx, beatEvery, func() error {
		err := h.db.Current(ctx)
		if errors.Is(err, fault.SchemaNewer) {
			return err
		}
		h.note(ctx, "comparing clocks and releases", errors.Join(err, h.clock.Beat(ctx)))
		return nil
	})
}

// refresh reads other servers' data keys until ctx ends, or the database has another master key, which [fault.MasterKey] says and ends the server: what
// that seals by the data keys that it knows, whoever had its master key could open.
func (h *house) refresh(ctx context.Context) error {
	return watch(ctx, refreshEvery, func() error {
		h.note(ctx, "refreshing data keys", h.keys.Refresh(ctx))
		return h.keys.Superseded()
	})
}

// writable tells whether the database can be written to, or could be a moment ago. A ping is a commit, and anybody may ask: there is one at
// a time, for all who ask meanwhile, so that a slow database is not asked more the longer it takes.
func (h *house) writable(ctx context.Context, ping func(context.Context) error) error {
	_, err := h.pinged.Get(ctx, time.Now, func(ctx context.Context) (struct{}, error) { return struct{}{}, ping(ctx) })
	return err
}

// auditKey is the name of the secret that signs the heads of the audit log, and auditOrigin of the log.
const (
	auditKey    = "audit-signer"
	auditOrigin = "tallystick/audit"
)

// auditLog opens the log with the deployment's signing key, and returns the key that verifies it too.
func (c *Config) auditLog(ctx context.Context, db *store.DB, keys *seed.Keyring) (*audit.Log, string, error) {
	fresh := func() ([]byte, error) {
		skey, vkey, err := audit.GenerateKey(auditOrigin)
		return []byte(skey + "\n" + vkey), err
	}
	pair, err := keys.Secret(ctx, auditKey, fresh)
	if errors.Is(err, fault.Conflict) { // another server was first
		pair, err = keys.Secret(ctx, auditKey, fresh)
	}
	if err != nil {
		return nil, "", err
	}
	skey, vkey, _ := strings.Cut(string(pair), "\n")
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, "", err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, "", err
	}
	return &audit.Log{
		Store: db, Signer: signer, Verifier: verifier, Outside: c.file(checkpointsFile), Now: c.Now, Logger: c.Log,
	}, vkey, nil
}

// How often the house is kept.
const (
	refreshEvery = 10 * time.Second // other servers' data keys
	beatEvery    = 2 * time.Second  // comparing clocks
	tidyEvery    = time.Minute
	reportEvery  = 2 * time.Second  // a report that waits is begun
	foldEvery    = 10 * time.Second // what changes left for the statistics
	pruneEvery   = time.Hour        // events that were kept for their time
	replyLife    = 24 * time.Hour   // of answers kept for idempotency keys
	resealChunk  = 200
)

// signInPace is longer than a directory usually takes.
const signInPace = time.Second

// keepHouse runs what goes on beside requests until ctx ends.
func (h *house) keepHouse(ctx context.Context, g *errgroup.Group) {
	for _, run := range []func(context.Context){h.audit.Run, h.jobs.Run, h.webhooks.Run, h.mailer.Run} {
		g.Go(func() error { run(ctx); return nil })
	}
	g.Go(func() error { return h.refresh(ctx) })
	g.Go(func() error { return h.beat(ctx) })
	for _, chore := range []struct { // none waits for another
		period time.Duration
		do     func()
	}{
		{tidyEvery, h.shown.look},
		{foldEvery, func() { h.note(ctx, "adding up tallies", h.db.FoldTallies(ctx)) }},
		{tidyEvery, func() { h.note(ctx, "taking people from directories", h.directories.SyncDue(ctx)) }},
		{pruneEvery, func() {
			h.note(ctx, "pruning the audit log", h.audit.Prune(ctx, func(ctx context.Context) (audit.Retention, error) { return h.retention(ctx, h.clock.Now()) }))
		}},
		{reportEvery, func() {
			_, err := h.reports.Due(ctx)
			h.note(ctx, "beginning reports whose time has come", err)
			h.note(ctx, "making reports", h.reports.Work(ctx))
		}},
		{tidyEvery, func() { h.tidy(ctx) }},
	} {
		g.Go(func() error { every(ctx, chore.period, chore.do); return nil })
	}
}

// tidy does what has to be done now and then, and clears away what is over.
func (h *house) tidy(ctx context.Context) {
	now := h.clock.Now
	_, err := h.tokens.SwitchOverDue(ctx)
	h.note(ctx, "switching over tokens whose grace has ended", err)
	h.note(ctx, "preparing the keys of deliveries", h.distributor.Prepare(ctx))
	h.note(ctx, "clearing ended exchanges", h.distributor.CleanUp(ctx))
	_, err = h.db.DropReplies(ctx, now().Add(-replyLife))
	h.note(ctx, "clearing kept answers", err)
	h.note(ctx, "clearing attempts that are over", h.engine.DropExpired(ctx))
	_, err = h.db.DropKeptAttempts(ctx, now())
	h.note(ctx, "clearing attempts kept for agents", err)
	h.note(ctx, "clearing signatures of agents", h.forgetSignatures(ctx, now()))
	h.note(ctx, "destroying results of jobs", h.jobs.CleanUp(ctx))
	_, err = h.db.DropRuns(ctx, now())
	h.note(ctx, "clearing reports that were kept for their time", err)
	h.note(ctx, "telling users of tokens that end soon", h.outbox.NoticeExpiring(ctx))
	h.note(ctx, "forgetting old mail", h.outbox.Forget(ctx))
	h.note(ctx, "counting sign-ins for mail", h.signIn.CleanUp(ctx))
	h.note(ctx, "moving secrets to the newest data key", h.reseal(ctx))
}

// forgetSignatures forgets the signatures of agents that no server takes any more, nor that whose clock is the furthest behind.
func (h *house) forgetSignatures(ctx context.Context, now time.Time) error {
	_, err := h.db.DropSignatures(ctx, now.Add(-agentapi.SignatureLife-h.clock.Skew()))
	return err
}

// retention is for how long the settings say that the audit log keeps events; nil while this server's clock is not one to go by.
func (h *house) retention(ctx context.Context, now time.Time) (audit.Retention, error) {
	if !h.reliable() {
		return nil, nil
	}
	if steady, err := h.steady(ctx, now); err != nil || !steady {
		return nil, err
	}
	set, err := h.policies.Get(ctx)
	return set.Settings.Retention(), err
}

// watched is for how long a clock must have been seen to go, and steadyDay within which time before that something must have happened under it.
const (
	watched   = 12 * time.Hour
	steadyDay = 24 * time.Hour
)

// steady tells whether something was signed twelve hours ago, or within a day before: a clock that went ahead while no server ran knows of nothing
// then, and has these hours to be noticed. What is signed since proves nothing, as it goes by the same clock.
func (h *house) steady(ctx context.Context, now time.Time) (bool, error) {
	newest, err := h.db.LastCheckpoint(ctx)
	if err != nil {
		return false, err
	}
	begin := now.Add(-watched - steadyDay)
	var found audit.Checkpoint // the first one since
	sort.Search(int(newest.Size), func(size int) bool {
		var heads []audit.Checkpoint
		if err == nil {
			heads, err = h.db.Checkpoints(ctx, int64(size), 1)
		}
		if len(heads) == 0 || heads[0].At.Before(begin) {
			return false
		}
		found = heads[0]
		return true
	})
	return found.Size > 0 && !found.At.After(now.Add(-watched)), err
}

// reseal moves secrets to the newest data key until none is left that it can move.
func (h *house) reseal(ctx context.Context) error {
	for ctx.Err() == nil {
		if n, err := h.keys.Reseal(ctx, resealChunk); n == 0 {
			return err
		}
	}
	return nil
}

// note logs what went wrong beside requests; it is tried again the next time.
func (h *house) note(ctx context.Context, doing string, err error) {
	if err != nil && ctx.Err() == nil {
		h.log.ErrorContext(ctx, doing, "error", err)
	}
}

// every runs do at once, and then again after each period, until ctx ends.
func every(ctx context.Context, period time.Duration, do func()) {
	_ = watch(ctx, period, func() error { do(); return nil })
}

// watch runs do at once, and then again after each period, until ctx ends or do fails, with its error.
func watch(ctx context.Context, period time.Duration, do func() error) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := do(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return nil
}
