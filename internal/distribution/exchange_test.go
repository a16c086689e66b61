package distribution_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// hello is a client's first request, as the server reads it.
func (w *world) hello(c *ctkip.Client) *ctkip.Message {
	w.Helper()
	start, err := c.Start()
	w.must(err)
	return w.read(start)
}

func (w *world) read(r ctkip.Request) *ctkip.Message {
	w.Helper()
	m, err := ctkip.ParseRequest(r.Body, r.Header["Authorization"])
	w.must(err)
	return m
}

// A locks notes what is locked: what is read of tokens and codes in a transaction.
type locks struct {
	*store.DB
	order []string
}

type within struct{}

func (l *locks) Transact(ctx context.Context, do func(context.Context) error) error {
	return l.DB.Transact(ctx, func(ctx context.Context) error { return do(context.WithValue(ctx, within{}, true)) })
}

func (l *locks) note(ctx context.Context, what string) {
	if ctx.Value(within{}) != nil && !slices.Contains(l.order, what) {
		l.order = append(l.order, what)
	}
}

func (l *locks) Token(ctx context.Context, serial string) (token.Token, error) {
	l.note(ctx, "token")
	return l.DB.Token(ctx, serial)
}

func (l *locks) OfferByCode(ctx context.Context, hash []byte) (distribution.Offer, error) {
	l.note(ctx, "code")
	return l.DB.OfferByCode(ctx, hash)
}

func (l *locks) Offer(ctx context.Context, id string) (distribution.Offer, error) {
	l.note(ctx, "code")
	return l.DB.Offer(ctx, id)
}

// Whoever distributes a token or takes it from its user locks the token and then its code. A hello that does it the other way
// round waits for them while they wait for it.
func TestAHelloLocksTheTokenBeforeItsCode(t *testing.T) {
	w := newWorld(t)
	w.profile("app", device.CTKIP, nil)
	out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: w.assigned(), Profile: "app", Grace: -1})
	w.must(err)
	l := &locks{DB: w.db}
	w.dist.Store = l
	_, err = w.dist.Begin(w.ctx, w.hello(&ctkip.Client{Code: ctkip.Code(out.ActivationCode)}))
	w.must(err)
	if !slices.Equal(l.order, []string{"token", "code"}) {
		t.Errorf("locked in the order %v", l.order)
	}
}

// A code that ends between a hello's two looks at it is refused.
func TestAHelloLooksAtTheCodeAgain(t *testing.T) {
	w := newWorld(t)
	w.profile("app", device.CTKIP, nil)
	serial := w.assigned()
	out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "app", Grace: -1})
	w.must(err)
	hello := w.hello(&ctkip.Client{Code: ctkip.Code(out.ActivationCode)})
	db := &revoking{DB: w.db, revoke: func() {
		_, err := w.tokens.Unassign(w.ctx, serial, 0)
		w.must(err)
	}}
	w.dist.Store = db
	_, err = w.dist.Begin(w.ctx, hello)
	w.refused(err, fault.ActivationRefused)
}

// A revoking store ends a code once it has been looked up.
type revoking struct {
	*store.DB
	revoke func()
}

func (r *revoking) OfferByCode(ctx context.Context, hash []byte) (distribution.Offer, error) {
	o, err := r.DB.OfferByCode(ctx, hash)
	r.revoke()
	return o, err
}

// Whoever guesses does not fill the audit log: beyond a thousand an hour, unknown codes are summed up.
func TestManyUnknownCodesAreSummedUp(t *testing.T) {
	w := newWorld(t)
	for range 1003 {
		_, err := w.dist.Begin(w.ctx, w.hello(&ctkip.Client{Code: "000000000000"}))
		w.refused(err, fault.ActivationRefused)
	}
	w.must(w.dist.CleanUp(w.ctx))
	w.must(w.dist.CleanUp(w.ctx))
	page, err := w.db.Events(w.ctx, audit.Filter{Action: "dist.activate", Object: "activation:unknown", Limit: 2000, Newest: true})
	w.must(err)
	if len(page.Entries) != 1001 || !strings.Contains(string(page.Entries[0].Record), `"codes":3`) {
		t.Errorf("%d events, the last %s", len(page.Entries), page.Entries[0].Record)
	}
}

