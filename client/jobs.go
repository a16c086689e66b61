package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"
)

// A Job is work on many things that outlives a request.
type Job struct {
	Job    string `json:"job"` // its ID
	Name   string `json:"name"`
	Kind   string `json:"kind"`   // distribute, ...
	Domain string `json:"domain"` // security domain that who started it was limited to, and that it is limited to; "root" for the whole deployment
	State  string `json:"state"`  // loading, awaiting_approval, queued, running, done, done_with_errors, failed or cancelled
	DryRun bool   `json:"dry_run"`
	Rate   int    `json:"rate"` // items a second at most; 0 for no limit

	Total  int `json:"total"` // items; while it is loading, those that are stored already
	Done   int `json:"done"`  // those that went well
	Failed int `json:"failed"`

	Message      string     `json:"message"`                 // why the job itself failed, or was not approved
	About        string     `json:"about"`                   // what it does, for whoever is to approve it; "" if nobody was asked
	ApprovedBy   string     `json:"approved_by"`             // "" for nobody
	ApproveUntil *time.Time `json:"approve_until,omitempty"` // when it is cancelled if nobody approves it; nil if nobody was asked
	CreatedBy    string     `json:"created_by"`
	CreatedAt    time.Time  `json:"created_at"`
	StartedAt    *time.Time `json:"started_at,omitempty"`
	ProgressedAt *time.Time `json:"progressed_at,omitempty"` // when items were last finished
	EndedAt      *time.Time `json:"ended_at,omitempty"`
	ResultsUntil *time.Time `json:"results_until,omitempty"` // when what it left is destroyed

	PerSecond   float64 `json:"per_second"`             // items, since the start
	SecondsLeft *int64  `json:"seconds_left,omitempty"` // at that rate; nil if not known
}

// Over tells whether the job has ended.
func (j Job) Over() bool {
	return j.State != "loading" && j.State != "awaiting_approval" && j.State != "queued" && j.State != "running"
}

// A JobPage is a part of the list of jobs.
type JobPage struct {
	Jobs []Job  `json:"jobs"`
	Next string `json:"next,omitempty"` // the Before of the next page; "" after the last
}

// A JobItem is what became of one thing of a job.
type JobItem struct {
	Number  int    `json:"number"` // from 1, in the order of the job
	Key     string `json:"key"`    // what it is about: a serial, a user ID, a line of a file
	State   string `json:"state"`  // waiting, done or failed
	OK      bool   `json:"ok"`
	Code    string `json:"code"` // why it failed, or of a warning
	Message string `json:"message"`
}

// A JobItemPage is a part of the items of a job.
type JobItemPage struct {
	Items []JobItem `json:"items"`
	Next  int       `json:"next,omitempty"` // the After of the next page; 0 after the last
}

// A JobResumption says how a job goes on.
type JobResumption struct {
	RetryFailed bool `json:"retry_failed,omitempty"` // try the items that failed again
}

// A JobRejection says why a job is not approved.
type JobRejection struct {
	Reason string `json:"reason"` // for whoever started it
}

// A Selection says which tokens a job is about: those for which all of what is given holds. One that is empty selects nothing and is
// refused, so that a forgotten condition does not mean all tokens.
type Selection struct {
	All           bool     `json:"all,omitempty"`           // every token
	Undistributed bool     `json:"undistributed,omitempty"` // software tokens of users that were never delivered
	Unconfirmed   bool     `json:"unconfirmed,omitempty"`   // those that were delivered and not seen since
	NotMoved      string   `json:"not_moved,omitempty"`     // those that a job, by ID or name, delivered, and that were not seen since
	Serials       []string `json:"serials,omitempty"`       // in this order
	Users         []string `json:"users,omitempty"`         // tokens of these users
	Group         string   `json:"group,omitempty"`         // tokens of its members
	Domain        string   `json:"domain,omitempty"`        // those of a security domain and of what is below it
	Profile       string   `json:"profile,omitempty"`       // last distributed with it
	Distribution  string   `json:"distribution,omitempty"`  // in this state, as in Token
	Query         string   `json:"query,omitempty"`         // part of serial, user ID, nickname or notes, in any case
	Tag           string   `json:"tag,omitempty"`
	Extendable    *bool    `json:"extendable,omitempty"` // whether the lifetime can be extended
	Type          string   `json:"type,omitempty"`       // software or hardware
	ExpiresBefore string   `json:"expires_before,omitempty"`
	Assigned      *bool    `json:"assigned,omitempty"`
	Enabled       *bool    `json:"enabled,omitempty"`
}

// A DeviceOf says which device a token goes to, or all that a selection takes of a user's tokens.
type DeviceOf struct {
	Serial   string `json:"serial,omitempty"`  // one of both
	UserID   string `json:"user_id,omitempty"` // one of both
	DeviceID string `json:"device_id"`         // as the app shows it; "" for the one that is known
}

