package client

import (
	"context"
	"crypto/rand"
	"iter"
	"net/http"
)

// CreateTokens makes tokens, unassigned and disabled, and returns their serials.
func (c *Client) CreateTokens(ctx context.Context, n NewTokens) ([]string, error) {
	made, err := post[CreatedTokens](ctx, c, path("tokens"), n)
	return made.Serials, err
}

// ImportTokens takes the tokens of a token file, all or none. Serials that exist already are left alone.
func (c *Client) ImportTokens(ctx context.Context, f TokenFile) (ImportedTokens, error) {
	return post[ImportedTokens](ctx, c, path("tokens", "import"), f)
}

// A TokenFilter selects tokens; its zero value selects all.
type TokenFilter struct {
	UserID        string
	Domain        string // security domain, with all below; DOMAIN_NOT_FOUND
	Assigned      *bool
	Enabled       *bool
	Type          string // software or hardware
	Distribution  string // as in Token
	Profile       string // of the last distribution
	ExpiresBefore string // a day; effective expiry, exclusive
	Lifetime      string // as in Token
	Replacement   string // as in Token
	Lost          *bool
	Extendable    *bool // whether the lifetime can be extended
	Tag           string
	Attribute     string // its name
	Value         string // of the attribute; "" for any
	Query         string // part of serial, user ID, nickname or notes, in any case
	After         string // only serials after this one
	Limit         int    // at most so many; the server chooses for 0
}

// Tokens returns a page of the tokens that f selects, by serial.
func (c *Client) Tokens(ctx context.Context, f TokenFilter) (TokenPage, error) {
	return get[TokenPage](ctx, c, path("tokens"), newQuery().text("user_id", f.UserID).text("domain", f.Domain).flag("assigned", f.Assigned).flag("enabled", f.Enabled).text("type", f.Type).
		text("distribution", f.Distribution).text("profile", f.Profile).text("expires_before", f.ExpiresBefore).
		text("lifetime", f.Lifetime).text("replacement", f.Replacement).flag("lost", f.Lost).
		flag("extendable", f.Extendable).text("tag", f.Tag).text("attribute", f.Attribute).text("value", f.Value).
		text("query", f.Query).text("after", f.After).limit(f.Limit))
}

// AllTokens goes through all pages of the tokens that f selects. After an error it ends.
func (c *Client) AllTokens(ctx context.Context, f TokenFilter) iter.Seq2[Token, error] {
	return pages(func() ([]Token, bool, error) {
		page, err := c.Tokens(ctx, f)
		f.After = page.Next
		return page.Tokens, page.Next != "", err
	})
}

// Token returns a token; TOKEN_NOT_FOUND.
func (c *Client) Token(ctx context.Context, serial string) (Token, error) {
	return get[Token](ctx, c, path("tokens", serial), query{})
}

// TokenActivity returns the last sign-ins of a token's user that the token had part in, the newest first, at most limit; the
// server chooses for 0.
func (c *Client) TokenActivity(ctx context.Context, serial string, limit int) ([]SignIn, error) {
	a, err := get[Activity](ctx, c, path("tokens", serial, "activity"), newQuery().limit(limit))
	return a.SignIns, err
}

// Assign gives an unassigned token to a user and enables it.
func (c *Client) Assign(ctx context.Context, serial, userID string) (Token, error) {
	return post[Token](ctx, c, path("tokens", serial, "assign"), Assignment{userID})
}

// AssignNext gives a user the unassigned token that expires first; NO_TOKEN_AVAILABLE.
func (c *Client) AssignNext(ctx context.Context, userID string) (Token, error) {
	return post[Token](ctx, c, path("tokens", "assign-next"), Assignment{userID})
}

// Unassign takes the token, if it is still at that version (0: at any), from its user.
func (c *Client) Unassign(ctx context.Context, serial string, version int) (Token, error) {
	return c.changeToken(ctx, serial, "unassign", version)
}

// Replace gives the user of a token another one, whose first use ends the first one's; IN_REPLACEMENT.
func (c *Client) Replace(ctx context.Context, serial string, r Replacement) (Token, error) {
	return post[Token](ctx, c, path("tokens", serial, "replace"), r)
}

// Enable lets an assigned token, if it is still at that version (0: at any), authenticate.
func (c *Client) Enable(ctx context.Context, serial string, version int) (Token, error) {
	return c.changeToken(ctx, serial, "enable", version)
}

// Disable stops a token, if it is still at that version (0: at any), from authenticating.
func (c *Client) Disable(ctx context.Context, serial string, version int) (Token, error) {
	return c.changeToken(ctx, serial, "disable", version)
}

