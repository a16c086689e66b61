package api

import (
	"context"
	"net/http"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/token"
)

func (a *API) distributeMany(ctx context.Context, _ *request, in client.BulkDistribution) (answer, error) {
	return a.deliverMany(ctx, in, "", "")
}

func (a *API) redistributeMany(ctx context.Context, _ *request, in client.BulkRedistribution) (answer, error) {
	return a.deliverMany(ctx, in.BulkDistribution, distribution.Reason(in.Reason), in.Note)
}

// deliverMany starts the job that delivers the tokens of a selection. All of them are the software tokens that belong to somebody, and for a
// redistribution those that were delivered before.
func (a *API) deliverMany(ctx context.Context, in client.BulkDistribution, reason distribution.Reason, note string) (answer, error) {
	s, err := a.chosen(ctx, in.Selection)
	if err != nil {
		return answer{}, err
	}
	if s.All {
		assigned, hardware := true, false
		s.Filter.Assigned, s.Filter.Hardware, s.Filter.Issued = &assigned, &hardware, reason != ""
	}
	devices, err := deviceList(&s, in.Devices)
	if err != nil {
		return answer{}, err
	}
	order, err := a.Distributor.Order(ctx, distribution.Bulk{
		Profile: in.Profile, Protection: profile.Protection(in.Protection), Password: string(in.Password), Individual: in.IndividualPasswords,
		Nickname: in.Nickname, SwitchOver: profile.SwitchOver(in.SwitchOver), Grace: graceOf(in.GraceSeconds), Reason: reason, Note: note, Mail: in.Mail, SecretBy: in.SecretBy,
		While: s.Filter.States(),
	})
	if err != nil {
		return answer{}, err
	}
	defer clear(order.Parameters)
	if in.Name != "" {
		order.Name = in.Name
	}
	order.DryRun, order.Rate, order.Items = in.DryRun, in.Rate, a.bound(ctx, s, devices)
	return a.startedJob(a.Jobs.Start(ctx, order))
}

func (a *API) results() *distribution.Results {
	return &distribution.Results{Distributor: a.Distributor, Jobs: a.Jobs}
}

func (a *API) jobParts(ctx context.Context, r *request) (answer, error) {
	j, err := a.Jobs.Show(ctx, r.PathValue("job"))
	if err != nil {
		return answer{}, err
	}
	parts, err := a.results().Parts(ctx, j)
	if err != nil {
		return answer{}, err
	}
	gone, err := a.results().Gone(ctx, j)
	if err != nil {
		return answer{}, err
	}
	return ok(client.JobParts{Parts: mapped(parts, func(p distribution.Part) string { return string(p) }), Gone: gone})
}

// partTypes are the media types of what is downloaded.
var partTypes = map[distribution.Part]string{
	distribution.Files: "application/zip", distribution.List: "text/csv", distribution.Passwords: "text/csv", distribution.Sheets: "application/pdf",
}

func (a *API) downloadPart(ctx context.Context, r *request) (answer, error) {
	j, err := a.Jobs.Show(ctx, r.PathValue("job"))
	if err != nil {
		return answer{}, err
	}
	part := distribution.Part(r.PathValue("part"))
	write, err := a.results().Open(ctx, j, part)
	if err != nil {
		return answer{}, err
	}
	return answer{Status: http.StatusOK, Type: partTypes[part], stream: write}, nil
}

func (a *API) campaign(ctx context.Context, r *request) (answer, error) {
	j, err := a.Jobs.Show(ctx, r.PathValue("job"))
	if err != nil {
		return answer{}, err
	}
	c, err := a.results().Campaign(ctx, j)
	if err != nil {
		return answer{}, err
	}
	return ok(client.Campaign{
		Job: j.ID, Moved: c.Moved, OldSeedLives: c.OldSeedLives, NotMoved: c.NotMoved, DeliveredAgain: c.DeliveredAgain, Gone: c.Gone,
		FirstEnd: moment(c.FirstEnd), LastEnd: moment(c.LastEnd),
	})
}

func (a *API) offerAgain(ctx context.Context, r *request) (answer, error) {
	j, err := a.Jobs.Show(ctx, r.PathValue("job"))
	if err != nil {
		return answer{}, err
	}
	order, err := a.results().OfferAgain(ctx, j)
	if err != nil {
		return answer{}, err
	}
	defer clear(order.Parameters)
	order.Items = a.bound(ctx, token.Selection{Filter: token.Filter{NotMoved: j.ID}}, nil)
	return a.startedJob(a.Jobs.Start(ctx, order))
}

func (a *API) cutOff(ctx context.Context, _ *request, in client.CutOff) (answer, error) {
	s, err := a.chosen(ctx, in.Selection)
	if err != nil {
		return answer{}, err
	}
	s.Filter.Waiting = s.Filter.Waiting || len(s.Serials) == 0
	order, err := a.Distributor.CutOff(in.Note)
	if err != nil {
		return answer{}, err
	}
	if in.Name != "" {
		order.Name = in.Name
	}
	order.DryRun, order.Items = in.DryRun, a.bound(ctx, s, nil)
	return a.startedJob(a.Jobs.Start(ctx, order))
}
