package client

import (
	"context"
	"net/http"
)

// Policies returns the deployment's policies.
func (c *Client) Policies(ctx context.Context) (PolicySet, error) {
	return get[PolicySet](ctx, c, path("policies"), query{})
}

// TokenPolicy returns the rules for tokens and their PINs.
func (c *Client) TokenPolicy(ctx context.Context) (TokenPolicy, error) {
	return get[TokenPolicy](ctx, c, path("policies", "token"), query{})
}

// LockoutPolicy returns when wrong passcodes lock a user.
func (c *Client) LockoutPolicy(ctx context.Context) (LockoutPolicy, error) {
	return get[LockoutPolicy](ctx, c, path("policies", "lockout"), query{})
}

// EditTokenPolicy changes the token policy if it is still at that version (0: at any); CONFLICT, POLICY_INVALID. Other
// servers go by it within a second.
func (c *Client) EditTokenPolicy(ctx context.Context, version int, e TokenPolicyEdit) (TokenPolicy, error) {
	var p TokenPolicy
	err := c.do(ctx, call{method: http.MethodPatch, path: path("policies", "token"), body: e, version: version, result: &p})
	return p, err
}

// EditLockoutPolicy changes the lockout policy if it is still at that version (0: at any); CONFLICT, POLICY_INVALID.
// Other servers go by it within a second.
func (c *Client) EditLockoutPolicy(ctx context.Context, version int, e LockoutPolicyEdit) (LockoutPolicy, error) {
	var p LockoutPolicy
	err := c.do(ctx, call{method: http.MethodPatch, path: path("policies", "lockout"), body: e, version: version, result: &p})
	return p, err
}
