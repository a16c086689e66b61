package client

import (
	"context"
	"net/http"
	"time"
)

// MailSettings say how mail is sent. The password is never shown.
type MailSettings struct {
	Enabled      bool       `json:"enabled"`
	Host         string     `json:"host"`
	Port         int        `json:"port"`
	Security     string     `json:"security"`  // starttls, tls or none
	CA           string     `json:"ca"`        // PEM of authorities that the certificate may be signed by; "" for the system's
	UserName     string     `json:"user_name"` // to log in; "" for not at all
	HasPassword  bool       `json:"has_password"`
	From         string     `json:"from"`
	ReplyTo      string     `json:"reply_to"`
	PerMinute    int        `json:"per_minute"`  // messages at most
	Notify       []string   `json:"notify"`      // addresses that are told when a job is over, or waits to be approved
	ExpiryDays   []int      `json:"expiry_days"` // before the end of a token, when its user is told
	Trouble      string     `json:"trouble,omitempty"`
	TroubleSince *time.Time `json:"trouble_since,omitempty"`
	Version      int        `json:"version"` // 0 before the first change
}

// A MailSettingsEdit changes settings; what is nil stays.
type MailSettingsEdit struct {
	Enabled    *bool     `json:"enabled,omitempty"`
	Host       *string   `json:"host,omitempty"`
	Port       *int      `json:"port,omitempty"`
	Security   *string   `json:"security,omitempty"`
	CA         *string   `json:"ca,omitempty"`
	UserName   *string   `json:"user_name,omitempty"`
	Password   *Secret   `json:"password,omitempty"` // "" for none
	From       *string   `json:"from,omitempty"`
	ReplyTo    *string   `json:"reply_to,omitempty"`
	PerMinute  *int      `json:"per_minute,omitempty"`
	Notify     *[]string `json:"notify,omitempty"`
	ExpiryDays *[]int    `json:"expiry_days,omitempty"`
}

// A MailAddress is where a test goes.
type MailAddress struct {
	To string `json:"to"`
}

// A MailTest is what came of a test.
type MailTest struct {
	Sent    bool   `json:"sent"`
	Code    int    `json:"code"` // what the mail server answered; 0 for nothing
	Trouble string `json:"trouble,omitempty"`
}

// MailTexts are the texts of a template, or of a message.
type MailTexts struct {
	Subject string `json:"subject,omitempty"`
	Text    string `json:"text,omitempty"`
	HTML    string `json:"html,omitempty"`
}

// A MailTemplate is what messages say on an occasion.
type MailTemplate struct {
	Event   string `json:"event"`
	Profile string `json:"profile"` // for tokens of this profile; "" for all others
	Subject string `json:"subject"`
	Text    string `json:"text"`
	HTML    string `json:"html"`
	BuiltIn bool   `json:"built_in"`
}

// A MailTemplateList is all templates in use, and the variables that they may have.
type MailTemplateList struct {
	Templates []MailTemplate `json:"templates"`
	Variables []string       `json:"variables"`
}

