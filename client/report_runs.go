package client

import (
	"context"
	"io"
	"time"
)

// A ReportOrder is a report that is to be made beside requests and kept.
type ReportOrder struct {
	Report   string            `json:"report"`
	Format   string            `json:"format"` // csv, json or pdf
	Columns  []string          `json:"columns,omitempty"`
	Filters  map[string]string `json:"filters,omitempty"`
	Order    string            `json:"order,omitempty"`
	KeepDays int               `json:"keep_days,omitempty"` // 1 to 3650; 30 unless said
	MailTo   []string          `json:"mail_to,omitempty"`   // addresses that it is mailed to
	Webhook  string            `json:"webhook,omitempty"`   // name of the webhook that it is posted to
}

// A ReportRun is a report that is, or was, made beside requests.
type ReportRun struct {
	Run      string `json:"run"`      // its ID
	Schedule string `json:"schedule"` // that it is of; "" for none
	ReportOrder
	State     string     `json:"state"` // queued, running, done or failed
	Rows      int        `json:"rows"`
	Bytes     int64      `json:"bytes"`
	SHA256    string     `json:"sha256,omitempty"` // of what was made, in hex
	Message   string     `json:"message"`          // why it failed
	By        string     `json:"by"`
	Domain    string     `json:"domain"` // security domain that it is about; "root" for the whole deployment
	CreatedAt time.Time  `json:"created_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	KeptUntil *time.Time `json:"kept_until,omitempty"`
}

// A ReportRunPage is some of the runs, the newest first.
type ReportRunPage struct {
	Runs []ReportRun `json:"runs"`
	Next string      `json:"next"` // the Before of the next page, "" if there is none
}

// A NewReportSchedule has a report made again and again, at a time of day in UTC.
type NewReportSchedule struct {
	Schedule string `json:"schedule"` // its name
	ReportOrder
	Every   string `json:"every"`             // day, week or month
	At      string `json:"at"`                // HH:MM
	Weekday string `json:"weekday,omitempty"` // of weeks: monday
	Day     int    `json:"day,omitempty"`     // of months: 1 to 31; a month that is shorter has its last one taken
}

// A ReportSchedule is one that is kept.
type ReportSchedule struct {
	Schedule string `json:"schedule"`
	ReportOrder
	Every     string    `json:"every"`
	At        string    `json:"at"`
	Weekday   string    `json:"weekday,omitempty"`
	Day       int       `json:"day,omitempty"`
	By        string    `json:"by"`     // with whose rights it is made
	Domain    string    `json:"domain"` // as of its runs
	CreatedAt time.Time `json:"created_at"`
	NextAt    time.Time `json:"next_at"`
	LastRun   string    `json:"last_run"` // ID of the newest run, "" before the first
}

// ReportScheduleList is what [Client.ReportSchedules] answers.
type ReportScheduleList struct {
	Schedules []ReportSchedule `json:"schedules"`
}

// A ReportRunFilter selects runs; its zero value selects all.
type ReportRunFilter struct {
	Report   string
	Schedule string
	Before   string // the Next of the page before
	Limit    int    // at most so many; the server chooses for 0
}

// AddReportRun has a report made beside requests.
func (c *Client) AddReportRun(ctx context.Context, o ReportOrder) (ReportRun, error) {
	return post[ReportRun](ctx, c, path("report-runs"), o)
}

// ReportRuns returns a page of runs. It may be short, even empty, and yet have a next one.
func (c *Client) ReportRuns(ctx context.Context, f ReportRunFilter) (ReportRunPage, error) {
	q := newQuery().text("report", f.Report).text("schedule", f.Schedule).text("before", f.Before).limit(f.Limit)
	return get[ReportRunPage](ctx, c, path("report-runs"), q)
}

// ReportRun returns a run by its ID.
func (c *Client) ReportRun(ctx context.Context, run string) (ReportRun, error) {
	return get[ReportRun](ctx, c, path("report-runs", run), query{})
}

// DownloadReport begins to read what a run made. Whoever reads it to the end without an error has all of it. The caller closes it.
func (c *Client) DownloadReport(ctx context.Context, run string) (io.ReadCloser, error) {
	return c.stream(ctx, path("report-runs", run, "content"))
}

// DeleteReportRun destroys a run with what was made.
func (c *Client) DeleteReportRun(ctx context.Context, run string) error {
	return c.remove(ctx, path("report-runs", run))
}

// AddReportSchedule keeps a schedule. Its reports are made with the rights that the caller has now.
func (c *Client) AddReportSchedule(ctx context.Context, s NewReportSchedule) (ReportSchedule, error) {
	return post[ReportSchedule](ctx, c, path("report-schedules"), s)
}

// ReportSchedules lists the schedules by name.
func (c *Client) ReportSchedules(ctx context.Context) ([]ReportSchedule, error) {
	list, err := get[ReportScheduleList](ctx, c, path("report-schedules"), query{})
	return list.Schedules, err
}

// DeleteReportSchedule ends a schedule. The reports that it had made stay as long as they are kept.
func (c *Client) DeleteReportSchedule(ctx context.Context, name string) error {
	return c.remove(ctx, path("report-schedules", name))
}
