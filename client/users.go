package client

import (
	"context"
	"iter"
	"net/http"
)

// WhoAmI returns who the server takes the caller for.
func (c *Client) WhoAmI(ctx context.Context) (Identity, error) {
	return get[Identity](ctx, c, path("whoami"), query{})
}

// OpenAPI returns the document that describes the API.
func (c *Client) OpenAPI(ctx context.Context) ([]byte, error) {
	var document []byte
	err := c.do(ctx, call{method: http.MethodGet, path: path("openapi.yaml"), result: &document})
	return document, err
}

// AddUser stores a new user, enabled.
func (c *Client) AddUser(ctx context.Context, u NewUser) (User, error) {
	return post[User](ctx, c, path("users"), u)
}

// User returns a user; USER_NOT_FOUND.
func (c *Client) User(ctx context.Context, userID string) (User, error) {
	return get[User](ctx, c, path("users", userID), query{})
}

// A UserFilter selects users; its zero value selects all.
type UserFilter struct {
	Query  string // part of ID, name or mail, in any case
	Group  string // only its members; GROUP_NOT_FOUND
	Domain string // security domain, with all below; DOMAIN_NOT_FOUND
	After  string // only IDs after this one
	Limit  int    // at most so many; the server chooses for 0
}

// Users returns a page of the users that f selects, by ID.
func (c *Client) Users(ctx context.Context, f UserFilter) (UserPage, error) {
	return get[UserPage](ctx, c, path("users"), newQuery().text("query", f.Query).text("group", f.Group).text("domain", f.Domain).text("after", f.After).limit(f.Limit))
}

// AllUsers goes through all pages of the users that f selects. After an error it ends.
func (c *Client) AllUsers(ctx context.Context, f UserFilter) iter.Seq2[User, error] {
	return pages(func() ([]User, bool, error) {
		page, err := c.Users(ctx, f)
		f.After = page.Next
		return page.Users, page.Next != "", err
	})
}

// EditUser changes a user who is still at that version (0: at any); CONFLICT.
func (c *Client) EditUser(ctx context.Context, userID string, version int, e UserEdit) (User, error) {
	return patch[User](ctx, c, path("users", userID), version, e)
}

// DeleteUser removes a user who holds no token.
func (c *Client) DeleteUser(ctx context.Context, userID string) error {
	return c.remove(ctx, path("users", userID))
}

// Unlock lets a user authenticate again and forgets the failures that locked her; USER_NOT_FOUND.
func (c *Client) Unlock(ctx context.Context, userID string) error {
	return c.do(ctx, call{method: http.MethodPost, path: path("users", userID, "unlock")})
}

// SetFixedPasscode gives a user a passcode that stays the same; POLICY_FORBIDS, PIN_INVALID.
func (c *Client) SetFixedPasscode(ctx context.Context, userID string, passcode FixedPasscode) error {
	return c.do(ctx, call{method: http.MethodPut, path: path("users", userID, "fixed-passcode"), body: passcode})
}

// ClearFixedPasscode takes it away; NOT_FOUND if there is none.
func (c *Client) ClearFixedPasscode(ctx context.Context, userID string) error {
	return c.remove(ctx, path("users", userID, "fixed-passcode"))
}

// SetOnDemand lets a user have codes by mail, with a PIN to ask for them; POLICY_FORBIDS, PIN_INVALID, MAIL_OFF, MAIL_MISSING.
func (c *Client) SetOnDemand(ctx context.Context, userID string, pin PIN) error {
	return c.do(ctx, call{method: http.MethodPut, path: path("users", userID, "on-demand"), body: pin})
}

// ClearOnDemand ends codes by mail for a user; NOT_FOUND if she has none.
func (c *Client) ClearOnDemand(ctx context.Context, userID string) error {
	return c.remove(ctx, path("users", userID, "on-demand"))
}

// UserActivity returns a user's last sign-ins, the newest first, at most limit; the server chooses for 0.
func (c *Client) UserActivity(ctx context.Context, userID string, limit int) ([]SignIn, error) {
	a, err := get[Activity](ctx, c, path("users", userID, "activity"), newQuery().limit(limit))
	return a.SignIns, err
}
