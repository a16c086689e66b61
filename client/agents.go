package client

import (
	"context"
)

// AddAgent stores a new agent; CONFLICT if the name is taken.
func (c *Client) AddAgent(ctx context.Context, a NewAgent) (Agent, error) {
	return post[Agent](ctx, c, path("agents"), a)
}

// Agent returns an agent by its name in any case; NOT_FOUND.
func (c *Client) Agent(ctx context.Context, name string) (Agent, error) {
	return get[Agent](ctx, c, path("agents", name), query{})
}

// Agents lists the agents by name.
func (c *Client) Agents(ctx context.Context) ([]Agent, error) {
	list, err := get[AgentList](ctx, c, path("agents"), query{})
	return list.Agents, err
}

// EditAgent changes an agent that is still at that version (0: at any); CONFLICT.
func (c *Client) EditAgent(ctx context.Context, name string, version int, e AgentEdit) (Agent, error) {
	return patch[Agent](ctx, c, path("agents", name), version, e)
}

// DeleteAgent removes an agent and its credentials.
func (c *Client) DeleteAgent(ctx context.Context, name string) error {
	return c.remove(ctx, path("agents", name))
}

// AddAgentCredential makes a credential of an agent; its access key is in this answer and nowhere else.
func (c *Client) AddAgentCredential(ctx context.Context, agent string, n NewAgentCredential) (CreatedAgentCredential, error) {
	return post[CreatedAgentCredential](ctx, c, path("agents", agent, "credentials"), n)
}

// AgentCredentials lists the credentials of an agent, oldest first.
func (c *Client) AgentCredentials(ctx context.Context, agent string) ([]AgentCredential, error) {
	list, err := get[AgentCredentialList](ctx, c, path("agents", agent, "credentials"), query{})
	return list.Credentials, err
}

// EditAgentCredential changes a credential's note, or whether it is deprecated.
func (c *Client) EditAgentCredential(ctx context.Context, accessID string, e AgentCredentialEdit) (AgentCredential, error) {
	return patch[AgentCredential](ctx, c, path("agent-credentials", accessID), 0, e)
}

// DeleteAgentCredential makes a credential useless within two seconds, on every server.
func (c *Client) DeleteAgentCredential(ctx context.Context, accessID string) error {
	return c.remove(ctx, path("agent-credentials", accessID))
}
