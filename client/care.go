package client

import (
	"context"
	"iter"
	"strconv"
	"time"
)

// A CareOrder starts a job that does the same to many tokens.
type CareOrder struct {
	Selection Selection `json:"selection"`
	Name      string    `json:"name,omitempty"` // of the job, unique; "" for the kind and the time
	DryRun    bool      `json:"dry_run,omitempty"`
	Rate      int       `json:"rate,omitempty"` // tokens a second at most; 0 for no limit
}

// A ReplacementOrder starts a job that gives the users of many tokens the next available ones as replacements.
type ReplacementOrder struct {
	Selection Selection `json:"selection"`
	NewPIN    bool      `json:"new_pin,omitempty"` // the PINs do not come along
	Name      string    `json:"name,omitempty"`
	DryRun    bool      `json:"dry_run,omitempty"`
	Rate      int       `json:"rate,omitempty"`
}

// An ExtensionOrder starts a job that extends the lifetime of many tokens.
type ExtensionOrder struct {
	Selection Selection `json:"selection"`
	Until     string    `json:"until,omitempty"`  // the new last valid day; with Donors: that donors last until at least, "" for any later one
	Donors    bool      `json:"donors,omitempty"` // each token consumes the next available record that lasts longer
	Name      string    `json:"name,omitempty"`
	DryRun    bool      `json:"dry_run,omitempty"`
	Rate      int       `json:"rate,omitempty"`
}

// An Extension says how the lifetime of one token is extended.
type Extension struct {
	Until  string `json:"until,omitempty"`
	Donors bool   `json:"donors,omitempty"`
	Donor  string `json:"donor,omitempty"` // serial of the record to consume, in place of the next available one
}

// An Extended is what was done to the lifetime of a token.
type Extended struct {
	Serial      string    `json:"serial"`
	Number      int       `json:"number"`       // of the token's extensions, from 1
	Was         string    `json:"was"`          // last valid day before
	Until       string    `json:"until"`        // and since
	DeviceUntil string    `json:"device_until"` // the one that the device knew
	Donor       string    `json:"donor"`        // serial of the record that was consumed, "" for none
	By          string    `json:"by"`
	At          time.Time `json:"at"`
	Job         string    `json:"job"` // correlation ID of the request or job
}

// An ExtensionPage is a part of the list of extensions.
type ExtensionPage struct {
	Extensions []Extended `json:"extensions"`
	Next       string     `json:"next,omitempty"` // the After of the next page; "" after the last
}

// A LabelEdit changes what administrators write on a token; what is nil stays.
type LabelEdit struct {
	Notes      *string            `json:"notes,omitempty"`      // "" for none
	Attributes map[string]*string `json:"attributes,omitempty"` // by name; nil takes one away, and those that are not there stay
	AddTags    []string           `json:"add_tags,omitempty"`
	RemoveTags []string           `json:"remove_tags,omitempty"`
}

// OffsetReport says how far the clocks of the users' tokens are off, of those that were used.
type OffsetReport struct {
	Tokens  int           `json:"tokens"`
	Offsets []OffsetCount `json:"offsets"` // from the one that is furthest behind
}

// An OffsetCount is how many tokens are off by a length of time.
type OffsetCount struct {
	Seconds int64 `json:"seconds"` // that they are ahead
	Tokens  int   `json:"tokens"`
}

// An OffToken is a token whose clock is off.
type OffToken struct {
	Serial     string     `json:"serial"`
	UserID     string     `json:"user_id"`
	Intervals  int64      `json:"intervals"` // that it is ahead
	Seconds    int64      `json:"seconds"`   // the same
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
}

// An OffTokenPage is a part of the list of tokens whose clocks are off.
type OffTokenPage struct {
	Tokens []OffToken `json:"tokens"`
	Next   string     `json:"next,omitempty"` // the After of the next page; "" after the last
}

// A CorrectionOrder starts a job that shifts what is stored of the clocks of many tokens, after the server's own was wrong.
type CorrectionOrder struct {
	Selection Selection  `json:"selection"`
	Seconds   int        `json:"seconds"`              // above 0: tokens are taken to be further ahead of the server
	UsedSince *time.Time `json:"used_since,omitempty"` // only seeds that were last used in that time
	UsedUntil *time.Time `json:"used_until,omitempty"`
	Note      string     `json:"note,omitempty"`
	Name      string     `json:"name,omitempty"`
	DryRun    bool       `json:"dry_run,omitempty"`
	Rate      int        `json:"rate,omitempty"`
}

