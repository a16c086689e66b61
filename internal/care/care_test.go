package care_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/care"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// A server is one of those that share a deployment.
type server struct {
	testing.TB
	ctx    context.Context
	db     *store.DB
	keys   *seed.Keyring
	care   *care.Jobs
	tokens *token.Registry
}

var now = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// day is a day so many days after now's.
func day(n int) time.Time { return time.Date(2026, 11, 24+n, 0, 0, 0, 0, time.UTC) }

func newServer(t testing.TB, ctx context.Context, url string, m seed.Master) *server {
	t.Helper()
	s := &server{TB: t}
	clock := func() time.Time { return now }
	s.db = deploytest.Open(t, url)
	s.keys = deploytest.Keyring(t, s.db, m, clock)
	s.ctx = audit.WithActor(ctx, audit.Actor{Name: "key:bulk", Role: "token_admin"})
	s.tokens = &token.Registry{Store: s.db, Now: clock}
	s.care = &care.Jobs{Store: s.db, Tokens: s.tokens, Jobs: &job.Registry{Store: s.db, Keys: s.keys, Now: clock}}
	s.care.Register()
	return s
}

func (s *server) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func serial(n int) string { return fmt.Sprintf("%012d", n) }

// stock stores users, each with a token that was handed out and was used, and spare records. It returns the serials of the former.
func (s *server) stock(users, spares int) []string {
	s.Helper()
	var serials []string
	var people []user.User
	var all []token.Token
	for n := range users + spares {
		sealed := seed.New(fmt.Appendf(nil, "seed of %07d", n)[:16])
		g, err := token.NewGeneration(s.keys, serial(1000+n), 1, sealed, token.Factory, now)
		s.must(err)
		t := token.Token{
			Serial: serial(1000 + n), Origin: token.Generated, Birth: day(-9), Expiry: day(40), EffectiveExpiry: day(40), Current: g, LastNumber: 1,
			Distribution: token.NotDistributed, CreatedAt: now, Version: 1,
		}
		if n < users {
			id := fmt.Sprintf("user-%07d", n)
			people = append(people, user.User{ID: id, Enabled: true, CreatedAt: now, Version: 1})
			s.must(t.Assign(id, "test", now))
			t.Distribution, t.DistributedAt, t.IssueCount, t.Current.Delivered = token.Confirmed, now, 1, true
			t.Current.LastInterval, t.Current.LastUsedAt = 7, now
			serials = append(serials, t.Serial)
		} else {
			t.Expiry, t.EffectiveExpiry = day(400), day(400)
		}
		all = append(all, t)
	}
	const part = 5000
	for len(people) > 0 {
		n := min(part, len(people))
		s.must(s.db.AddUsers(s.ctx, people[:n]))
		people = people[n:]
	}
	for len(all) > 0 {
		n := min(part, len(all))
		s.must(s.db.AddTokens(s.ctx, all[:n]))
		all = all[n:]
	}
	return serials
}

func order(serials []string) care.Order { return care.Order{Tokens: job.Keys(serials)} }

func named(name string, serials []string) care.Order {
	o := order(serials)
	o.Name = name
	return o
}

// ended does what is left of jobs, and returns one as it ended.
func (s *server) ended(j job.Job, err error) job.Job {
	s.Helper()
	s.must(err)
	s.must(s.care.Jobs.RunAll(s.ctx))
	j, err = s.care.Jobs.Show(s.ctx, j.ID)
	s.must(err)
	return j
}

// run has the workers of the server do a job.
func (s *server) run(id string) {
	s.Helper()
	ctx, end := context.WithCancel(s.ctx)
	var all sync.WaitGroup
	all.Go(func() { s.care.Jobs.Run(ctx) })
	defer func() { end(); all.Wait() }()
	for {
		j, err := s.care.Jobs.Show(s.ctx, id)
		if s.must(err); j.State.Over() {
			return
		}
	}
}

