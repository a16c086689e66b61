package api

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
)

func reportRoutes(t *testing.T, h *house) {
	ctx := t.Context()
	before := try(h.admin.Statistics(ctx, -1))(t)
	tok := h.assigned("count-me")
	try(h.admin.CreateTokens(ctx, client.NewTokens{Count: 2, Expiry: h.now().AddDate(0, 0, 7).Format(time.DateOnly)}))(t)
	after := try(h.admin.Statistics(ctx, 8))(t)
	if after.SoftwareTotal != before.SoftwareTotal+3 || after.Assigned != before.Assigned+1 || after.Available != before.Available+2 ||
		after.SoftwareAvailable != before.SoftwareAvailable || after.NewPIN != before.NewPIN+1 || after.Expiring != 2 || after.ExpiringDays != 8 || before.ExpiringDays != 90 {
		t.Errorf("before token %s: %+v\nafter: %+v", tok.Serial, before, after)
	}
}