// Whoever has the lost device may have the activation code that was sent to it: it is refused as the seeds are that there were, and a later one is not.
func TestACodeIsLostWithItsToken(t *testing.T) {
	for name, c := range map[string]struct {
		codes []token.EmergencyKind // that the user gets, each time that it is reported
		found policy.IfFound
		want  fault.Code // what becomes of the activation code
	}{
		"no emergency codes":      {[]token.EmergencyKind{""}, policy.AcceptAndEnd, fault.ActivationRefused},
		"the device may turn up":  {[]token.EmergencyKind{token.FixedCode}, policy.AcceptAndEnd, ""},
		"it was stolen after all": {[]token.EmergencyKind{token.FixedCode, ""}, policy.AcceptAndEnd, fault.ActivationRefused},
		"it is refused":           {[]token.EmergencyKind{token.FixedCode}, policy.Deny, fault.ActivationRefused},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			set := policy.Default()
			set.Token.EmergencyIfFound = c.found
			w.auth.Policies = fixed{set}
			w.profile("file", device.File, nil)
			w.profile("app", device.CTKIP, nil)
			r := distribution.Request{Serial: w.assigned(), Profile: "file", Grace: -1}
			_, err := w.dist.Distribute(w.ctx, r)
			w.must(err)
			r.Profile, r.SwitchOver = "app", profile.OnActivation
			out, err := w.dist.Redistribute(w.ctx, r, distribution.NewDevice, "")
			w.must(err)
			w.Pass(time.Minute)
			for _, kind := range c.codes {
				_, _, err = w.auth.ReportLost(w.ctx, r.Serial, 0, authentication.EmergencyWish{Kind: kind})
				w.must(err)
			}
			_, err = w.dist.Begin(w.ctx, w.hello(&ctkip.Client{Code: ctkip.Code(out.ActivationCode)}))
			if fault.CodeOf(err) != c.want {
				t.Errorf("the code: %v", err)
			}
			if tok := w.token(r.Serial); (tok.Distribution == token.ActivationLapsed) != (c.want != "") || (tok.Pending == nil) != (c.want != "") {
				t.Errorf("%s, %v", tok.Distribution, tok.Pending)
			}
			out, err = w.dist.Redistribute(w.ctx, r, distribution.LostDevice, "")
			w.must(err)
			w.activate(out.ActivationCode)
		})
	}
}

// fixed are policies that stay as they are.
type fixed struct{ policy.Set }

func (f fixed) Current(context.Context) (*policy.Tree, error) { return policy.Alone(f.Set), nil }

// What became of user, token and device since the code was made counts in each step of an exchange. The code itself stays good.
func TestACodeIsRefusedWhereItsTokenMayNotGo(t *testing.T) {
	lastDay := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC) // of the offer, whose code is good on the next one too
	for name, c := range map[string]struct {
		device string // that the app tells
		token  time.Time
		user   user.Entry
		why    fault.Code
	}{
		"another device":  {device: "d82c467d", why: fault.DeviceMismatch},
		"the device":      {device: "D82C-467C"},
		"no device":       {},
		"a disabled user": {user: user.Entry{Enabled: new(bool)}, why: fault.NotDistributable},
		"a user's end":    {user: user.Entry{Expiry: &lastDay}, why: fault.NotDistributable},
		"the token's end": {token: lastDay, why: fault.NotDistributable},
	} {
		for _, between := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, between the steps %t", name, between), func(t *testing.T) {
				w := newWorld(t)
				users := &user.Registry{Store: w.db, Now: w.dist.Now}
				w.profile("app", device.CTKIP, nil)
				serials, err := w.records.Create(w.ctx, 1, time.Time{}, c.token)
				w.must(err)
				_, err = w.tokens.Assign(w.ctx, serials[0], "alice")
				w.must(err)
				out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serials[0], Profile: "app", DeviceID: "d82c467c", Grace: -1})
				w.must(err)
				app := &ctkip.Client{Code: ctkip.Code(out.ActivationCode), Device: ctkip.Device{Version: "1.0", SerialNumber: c.device}}
				happens := func() {
					_, err := users.Edit(w.ctx, "alice", 0, c.user)
					w.must(err)
					w.Set(lastDay.AddDate(0, 0, 1))
				}
				err = func() error {
					if w.Set(lastDay.Add(24*time.Hour - time.Minute)); !between {
						happens()
					}
					answer, err := w.dist.Begin(w.ctx, w.hello(app))
					if err != nil {
						return err
					}
					nonce, err := app.Answer(answer)
					w.must(err)
					if between {
						happens()
					}
					_, err = w.dist.Finish(w.ctx, w.read(nonce), nonce.Body)
					return err
				}()
				want, confirmed := token.Confirmed, c.why == ""
				if confirmed {
					w.must(err)
					page, err := w.db.Events(w.ctx, audit.Filter{Action: "redist.complete"})
					w.must(err)
					if len(page.Entries) != 0 {
						t.Error("the first activation completed a redistribution")
					}
				} else {
					var refusal *fault.Error
					if want = token.PendingActivation; !errors.As(err, &refusal) || refusal.Code != fault.ActivationRefused || refusal.Details["why"] != c.why {
						t.Errorf("got %v, want a refusal for %s", err, c.why)
					}
					page, err := w.db.Events(w.ctx, audit.Filter{Action: "dist.activate", Object: "token:" + serials[0]})
					w.must(err)
					if len(page.Entries) != 1 || !strings.Contains(string(page.Entries[0].Record), string(c.why)) {
						t.Errorf("%d events of the token, and none for %s", len(page.Entries), c.why)
					}
				}
				if got := w.token(serials[0]); got.Distribution != want || got.Current.Delivered != confirmed {
					t.Errorf("the token is %s, delivered %t", got.Distribution, got.Current.Delivered)
				}
				if !confirmed && c.token.IsZero() {
					_, err = users.Edit(w.ctx, "alice", 0, user.Entry{Enabled: new(true), Expiry: new(time.Time)})
					w.must(err)
					w.activate(out.ActivationCode)
				}
			})
		}
	}
}