// A job that was broken off in any chunk, and goes on, has done as much as one that was not: no donor is consumed twice, and
// no token is extended twice.
func TestExtensionsSurviveACrash(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		m := deploytest.Master(t)
		s := newServer(t, t.Context(), url, m)
		const n = 1200 // more than two chunks
		serials := s.stock(n, n-100)
		j, err := s.care.Extend(s.ctx, order(serials), token.Extension{Donors: true})
		s.must(err)
		for range 3 { // the process ends within a chunk
			ctx, cancel := context.WithCancel(t.Context())
			broken := newServer(t, ctx, url, m)
			broken.tokens.Store = &breaking{DB: broken.db, end: cancel}
			if err := broken.care.Jobs.RunAll(broken.ctx); err == nil {
				t.Fatal("not broken off")
			}
			cancel()
		}
		j = s.ended(j, nil)
		if j.Done != n-100 || j.Failed != 100 {
			t.Errorf("job %+v", j)
		}
		all, err := s.tokens.Extensions(s.ctx, token.ExtensionFilter{Job: j.ID})
		s.must(err)
		donors := map[string]bool{}
		for _, x := range all {
			if x.Number != 1 || donors[x.Donor] || !x.Until.Equal(day(400)) {
				t.Errorf("extended %+v", x)
			}
			donors[x.Donor] = true
		}
		no := false
		left, err := s.tokens.List(s.ctx, token.Filter{Assigned: &no})
		s.must(err)
		if len(all) != n-100 || len(left) != 0 {
			t.Errorf("%d extensions, %d records left", len(all), len(left))
		}
	})
}

// breaking is a database that is gone while something is stored.
type breaking struct {
	*store.DB
	end context.CancelFunc
}

func (b *breaking) AddExtensions(context.Context, []token.Extended) error {
	b.end()
	return context.Canceled
}

