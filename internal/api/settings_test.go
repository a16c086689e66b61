package api

import (
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
)

// Every setting can be changed, by those who may, and nothing else changes with it.
func settingsRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	was := try(h.as(access.Auditor).Settings(ctx))(t)
	if want := (client.Settings{MaxTokensPerUser: 3, MinDaysLeft: 30, WarnDays: 90, ActivationCodeDigits: 12, SplitDelivery: true, ResultLifeSeconds: 86400, Version: 1}); was != want {
		t.Errorf("defaults %+v", was)
	}
	want := client.Settings{
		MaxTokensPerUser: 10, MinDaysLeft: 7, WarnDays: 60, IssueLimit: 2, ActivationCodeDigits: 40, NoPINs: true, AllowUnprotectedCTF: true, ResultLifeSeconds: 3600, BulkApproval: true,
		AuditAuthenticationDays: 30, AuditAdministrationDays: 36500, AuditSystemDays: 400, Version: 2,
	}
	edited := try(c.EditSettings(ctx, 1, client.SettingsEdit{
		MaxTokensPerUser: &want.MaxTokensPerUser, MinDaysLeft: &want.MinDaysLeft, WarnDays: &want.WarnDays, IssueLimit: &want.IssueLimit, ActivationCodeDigits: &want.ActivationCodeDigits, NoPINs: &want.NoPINs,
		AllowUnprotectedCTF: &want.AllowUnprotectedCTF, SplitDelivery: &want.SplitDelivery, ResultLifeSeconds: &want.ResultLifeSeconds, BulkApproval: &want.BulkApproval,
		AuditAuthenticationDays: &want.AuditAuthenticationDays, AuditAdministrationDays: &want.AuditAdministrationDays, AuditSystemDays: &want.AuditSystemDays,
	}))(t)
	if got := try(c.Settings(ctx))(t); edited != want || got != want {
		t.Errorf("edited %+v, read %+v", edited, got)
	}
	_, err := c.EditSettings(ctx, 1, client.SettingsEdit{MaxTokensPerUser: &was.MaxTokensPerUser})
	refused(t, err, 409, "CONFLICT")
	many := 11
	_, err = c.EditSettings(ctx, 0, client.SettingsEdit{MaxTokensPerUser: &many})
	refused(t, err, 400, "INVALID")
	_, err = h.as(access.TokenAdmin).EditSettings(ctx, 0, client.SettingsEdit{NoPINs: &was.NoPINs})
	refused(t, err, 403, "FORBIDDEN")
	try(c.EditSettings(ctx, 0, client.SettingsEdit{
		MaxTokensPerUser: &was.MaxTokensPerUser, MinDaysLeft: &was.MinDaysLeft, WarnDays: &was.WarnDays, IssueLimit: &was.IssueLimit, ActivationCodeDigits: &was.ActivationCodeDigits, NoPINs: &was.NoPINs,
		AllowUnprotectedCTF: &was.AllowUnprotectedCTF, SplitDelivery: &was.SplitDelivery, ResultLifeSeconds: &was.ResultLifeSeconds, BulkApproval: &was.BulkApproval,
		AuditAuthenticationDays: &was.AuditAuthenticationDays, AuditAdministrationDays: &was.AuditAdministrationDays, AuditSystemDays: &was.AuditSystemDays,
	}))(t)

	serial := try(c.CreateTokens(ctx, client.NewTokens{Count: 1}))(t)[0]
	if got := try(c.ResetIssueCount(ctx, serial, 1))(t); got.IssuesCounted != 0 || got.Version != 2 {
		t.Errorf("reset %+v", got)
	}
	must(t, c.DeleteToken(ctx, serial))
}
