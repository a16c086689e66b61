package authentication_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/securid"
)

const serial = "100000000001"

// policies are those that a test sets.
type policies struct {
	policy.Set
	tree *policy.Tree // in place of the set, if there is one
}

func (p *policies) Current(context.Context) (*policy.Tree, error) {
	if p.tree != nil {
		return p.tree, nil
	}
	return policy.Alone(p.Set), nil
}

// A deployment has one user, alice, with one token of the test's settings.
type deployment struct {
	testing.TB
	now    time.Time
	db     *store.DB
	engine *authentication.Engine
	policy policies
	secret seed.Seed
	token  token.Settings
}

func newDeployment(t testing.TB, url string, s token.Settings) *deployment {
	t.Helper()
	d := &deployment{TB: t, now: time.Date(2026, 11, 24, 9, 14, 30, 0, time.UTC), secret: seed.Generate(), token: s}
	clock := func() time.Time { return d.now }
	var keys *seed.Keyring
	d.db, keys = deploytest.New(t, url, clock)
	d.addUser("alice")
	deploytest.Token(t, d.db, keys, serial, "alice", d.secret, s, d.now)
	d.engine = &authentication.Engine{Store: d.db, Groups: 4, Keys: keys, Policies: &d.policy, Now: clock}
	d.policy.Set = policy.Default()
	return d
}

func (d *deployment) addUser(id string) {
	d.Helper()
	_, err := (&user.Registry{Store: d.db, Now: func() time.Time { return d.now }}).Add(d.Context(), user.User{ID: id})
	d.must(err)
}

// elsewhere is the engine of another server on the deployment's database.
func (d *deployment) elsewhere(url string) *authentication.Engine {
	d.Helper()
	db := d.db
	if strings.HasPrefix(url, "postgres") { // one server alone opens an embedded one
		db = deploytest.Open(d, url)
	}
	return &authentication.Engine{Store: db, Keys: d.engine.Keys, Policies: d.engine.Policies, Now: d.engine.Now}
}

func sqlite(t *testing.T) string { return deploytest.SQLite(t) }

func (d *deployment) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// code is what the app shows at t.
func (d *deployment) code(t time.Time) string {
	d.Helper()
	raw := d.secret.Reveal()
	code, err := securid.Code(raw, serial, d.token.Digits, d.token.Interval, t)
	d.must(err)
	return code
}

// typed is what a user types of a code and her PIN, by the PIN type of the token.
func (d *deployment) typed(pin, code string) string {
	d.Helper()
	switch d.token.PINType {
	case device.Fob:
		return pin + code
	case device.PINPad:
		merged, err := securid.AddPIN(code, pin)
		d.must(err)
		return merged
	}
	return code
}

func (d *deployment) check(passcode string, want authentication.Result) {
	d.Helper()
	if got, err := d.engine.Check(d.Context(), "alice", passcode); err != nil || got != want {
		d.Errorf("got %s, %v, want %s", got, err, want)
	}
}

var plain = token.Settings{Digits: 8, Interval: 60, PINType: device.NoPIN}

func TestTheWindowIsOneIntervalEachWay(t *testing.T) {
	for offset, want := range map[int]authentication.Result{-11: authentication.Denied, -2: authentication.NextTokencode, -1: authentication.Accepted, 0: authentication.Accepted, 1: authentication.Accepted, 2: authentication.NextTokencode, 11: authentication.Denied} {
		for _, kind := range []device.PINType{device.NoPIN, device.Fob, device.PINPad} {
			d := newDeployment(t, sqlite(t), token.Settings{Digits: 8, Interval: 60, PINType: kind})
			if kind != device.NoPIN {
				d.must(d.engine.SetPIN(t.Context(), serial, "8093", false))
			}
			d.check(d.typed("8093", d.code(d.now.Add(time.Duration(offset)*time.Minute))), want)
		}
	}
}

// The offset that was learnt moves the window: a clock that drifts on is followed.
func TestTheWindowFollowsTheClockOfTheToken(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	for drift := 1; drift <= 4; drift++ {
		d.now = d.now.Add(10 * time.Minute)
		d.check(d.code(d.now.Add(time.Duration(drift)*time.Minute)), authentication.Accepted)
	}
	d.now = d.now.Add(10 * time.Minute)
	d.check(d.code(d.now), authentication.NextTokencode) // four minutes from where the token's clock is now
}

func TestAnOlderCodeIsRefusedOnceALaterOneWasAccepted(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	before, next := d.code(d.now.Add(-time.Minute)), d.code(d.now.Add(time.Minute))
	d.check(next, authentication.Accepted)
	d.check(d.code(d.now), authentication.Denied)
	d.check(before, authentication.Denied)
}

func TestBirthAndExpiry(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	first := d.now.Truncate(24 * time.Hour)
	over := first.AddDate(0, 0, 11)
	for _, c := range []struct {
		at   time.Time
		want authentication.Result
	}{
		{first.Add(-time.Second), authentication.Denied}, {first, authentication.Accepted},
		{over.Add(-time.Second), authentication.Accepted}, {over, authentication.Denied},
	} {
		d.now = c.at
		d.check(d.code(c.at), c.want)
	}
}

