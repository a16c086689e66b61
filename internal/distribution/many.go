package distribution

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// A Made is what became of one request of many.
type Made struct {
	Delivery
	UserID, UserName string
	// Password is what is typed, if a password was made for this delivery alone; "" for none.
	Password string
	Err      error      // the refusal, which left the token as it was; nil if it was delivered
	Warning  fault.Code // what the administrator should know first; the words are in Warnings

	user user.User
}

// issueAll delivers tokens within the transaction of ctx, all by the profile of the first request, and says what became of each.
// Each part is done for all of them at once: what they are about is read by a few statements, what is handed out is built and proven on all
// processors, and what changes is written by a few statements. A refused token is left as it was.
func (d *Distributor) issueAll(ctx context.Context, r run, requests []Request) ([]Made, error) {
	issues, made, err := d.begin(ctx, r, requests)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, i := range issues {
			if i != nil {
				i.seed.Erase()
			}
		}
	}()
	sign, err := d.signature(ctx, r.many)
	if err != nil {
		return nil, err
	}
	var kept []*issue
	for n, i := range issues { // the keyring may have to ask the database, which one goroutine does at a time
		if i == nil {
			continue
		}
		if made[n].Err = d.prepare(ctx, i); made[n].Err != nil && fault.CodeOf(made[n].Err) == "" {
			return nil, made[n].Err
		}
	}
	atOnce(len(issues), func(n int) {
		if issues[n] != nil && made[n].Err == nil {
			made[n].Err = survived(func() error { return d.build(issues[n], sign) })
		}
	})
	for n, i := range issues {
		if i == nil {
			continue
		}
		if err := made[n].Err; err != nil {
			if fault.CodeOf(err) == "" {
				return nil, err
			}
			continue
		}
		m := &made[n]
		m.Delivery, m.UserID, m.UserName = i.out, i.user.ID, i.user.Name
		m.user = i.user
		if i.individual {
			m.Password = i.lock
		}
		switch {
		case !i.token.Enabled:
			m.Warning = fault.TokenDisabled
		case !i.user.Enabled:
			m.Warning = fault.UserDisabled
		case i.user.ExpiredAt(i.now):
			m.Warning = fault.UserExpired
		}
		kept = append(kept, i)
	}
	return made, d.store(ctx, kept)
}

// begin reads what the requests are about and holds each against it. The issue of a request that is refused is nil.
func (d *Distributor) begin(ctx context.Context, r run, requests []Request) ([]*issue, []Made, error) {
	var err error
	// The profile is not locked: deliveries of one profile would wait for each other.
	if r.profile, err = d.Store.ReadProfile(ctx, requests[0].Profile); err != nil {
		return nil, nil, err
	}
	if r.house, err = d.Store.Settings(ctx); err != nil {
		return nil, nil, err
	}
	if r.device, err = d.Devices.Find(ctx, r.profile.DeviceType); err != nil {
		return nil, nil, err
	}
	serials := make([]string, len(requests))
	for n, q := range requests {
		serials[n] = q.Serial
	}
	locked, err := d.Store.LockTokens(ctx, serials)
	if err != nil {
		return nil, nil, err
	}
	tokens, holders := make(map[string]token.Token, len(locked)), []string{}
	for _, t := range locked {
		if tokens[t.Serial] = t; t.UserID != "" {
			holders = append(holders, t.UserID)
		}
	}
	outside, err := token.HeldOutside(ctx, d.Store, locked...)
	if err != nil {
		return nil, nil, err
	}
	users, err := d.Store.UsersByID(ctx, holders)
	if err != nil {
		return nil, nil, err
	}
	of, err := d.held(ctx, r, requests, slices.Compact(slices.Sorted(slices.Values(holders))))
	if err != nil {
		return nil, nil, err
	}
	issues, made := make([]*issue, len(requests)), make([]Made, len(requests))
	for n, q := range requests {
		t, known := tokens[q.Serial]
		if !known {
			made[n].Err = domain.Outside(ctx, fault.New(fault.TokenNotFound, "there is no token %s", q.Serial), "token %s", q.Serial)
			continue
		}
		delete(tokens, q.Serial) // once
		if made[n].Err = outside[q.Serial]; made[n].Err != nil {
			continue
		}
		i := &issue{Request: q, run: r, token: t, user: users[t.UserID]}
		if made[n].Err = i.load(of); made[n].Err == nil && q.mailed {
			made[n].Err = d.Post.Reaches(i.user)
		}
		if made[n].Err == nil {
			made[n].Err = i.room(of)
		}
		if made[n].Err == nil {
			issues[n] = i
		}
	}
	return issues, made, nil
}

// store writes the deliveries that were made, with their events.
func (d *Distributor) store(ctx context.Context, issues []*issue) error {
	if len(issues) == 0 {
		return nil
	}
	var serials []string
	var tokens []token.Token
	var offers []Offer
	var events []audit.Event
	for _, i := range issues {
		events = append(events, i.finish(ctx)...)
		serials, tokens = append(serials, i.Serial), append(tokens, i.token)
		if i.offered != nil {
			offers = append(offers, *i.offered)
		}
	}
	if err := d.Store.RevokeOffersOf(ctx, serials); err != nil {
		return err
	}
	if err := d.Store.SaveTokens(ctx, tokens); err != nil {
		return err
	}
	if err := d.Store.AddOffers(ctx, offers); err != nil {
		return err
	}
	return d.Store.RecordAll(ctx, events)
}

// survived calls do, and makes an error of a panic: nobody above a goroutine of its own would catch it, and the server would end, now and
// whenever it goes on with the job. What a panic says may quote data; its stack shows addresses and no contents.
func survived(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("distribution: panic of type %T at:\n%s", p, debug.Stack())
		}
	}()
	return do()
}

// atOnce calls do for each number below n, on all processors.
func atOnce(n int, do func(int)) {
	const enough = 8 // for another goroutine to be worth it
	var next atomic.Int64
	var all sync.WaitGroup
	for range max(1, min(runtime.GOMAXPROCS(0), n/enough)) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}