// A BulkDistribution says which tokens one job delivers, and how. What is not there is as the profile says.
type BulkDistribution struct {
	Selection           Selection  `json:"selection"`
	Devices             []DeviceOf `json:"devices,omitempty"` // the list of the selection, with the device IDs that the deliveries are bound to
	Name                string     `json:"name,omitempty"`    // of the job; that of the profile and the time if it has none
	Profile             string     `json:"profile"`
	Password            Secret     `json:"password,omitempty"`             // of every file or string
	IndividualPasswords bool       `json:"individual_passwords,omitempty"` // makes one for each, for a list of its own, which has what is typed
	Protection          string     `json:"protection,omitempty"`
	Nickname            string     `json:"nickname,omitempty"`
	SwitchOver          string     `json:"switch_over,omitempty"`
	GraceSeconds        *int64     `json:"grace_seconds,omitempty"`
	Rate                int        `json:"rate,omitempty"`    // tokens a second at most
	DryRun              bool       `json:"dry_run,omitempty"` // says what would happen to each token, and changes nothing
	Mail                bool       `json:"mail,omitempty"`    // to the address of each user
	SecretBy            string     `json:"secret_by,omitempty"`
}

// A BulkRedistribution says which tokens one job delivers again, how and why.
type BulkRedistribution struct {
	BulkDistribution
	Reason string `json:"reason"`
	Note   string `json:"note,omitempty"`
}

// A Campaign is how far the tokens have come that a job delivered; each counts once.
type Campaign struct {
	Job            string     `json:"job"`
	Moved          int        `json:"moved"`           // the new seed was used, or its exchange is done
	OldSeedLives   int        `json:"old_seed_lives"`  // not moved: the old seed works until the new one is used, or its grace is over
	NotMoved       int        `json:"not_moved"`       // not moved, and nothing works but the new seed
	DeliveredAgain int        `json:"delivered_again"` // something else was delivered since
	Gone           int        `json:"gone"`            // deleted, or taken from the user
	FirstEnd       *time.Time `json:"first_end,omitempty"`
	LastEnd        *time.Time `json:"last_end,omitempty"` // of the graces of old seeds that live
}

// A CutOff says whose old seeds end before their grace is over.
type CutOff struct {
	Selection Selection `json:"selection"`
	Name      string    `json:"name,omitempty"` // of the job
	Note      string    `json:"note,omitempty"` // why
	DryRun    bool      `json:"dry_run,omitempty"`
}

// JobParts are what can be downloaded of a job: files (a ZIP archive), list (CSV), passwords (CSV), qr (PDF).
type JobParts struct {
	Parts []string `json:"parts"`
	// Gone is how many deliveries are in none of them any more: their seeds were destroyed since, or their tokens are in another security domain.
	Gone int `json:"gone"`
}

// A JobFilter selects jobs; its zero value selects all.
type JobFilter struct {
	Kind   string
	State  string
	Before string // only jobs before the one with this ID
	Limit  int    // at most so many; the server chooses for 0
}

// Jobs returns a page of the jobs that f selects, the newest first.
func (c *Client) Jobs(ctx context.Context, f JobFilter) (JobPage, error) {
	return get[JobPage](ctx, c, path("jobs"), newQuery().text("kind", f.Kind).text("state", f.State).text("before", f.Before).limit(f.Limit))
}

// AllJobs goes through all pages of the jobs that f selects. After an error it ends.
func (c *Client) AllJobs(ctx context.Context, f JobFilter) iter.Seq2[Job, error] {
	return pages(func() ([]Job, bool, error) {
		page, err := c.Jobs(ctx, f)
		f.Before = page.Next
		return page.Jobs, page.Next != "", err
	})
}

// Job returns a job by its ID or its name; JOB_NOT_FOUND.
func (c *Client) Job(ctx context.Context, idOrName string) (Job, error) {
	return get[Job](ctx, c, path("jobs", idOrName), query{})
}

// A JobItemFilter selects items of a job.
type JobItemFilter struct {
	State string // waiting, done or failed; "" for all
	After int    // only those with higher numbers
	Limit int    // at most so many; the server chooses for 0
}

// JobItems returns a page of the items of a job, in its order.
func (c *Client) JobItems(ctx context.Context, idOrName string, f JobItemFilter) (JobItemPage, error) {
	q := newQuery().text("state", f.State).limit(f.Limit)
	if f.After > 0 {
		q.Set("after", strconv.Itoa(f.After))
	}
	return get[JobItemPage](ctx, c, path("jobs", idOrName, "items"), q)
}

// AllJobItems goes through all pages of the items of a job. After an error it ends.
func (c *Client) AllJobItems(ctx context.Context, idOrName string, f JobItemFilter) iter.Seq2[JobItem, error] {
	return pages(func() ([]JobItem, bool, error) {
		page, err := c.JobItems(ctx, idOrName, f)
		f.After = page.Next
		return page.Items, page.Next != 0, err
	})
}

// CancelJob ends a job: what is done stays; JOB_OVER if it has ended.
func (c *Client) CancelJob(ctx context.Context, idOrName string) (Job, error) {
	var j Job
	err := c.do(ctx, call{method: http.MethodPost, path: path("jobs", idOrName, "cancel"), result: &j})
	return j, err
}

