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
	signer, err := a.Transfer.SignerKey(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.TransferKey{PublicKey: key, SignerKey: signer})
}

// exportTokens streams tokens with their seeds, sealed to the deployment that they go to.
func (a *API) exportTokens(ctx context.Context, _ *request, in client.TokenExport) (answer, error) {
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
	return uploaded(ctx, a, r, func(ctx context.Context, in client.TransferFile, file func() (io.Reader, error)) (answer, error) {
		ctx, err := a.into(ctx, in.Domain)
		if err != nil {
			return answer{}, err
		}
		role := access.Role(audit.ActorFrom(ctx).Role)
		return a.acceptedJob(a.Transfer.Import(ctx, transfer.Import{File: file, From: in.From, Name: in.Name, DryRun: in.DryRun, Users: role.May(access.ManageUsers)}))
	})
}
