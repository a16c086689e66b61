package policy

import (
	"time"

	"github.com/tallystick/tallystick/internal/audit"
)

// Settings are what administrators decide about the life of tokens, for the whole deployment
// (spec/software-token-lifecycle.md sections 3.1, 4.2, 6 and 7). Each field's comment gives its limits and its default.
type Settings struct {
	// MaxTokensPerUser is how many tokens a user may hold; a token and its replacement count as one. 1 to 10, 3.
	MaxTokensPerUser int `json:"max_tokens_per_user"`
	// MinDaysLeft is how long a token must last so that it is taken as the next available one. 0 to 3650 days, 30.
	MinDaysLeft int `json:"min_days_left"`
	// WarnDays is from how many days before its last valid day on a token is said to be expiring; 0 for on that day alone. 0 to 3650 days, 90.
	WarnDays int `json:"warn_days"`
	// IssueLimit is how often a token may be issued until an administrator resets its count; 0 for no limit. 0 to 1000, 0.
	IssueLimit int `json:"issue_limit"`
	// ActivationCodeDigits is how long activation codes are that are made from now on (spec/ct-kip.md section 8.2). 8 to 40 decimal digits, 12.
	ActivationCodeDigits int `json:"activation_code_digits"`
	// NoPINs has every token that is distributed from now on work without PIN, whatever its profile says. Off.
	NoPINs bool `json:"no_pins"`
	// AllowUnprotectedCTF lets a compressed string that no password protects be mailed. Off.
	AllowUnprotectedCTF bool `json:"allow_unprotected_ctf"`
	// SplitDelivery keeps a link and its activation code out of the same message. On.
	SplitDelivery bool `json:"split_delivery"`
	// ResultLife is how long what a job made can be downloaded. 1 hour to 30 days; 24 hours.
	ResultLife time.Duration `json:"result_life"`
	// BulkApproval has jobs that deliver tokens wait until a second person approves them (section 15). Off.
	BulkApproval bool `json:"bulk_approval"`
	// AuditAuthenticationDays, AuditAdministrationDays and AuditSystemDays are how long the audit log keeps the events of each category (section 14);
	// 0 for ever. 0, or 30 to 36500 days; 0.
	AuditAuthenticationDays int `json:"audit_authentication_days"`
	AuditAdministrationDays int `json:"audit_administration_days"`
	AuditSystemDays         int `json:"audit_system_days"`

	Version int `json:"-"` // grows with every change
}

// Limits of the settings.
const (
	MaxTokensPerUser = 10
	MaxDaysLeft      = 3650 // also of WarnDays
	MaxIssueLimit    = 1000
	MinCodeDigits    = 8
	MaxCodeDigits    = 40
	MinResultLife    = time.Hour
	MaxResultLife    = 30 * day
	MinAuditDays     = int(audit.MinRetention / day)
	MaxAuditDays     = 36500
)

// Validate refuses settings that break a limit, with [fault.PolicyInvalid] and a message that names the setting.
func (s Settings) Validate() error {
	return first(
		between("max_tokens_per_user", s.MaxTokensPerUser, 1, MaxTokensPerUser),
		between("min_days_left", s.MinDaysLeft, 0, MaxDaysLeft),
		between("warn_days", s.WarnDays, 0, MaxDaysLeft),
		between("issue_limit", s.IssueLimit, 0, MaxIssueLimit),
		between("activation_code_digits", s.ActivationCodeDigits, MinCodeDigits, MaxCodeDigits),
		within("result_life", s.ResultLife, MinResultLife, MaxResultLife),
		auditDays("audit_authentication_days", s.AuditAuthenticationDays),
		auditDays("audit_administration_days", s.AuditAdministrationDays),
		auditDays("audit_system_days", s.AuditSystemDays),
	)
}

func auditDays(setting string, days int) error {
	if days != 0 && (days < MinAuditDays || days > MaxAuditDays) {
		return refuse(setting, "takes 0 for ever, or %d to %d days, not %d", MinAuditDays, MaxAuditDays, days)
	}
	return nil
}

// Retention is how long the audit log keeps events.
func (s Settings) Retention() audit.Retention {
	keep := audit.Retention{}
	for category, days := range map[audit.Category]int{
		audit.Authentication: s.AuditAuthenticationDays, audit.Administration: s.AuditAdministrationDays, audit.System: s.AuditSystemDays,
	} {
		if days > 0 {
			keep[category] = time.Duration(days) * day
		}
	}
	return keep
}
