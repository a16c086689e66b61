package api

import (
	"context"
	"iter"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/token"
)

// selectionOf reads a selection. What undistributed means needs users: nothing is delivered to nobody, and hardware to none.
func selectionOf(in client.Selection) (token.Selection, error) {
	before, err := dayOf(in.ExpiresBefore)
	if err != nil {
		return token.Selection{}, err
	}
	everywhere := in.Domain != "" && domain.Parse(in.Domain) == domain.Root // which narrows nothing
	s := token.Selection{All: in.All || everywhere, Serials: in.Serials, UserIDs: in.Users, Filter: token.Filter{
		Group: in.Group, Domain: domain.Parse(in.Domain), Profile: in.Profile, Distribution: token.Distribution(in.Distribution), Query: in.Query, ExpiresBefore: before,
		Assigned: in.Assigned, Enabled: in.Enabled, Unconfirmed: in.Unconfirmed, NotMoved: in.NotMoved,
		Tag: in.Tag, Extendable: in.Extendable, Hardware: hardwareOnly(in.Type),
	}}
	if in.Undistributed {
		assigned, hardware := true, false
		s.Filter.Distribution, s.Filter.Assigned, s.Filter.Hardware = token.NotDistributed, &assigned, &hardware
	}
	return s, nil
}

// chosen reads a selection. What it names has to be there, such as a group: a name that is written wrong would select nothing, and look as if
// all was done.
func (a *API) chosen(ctx context.Context, in client.Selection) (token.Selection, error) {
	if in.NotMoved != "" {
		if _, err := a.Jobs.Show(ctx, in.NotMoved); err != nil {
			return token.Selection{}, err
		}
	}
	if in.Group != "" {
		if _, err := a.Groups.Get(ctx, in.Group); err != nil {
			return token.Selection{}, err
		}
	}
	if in.Domain != "" {
		if _, _, err := a.Domains.Get(ctx, domain.Parse(in.Domain)); err != nil {
			return token.Selection{}, err
		}
	}
	if in.Profile != "" {
		if _, err := a.Profiles.Get(ctx, in.Profile); err != nil {
			return token.Selection{}, err
		}
	}
	return selectionOf(in)
}

// items are those of a job about tokens, each made by item.
func (a *API) items(ctx context.Context, s token.Selection, item func(token.Chosen) (job.NewItem, error)) iter.Seq2[job.NewItem, error] {
	return func(yield func(job.NewItem, error) bool) {
		for chosen, err := range a.Tokens.Choose(ctx, s) {
			made := job.NewItem{}
			if err == nil {
				made, err = item(chosen)
			}
			if !yield(made, err) {
				return
			}
		}
	}
}

// selected are the items of a job about tokens by their serials alone.
func (a *API) selected(ctx context.Context, s token.Selection) iter.Seq2[job.NewItem, error] {
	return a.items(ctx, s, func(c token.Chosen) (job.NewItem, error) { return job.NewItem{Key: c.Serial}, nil })
}
