package client

import (
	"context"
	"net/http"
	"time"
)

// A RADIUSClient may ask for authentication over RADIUS. Its shared secret is never shown.
type RADIUSClient struct {
	RADIUSClient                string            `json:"radius_client"`                 // its name
	Address                     string            `json:"address"`                       // address or prefix that its packets come from; "" for none
	Certificate                 string            `json:"certificate"`                   // over TLS: "sha256:..." or a DNS name; "" for none
	PromptSet                   string            `json:"prompt_set"`                    // securid, cisco-asa or plain
	Challenges                  bool              `json:"challenges"`                    // whether it can ask its user again
	RequireMessageAuthenticator string            `json:"require_message_authenticator"` // require, warn or off
	ReplyAttributes             []RADIUSAttribute `json:"reply_attributes"`              // returned with every accept
	StripRealm                  string            `json:"strip_realm"`                   // none, prefix or suffix
	MaxQPS                      int               `json:"max_qps"`                       // requests a second; 0 for no limit
	// Whom it may ask about: one of the users or a member of one of the groups, where either is named, who is in the security domain
	// or below. Whoever is not is denied like somebody with a wrong passcode.
	AllowedUsers  []string  `json:"allowed_users"`  // IDs
	AllowedGroups []string  `json:"allowed_groups"` // names
	AllowedDomain string    `json:"allowed_domain"` // "" for everywhere
	CreatedAt     time.Time `json:"created_at"`
	Version       int       `json:"version"`
	Domain        string    `json:"domain"` // security domain
}

// A RADIUSAttribute is returned with an accept. Those that name the profile of the token that was used take the place of those that name none.
type RADIUSAttribute struct {
	Name    string `json:"name"` // Class, Filter-Id, ...
	Value   string `json:"value"`
	Profile string `json:"profile,omitempty"` // "" for any
}

// A UserReply is the RADIUS attributes of a user, which clients get with an accept in place of their own; they name no profile.
type UserReply struct {
	ReplyAttributes []RADIUSAttribute `json:"reply_attributes"`
}

// A NewRADIUSClient is a client to be added, with an address and a shared
// secret, with a certificate, or with all of them.
type NewRADIUSClient struct {
	RADIUSClient                string            `json:"radius_client"`
	Address                     string            `json:"address,omitempty"`
	Certificate                 string            `json:"certificate,omitempty"`
	Secret                      Secret            `json:"secret,omitempty"`
	PromptSet                   string            `json:"prompt_set,omitempty"`
	Challenges                  *bool             `json:"challenges,omitempty"` // nil is true
	RequireMessageAuthenticator string            `json:"require_message_authenticator,omitempty"`
	ReplyAttributes             []RADIUSAttribute `json:"reply_attributes,omitempty"`
	StripRealm                  string            `json:"strip_realm,omitempty"`
	MaxQPS                      int               `json:"max_qps,omitempty"`
	AllowedUsers                []string          `json:"allowed_users,omitempty"`
	AllowedGroups               []string          `json:"allowed_groups,omitempty"`
	AllowedDomain               string            `json:"allowed_domain,omitempty"`
	Domain                      string            `json:"domain,omitempty"` // security domain; the top of the caller's
}

// A RADIUSClientEdit changes a client; what is nil stays.
type RADIUSClientEdit struct {
	Address                     *string            `json:"address,omitempty"`
	Certificate                 *string            `json:"certificate,omitempty"`
	Secret                      *Secret            `json:"secret,omitempty"`
	PromptSet                   *string            `json:"prompt_set,omitempty"`
	Challenges                  *bool              `json:"challenges,omitempty"`
	RequireMessageAuthenticator *string            `json:"require_message_authenticator,omitempty"`
	ReplyAttributes             *[]RADIUSAttribute `json:"reply_attributes,omitempty"`
	StripRealm                  *string            `json:"strip_realm,omitempty"`
	MaxQPS                      *int               `json:"max_qps,omitempty"`
	AllowedUsers                *[]string          `json:"allowed_users,omitempty"`
	AllowedGroups               *[]string          `json:"allowed_groups,omitempty"`
	AllowedDomain               *string            `json:"allowed_domain,omitempty"`
}

// A RADIUSClientList is all clients.
type RADIUSClientList struct {
	RADIUSClients []RADIUSClient `json:"radius_clients"`
}

// AddRADIUSClient stores a new client; CONFLICT if its name, address or certificate is another's.
func (c *Client) AddRADIUSClient(ctx context.Context, n NewRADIUSClient) (RADIUSClient, error) {
	return post[RADIUSClient](ctx, c, path("radius-clients"), n)
}

// RADIUSClient returns a client; NOT_FOUND.
func (c *Client) RADIUSClient(ctx context.Context, name string) (RADIUSClient, error) {
	return get[RADIUSClient](ctx, c, path("radius-clients", name), query{})
}

// RADIUSClients lists all clients by name.
func (c *Client) RADIUSClients(ctx context.Context) ([]RADIUSClient, error) {
	list, err := get[RADIUSClientList](ctx, c, path("radius-clients"), query{})
	return list.RADIUSClients, err
}

// EditRADIUSClient changes a client that is still at that version (0: at any); CONFLICT.
func (c *Client) EditRADIUSClient(ctx context.Context, name string, version int, e RADIUSClientEdit) (RADIUSClient, error) {
	return patch[RADIUSClient](ctx, c, path("radius-clients", name), version, e)
}

// DeleteRADIUSClient removes a client.
func (c *Client) DeleteRADIUSClient(ctx context.Context, name string) error {
	return c.remove(ctx, path("radius-clients", name))
}

// UserReply returns the RADIUS attributes of a user; USER_NOT_FOUND.
func (c *Client) UserReply(ctx context.Context, userID string) ([]RADIUSAttribute, error) {
	r, err := get[UserReply](ctx, c, path("users", userID, "reply-attributes"), query{})
	return r.ReplyAttributes, err
}

// SetUserReply replaces the RADIUS attributes of a user; none takes them away. USER_NOT_FOUND.
func (c *Client) SetUserReply(ctx context.Context, userID string, attributes []RADIUSAttribute) ([]RADIUSAttribute, error) {
	var r UserReply
	err := c.do(ctx, call{method: http.MethodPut, path: path("users", userID, "reply-attributes"), body: UserReply{append([]RADIUSAttribute{}, attributes...)}, result: &r})
	return r.ReplyAttributes, err
}
