package client

import (
	"context"
	"net/http"
)

// Policies returns the deployment's policies.
func (c *Client) Policies(ctx context.Context) (PolicySet, error) {
	return c.PoliciesOf(ctx, "")
}

// TokenPolicy returns the rules for tokens and their PINs.
func (c *Client) TokenPolicy(ctx context.Context) (TokenPolicy, error) {
	return c.TokenPolicyOf(ctx, "")
}

// LockoutPolicy returns when wrong passcodes lock a user.
func (c *Client) LockoutPolicy(ctx context.Context) (LockoutPolicy, error) {
	return c.LockoutPolicyOf(ctx, "")
}

// policiesOf is the path of the policies of a security domain; "" for the deployment's.
func policiesOf(domain string, kind ...string) string {
	if domain == "" {
		return path(append([]string{"policies"}, kind...)...)
	}
	return path(append([]string{"domains", domain, "policies"}, kind...)...)
}

// PoliciesOf returns what holds in a security domain, and whose policies these are; DOMAIN_NOT_FOUND. "" is the deployment, here and below.
func (c *Client) PoliciesOf(ctx context.Context, domain string) (PolicySet, error) {
	return get[PolicySet](ctx, c, policiesOf(domain), query{})
}

// TokenPolicyOf returns the token policy that holds in a security domain.
func (c *Client) TokenPolicyOf(ctx context.Context, domain string) (TokenPolicy, error) {
	return get[TokenPolicy](ctx, c, policiesOf(domain, "token"), query{})
}

// LockoutPolicyOf returns the lockout policy that holds in a security domain.
func (c *Client) LockoutPolicyOf(ctx context.Context, domain string) (LockoutPolicy, error) {
	return get[LockoutPolicy](ctx, c, policiesOf(domain, "lockout"), query{})
}

// EditTokenPolicyOf changes the token policy of a security domain, and gives it one of its own if it has none, as EditTokenPolicy does;
// DOMAIN_NOT_FOUND.
func (c *Client) EditTokenPolicyOf(ctx context.Context, domain string, version int, e TokenPolicyEdit) (TokenPolicy, error) {
	return patch[TokenPolicy](ctx, c, policiesOf(domain, "token"), version, e)
}

// EditLockoutPolicyOf does the same with the lockout policy.
func (c *Client) EditLockoutPolicyOf(ctx context.Context, domain string, version int, e LockoutPolicyEdit) (LockoutPolicy, error) {
	return patch[LockoutPolicy](ctx, c, policiesOf(domain, "lockout"), version, e)
}

// InheritTokenPolicy takes a security domain's own token policy away if it is still at that version (0: at any), and returns what holds
// there again; CONFLICT, DOMAIN_NOT_FOUND.
func (c *Client) InheritTokenPolicy(ctx context.Context, domain string, version int) (TokenPolicy, error) {
	var p TokenPolicy
	err := c.do(ctx, call{method: http.MethodDelete, path: path("domains", domain, "policies", "token"), version: version, result: &p})
	return p, err
}

// InheritLockoutPolicy does the same with the lockout policy.
func (c *Client) InheritLockoutPolicy(ctx context.Context, domain string, version int) (LockoutPolicy, error) {
	var p LockoutPolicy
	err := c.do(ctx, call{method: http.MethodDelete, path: path("domains", domain, "policies", "lockout"), version: version, result: &p})
	return p, err
}

// EditTokenPolicy changes the token policy if it is still at that version (0: at any); CONFLICT, POLICY_INVALID. Other
// servers go by it within a second.
func (c *Client) EditTokenPolicy(ctx context.Context, version int, e TokenPolicyEdit) (TokenPolicy, error) {
	return c.EditTokenPolicyOf(ctx, "", version, e)
}

// EditLockoutPolicy changes the lockout policy if it is still at that version (0: at any); CONFLICT, POLICY_INVALID.
// Other servers go by it within a second.
func (c *Client) EditLockoutPolicy(ctx context.Context, version int, e LockoutPolicyEdit) (LockoutPolicy, error) {
	return c.EditLockoutPolicyOf(ctx, "", version, e)
}