// An UndoOrder starts a job that shifts back what a correction shifted.
type UndoOrder struct {
	Name   string `json:"name,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
	Rate   int    `json:"rate,omitempty"`
}

// A Correction is what an administrator did about the server's clock. A dry run has no ID.
type Correction struct {
	Correction string     `json:"correction"` // its ID
	Domain     string     `json:"domain"`     // security domain that who made it was limited to; "root" for the whole deployment
	Seconds    int        `json:"seconds"`
	UsedSince  *time.Time `json:"used_since,omitempty"`
	UsedUntil  *time.Time `json:"used_until,omitempty"`
	Note       string     `json:"note"`
	By         string     `json:"by"`
	At         time.Time  `json:"at"`
	UndoneBy   string     `json:"undone_by"` // "" unless somebody began to undo it
	UndoneAt   *time.Time `json:"undone_at,omitempty"`
	Shifted    int        `json:"shifted"`       // seeds
	Undone     int        `json:"undone"`        // of them
	Job        *Job       `json:"job,omitempty"` // that was started now
}

// A CorrectionPage is a part of the list of corrections.
type CorrectionPage struct {
	Corrections []Correction `json:"corrections"`
	Next        string       `json:"next,omitempty"` // the Before of the next page; "" after the last
}

func (c *Client) startJob(ctx context.Context, verb string, order any) (Job, error) {
	return post[Job](ctx, c, path("tokens", verb), order)
}

// EnableMany starts a job that lets assigned tokens authenticate.
func (c *Client) EnableMany(ctx context.Context, o CareOrder) (Job, error) {
	return c.startJob(ctx, "enable", o)
}

// DisableMany starts a job that stops tokens from authenticating.
func (c *Client) DisableMany(ctx context.Context, o CareOrder) (Job, error) {
	return c.startJob(ctx, "disable", o)
}

// ClearNTCMany starts a job that forgets the wrong passcodes of tokens, which ask for the next tokencode.
func (c *Client) ClearNTCMany(ctx context.Context, o CareOrder) (Job, error) {
	return c.startJob(ctx, "clear-ntc", o)
}

// UnassignMany starts a job that takes tokens from their users.
func (c *Client) UnassignMany(ctx context.Context, o CareOrder) (Job, error) {
	return c.startJob(ctx, "unassign", o)
}

// DeleteMany starts a job that deletes tokens.
func (c *Client) DeleteMany(ctx context.Context, o CareOrder) (Job, error) {
	return c.startJob(ctx, "delete", o)
}

// ReplaceMany starts a job that gives the users of tokens the next available ones as replacements.
func (c *Client) ReplaceMany(ctx context.Context, o ReplacementOrder) (Job, error) {
	return c.startJob(ctx, "replace", o)
}

// ExtendMany starts a job that extends the lifetime of tokens.
func (c *Client) ExtendMany(ctx context.Context, o ExtensionOrder) (Job, error) {
	return c.startJob(ctx, "extend", o)
}

// Extend extends the lifetime of a token; NOT_EXTENDABLE, NO_DONOR_TOKEN, DONOR_EXPIRES_EARLIER.
func (c *Client) Extend(ctx context.Context, serial string, e Extension) (Extended, error) {
	return post[Extended](ctx, c, path("tokens", serial, "extend"), e)
}

// An ExtensionFilter selects extensions; its zero value selects all of tokens that are there.
type ExtensionFilter struct {
	Serial string
	Job    string // ID of the job that did it
	After  string // the Next of the page before
	Limit  int    // at most so many; the server chooses for 0
}

// Extensions returns a page of the extensions that f selects, by serial.
func (c *Client) Extensions(ctx context.Context, f ExtensionFilter) (ExtensionPage, error) {
	return get[ExtensionPage](ctx, c, path("extensions"), newQuery().text("serial", f.Serial).text("job", f.Job).text("after", f.After).limit(f.Limit))
}

// AllExtensions goes through all pages of the extensions that f selects. After an error it ends.
func (c *Client) AllExtensions(ctx context.Context, f ExtensionFilter) iter.Seq2[Extended, error] {
	return pages(func() ([]Extended, bool, error) {
		page, err := c.Extensions(ctx, f)
		f.After = page.Next
		return page.Extensions, page.Next != "", err
	})
}

// EditLabel changes what administrators write on a token, if it is still at that version (0: at any).
func (c *Client) EditLabel(ctx context.Context, serial string, version int, e LabelEdit) (Token, error) {
	return patch[Token](ctx, c, path("tokens", serial), version, e)
}

// ClockOffsets says how far the clocks of the users' tokens are off.
func (c *Client) ClockOffsets(ctx context.Context) (OffsetReport, error) {
	return get[OffsetReport](ctx, c, path("clock-offsets"), query{})
}

// OffTokens goes through the tokens whose clocks are off by more than so many intervals, by serial. After an error it ends.
func (c *Client) OffTokens(ctx context.Context, beyond int) iter.Seq2[OffToken, error] {
	after := ""
	return pages(func() ([]OffToken, bool, error) {
		q := newQuery().text("after", after)
		q.Set("beyond", strconv.Itoa(beyond))
		page, err := get[OffTokenPage](ctx, c, path("clock-offsets", "tokens"), q)
		after = page.Next
		return page.Tokens, page.Next != "", err
	})
}

// CorrectClocks starts a job that shifts what is stored of the clocks of tokens.
func (c *Client) CorrectClocks(ctx context.Context, o CorrectionOrder) (Correction, error) {
	return post[Correction](ctx, c, path("clock-corrections"), o)
}

// UndoCorrection starts a job that shifts back what a correction shifted; tokens that have learnt a new offset since keep it.
func (c *Client) UndoCorrection(ctx context.Context, id string, o UndoOrder) (Correction, error) {
	return post[Correction](ctx, c, path("clock-corrections", id, "undo"), o)
}

// Correction returns a correction.
func (c *Client) Correction(ctx context.Context, id string) (Correction, error) {
	return get[Correction](ctx, c, path("clock-corrections", id), query{})
}

// AllCorrections goes through the corrections, the newest first. After an error it ends.
func (c *Client) AllCorrections(ctx context.Context) iter.Seq2[Correction, error] {
	before := ""
	return pages(func() ([]Correction, bool, error) {
		page, err := get[CorrectionPage](ctx, c, path("clock-corrections"), newQuery().text("before", before))
		before = page.Next
		return page.Corrections, page.Next != "", err
	})
}