// A MailMessage is a mail and what became of it, without its body.
type MailMessage struct {
	Message   string     `json:"message"` // its ID
	Event     string     `json:"event"`
	UserID    string     `json:"user_id"`
	Serial    string     `json:"serial"`
	To        string     `json:"to"`
	Job       string     `json:"job"`
	State     string     `json:"state"` // held, waiting, sending, sent, failed, unknown or cancelled
	Tries     int        `json:"tries"`
	Code      int        `json:"code"`              // what the mail server answered last; 0 for nothing
	Trouble   string     `json:"trouble,omitempty"` // why it is not sent
	CreatedAt time.Time  `json:"created_at"`
	NextTryAt *time.Time `json:"next_try_at,omitempty"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
}

// A MailPage is a part of the messages.
type MailPage struct {
	Messages []MailMessage `json:"messages"`
	Next     string        `json:"next,omitempty"` // the Before of the next page; "" after the last
}

// A MailFilter selects messages; its zero value selects all.
type MailFilter struct {
	State  string
	UserID string
	Serial string
	Before string // only messages before the one with this ID
	Limit  int    // at most so many; the server chooses for 0
}

// Reminders say which users are reminded of tokens that they were given and have never used.
type Reminders struct {
	Select Selection `json:"select"`
	DryRun bool      `json:"dry_run,omitempty"`
}

// A MailClaim is what a user says who wants the messages that are held for her: a passcode, or the password of the directory that she comes from.
type MailClaim struct {
	UserID   string `json:"user_id"`
	Passcode Secret `json:"passcode,omitempty"`
	Password Secret `json:"password,omitempty"`
	Station  string `json:"station,omitempty"` // where she is
}

// MailReleased is what came of a claim.
type MailReleased struct {
	Messages int `json:"messages"` // that go to her address now; 0 whatever was wrong
}

// ReleaseMail has the messages sent that are held for a user, if she is right.
func (c *Client) ReleaseMail(ctx context.Context, m MailClaim) (MailReleased, error) {
	var out MailReleased
	err := c.do(ctx, call{method: http.MethodPost, path: path("mail", "release"), body: m, result: &out})
	return out, err
}

// MailSettings returns the settings.
func (c *Client) MailSettings(ctx context.Context) (MailSettings, error) {
	return get[MailSettings](ctx, c, path("mail", "settings"), query{})
}

// EditMailSettings changes settings that are still at that version (0: at any); CONFLICT.
func (c *Client) EditMailSettings(ctx context.Context, version int, e MailSettingsEdit) (MailSettings, error) {
	return patch[MailSettings](ctx, c, path("mail", "settings"), version, e)
}

// TestMail sends a message to an address now; MAIL_OFF.
func (c *Client) TestMail(ctx context.Context, to string) (MailTest, error) {
	var out MailTest
	err := c.do(ctx, call{method: http.MethodPost, path: path("mail", "settings", "test"), body: MailAddress{To: to}, result: &out})
	return out, err
}

// MailTemplates lists the templates in use.
func (c *Client) MailTemplates(ctx context.Context) (MailTemplateList, error) {
	return get[MailTemplateList](ctx, c, path("mail", "templates"), query{})
}

// MailTemplate returns the template of an event for tokens of a profile ("" for any).
func (c *Client) MailTemplate(ctx context.Context, event, profile string) (MailTemplate, error) {
	return get[MailTemplate](ctx, c, path("mail", "templates", event), newQuery().text("profile", profile))
}

// SaveMailTemplate replaces a template; TEMPLATE_INVALID.
func (c *Client) SaveMailTemplate(ctx context.Context, event, profile string, t MailTexts) (MailTemplate, error) {
	var out MailTemplate
	err := c.do(ctx, call{method: http.MethodPut, path: path("mail", "templates", event), query: newQuery().text("profile", profile).Values, body: t, result: &out, again: true})
	return out, err
}

// ResetMailTemplate goes back to the template for all profiles, or the built-in one; NOT_FOUND.
func (c *Client) ResetMailTemplate(ctx context.Context, event, profile string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: path("mail", "templates", event), query: newQuery().text("profile", profile).Values})
}

// PreviewMail writes a message with made-up data: by these texts, or without any by the template in use. TEMPLATE_INVALID.
func (c *Client) PreviewMail(ctx context.Context, event, profile string, t MailTexts) (MailTexts, error) {
	var out MailTexts
	err := c.do(ctx, call{method: http.MethodPost, path: path("mail", "templates", event, "preview"), query: newQuery().text("profile", profile).Values, body: t, result: &out, again: true})
	return out, err
}

// MailMessages returns a page of messages, the newest first.
func (c *Client) MailMessages(ctx context.Context, f MailFilter) (MailPage, error) {
	q := newQuery().text("state", f.State).text("user_id", f.UserID).text("serial", f.Serial).text("before", f.Before).limit(f.Limit)
	return get[MailPage](ctx, c, path("mail", "messages"), q)
}

// MailMessage returns a message; NOT_FOUND.
func (c *Client) MailMessage(ctx context.Context, id string) (MailMessage, error) {
	return get[MailMessage](ctx, c, path("mail", "messages", id), query{})
}

// ResendMail has a message sent again that failed or is unknown; CONFLICT. It may arrive twice.
func (c *Client) ResendMail(ctx context.Context, id string) (MailMessage, error) {
	var out MailMessage
	err := c.do(ctx, call{method: http.MethodPost, path: path("mail", "messages", id, "resend"), result: &out})
	return out, err
}

// CancelMail has a message not sent; CONFLICT if it was.
func (c *Client) CancelMail(ctx context.Context, id string) (MailMessage, error) {
	var out MailMessage
	err := c.do(ctx, call{method: http.MethodPost, path: path("mail", "messages", id, "cancel"), result: &out})
	return out, err
}

// Remind starts a job that reminds users; MAIL_OFF.
func (c *Client) Remind(ctx context.Context, r Reminders) (Job, error) {
	return post[Job](ctx, c, path("mail", "reminders"), r)
}
