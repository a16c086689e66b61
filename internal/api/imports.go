package api

import (
	"context"
	"io"
	"net/http"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/records"
)

// startImport reads and checks the whole file before any transaction begins: a large one takes seconds, in which others shall not
// wait. That is why there is no idempotency key; the name of the job keeps an import from being started twice.
func (a *API) startImport(ctx context.Context, r *request) (answer, error) {
	return uploaded(ctx, a, r, func(ctx context.Context, in client.Import, file func() (io.Reader, error)) (answer, error) {
		ctx, err := a.into(ctx, in.Domain)
		if err != nil {
			return answer{}, err
		}
		return a.acceptedJob(a.Records.StartImport(ctx, records.Import{
			File: file, Format: records.Format(in.Format), Password: string(in.Password), Mapping: in.Mapping, Hardware: hardwareOnly(in.Type),
			Duplicates: records.Duplicates(in.Duplicates), Name: in.Name, DryRun: in.DryRun,
		}))
	})
}

// acceptedJob answers with a job that goes on by itself.
func (a *API) acceptedJob(j job.Job, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	out, err := reply(http.StatusAccepted, a.jobOf(j))
	out.Location = at("jobs", j.ID)
	return out, err
}

func (a *API) startCreate(ctx context.Context, _ *request, in client.TokenCreation) (answer, error) {
	ctx, err := a.into(ctx, in.Domain)
	if err != nil {
		return answer{}, err
	}
	birth, expiry, err := daysOf(in.Birth, in.Expiry)
	if err != nil {
		return answer{}, err
	}
	return a.startedJob(a.Records.StartCreate(ctx, in.Count, birth, expiry, in.Name, in.DryRun))
}
