package store

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

const agentColumns columns = "id, name, retry, display_name, hmac, networks, note, created_at, version, domain, restriction, methods, also_named_by"

// agentID is what an agent is known by, in whatever case it is named.
func agentID(name string) string { return strings.ToLower(name) }

func agentValues(a access.Agent) ([]any, error) {
	var networks []string
	for _, n := range a.Networks {
		networks = append(networks, n.String())
	}
	restriction, err := json.Marshal(a.Restriction)
	return []any{agentID(a.Name), a.Name, a.Retry, a.DisplayName, a.HMAC, strings.Join(networks, " "), a.Note, micros(a.CreatedAt), a.Version, a.Domain,
		string(restriction), strings.Join(a.Methods, " "), strings.Join(a.AlsoNamedBy, " ")}, err
}

func scanAgent(r row) (a access.Agent, err error) {
	var id, networks, restriction, methods, also string
	err = r.Scan(&id, &a.Name, &a.Retry, &a.DisplayName, &a.HMAC, &networks, &a.Note, moment(&a.CreatedAt), &a.Version, &a.Domain, &restriction, &methods, &also)
	if err != nil {
		return a, err
	}
	a.Methods = strings.Fields(methods)
	if also != "" {
		a.AlsoNamedBy = strings.Fields(also)
	}
	for network := range strings.FieldsSeq(networks) {
		n, err := netip.ParsePrefix(network)
		if err != nil {
			return a, err
		}
		const mapped = 96 // bits of ::ffff:0:0/96, which IPv4 is mapped into

		if n.Addr().Is4In6() && n.Bits() >= mapped { // as older releases took it, where it matched nobody
			n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-mapped)
		}
		a.Networks = append(a.Networks, n)
	}
	err = json.Unmarshal([]byte(restriction), &a.Restriction)
	return a, err
}

// Agent returns an agent by its name in any case; [fault.NotFound]. Within a transaction the row is locked for change.
func (db *DB) Agent(ctx context.Context, name string) (access.Agent, error) {
	missing := fault.New(fault.NotFound, "there is no agent %q", name)
	a, err := one(ctx, db, missing, scanAgent, "SELECT "+string(agentColumns)+" FROM agent WHERE id = $1"+db.locked(ctx), agentID(name))
	return seen(ctx, a, a.Domain, err, missing, "agent", name)
}

// Agents lists the agents by name.
func (db *DB) Agents(ctx context.Context) ([]access.Agent, error) {
	var c conditions
	db.within(ctx, &c)
	return list(ctx, db, scanAgent, "SELECT "+string(agentColumns)+" FROM agent"+c.clause("id", 0), c.args...)
}

// AddAgent stores a new agent; [fault.Conflict] if the name is taken.
func (db *DB) AddAgent(ctx context.Context, a access.Agent) error {
	taken := fault.New(fault.Conflict, "there is an agent %q already: take another name", a.Name)
	return db.Transact(ctx, func(ctx context.Context) (err error) {
		if a.Domain, err = db.placed(ctx, a.Domain); err != nil {
			return err
		}
		values, err := agentValues(a)
		if err != nil {
			return err
		}
		return db.change(ctx, taken, agentColumns.insert("agent"), values...)
	})
}

// SaveAgent stores a changed agent whose Version is still a.Version, and counts it up; else [fault.Conflict].
func (db *DB) SaveAgent(ctx context.Context, a access.Agent) error {
	stale := fault.New(fault.Conflict, "agent %s was changed meanwhile: read it again", a.Name)
	read := a.Version
	a.Version++
	values, err := agentValues(a)
	if err != nil {
		return err
	}
	return db.change(ctx, stale, agentColumns.update("agent", "id = $14 AND version = $15"), append(values, agentID(a.Name), read)...)
}

// DeleteAgent removes an agent with its credentials; [fault.NotFound].
func (db *DB) DeleteAgent(ctx context.Context, name string) error {
	missing := domain.Outside(ctx, fault.New(fault.NotFound, "there is no agent %q", name), "agent %q", name)
	within, args := db.andInScope(ctx, 1)
	return db.change(ctx, missing, "DELETE FROM agent WHERE id = $1"+within, append([]any{agentID(name)}, args...)...)
}

const credentialColumns columns = "access_id, agent_id, hash, key_id, sealed, deprecated, note, created_at, expires_at"

// credentialSelect reads credentials with the name of their agent.
var credentialSelect = "SELECT agent.name, agent.domain, " + credentialColumns.of("agent_credential") + " FROM agent_credential JOIN agent ON agent.id = agent_id "

func scanCredential(r row) (c access.Credential, err error) {
	var id string
	err = r.Scan(&c.Agent, &c.Domain, &c.ID, &id, &c.Hash, orZero(&c.Sealed.KeyID), &c.Sealed.Blob, &c.Deprecated, &c.Note, moment(&c.CreatedAt), moment(&c.ExpiresAt))
	return c, err
}

func noCredential() *fault.Error { return fault.New(fault.NotFound, "there is no such credential") }

// Credential returns a credential by its access ID; [fault.NotFound]. Within a transaction the row is locked for change.
func (db *DB) Credential(ctx context.Context, id string) (access.Credential, error) {
	c, err := one(ctx, db, noCredential(), scanCredential, credentialSelect+"WHERE access_id = $1"+db.locked(ctx), id)
	return seen(ctx, c, c.Domain, err, noCredential(), "credential", id)
}

// CredentialByHash returns a credential by the hash of its key; [fault.NotFound].
func (db *DB) CredentialByHash(ctx context.Context, hash []byte) (access.Credential, error) {
	return one(ctx, db, noCredential(), scanCredential, credentialSelect+"WHERE hash = $1", hash)
}

// Credentials lists the credentials of an agent, oldest first.
func (db *DB) Credentials(ctx context.Context, agent string) ([]access.Credential, error) {
	return list(ctx, db, scanCredential, credentialSelect+"WHERE agent_id = $1 ORDER BY agent_credential.created_at, access_id", agentID(agent))
}

// AddCredential stores a new credential of an agent that exists; else [fault.Conflict].
func (db *DB) AddCredential(ctx context.Context, c access.Credential) error {
	taken := fault.New(fault.Conflict, "there is such a credential already: make another")
	return db.change(ctx, taken, credentialColumns.insert("agent_credential"), c.ID, agentID(c.Agent), c.Hash, orNull(c.Sealed.KeyID),
		bytesOrNull(c.Sealed.Blob), c.Deprecated, c.Note, micros(c.CreatedAt), micros(c.ExpiresAt))
}

// SaveCredential stores a changed note and flag; [fault.NotFound].
func (db *DB) SaveCredential(ctx context.Context, c access.Credential) error {
	return db.change(ctx, noCredential(), "UPDATE agent_credential SET deprecated = $1, note = $2 WHERE access_id = $3", c.Deprecated, c.Note, c.ID)
}

// DeleteCredential removes a credential; [fault.NotFound].
func (db *DB) DeleteCredential(ctx context.Context, id string) error {
	return db.change(ctx, noCredential(), "DELETE FROM agent_credential WHERE access_id = $1", id)
}

// DropAccessKeys erases the sealed keys of an agent's credentials.
func (db *DB) DropAccessKeys(ctx context.Context, agent string) error {
	_, err := db.exec(ctx, "UPDATE agent_credential SET key_id = NULL, sealed = NULL WHERE agent_id = $1", agentID(agent))
	return err
}
