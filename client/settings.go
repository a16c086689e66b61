package client

import (
	"context"
)

// Settings are what administrators decide about the life of tokens, for the whole deployment.
type Settings struct {
	MaxTokensPerUser     int   `json:"max_tokens_per_user"`    // that a user may hold
	MinDaysLeft          int   `json:"min_days_left"`          // of a token that is taken as the next available one
	WarnDays             int   `json:"warn_days"`              // before its last valid day, from which on a token is said to be expiring
	IssueLimit           int   `json:"issue_limit"`            // how often a token may be issued; 0 for no limit
	ActivationCodeDigits int   `json:"activation_code_digits"` // of activation codes that are made from now on, 8 to 40
	NoPINs               bool  `json:"no_pins"`                // tokens that are distributed from now on work without PIN
	AllowUnprotectedCTF  bool  `json:"allow_unprotected_ctf"`  // a string without password may be mailed
	SplitDelivery        bool  `json:"split_delivery"`         // link and activation code go in different messages
	ResultLifeSeconds    int64 `json:"result_life_seconds"`    // how long what a job made can be downloaded
	BulkApproval         bool  `json:"bulk_approval"`          // a second person approves jobs that deliver tokens
	// How long the audit log keeps the events of each category, as monitors show them: 30 to 36500 days; 0 for ever.
	AuditAuthenticationDays int `json:"audit_authentication_days"`
	AuditAdministrationDays int `json:"audit_administration_days"`
	AuditSystemDays         int `json:"audit_system_days"`
	Version                 int `json:"version"`
}

// A SettingsEdit changes the settings; what is nil stays.
type SettingsEdit struct {
	MaxTokensPerUser        *int   `json:"max_tokens_per_user,omitempty"`
	MinDaysLeft             *int   `json:"min_days_left,omitempty"`
	WarnDays                *int   `json:"warn_days,omitempty"`
	IssueLimit              *int   `json:"issue_limit,omitempty"`
	ActivationCodeDigits    *int   `json:"activation_code_digits,omitempty"`
	NoPINs                  *bool  `json:"no_pins,omitempty"`
	AllowUnprotectedCTF     *bool  `json:"allow_unprotected_ctf,omitempty"`
	SplitDelivery           *bool  `json:"split_delivery,omitempty"`
	ResultLifeSeconds       *int64 `json:"result_life_seconds,omitempty"`
	BulkApproval            *bool  `json:"bulk_approval,omitempty"`
	AuditAuthenticationDays *int   `json:"audit_authentication_days,omitempty"`
	AuditAdministrationDays *int   `json:"audit_administration_days,omitempty"`
	AuditSystemDays         *int   `json:"audit_system_days,omitempty"`
}

// Settings returns the deployment's settings.
func (c *Client) Settings(ctx context.Context) (Settings, error) {
	return get[Settings](ctx, c, path("settings"), query{})
}

// EditSettings changes the settings if they are still at that version (0: at any); CONFLICT, POLICY_INVALID. Other
// servers go by them within a second.
func (c *Client) EditSettings(ctx context.Context, version int, e SettingsEdit) (Settings, error) {
	return patch[Settings](ctx, c, path("settings"), version, e)
}
