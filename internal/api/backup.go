package api

import (
	"context"
	"io"
	"net/http"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/fault"
)

// takeBackup streams a sealed copy of everything. With the master key inside it is worth every seed, so only those who
// may do everything get that.
func (a *API) takeBackup(ctx context.Context, _ *request, in client.BackupRequest) (answer, error) {
	if role := audit.ActorFrom(ctx).Role; in.IncludeKeys && access.Role(role) != access.SuperAdmin {
		return answer{}, fault.New(fault.Forbidden, "role %s may take backups without the keys only: whoever has both has every seed", role)
	}
	write, err := a.Backup.Take(ctx, backup.Request{Password: string(in.Password), To: in.To, IncludeKeys: in.IncludeKeys})
	if err != nil {
		return answer{}, err
	}
	return answer{Status: http.StatusOK, Type: "application/octet-stream", stream: func(w io.Writer) error {
		err := write(ctx, w)
		if err != nil {
			a.Logger.ErrorContext(ctx, "a backup was not finished", "error", err, "correlation_id", audit.CorrelationFrom(ctx))
		}
		return err
	}}, nil
}