// Two servers that share a job do each token once, and what one of them corrects the other can undo.
func TestTwoServersShareAJob(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		m := deploytest.Master(t)
		s, other := newServer(t, t.Context(), url, m), newServer(t, t.Context(), url, m)
		const n = 1300
		serials := s.stock(n, 0)
		both := func(j job.Job, err error) job.Job {
			s.must(err)
			var all sync.WaitGroup
			for _, each := range []*server{s, other} {
				all.Go(func() {
					if err := each.care.Jobs.RunAll(each.ctx); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			return s.ended(j, nil)
		}
		shifted := func() (n int) {
			counts, err := s.tokens.Offsets(s.ctx)
			s.must(err)
			for _, c := range counts {
				if c.Seconds == 300 {
					n += c.Tokens
				}
			}
			return n
		}
		c, j, err := s.care.CorrectClock(s.ctx, order(serials), token.Correction{Seconds: 300})
		if j = both(j, err); j.Done != n || shifted() != n {
			t.Errorf("job %+v, %d shifted", j, shifted())
		}
		// Some learn a new offset.
		var learnt []token.Moved
		for _, serial := range serials[:10] {
			learnt = append(learnt, token.Moved{Serial: serial, Number: 1, Is: 9})
		}
		s.must(s.db.Transact(s.ctx, func(ctx context.Context) error { return s.db.SaveOffsets(ctx, learnt) }))
		dry := named("dry", nil)
		dry.DryRun = true
		_, j, err = other.care.UndoClock(s.ctx, dry, c.ID)
		if j = both(j, err); j.Done != n-10 || j.Failed != 10 || shifted() != n-10 {
			t.Errorf("dry run %+v, %d shifted", j, shifted())
		}
		_, j, err = other.care.UndoClock(s.ctx, named("undo", nil), c.ID)
		if j = both(j, err); j.Done != n-10 || j.Failed != 10 || shifted() != 0 {
			t.Errorf("undone %+v, %d shifted", j, shifted())
		}
		c, err = s.tokens.Correction(s.ctx, c.ID)
		s.must(err)
		if c.Shifted != n || c.Undone != n-10 {
			t.Errorf("correction %+v", c)
		}
	})
}

// Who undoes a correction while another server is within a chunk of it gets what that chunk shifts as well, or the chunk shifts nothing.
func TestUndoingMeetsAChunkThatRuns(t *testing.T) {
	for name, after := range map[string]bool{"before it has shifted": false, "before it commits": true} {
		t.Run(name, func(t *testing.T) {
			url, m := deploytest.Postgres(t), deploytest.Master(t)
			s, other := newServer(t, t.Context(), url, m), newServer(t, t.Context(), url, m)
			const n = 700 // two chunks
			c, shifting, err := s.care.CorrectClock(s.ctx, order(s.stock(n, 0)), token.Correction{Seconds: 300})
			s.must(err)
			var undoing job.Job
			undone := make(chan error, 1)
			undo := func() {
				_, j, err := other.care.UndoClock(other.ctx, named("undo", nil), c.ID)
				undoing = j
				undone <- err
			}
			meet := &meeting{DB: s.db}
			s.tokens.Store, s.care.Jobs.Store = meet, meet
			if after {
				meet.finish = func() {
					go undo()
					s.untilSomeoneWaits(url, undone)
				}
			} else {
				meet.save = undo
			}
			s.must(s.care.Jobs.RunAll(s.ctx))
			s.must(<-undone)
			if undoing = other.ended(undoing, nil); undoing.State != job.Done {
				t.Errorf("undone: %+v", undoing)
			}
			shifting, err = s.care.Jobs.Show(s.ctx, shifting.ID)
			s.must(err)
			c, err = s.tokens.Correction(s.ctx, c.ID)
			s.must(err)
			if c.Shifted != c.Undone || shifting.Done != c.Shifted || shifting.Failed != n-c.Shifted || after != (c.Shifted == 500) {
				t.Errorf("correction %+v by %+v", c, shifting)
			}
			counts, err := s.tokens.Offsets(s.ctx)
			s.must(err)
			for _, count := range counts {
				if count.Seconds != 0 {
					t.Errorf("%d tokens are shifted", count.Tokens)
				}
			}
		})
	}
}

// A meeting is a database that others come to once, when the first tokens of a correction were shifted or when they are about to be kept.
type meeting struct {
	*store.DB
	save, finish func()
}

func (m *meeting) SaveMoved(ctx context.Context, correction string, moved []token.Moved) error {
	err := m.DB.SaveMoved(ctx, correction, moved)
	m.save = once(m.save)
	return err
}

func (m *meeting) FinishJobItems(ctx context.Context, id string, rows []job.Row, results []job.Result) error {
	m.finish = once(m.finish)
	return m.DB.FinishJobItems(ctx, id, rows, results)
}

// once does something, if there is anything left to do, and leaves nothing.
func once(do func()) func() {
	if do != nil {
		do()
	}
	return nil
}

// untilSomeoneWaits returns when a transaction on a PostgreSQL database waits for a lock, or has come to its end without.
func (s *server) untilSomeoneWaits(url string, ended chan error) {
	admin, err := pgx.Connect(s.Context(), url)
	s.must(err)
	defer func() { s.must(admin.Close(s.Context())) }()
	for waits := false; !waits && len(ended) == 0; {
		s.must(admin.QueryRow(s.Context(), "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").Scan(&waits))
	}
}

// A token that an older job waits to extend is refused by a newer one, and by what is done at once.
func TestATokenIsInOneExtensionOnly(t *testing.T) {
	s := newServer(t, t.Context(), deploytest.SQLite(t), deploytest.Master(t))
	serials := s.stock(3, 0)
	older, err := s.care.Extend(s.ctx, named("older", serials[:2]), token.Extension{Until: day(100)})
	s.must(err)
	_, err = s.care.Jobs.Start(s.ctx, job.Order{Kind: care.Extend, Name: "a dry run", DryRun: true, Items: job.Keys(serials[2:]), Parameters: []byte(`{"until":"2027-12-01T00:00:00Z"}`)})
	s.must(err)
	waiting, err := s.db.WaitingElsewhere(s.ctx, care.Extend, "", serials)
	if err != nil || len(waiting) != 2 {
		t.Errorf("waiting: %v, %v", waiting, err)
	}
	_, err = s.care.ExtendOne(s.ctx, serials[0], token.Extension{Until: day(200)})
	var refused *fault.Error
	if !errors.As(err, &refused) || refused.Code != fault.NotExtendable || refused.Details["reason"] != token.InAnotherOrder {
		t.Errorf("extended at once: %v", err)
	}
	if _, err = s.care.ExtendOne(s.ctx, serials[2], token.Extension{Until: day(200)}); err != nil {
		t.Error(err)
	}
	waiting, err = s.db.WaitingElsewhere(s.ctx, care.Extend, older.ID, serials)
	if err != nil || len(waiting) != 0 {
		t.Errorf("waiting for itself: %v, %v", waiting, err)
	}
	if j := s.ended(older, nil); j.Done != 2 {
		t.Errorf("older job %+v", j)
	}
}

// BenchmarkCare does to many tokens what their care is; each is a job that one server does.
func BenchmarkCare(b *testing.B) {
	const n = 20_000
	for name, url := range deploytest.Databases {
		for _, kind := range []string{care.Disable, care.Extend, care.Unassign, care.CorrectClock, care.Delete} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				for range b.N {
					b.StopTimer()
					s := newServer(b, b.Context(), url(b), deploytest.Master(b))
					serials := s.stock(n, n)
					b.StartTimer()
					var j job.Job
					var err error
					switch kind {
					case care.Extend:
						j, err = s.care.Extend(s.ctx, order(serials), token.Extension{Donors: true})
					case care.CorrectClock:
						_, j, err = s.care.CorrectClock(s.ctx, order(serials), token.Correction{Seconds: 300})
					default:
						j, err = s.care.Start(s.ctx, kind, order(serials))
					}
					if j = s.ended(j, err); j.Done != n {
						b.Fatalf("job %+v", j)
					}
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "tokens/s")
			})
		}
	}
}

