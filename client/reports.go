package client

import (
	"context"
	"io"
	"net/url"
	"strconv"
	"strings"
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
	HardwareTotal int       `json:"hardware_total"`
	SoftwareTotal int       `json:"software_total"`
	// SoftwareAvailable are software tokens that are available and last long enough to be taken as the next available token.
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

// A ReportTemplate is a report that can be asked for.
type ReportTemplate struct {
	Report  string         `json:"report"` // its name
	Title   string         `json:"title"`
	About   string         `json:"about"`
	Rights  []string       `json:"rights"` // that it takes
	Columns []ReportColumn `json:"columns"`
	Filters []ReportFilter `json:"filters"`
	Orders  []string       `json:"orders"` // the first is the default
}

// A ReportColumn is a column of a report.
type ReportColumn struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Kind  string `json:"kind"`  // text, number, bool, day or time
	Shown bool   `json:"shown"` // unless other columns are asked for
}

// A ReportFilter narrows a report.
type ReportFilter struct {
	Name   string   `json:"name"`
	About  string   `json:"about"`
	Kind   string   `json:"kind"`
	Values []string `json:"values"` // that it takes; none for any
}

// ReportTemplateList is what [Client.Reports] answers.
type ReportTemplateList struct {
	Reports []ReportTemplate `json:"reports"`
}

// A ReportDocument is a report as JSON.
type ReportDocument struct {
	Report  string            `json:"report"`
	Title   string            `json:"title"`
	At      time.Time         `json:"at"`
	Order   string            `json:"order"`
	Filters map[string]string `json:"filters"`
	Columns []ReportHeading   `json:"columns"`
	Rows    []map[string]any  `json:"rows"` // by the names of columns
	Count   int               `json:"count"`
}

// A ReportHeading is a column of a report that was made.
type ReportHeading struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Kind  string `json:"kind"` // text, number, bool, day or time
}

// A ReportQuery says what is wanted of a report; its zero value is what the report shows by itself.
type ReportQuery struct {
	Columns []string          // in this order
	Filters map[string]string // by their names
	Order   string
}

// Reports lists the reports that can be asked for.
func (c *Client) Reports(ctx context.Context) ([]ReportTemplate, error) {
	list, err := get[ReportTemplateList](ctx, c, path("reports"), query{})
	return list.Reports, err
}

// Report begins to read a report as csv, json or pdf. It comes as it is made: whoever reads it to the end without an error has all of
// it. The caller closes it.
func (c *Client) Report(ctx context.Context, name, format string, want ReportQuery) (io.ReadCloser, error) {
	q := url.Values{"format": {format}}
	if len(want.Columns) > 0 {
		q.Set("columns", strings.Join(want.Columns, ","))
	}
	if want.Order != "" {
		q.Set("order", want.Order)
	}
	for filter, value := range want.Filters {
		q.Add("filter", filter+"="+value)
	}
	return c.stream(ctx, path("reports", name)+"?"+q.Encode())
}
