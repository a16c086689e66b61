package api

import (
	"context"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/policy"
)

func settingsOf(s policy.Settings) client.Settings {
	return client.Settings{
		MaxTokensPerUser: s.MaxTokensPerUser, MinDaysLeft: s.MinDaysLeft, WarnDays: s.WarnDays, IssueLimit: s.IssueLimit, ActivationCodeDigits: s.ActivationCodeDigits, NoPINs: s.NoPINs,
		AllowUnprotectedCTF: s.AllowUnprotectedCTF, SplitDelivery: s.SplitDelivery, ResultLifeSeconds: seconds(s.ResultLife), BulkApproval: s.BulkApproval,
		AuditAuthenticationDays: s.AuditAuthenticationDays, AuditAdministrationDays: s.AuditAdministrationDays, AuditSystemDays: s.AuditSystemDays, Version: s.Version,
	}
}

func (a *API) showSettings(ctx context.Context, _ *request) (answer, error) {
	set, err := a.Policies.Get(ctx)
	return record(set.Settings, set.Settings.Version, settingsOf, err)
}

// settingsEdit is an edit in the words of the domain.
func settingsEdit(in client.SettingsEdit) func(*policy.Settings) {
	return func(s *policy.Settings) {
		set(&s.MaxTokensPerUser, in.MaxTokensPerUser)
		set(&s.MinDaysLeft, in.MinDaysLeft)
		set(&s.WarnDays, in.WarnDays)
		set(&s.IssueLimit, in.IssueLimit)
		set(&s.ActivationCodeDigits, in.ActivationCodeDigits)
		set(&s.NoPINs, in.NoPINs)
		set(&s.AllowUnprotectedCTF, in.AllowUnprotectedCTF)
		set(&s.SplitDelivery, in.SplitDelivery)
		setSeconds(&s.ResultLife, in.ResultLifeSeconds)
		set(&s.BulkApproval, in.BulkApproval)
		set(&s.AuditAuthenticationDays, in.AuditAuthenticationDays)
		set(&s.AuditAdministrationDays, in.AuditAdministrationDays)
		set(&s.AuditSystemDays, in.AuditSystemDays)
	}
}

func (a *API) editSettings(ctx context.Context, r *request, in client.SettingsEdit) (answer, error) {
	s, err := a.Policies.EditSettings(ctx, r.version, settingsEdit(in))
	return record(s, s.Version, settingsOf, err)
}