// A dry run of many chunks, of which several could be done at once, takes no record for two tokens, and says which tokens there is none for.
func TestADryRunPromisesEachRecordOnce(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, t.Context(), url, deploytest.Master(t))
		const n, spares = 1300, 900
		serials := s.stock(n, spares)
		for name, start := range map[string]func(care.Order) (job.Job, error){
			"extend":  func(o care.Order) (job.Job, error) { return s.care.Extend(s.ctx, o, token.Extension{Donors: true}) },
			"replace": func(o care.Order) (job.Job, error) { return s.care.Replace(s.ctx, o, true) },
		} {
			o := named(name, serials)
			o.DryRun = true
			j, err := start(o)
			s.must(err)
			s.run(j.ID)
			j = s.ended(j, nil)
			if j.Done != spares || j.Failed != n-spares {
				t.Errorf("%s: %+v", name, j)
			}
			rows, err := s.care.Jobs.Items(s.ctx, j.ID, job.ItemFilter{State: job.ItemDone})
			s.must(err)
			said := map[string]bool{}
			for _, row := range rows {
				record := row.Message[len(row.Message)-12:]
				if said[record] {
					t.Fatalf("%s: %s is taken twice", name, record)
				}
				said[record] = true
			}
		}
		no := false
		left, err := s.tokens.List(s.ctx, token.Filter{Assigned: &no})
		if s.must(err); len(left) != spares {
			t.Errorf("%d records left", len(left))
		}
	})
}

// A token that went to another user between the start of a job and its turn stays hers, whatever the job was to do but for its clock; a spare one too that somebody was given.
// What went back to nobody is done.
func TestAJobLeavesWhatIsSomebodyElsesMeanwhile(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, t.Context(), url, deploytest.Master(t))
		serials := s.stock(2, 2)
		spare, unused := serial(1002), serial(1003)
		start := func(kind string, chosen ...string) job.Job {
			t.Helper()
			o := care.Order{Name: kind, Tokens: func(yield func(job.NewItem, error) bool) {
				for c, err := range s.tokens.Choose(s.ctx, token.Selection{Serials: chosen}) {
					s.must(err)
					if item, err := care.Item(c); !yield(item, err) {
						return
					}
				}
			}}
			var j job.Job
			var err error
			switch kind {
			case care.Replace:
				j, err = s.care.Replace(s.ctx, o, true)
			case care.Extend:
				j, err = s.care.Extend(s.ctx, o, token.Extension{Until: day(50)})
			case care.CorrectClock:
				_, j, err = s.care.CorrectClock(s.ctx, o, token.Correction{Seconds: 60})
			default:
				j, err = s.care.Start(s.ctx, kind, o)
			}
			s.must(err)
			return j
		}
		var jobs []job.Job
		for _, kind := range []string{care.Disable, care.ClearNTC, care.Extend, care.Replace, care.CorrectClock, care.Unassign} {
			jobs = append(jobs, start(kind, serials...))
		}
		jobs = append(jobs, start(care.Delete, serials[0], serials[1], spare, unused))
		for _, serial := range serials {
			_, err := s.tokens.Unassign(s.ctx, serial, 0)
			s.must(err)
		}
		for user, serial := range map[string]string{"user-0000001": serials[0], "user-0000000": spare} {
			_, err := s.tokens.Assign(s.ctx, serial, user)
			s.must(err)
		}
		s.must(s.care.Jobs.RunAll(s.ctx))
		for _, j := range jobs {
			items, err := s.care.Jobs.Items(s.ctx, j.ID, job.ItemFilter{})
			s.must(err)
			for _, item := range items {
				somebodyElses := j.Kind != care.CorrectClock && (item.Key == serials[0] || item.Key == spare)
				if (item.Code == fault.Conflict) != somebodyElses {
					t.Errorf("%s of %s: %s %s %s", j.Kind, item.Key, item.State, item.Code, item.Message)
				}
			}
		}
		left, err := s.tokens.List(s.ctx, token.Filter{})
		s.must(err)
		if len(left) != 2 || left[0].UserID != "user-0000001" || !left[0].Enabled || left[1].UserID != "user-0000000" {
			t.Errorf("left %+v", left)
		}
	})
}
