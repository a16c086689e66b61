package client

import (
	"context"
	"strconv"
	"time"
)

// Statistics are how many tokens there are of each kind at a moment. A token may be counted in several of them.
type Statistics struct {
	At            time.Time `json:"at"`
	ExpiringDays  int       `json:"expiring_days"` // how far ahead Expiring looks
	Assigned      int       `json:"assigned"`
	Available     int       `json:"available"` // unassigned, not lost, not expired
	Expired       int       `json:"expired"`
	Expiring      int       `json:"expiring"`
	Enabled       int       `json:"enabled"`
	Disabled      int       `json:"disabled"`
	Lost          int       `json:"lost"`
	Replacement   int       `json:"replacement"` // take over from another token at their first use
	Replaced      int       `json:"replaced"`    // give way to another token at its first use
	SoftwareTotal int       `json:"software_total"`
	// SoftwareAvailable are available and last long enough to be taken as the next available token.
	SoftwareAvailable  int `json:"software_available"`
	OverIssueLimit     int `json:"over_issue_limit"` // 0 while there is no limit
	NewPIN             int `json:"new_pin"`          // assigned, and the next right passcode begins with a new PIN
	NextTokencode      int `json:"next_tokencode"`   // assigned, and the next right passcode is followed by the next tokencode
	LockedUsers        int `json:"locked_users"`
	PendingActivations int `json:"pending_activations"` // activation codes that live
	NeverConfirmed     int `json:"never_confirmed"`     // handed out or offered, and not proven since
}

// Statistics counts tokens. Those whose last valid day comes within so many days are expiring;
// a negative number stands for the setting warn_days.
func (c *Client) Statistics(ctx context.Context, expiringDays int) (Statistics, error) {
	q := newQuery()
	if expiringDays >= 0 {
		q.Set("expiring_days", strconv.Itoa(expiringDays))
	}
	return get[Statistics](ctx, c, path("statistics"), q)
}
