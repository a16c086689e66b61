package api

import (
	"context"
	"io"
	"iter"
	"net/http"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/transfer"
)

func (a *API) transferKey(ctx context.Context, _ *request) (answer, error) {
	key, err := a.Transfer.PublicKey(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.TransferKey{PublicKey: key})
}

// exportTokens streams tokens with their seeds, sealed to the deployment that they go to.
func (a *API) exportTokens(ctx context.Context, r *request) (answer, error) {
	in, err := decode[client.TokenExport](r)
	if err != nil {
		return answer{}, err
	}
	s, err := a.chosen(ctx, in.Selection)
	if err != nil {
		return answer{}, err
	}
	var serials iter.Seq2[string, error] = a.Tokens.Select(ctx, s)
	write, err := a.Transfer.Export(ctx, transfer.Export{Serials: serials, To: in.To, Users: in.WithUsers})
	if err != nil {
		return answer{}, err
	}
	return answer{Status: http.StatusOK, Type: "application/octet-stream", stream: func(w io.Writer) error {
		err := write(ctx, w)
		if err != nil {
			a.Logger.ErrorContext(ctx, "an export was not finished", "error", err, "correlation_id", audit.CorrelationFrom(ctx))
		}
		return err
	}}, nil
}

// receiveTokens reads and checks the whole file before any transaction begins, as startImport does.
func (a *API) receiveTokens(ctx context.Context, r *request) (answer, error) {
	in, err := decode[client.TransferFile](r)
	if err != nil {
		return answer{}, err
	}
	if ctx, err = a.into(ctx, in.Domain); err != nil {
		return answer{}, err
	}
	role := access.Role(audit.ActorFrom(ctx).Role)
	j, err := a.Transfer.Import(ctx, transfer.Import{File: in.File, Name: in.Name, DryRun: in.DryRun, Users: role.May(access.ManageUsers)})
	if err != nil {
		return answer{}, err
	}
	out, err := reply(http.StatusAccepted, a.jobOf(j))
	out.Location = at("jobs", j.ID)
	return out, err
}
