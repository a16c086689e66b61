package api

import (
	"context"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// withinScope are the routes that a key limited to a security domain may use, where its role has the right. What they read and
// write of objects the store holds against the scope of the request; what they show of the whole deployment (devices, profiles,
// its policies, settings) is nobody's secret. Whatever is not here is refused: it is about the whole deployment, or may be.
var withinScope = map[string]bool{
	"GET /v1/whoami": true, "GET /v1/openapi.yaml": true,

	"POST /v1/users": true, "GET /v1/users": true, "POST /v1/users/import": true, "GET /v1/users/{user_id}": true, "PATCH /v1/users/{user_id}": true,
	"DELETE /v1/users/{user_id}": true, "GET /v1/users/{user_id}/activity": true, "POST /v1/users/{user_id}/unlock": true,
	"PUT /v1/users/{user_id}/fixed-passcode": true, "DELETE /v1/users/{user_id}/fixed-passcode": true,
	"PUT /v1/users/{user_id}/on-demand": true, "DELETE /v1/users/{user_id}/on-demand": true,
	"GET /v1/users/{user_id}/reply-attributes": true, // and no PUT: they count at the gateways of the whole deployment

	"POST /v1/groups": true, "GET /v1/groups": true, "GET /v1/groups/{group}": true, "PATCH /v1/groups/{group}": true, "DELETE /v1/groups/{group}": true,
	"POST /v1/groups/{group}/members": true,

	"POST /v1/domains": true, "GET /v1/domains": true, "GET /v1/domains/{domain}": true, "PATCH /v1/domains/{domain}": true, "DELETE /v1/domains/{domain}": true,
	"POST /v1/domains/{domain}/objects": true,

	"GET /v1/devices": true, "GET /v1/devices/{device_type}": true, "GET /v1/profiles": true, "GET /v1/profiles/{profile}": true,
	"GET /v1/policies": true, "GET /v1/policies/token": true, "GET /v1/policies/lockout": true, "GET /v1/settings": true,
	"GET /v1/domains/{domain}/policies": true, "GET /v1/domains/{domain}/policies/token": true, "PATCH /v1/domains/{domain}/policies/token": true,
	"DELETE /v1/domains/{domain}/policies/token": true, "GET /v1/domains/{domain}/policies/lockout": true,
	"PATCH /v1/domains/{domain}/policies/lockout": true, "DELETE /v1/domains/{domain}/policies/lockout": true,

	"POST /v1/tokens": true, "POST /v1/tokens/import": true, "POST /v1/tokens/create": true, "POST /v1/imports": true, "GET /v1/tokens": true, "GET /v1/tokens/{serial}": true, "DELETE /v1/tokens/{serial}": true,
	"GET /v1/tokens/{serial}/activity": true, "POST /v1/tokens/assign": true, "POST /v1/tokens/assign-next": true, "POST /v1/tokens/{serial}/assign": true,
	"POST /v1/tokens/{serial}/unassign": true, "POST /v1/tokens/{serial}/replace": true, "POST /v1/tokens/{serial}/enable": true,
	"POST /v1/tokens/{serial}/disable": true, "POST /v1/tokens/{serial}/reset-issue-count": true, "PUT /v1/tokens/{serial}/pin": true,
	"DELETE /v1/tokens/{serial}/pin": true, "POST /v1/tokens/{serial}/pin/expire": true, "POST /v1/tokens/{serial}/resync": true,
	"POST /v1/tokens/{serial}/lost": true, "POST /v1/tokens/{serial}/found": true, "POST /v1/tokens/{serial}/distribute": true,
	"PATCH /v1/tokens/{serial}": true, "POST /v1/tokens/{serial}/extend": true, "GET /v1/extensions": true,
	"POST /v1/tokens/{serial}/redistribute": true, "POST /v1/tokens/{serial}/revoke": true,

	"POST /v1/tokens/enable": true, "POST /v1/tokens/disable": true, "POST /v1/tokens/clear-ntc": true, "POST /v1/tokens/unassign": true,
	"POST /v1/tokens/delete": true, "POST /v1/tokens/replace": true, "POST /v1/tokens/extend": true,
	"POST /v1/tokens/distribute": true, "POST /v1/tokens/redistribute": true, "POST /v1/tokens/cut-off": true,
	"GET /v1/clock-offsets": true, "GET /v1/clock-offsets/tokens": true, "POST /v1/clock-corrections": true, "GET /v1/clock-corrections": true,
	"GET /v1/clock-corrections/{correction}": true, "POST /v1/clock-corrections/{correction}/undo": true,
	"GET /v1/transfer/key": true, "POST /v1/transfer/export": true, "POST /v1/transfer/import": true,

	"GET /v1/jobs": true, "GET /v1/jobs/{job}": true, "GET /v1/jobs/{job}/items": true, "GET /v1/jobs/{job}/events": true,
	"GET /v1/jobs/{job}/campaign": true, "POST /v1/jobs/{job}/offer-again": true, "GET /v1/jobs/{job}/parts": true,
	"GET /v1/jobs/{job}/parts/{part}": true, "POST /v1/jobs/{job}/approve": true, "POST /v1/jobs/{job}/reject": true, "POST /v1/jobs/{job}/cancel": true, "POST /v1/jobs/{job}/resume": true,

	"GET /v1/mail/messages": true, "GET /v1/mail/messages/{message}": true, "POST /v1/mail/messages/{message}/resend": true,
	"POST /v1/mail/messages/{message}/cancel": true, "POST /v1/mail/reminders": true,

	"POST /v1/authenticate": true,

	"GET /v1/statistics": true, "GET /v1/reports": true, "GET /v1/reports/{report}": true,
	"POST /v1/report-runs": true, "GET /v1/report-runs": true, "GET /v1/report-runs/{run}": true, "GET /v1/report-runs/{run}/content": true,
	"DELETE /v1/report-runs/{run}": true, "POST /v1/report-schedules": true, "GET /v1/report-schedules": true,
	"DELETE /v1/report-schedules/{schedule}": true,

	"POST /v1/radius-clients": true, "GET /v1/radius-clients": true, "GET /v1/radius-clients/{name}": true, "PATCH /v1/radius-clients/{name}": true,
	"DELETE /v1/radius-clients/{name}": true,

	"POST /v1/api-keys": true, "GET /v1/api-keys": true, "DELETE /v1/api-keys/{name}": true,

	"POST /v1/agents": true, "GET /v1/agents": true, "GET /v1/agents/{agent}": true, "PATCH /v1/agents/{agent}": true, "DELETE /v1/agents/{agent}": true,
	"POST /v1/agents/{agent}/credentials": true, "GET /v1/agents/{agent}/credentials": true, "PATCH /v1/agent-credentials/{access_id}": true,
	"DELETE /v1/agent-credentials/{access_id}": true,
}

// reach refuses a key that is limited to a security domain at a route that it has no part in, or at a user or a token elsewhere.
func (a *API) reach(ctx context.Context, pattern string, value func(string) string) error {
	if !domain.ScopeFrom(ctx).Limited() {
		return nil
	}
	if !withinScope[pattern] {
		return fault.New(fault.OutOfScope, "this is about the whole deployment, and your API key is limited to the security domain %s", domain.ScopeFrom(ctx).Top())
	}
	// Some of what is done to these goes through the engine of authentication, which decides about users whoever asks.
	if id := value("user_id"); id != "" {
		if _, err := a.Users.Get(ctx, id); err != nil {
			return err
		}
	}
	if serial := value("serial"); serial != "" {
		if _, err := a.Tokens.Get(ctx, serial); err != nil {
			return err
		}
	}
	return nil
}

// into is ctx for what is made in, or listed of, a domain that a caller names; "" leaves it at the caller's own scope.
func (a *API) into(ctx context.Context, name string) (context.Context, error) {
	if name == "" {
		return ctx, nil
	}
	return a.Domains.Narrow(ctx, domain.Parse(name))
}

// making is ctx for an agent or RADIUS client that is made in a domain that a caller names; "" leaves it at the caller's own scope. What it
// refers to may be elsewhere, if the caller's scope has it.
func (a *API) making(ctx context.Context, name string) (context.Context, error) {
	if name != "" && !domain.ScopeFrom(ctx).Limited() {
		return domain.At(ctx, domain.Parse(name)), nil
	}
	return a.into(ctx, name)
}
