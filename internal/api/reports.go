package api

import (
	"context"

	"github.com/tallystick/tallystick/client"
)

func (a *API) statistics(ctx context.Context, r *request) (answer, error) {
	at := a.Now().UTC()
	s, err := a.Reports.Statistics(ctx, int(r.number("expiring_days", -1)))
	if err != nil {
		return answer{}, err
	}
	return ok(client.Statistics{
		At: at, ExpiringDays: s.ExpiringDays, Assigned: s.Assigned, Available: s.Available, Expired: s.Expired, Expiring: s.Expiring,
		Enabled: s.Enabled, Disabled: s.Disabled, Lost: s.Lost, Replacement: s.Replacement, Replaced: s.Replaced,
		SoftwareTotal: s.Total, SoftwareAvailable: s.AvailableNext, OverIssueLimit: s.OverLimit, NewPIN: s.NewPIN, NextTokencode: s.NextTokencode,
		LockedUsers: s.LockedUsers, PendingActivations: s.PendingActivations, NeverConfirmed: s.NeverConfirmed,
	})
}
