package client

import (
	"context"
	"net/http"
	"time"
)

// A Webhook is a program that is called when something happened. The secret that calls are signed with is never shown.
type Webhook struct {
	Webhook      string     `json:"webhook"` // its name
	URL          string     `json:"url"`
	AllowHTTP    bool       `json:"allow_http"` // also to other machines
	CA           string     `json:"ca"`         // PEM of authorities that its certificate may be signed by; "" for the system's
	Actions      []string   `json:"actions"`    // that it wants: exactly, or prefixes that end in a star; none for all but authn.* and mail.sign_in
	Kinds        []string   `json:"kinds"`      // of objects; none for all
	GiveUpHours  int        `json:"give_up_hours"`
	Enabled      bool       `json:"enabled"`
	Place        int64      `json:"place"`  // in the log, of the last event that it has heard of
	Behind       int64      `json:"behind"` // events of the log after that, wanted or not
	DeliveredAt  *time.Time `json:"delivered_at,omitempty"`
	TriedAt      *time.Time `json:"tried_at,omitempty"`
	Status       int        `json:"status"`                  // of the last answer; 0 for none
	Trouble      string     `json:"trouble,omitempty"`       // why the last call failed: REFUSED, REDIRECTED, UNREACHABLE, UNTRUSTED, TIMED_OUT, GONE
	Tries        int        `json:"tries"`                   // of the next event that failed
	FailingSince *time.Time `json:"failing_since,omitempty"` // nil while all is well
	NextTryAt    *time.Time `json:"next_try_at,omitempty"`
	CreatedAt    time.Time  `json:"created_at"`
	Version      int        `json:"version"`
}

// A NewWebhook is a webhook to be added.
type NewWebhook struct {
	Webhook     string   `json:"webhook"`
	URL         string   `json:"url"`
	AllowHTTP   bool     `json:"allow_http,omitempty"`
	CA          string   `json:"ca,omitempty"`
	Secret      Secret   `json:"secret,omitempty"` // whsec_ and base64, or text of 24 bytes or more; the server makes one for ""
	Actions     []string `json:"actions,omitempty"`
	Kinds       []string `json:"kinds,omitempty"`
	GiveUpHours int      `json:"give_up_hours,omitempty"` // 0 for 5 days
	After       *int64   `json:"after,omitempty"`         // the place to go on after; nil for what happens from now on
}

// A CreatedWebhook is a new webhook with its secret, which is shown this once.
type CreatedWebhook struct {
	Webhook string `json:"webhook"`
	Place   int64  `json:"place"`
	Secret  Secret `json:"secret"`
}

// A WebhookEdit changes a webhook; what is nil stays.
type WebhookEdit struct {
	URL         *string   `json:"url,omitempty"`
	AllowHTTP   *bool     `json:"allow_http,omitempty"`
	CA          *string   `json:"ca,omitempty"`
	Secret      *Secret   `json:"secret,omitempty"`
	Actions     *[]string `json:"actions,omitempty"`
	Kinds       *[]string `json:"kinds,omitempty"`
	GiveUpHours *int      `json:"give_up_hours,omitempty"`
	Enabled     *bool     `json:"enabled,omitempty"`
	After       *int64    `json:"after,omitempty"` // goes on after this place
	Skip        bool      `json:"skip,omitempty"`  // goes on with what happens from now on
}

// A WebhookList is all webhooks.
type WebhookList struct {
	Webhooks []Webhook `json:"webhooks"`
}

// A WebhookTest is what came of a test.
type WebhookTest struct {
	Taken   bool   `json:"taken"`
	Status  int    `json:"status"` // of the answer; 0 for none
	Trouble string `json:"trouble,omitempty"`
}

// AddWebhook stores a new webhook and returns its secret; CONFLICT if the name is taken.
func (c *Client) AddWebhook(ctx context.Context, n NewWebhook) (CreatedWebhook, error) {
	return post[CreatedWebhook](ctx, c, path("webhooks"), n)
}

// Webhook returns a webhook; NOT_FOUND.
func (c *Client) Webhook(ctx context.Context, name string) (Webhook, error) {
	return get[Webhook](ctx, c, path("webhooks", name), query{})
}

// Webhooks lists all webhooks by name.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	list, err := get[WebhookList](ctx, c, path("webhooks"), query{})
	return list.Webhooks, err
}

// EditWebhook changes a webhook that is still at that version (0: at any); CONFLICT. What failed is tried again at once.
func (c *Client) EditWebhook(ctx context.Context, name string, version int, e WebhookEdit) (Webhook, error) {
	return patch[Webhook](ctx, c, path("webhooks", name), version, e)
}

// DeleteWebhook removes a webhook.
func (c *Client) DeleteWebhook(ctx context.Context, name string) error {
	return c.remove(ctx, path("webhooks", name))
}

// TestWebhook calls a webhook with the event webhook.test, once.
func (c *Client) TestWebhook(ctx context.Context, name string) (WebhookTest, error) {
	var out WebhookTest
	err := c.do(ctx, call{method: http.MethodPost, path: path("webhooks", name, "test"), result: &out})
	return out, err
}
