package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/care"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/token"
)

// orderOf reads what all jobs about tokens have in common.
func (a *API) orderOf(ctx context.Context, in client.Selection, name string, dryRun bool, rate int) (care.Order, error) {
	s, err := a.chosen(ctx, in)
	return care.Order{Name: name, DryRun: dryRun, Rate: rate, Tokens: a.items(ctx, s, care.Item)}, err
}

// careFor starts a job of a kind that takes no parameters.
func (a *API) careFor(kind string) handler {
	return takes(func(ctx context.Context, _ *request, in client.CareOrder) (answer, error) {
		o, err := a.orderOf(ctx, in.Selection, in.Name, in.DryRun, in.Rate)
		if err != nil {
			return answer{}, err
		}
		return a.startedJob(a.Care.Start(ctx, kind, o))
	})
}

func (a *API) replaceMany(ctx context.Context, _ *request, in client.ReplacementOrder) (answer, error) {
	o, err := a.orderOf(ctx, in.Selection, in.Name, in.DryRun, in.Rate)
	if err != nil {
		return answer{}, err
	}
	return a.startedJob(a.Care.Replace(ctx, o, !in.NewPIN))
}

func (a *API) extendMany(ctx context.Context, _ *request, in client.ExtensionOrder) (answer, error) {
	until, err := dayOf(in.Until)
	if err != nil {
		return answer{}, err
	}
	o, err := a.orderOf(ctx, in.Selection, in.Name, in.DryRun, in.Rate)
	if err != nil {
		return answer{}, err
	}
	return a.startedJob(a.Care.Extend(ctx, o, token.Extension{Until: until, Donors: in.Donors}))
}

func (a *API) extend(ctx context.Context, r *request, in client.Extension) (answer, error) {
	until, err := dayOf(in.Until)
	if err != nil {
		return answer{}, err
	}
	x, err := a.Care.ExtendOne(ctx, serial(r), token.Extension{Until: until, Donors: in.Donors, Donor: in.Donor})
	if err != nil {
		return answer{}, err
	}
	return ok(extendedOf(x))
}

func extendedOf(x token.Extended) client.Extended {
	return client.Extended{
		Serial: x.Serial, Number: x.Number, Was: date(x.Was), Until: date(x.Until), DeviceUntil: date(x.Device), Donor: x.Donor, By: x.By, At: x.At, Job: x.Job,
	}
}

func (a *API) listExtensions(ctx context.Context, r *request) (answer, error) {
	f := token.ExtensionFilter{Serial: r.query("serial"), Job: r.query("job"), Limit: r.limit() + 1}
	if serial, number, more := strings.Cut(r.query("after"), "."); more { // keeps to the contract
		f.After.Serial = serial
		f.After.Number, _ = strconv.Atoi(number)
	}
	all, err := a.Tokens.Extensions(ctx, f)
	if err == nil && len(all) == 0 {
		err = a.thereAre(ctx, "", f.Serial, "")
	}
	if err != nil {
		return answer{}, err
	}
	all, next := page(all, r.limit(), func(x token.Extended) string { return fmt.Sprintf("%s.%d", x.Serial, x.Number) })
	return ok(client.ExtensionPage{Extensions: mapped(all, extendedOf), Next: next})
}

func (a *API) editLabel(ctx context.Context, r *request, in client.LabelEdit) (answer, error) {
	t, err := a.Tokens.EditLabel(ctx, serial(r), r.version, func(l *token.Label) {
		set(&l.Notes, in.Notes)
		for name, value := range in.Attributes {
			if value == nil {
				delete(l.Attributes, name)
			} else {
				l.Attributes[name] = *value
			}
		}
		l.Tags = slices.DeleteFunc(append(l.Tags, in.AddTags...), func(tag string) bool { return slices.Contains(in.RemoveTags, tag) })
	})
	return a.shownToken(ctx, t, err)
}

func (a *API) clockOffsets(ctx context.Context, _ *request) (answer, error) {
	found, err := a.Tokens.Offsets(ctx)
	if err != nil {
		return answer{}, err
	}
	report := client.OffsetReport{Offsets: mapped(found, func(o token.OffsetCount) client.OffsetCount { return client.OffsetCount(o) })}
	for _, o := range found {
		report.Tokens += o.Tokens
	}
	return ok(report)
}

func (a *API) offTokens(ctx context.Context, r *request) (answer, error) {
	found, err := a.Tokens.FarOff(ctx, int(r.number("beyond", 0)), r.query("after"), r.limit()+1)
	if err != nil {
		return answer{}, err
	}
	found, next := page(found, r.limit(), func(o token.Off) string { return o.Serial })
	return ok(client.OffTokenPage{Next: next, Tokens: mapped(found, func(o token.Off) client.OffToken {
		return client.OffToken{Serial: o.Serial, UserID: o.UserID, Intervals: o.Intervals, Seconds: o.Intervals * int64(o.Interval), LastUsedAt: moment(o.LastUsedAt)}
	})})
}

func correctionOf(c token.Correction) client.Correction {
	return client.Correction{
		Correction: c.ID, Domain: domain.Show(c.Domain), Seconds: c.Seconds, UsedSince: moment(c.UsedSince), UsedUntil: moment(c.UsedUntil), Note: c.Note, By: c.By, At: c.At,
		UndoneBy: c.UndoneBy, UndoneAt: moment(c.UndoneAt), Shifted: c.Shifted, Undone: c.Undone,
	}
}

// momentOf is a time that may not have been given.
func momentOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func (a *API) correctClocks(ctx context.Context, _ *request, in client.CorrectionOrder) (answer, error) {
	o, err := a.orderOf(ctx, in.Selection, in.Name, in.DryRun, in.Rate)
	if err != nil {
		return answer{}, err
	}
	c, j, err := a.Care.CorrectClock(ctx, o, token.Correction{
		Seconds: in.Seconds, UsedSince: momentOf(in.UsedSince), UsedUntil: momentOf(in.UsedUntil), Note: in.Note,
	})
	if err != nil {
		return answer{}, err
	}
	shown, started := correctionOf(c), a.jobOf(j)
	shown.Job = &started
	return reply(http.StatusCreated, shown)
}

func (a *API) undoCorrection(ctx context.Context, r *request, in client.UndoOrder) (answer, error) {
	c, j, err := a.Care.UndoClock(ctx, care.Order{Name: in.Name, DryRun: in.DryRun, Rate: in.Rate}, r.PathValue("correction"))
	if err != nil {
		return answer{}, err
	}
	shown, started := correctionOf(c), a.jobOf(j)
	shown.Job = &started
	return reply(http.StatusCreated, shown)
}

func (a *API) showCorrection(ctx context.Context, r *request) (answer, error) {
	c, err := a.Tokens.Correction(ctx, r.PathValue("correction"))
	if err != nil {
		return answer{}, err
	}
	return ok(correctionOf(c))
}

func (a *API) listCorrections(ctx context.Context, r *request) (answer, error) {
	all, err := a.Tokens.Corrections(ctx, r.query("before"), r.limit()+1)
	if err != nil {
		return answer{}, err
	}
	all, next := page(all, r.limit(), func(c token.Correction) string { return c.ID })
	return ok(client.CorrectionPage{Corrections: mapped(all, correctionOf), Next: next})
}
