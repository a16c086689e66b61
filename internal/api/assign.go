package api

import (
	"context"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/token"
)

func (a *API) assignMany(ctx context.Context, _ *request, in client.BulkAssignment) (answer, error) {
	b := token.Bulk{Users: in.Users, Group: in.Group, Sort: token.Order(in.Sort), Serials: in.Serials, Next: in.Next, Partial: in.Partial, DryRun: in.DryRun}
	if in.Pairs != nil {
		b.Pairs = mapped(in.Pairs, func(p client.AssignmentPair) token.Pair { return token.Pair{UserID: p.UserID, Serial: p.Serial} })
	}
	rows, err := a.Tokens.AssignAll(ctx, b)
	if err != nil {
		return answer{}, err
	}
	out := client.Assignments{DryRun: in.DryRun, Rows: mapped(rows, assignmentRow)}
	for _, row := range rows {
		if row.OK {
			out.Assigned++
		} else {
			out.Failed++
		}
	}
	return ok(out)
}

func assignmentRow(r token.Row) client.AssignmentRow {
	return client.AssignmentRow{UserID: r.UserID, Serial: r.Serial, OK: r.OK, Code: string(r.Code), Message: r.Message}
}
