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
	// Prune names kinds (profiles, devices, radius_clients, domains) of which what is not in the configuration is deleted, but for what is in use.
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
}

// A ConfigurationPlan is what a configuration changed, or would change, in the order in which it is done.
type ConfigurationPlan struct {
	Steps  []ConfigurationStep `json:"steps"`
	Digest string              `json:"digest"` // of the steps, for Expect
}

// A ConfigurationStep is about one object.
type ConfigurationStep struct {
	Kind    string                `json:"kind"`   // devices, token_policy, lockout_policy, settings, domains, profiles or radius_clients
	Name    string                `json:"name"`   // "" where there is only one of the kind
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