// ResetIssueCount lets a token, if it is still at that version (0: at any), be issued again that reached the issue limit.
func (c *Client) ResetIssueCount(ctx context.Context, serial string, version int) (Token, error) {
	return c.changeToken(ctx, serial, "reset-issue-count", version)
}

func (c *Client) changeToken(ctx context.Context, serial, verb string, version int) (Token, error) {
	var t Token
	err := c.do(ctx, call{method: http.MethodPost, path: path("tokens", serial, verb), version: version, result: &t})
	return t, err
}

// DeleteToken removes a token and destroys its seeds.
func (c *Client) DeleteToken(ctx context.Context, serial string) error {
	return c.remove(ctx, path("tokens", serial))
}

// Distribute delivers an assigned token. One that was delivered before gets a new seed.
func (c *Client) Distribute(ctx context.Context, serial string, d Distribution) (Issue, error) {
	return post[Issue](ctx, c, path("tokens", serial, "distribute"), d)
}

// Redistribute delivers a token again, always with a new seed.
func (c *Client) Redistribute(ctx context.Context, serial string, d Redistribution) (Issue, error) {
	return post[Issue](ctx, c, path("tokens", serial, "redistribute"), d)
}

// Revoke ends the open activation code of a token and returns how many there were, 0 or 1.
func (c *Client) Revoke(ctx context.Context, serial string) (int, error) {
	var done Revocation
	err := c.do(ctx, call{method: http.MethodPost, path: path("tokens", serial, "revoke"), result: &done})
	return done.Revoked, err
}

// SetPIN gives a token a PIN; PIN_INVALID.
func (c *Client) SetPIN(ctx context.Context, serial string, pin PIN) error {
	return c.do(ctx, call{method: http.MethodPut, path: path("tokens", serial, "pin"), body: pin})
}

// ClearPIN takes a token's PIN away.
func (c *Client) ClearPIN(ctx context.Context, serial string) error {
	return c.remove(ctx, path("tokens", serial, "pin"))
}

// ForceNewPIN has the user of a token set a new PIN after the next right passcode, with the old one; PIN_INVALID if there is none.
func (c *Client) ForceNewPIN(ctx context.Context, serial string) error {
	return c.do(ctx, call{method: http.MethodPost, path: path("tokens", serial, "pin", "expire")})
}

// ReportLost has a token refused from now on and ends its emergency codes; new ones are made if they are asked for;
// EMERGENCY_NOT_ALLOWED, TOKEN_EXPIRED, LIFETIME_TOO_LONG.
func (c *Client) ReportLost(ctx context.Context, serial string, l Loss) (LostToken, error) {
	return post[LostToken](ctx, c, path("tokens", serial, "lost"), l)
}

// ReportFound lets a token that was lost, if it is still at that version (0: at any), authenticate again and ends its emergency codes.
func (c *Client) ReportFound(ctx context.Context, serial string, version int) (Token, error) {
	return c.changeToken(ctx, serial, "found", version)
}

// Resync learns from two successive tokencodes how far the clock of a token is off; RESYNC_NO_MATCH, RESYNC_NOT_SUCCESSIVE,
// RESYNC_OUT_OF_RANGE, RESYNC_PASSCODE_ENTERED, RESYNC_ALREADY_USED.
func (c *Client) Resync(ctx context.Context, serial string, codes Tokencodes) (Token, error) {
	var t Token
	err := c.do(ctx, call{method: http.MethodPost, path: path("tokens", serial, "resync"), body: codes, result: &t})
	return t, err
}

// Authenticate decides a passcode and returns the result: only [Accepted] lets
// the user in. After an error nothing was decided, or nobody knows; it is
// not sent again, since a code is accepted once. [Client.Check] is, and goes on
// where the user has to be asked for more.
func (c *Client) Authenticate(ctx context.Context, userID string, passcode Secret) (string, error) {
	d, err := c.check(ctx, Check{UserID: userID, Passcode: passcode})
	return d.Result, err
}

// Check decides a passcode, or goes on with an attempt. Without a RequestID it
// makes one, so that it can be sent again when the connection breaks;
// ATTEMPT_NOT_FOUND, OUT_OF_SEQUENCE.
func (c *Client) Check(ctx context.Context, what Check) (Decision, error) {
	if what.RequestID == "" {
		what.RequestID = rand.Text()
	}
	return c.check(ctx, what)
}

// Answer sends what the user answered to a decision.
func (c *Client) Answer(ctx context.Context, to Decision, answer Secret) (Decision, error) {
	return c.Check(ctx, Check{Attempt: to.Attempt, Turn: to.Turn, Answer: answer})
}

func (c *Client) check(ctx context.Context, what Check) (Decision, error) {
	var d Decision
	err := c.do(ctx, call{method: http.MethodPost, path: path("authenticate"), body: what, again: what.RequestID != "", result: &d})
	return d, err
}
