package distribution_test

import (
	"context"
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