// A server key outlives its period for as long as an exchange that was begun in it may go on, and no longer.
func TestAnExchangeOverTheChangeOfTheServerKey(t *testing.T) {
	w := newWorld(t)
	w.profile("app", device.CTKIP, nil)
	const period = 30 * 24 * time.Hour
	change := time.Unix(w.Now().Unix()/int64(period/time.Second)*int64(period/time.Second), 0).UTC().Add(period)
	name := fmt.Sprintf("ctkip-key/%d", w.Now().Unix()/int64(period/time.Second))
	gone := errors.New("there is none")
	kept := func() error {
		_, err := w.keys.Secret(w.ctx, name, func() ([]byte, error) { return nil, gone })
		return err
	}
	w.Set(change.Add(-5 * time.Minute))
	out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: w.assigned(), Profile: "app", Grace: -1})
	w.must(err)
	app := &ctkip.Client{Code: ctkip.Code(out.ActivationCode)}
	answer, err := w.dist.Begin(w.ctx, w.hello(app))
	w.must(err)
	nonce, err := app.Answer(answer)
	w.must(err)
	w.Set(change.Add(4 * time.Minute))
	w.must(w.dist.CleanUp(w.ctx))
	_, err = w.dist.Finish(w.ctx, w.read(nonce), nonce.Body)
	w.must(err)
	w.must(kept())
	w.Set(change.Add(10 * time.Minute))
	w.must(w.dist.CleanUp(w.ctx))
	if err := kept(); !errors.Is(err, gone) {
		t.Errorf("the key of the last period: %v", err)
	}
}

// A session goes on with the code that it was begun with, and with no other.
func TestASessionIsOfItsCode(t *testing.T) {
	w := newWorld(t)
	w.profile("app", device.CTKIP, nil)
	var apps [2]*ctkip.Client
	var nonces [2]ctkip.Request
	for n := range apps {
		out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: w.assigned(), Profile: "app", Grace: -1})
		w.must(err)
		apps[n] = &ctkip.Client{Code: ctkip.Code(out.ActivationCode)}
		answer, err := w.dist.Begin(w.ctx, w.hello(apps[n]))
		w.must(err)
		nonces[n], err = apps[n].Answer(answer)
		w.must(err)
	}
	own, others := w.read(nonces[0]), w.read(nonces[0])
	others.Code = apps[1].Code
	for m, want := range map[*ctkip.Message]bool{own: true, others: false} {
		if begun, err := w.dist.Begun(w.ctx, m); err != nil || begun != want {
			t.Errorf("begun is %t, want %t: %v", begun, want, err)
		}
	}
	if _, err := w.dist.Finish(w.ctx, others, nonces[0].Body); !errors.Is(err, distribution.ErrAborted) {
		t.Errorf("finished with another code: %v", err)
	}
	_, err := w.dist.Finish(w.ctx, own, nonces[0].Body)
	w.must(err)
}