// Codes go on, are used up and wrong ones lock at the ends of days, months, years and centuries, and of what 32 bits count.
func TestTheEdgesOfTime(t *testing.T) {
	for _, settings := range []token.Settings{plain, {Digits: 6, Interval: 30, PINType: device.NoPIN}} {
		d := newDeployment(t, sqlite(t), settings)
		d.policy.Token.IncorrectBeforeNTC = 0
		d.change(serial, func(r *token.Token) { r.EffectiveExpiry = token.LastExpiry })
		for _, edge := range []string{"2027-01-01T00:00:00Z", "2028-02-29T00:00:00Z", "2038-01-19T03:14:08Z", "2100-01-01T00:00:00Z", "2100-03-01T00:00:00Z"} {
			at, err := time.Parse(time.RFC3339, edge)
			d.must(err)
			d.now = at.Add(-time.Duration(settings.Interval) * time.Second)
			before, after := d.code(d.now), d.code(at)
			for _, c := range []struct {
				now  time.Time
				code string
				want authentication.Result
			}{{d.now, before, authentication.Accepted}, {d.now, before, authentication.Denied}, {at, after, authentication.Accepted}, {at, after, authentication.Denied}, {at, before, authentication.Denied}} {
				d.now = c.now
				d.check(c.code, c.want)
			}
			d.must(d.engine.Unlock(t.Context(), "alice"))
			for range 5 {
				d.check("0", authentication.Denied)
			}
			d.now = at.Add(time.Hour)
			d.check(d.code(d.now), authentication.Denied) // she is locked
			d.must(d.engine.Unlock(t.Context(), "alice"))
		}
	}
}

// With a six-digit code and a PIN of six digits nothing but the PIN says whether the code was right.
func TestAPINAsLongAsTheCode(t *testing.T) {
	d := newDeployment(t, sqlite(t), token.Settings{Digits: 6, Interval: 30, PINType: device.PINPad})
	d.must(d.engine.SetPIN(t.Context(), serial, "809357", false))
	merged, err := securid.AddPIN(d.code(d.now), "809357")
	d.must(err)
	wrong, err := securid.AddPIN(d.code(d.now), "809358")
	d.must(err)
	d.check(wrong, authentication.Denied)
	d.check(merged, authentication.Accepted)
	d.check(merged, authentication.Denied)
}

// Of many checks of one code at once, over two engines on one database, one is accepted.
func TestOneOfManyIsAccepted(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := newDeployment(t, url, plain)
		engines := []*authentication.Engine{d.engine, d.elsewhere(url)}
		for round := range 5 {
			d.now = d.now.Add(time.Minute)
			code := d.code(d.now)
			var accepted atomic.Int32
			var all sync.WaitGroup
			for i := range 64 {
				all.Go(func() {
					got, err := engines[i%2].Check(context.Background(), "alice", code)
					if err != nil {
						t.Error(err)
					}
					if got == authentication.Accepted {
						accepted.Add(1)
					}
				})
			}
			all.Wait()
			if n := accepted.Load(); n != 1 {
				t.Errorf("round %d: accepted %d times", round, n)
			}
		}
	})
}

// When the database cannot be asked, the answer is an error and never an acceptance.
func TestAnOutageAcceptsNothing(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	var decided []error
	d.engine.Decided = func(_ authentication.Result, err error) { decided = append(decided, err) }
	d.db.Close()
	got, err := d.engine.Check(t.Context(), "alice", d.code(d.now))
	if err == nil || got == authentication.Accepted {
		t.Errorf("got %q, %v", got, err)
	}
	if len(decided) != 1 || !errors.Is(decided[0], err) {
		t.Errorf("told %v", decided)
	}
}

// breakingKeys do not open the seed of one token.
type breakingKeys struct {
	authentication.Keyring
	broken string // serial
	how    func() error
}

func (k breakingKeys) OpenSeed(ctx context.Context, s seed.Sealed, serial string, generation int) (seed.Seed, error) {
	if serial == k.broken {
		return seed.Seed{}, k.how()
	}
	return k.Keyring.OpenSeed(ctx, s, serial, generation)
}

// A defect that one request meets ends neither the server nor the requests of others.
func TestAPanicIsAnErrorOfOneRequest(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	whole := d.engine.Keys
	d.engine.Keys = breakingKeys{whole, serial, func() error { panic("broken") }}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if got, err := d.engine.Check(t.Context(), "alice", d.code(d.now)); err == nil || got == authentication.Accepted {
				t.Errorf("got %q, %v", got, err)
			}
		})
		all.Go(func() {
			if got, err := d.engine.Check(t.Context(), "nobody", "00000000"); err != nil || got != authentication.Denied {
				t.Errorf("nobody: %q, %v", got, err)
			}
		})
	}
	all.Wait()
	d.engine.Keys = whole
	d.check(d.code(d.now), authentication.Accepted)
}

// Who gave up before the request was looked at has not used the code up.
func TestNobodyWaitsForAnAnswer(t *testing.T) {
	d := newDeployment(t, sqlite(t), plain)
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err := d.engine.Begin(gone, authentication.Request{UserID: "alice", Passcode: d.code(d.now), Source: vpn})
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	d.is(d.begin(d.code(d.now)), authentication.Accepted, "")
}
