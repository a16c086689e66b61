package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
)

// Work adds tokens and replaces their seeds, each change with its event in one
// transaction, until it is stopped, by a crash at best. It calls done with the
// version that a token has got, once that is committed. worker tells its tokens from
// those of other calls.
func Work(ctx context.Context, s Store, worker int, done func(serial string, version int)) error {
	if err := s.AddDataKey(ctx, seed.DataKey{ID: int64(worker), MasterID: "m", Wrapped: []byte{1}, CreatedAt: start}); err != nil {
		return err
	}
	for n := 0; ctx.Err() == nil; n++ {
		r := made(worker*1_000_000 + n)
		r.Current.Sealed.KeyID = int64(worker)
		err := s.Transact(ctx, func(ctx context.Context) error {
			if err := s.AddToken(ctx, r); err != nil {
				return err
			}
			return s.Record(ctx, event(ctx, r.Serial))
		})
		if err != nil {
			return err
		}
		done(r.Serial, 1)
		for version := 2; version <= 4; version++ {
			err := s.Transact(ctx, func(ctx context.Context) error {
				now, err := s.Token(ctx, r.Serial)
				if err != nil {
					return err
				}
				g := generation(r.Serial, version)
				g.Sealed.KeyID = int64(worker)
				now.Replace(g)
				if err := s.SaveToken(ctx, now); err != nil {
					return err
				}
				return s.Record(ctx, event(ctx, r.Serial))
			})
			if err != nil {
				return err
			}
			done(r.Serial, version)
		}
	}
	return ctx.Err()
}

// Intact tests what Work left: nothing that was done is lost (known has the last version of each token), and every token
// has its current seed and as many events as changes. It returns how many tokens there are.
func Intact(t *testing.T, s Store, known map[string]int) int {
	t.Helper()
	events := map[string]int{}
	for f := (audit.Filter{Limit: audit.MaxPage}); ; {
		page, err := s.Events(t.Context(), f)
		for _, entry := range must(t, page, err).Entries {
			e, err := audit.ParseRecord(entry.Record)
			events[must(t, e, err).Object]++
		}
		if f.After = page.Next; f.After == "" {
			break
		}
	}
	tokens, err := s.Tokens(t.Context(), token.Filter{})
	for _, r := range must(t, tokens, err) {
		if r.Version < known[r.Serial] {
			t.Errorf("%s: version %d was committed, and %d is there", r.Serial, known[r.Serial], r.Version)
		}
		want := fmt.Sprintf("sealed %s/%d", r.Serial, r.Version)
		if string(r.Current.Sealed.Blob) != want || r.Current.Number != r.Version || r.LastNumber != r.Version {
			t.Errorf("%s: version %d has the seed %s of generation %d", r.Serial, r.Version, r.Current.Sealed.Blob, r.Current.Number)
		}
		if events[r.Serial] != r.Version {
			t.Errorf("%s: %d changes, but %d events", r.Serial, r.Version, events[r.Serial])
		}
		delete(known, r.Serial)
		delete(events, r.Serial)
	}
	if len(known) > 0 || len(events) > 0 {
		t.Errorf("lost tokens %v, and those of the events %v", known, events)
	}
	return len(tokens)
}
