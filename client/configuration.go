package client

import "context"

// A Configuration is what a deployment is to be like, as far as it says: what is not in it stays, unless Prune names its kind.
type Configuration struct {
	Devices       [][]byte                 `json:"devices,omitempty"` // definition files
	TokenPolicy   *TokenPolicyEdit         `json:"token_policy,omitempty"`
	LockoutPolicy *LockoutPolicyEdit       `json:"lockout_policy,omitempty"`
	Settings      *SettingsEdit            `json:"settings,omitempty"`
	Domains       []ConfiguredDomain       `json:"domains,omitempty"`
	Profiles      []ConfiguredProfile      `json:"profiles,omitempty"`
	RADIUSClients []ConfiguredRADIUSClient `json:"radius_clients,omitempty"`

	Groups          []ConfiguredGroup          `json:"groups,omitempty"`
	Agents          []ConfiguredAgent          `json:"agents,omitempty"`
	Directories     []ConfiguredDirectory      `json:"directories,omitempty"`
	MailSettings    *MailSettingsEdit          `json:"mail_settings,omitempty"`
	MailTemplates   []ConfiguredMailTemplate   `json:"mail_templates,omitempty"`
	Webhooks        []ConfiguredWebhook        `json:"webhooks,omitempty"`
	ReportSchedules []ConfiguredReportSchedule `json:"report_schedules,omitempty"`

	// Prune names kinds, those of which there can be several, of which what is not in the configuration is deleted, but for what is in use.
	Prune []string `json:"prune,omitempty"`
	// Expect is the digest of the plan that was agreed to; CONFLICT if it is another one by now. "" for any.
	Expect string `json:"expect,omitempty"`
}

// A ConfiguredProfile is a profile that is added, or changed where it differs.
type ConfiguredProfile struct {
	Profile string       `json:"profile"`
	Set     *ProfileEdit `json:"set,omitempty"`
}

// A ConfiguredRADIUSClient is a RADIUS client that is added, or changed where it differs.
type ConfiguredRADIUSClient struct {
	RADIUSClient string            `json:"radius_client"`
	Domain       string            `json:"domain,omitempty"` // security domain that it belongs to; "" leaves it where it is
	Set          *RADIUSClientEdit `json:"set,omitempty"`
}

// A ConfiguredDomain is a security domain that is added, below the root unless it says otherwise, or changed where it differs.
type ConfiguredDomain struct {
	Domain string      `json:"domain"`
	Set    *DomainEdit `json:"set,omitempty"`
	// TokenPolicy and LockoutPolicy change the domain's own policies, and make them where it has none.
	TokenPolicy   *TokenPolicyEdit   `json:"token_policy,omitempty"`
	LockoutPolicy *LockoutPolicyEdit `json:"lockout_policy,omitempty"`
	// Inherit names the policies that the domain is not to have of its own: token, lockout.
	Inherit []string `json:"inherit,omitempty"`
}

// A ConfiguredGroup is a group of people that is added, or changed where it differs. Its members are not part of a configuration.
type ConfiguredGroup struct {
	Group  string     `json:"group"`
	Domain string     `json:"domain,omitempty"` // security domain that it belongs to; "" leaves it where it is
	Set    *GroupEdit `json:"set,omitempty"`
}

// A ConfiguredAgent is an agent that is added, or changed where it differs. Its credentials are not part of a configuration: they stay.
type ConfiguredAgent struct {
	Agent  string     `json:"agent"`
	Domain string     `json:"domain,omitempty"` // security domain that it belongs to; "" leaves it where it is
	Set    *AgentEdit `json:"set,omitempty"`
}

// A ConfiguredDirectory is a directory that is added, or changed where it differs. Kind and domain are those that it was added with.
type ConfiguredDirectory struct {
	Directory string         `json:"directory"`
	Kind      string         `json:"kind,omitempty"`   // openldap (for a new one, unless said) or ad
	Domain    string         `json:"domain,omitempty"` // security domain that people are placed in; the root for a new one, unless said
	Set       *DirectoryEdit `json:"set,omitempty"`
}

// A ConfiguredMailTemplate is the template of an event, for tokens of a profile or for all ("").
type ConfiguredMailTemplate struct {
	Event   string            `json:"event"`
	Profile string            `json:"profile,omitempty"`
	Set     *MailTemplateEdit `json:"set,omitempty"`
}

// A MailTemplateEdit changes texts of a template; what is nil stays as it is in the template in use.
type MailTemplateEdit struct {
	Subject *string `json:"subject,omitempty"`
	Text    *string `json:"text,omitempty"`
	HTML    *string `json:"html,omitempty"`
}

// A ConfiguredWebhook is a webhook that is added, or changed where it differs. A new one takes a secret; After and Skip of the edit are refused.
type ConfiguredWebhook struct {
	Webhook string       `json:"webhook"`
	Set     *WebhookEdit `json:"set,omitempty"`
}

// A ConfiguredReportSchedule is a schedule that is added, or changed where it differs. A new one, and one that is changed, has its reports made
// with the rights of the caller.
type ConfiguredReportSchedule struct {
	Schedule string              `json:"schedule"`
	Set      *ReportScheduleEdit `json:"set,omitempty"`
}

// A ReportScheduleEdit changes a schedule; what is nil stays. The members are those of [NewReportSchedule].
type ReportScheduleEdit struct {
	Report   *string            `json:"report,omitempty"`
	Format   *string            `json:"format,omitempty"`
	Columns  *[]string          `json:"columns,omitempty"`
	Filters  *map[string]string `json:"filters,omitempty"`
	Order    *string            `json:"order,omitempty"`
	KeepDays *int               `json:"keep_days,omitempty"`
	MailTo   *[]string          `json:"mail_to,omitempty"`
	Webhook  *string            `json:"webhook,omitempty"`
	Every    *string            `json:"every,omitempty"`
	At       *string            `json:"at,omitempty"`
	Weekday  *string            `json:"weekday,omitempty"`
	Day      *int               `json:"day,omitempty"`
}

// A ConfigurationPlan is what a configuration changed, or would change, in the order in which it is done.
type ConfigurationPlan struct {
	Steps  []ConfigurationStep `json:"steps"`
	Digest string              `json:"digest"` // of the steps, for Expect
}

// A ConfigurationStep is about one object.
type ConfigurationStep struct {
	Kind    string                `json:"kind"`   // the member of the configuration that it is of
	Name    string                `json:"name"`   // "" where there is only one of the kind; of policies, the security domain
	Action  string                `json:"action"` // add, change, delete, none, or keep: it would be pruned, but is in use
	Changes []ConfigurationChange `json:"changes"`
}

// A ConfigurationChange is a member of an object as it was and as it is to be. Secrets are not shown.
type ConfigurationChange struct {
	Member string `json:"member"` // as the object has it in the API
	From   string `json:"from"`
	To     string `json:"to"`
}

// Configure makes the deployment what a configuration says, all of it or nothing, and returns what was changed. A refusal
// has what it is about in its details, under "kind" and "name". With [DryRun] it is a plan.
func (c *Client) Configure(ctx context.Context, conf Configuration) (ConfigurationPlan, error) {
	return post[ConfigurationPlan](ctx, c, path("configuration"), conf)
}