// ResumeJob goes on with a job that was cancelled, where it stopped. A job that runs, or has nothing left to do, is
// returned as it is; JOB_EXPIRED.
func (c *Client) ResumeJob(ctx context.Context, idOrName string, how JobResumption) (Job, error) {
	var j Job
	err := c.do(ctx, call{method: http.MethodPost, path: path("jobs", idOrName, "resume"), body: how, again: true, result: &j})
	return j, err
}

// ApproveJob lets a job that awaits approval be done; APPROVER_IS_STARTER, NOT_AWAITING_APPROVAL.
func (c *Client) ApproveJob(ctx context.Context, idOrName string) (Job, error) {
	var j Job
	err := c.do(ctx, call{method: http.MethodPost, path: path("jobs", idOrName, "approve"), result: &j})
	return j, err
}

// RejectJob ends a job that awaits approval; NOT_AWAITING_APPROVAL.
func (c *Client) RejectJob(ctx context.Context, idOrName string, why JobRejection) (Job, error) {
	var j Job
	err := c.do(ctx, call{method: http.MethodPost, path: path("jobs", idOrName, "reject"), body: why, result: &j})
	return j, err
}

// WatchJob calls seen with the job now, whenever it has come further, and at its end, and returns it as it ended. When the
// connection breaks it asks again, from the state that the job has come to.
func (c *Client) WatchJob(ctx context.Context, idOrName string, seen func(Job)) (Job, error) {
	for try := 1; ; try++ {
		last, err := c.watch(ctx, idOrName, func(j Job) { try = 1; seen(j) })
		if err == nil && last.Over() {
			return last, nil
		}
		if ctx.Err() != nil {
			return last, ctx.Err()
		}
		if err != nil && (!transient(err) || try >= maxTries) {
			return last, err
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(pause << (try - 1)):
		}
	}
}

// watch reads the events of a job until the stream ends.
func (c *Client) watch(ctx context.Context, idOrName string, seen func(Job)) (Job, error) {
	var last Job
	answer, err := c.stream(ctx, path("jobs", idOrName, "events"))
	if err != nil {
		return last, err
	}
	defer answer.Close()
	lines := bufio.NewScanner(answer)
	for lines.Scan() {
		data, is := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !is {
			continue
		}
		last = Job{}
		if err := json.Unmarshal(data, &last); err != nil {
			return last, errors.New("the server's event is not what it should be: is this a Tallystick server?")
		}
		seen(last)
	}
	if lines.Err() != nil {
		return last, io.ErrUnexpectedEOF
	}
	return last, nil
}

// DistributeMany starts the job that delivers the tokens of a selection.
func (c *Client) DistributeMany(ctx context.Context, d BulkDistribution) (Job, error) {
	return post[Job](ctx, c, path("tokens", "distribute"), d)
}

// RedistributeMany starts the job that delivers the tokens of a selection again, each with a new seed.
func (c *Client) RedistributeMany(ctx context.Context, d BulkRedistribution) (Job, error) {
	return post[Job](ctx, c, path("tokens", "redistribute"), d)
}

// Campaign tells how far the tokens have come that a job delivered; NOT_FOUND for a job that delivers nothing.
func (c *Client) Campaign(ctx context.Context, idOrName string) (Campaign, error) {
	return get[Campaign](ctx, c, path("jobs", idOrName, "campaign"), query{})
}

// OfferAgain starts the job that delivers again, in the same way, to those who have not moved to what a job delivered; JOB_EXPIRED.
func (c *Client) OfferAgain(ctx context.Context, idOrName string) (Job, error) {
	var j Job
	err := c.do(ctx, call{method: http.MethodPost, path: path("jobs", idOrName, "offer-again"), once: true, result: &j})
	return j, err
}

// CutOff starts the job that ends old seeds before their grace is over.
func (c *Client) CutOff(ctx context.Context, cut CutOff) (Job, error) {
	return post[Job](ctx, c, path("tokens", "cut-off"), cut)
}

// JobParts lists what can be downloaded of a job that has ended; JOB_EXPIRED, CONFLICT while it runs, NOT_FOUND.
func (c *Client) JobParts(ctx context.Context, idOrName string) (JobParts, error) {
	return get[JobParts](ctx, c, path("jobs", idOrName, "parts"), query{})
}

// DownloadJobPart writes one part of what a job left, as it comes. What is written is as secret as the tokens are.
func (c *Client) DownloadJobPart(ctx context.Context, idOrName, part string, to io.Writer) error {
	answer, err := c.stream(ctx, path("jobs", idOrName, "parts", part))
	if err != nil {
		return err
	}
	defer answer.Close()
	_, err = io.Copy(to, answer)
	return err
}

// stream begins an answer that is read as it comes, for as long as it takes.
func (c *Client) stream(ctx context.Context, path string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, err
	}
	c.authorize(r)
	patient := *c.http
	patient.Timeout = 0
	answer, err := patient.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		data, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
		if err != nil {
			return nil, err
		}
		return nil, refusal(answer, data)
	}
	return answer.Body, nil
}
