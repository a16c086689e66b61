package agentapi

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/throttle"
)

// errStranger is every refusal of an agent: which part was wrong is not told.
var errStranger = fault.New(fault.Unauthorized, "the agent is not known")

// caller finds out which agent sends a request (section 2). A known access key goes before what else is in the headers, which proxies
// add to as well; an agent that has to sign is not let in by it.
func (s *Server) caller(r *http.Request, body []byte) (*call, error) {
	from := throttle.Source(r.RemoteAddr)
	who, err := s.holder(r.Context(), r.Header.Get("client-key"), from)
	var signature []byte
	if isSigned(r) && (fault.CodeOf(err) == fault.Unauthorized || err == nil && s.mustSign(who.agent)) {
		who, signature, err = s.signer(r, body, from)
	}
	if err != nil {
		return nil, err
	}
	a, c := who.agent, who.credential
	why := ""
	switch {
	case c.ExpiredAt(s.Now()):
		why = "its credential has expired"
	case !a.Admits(from):
		why = "it may not ask from this address"
	case signature == nil && s.mustSign(a):
		why = "its requests have to be signed"
	}
	if why != "" {
		return nil, s.turnAway(r.Context(), a, c, from, why)
	}
	name := a.Actor()
	throttled := !s.agents.Allows(name, s.Now())
	if signature != nil && !throttled { // a throttled message decides nothing, and may come again
		if err := s.useOnce(r.Context(), who, signature, from); err != nil {
			return nil, err
		}
	}
	role := string(access.AgentRole)
	if c.Deprecated {
		role += ", with a deprecated credential" // in each event of the audit log
		s.Logger.WarnContext(r.Context(), "agent uses a deprecated credential", "agent", a.Name, "access_id", c.ID, "client", from)
	}
	ctx := audit.WithActor(r.Context(), audit.Actor{Name: name, Role: role, Client: from.String()})
	return &call{
		Request: r.WithContext(ctx), body: body, agent: a, credential: c, throttled: throttled,
		source: authentication.Source{Agent: name, Station: from.String(), Only: who.only},
	}, nil
}

func (s *Server) mustSign(a access.Agent) bool { return s.RequireHMAC || a.HMAC == access.HMACRequired }

// turnAway says in the log why an agent is refused, for whoever set it up.
func (s *Server) turnAway(ctx context.Context, a access.Agent, c access.Credential, from netip.Addr, why string) error {
	s.Logger.WarnContext(ctx, "agent refused", "agent", a.Name, "access_id", c.ID, "client", from, "because", why)
	return errStranger
}

// holder is whose access key a request carries.
func (s *Server) holder(ctx context.Context, key string, from netip.Addr) (identity, error) {
	hash := s.Agents.KeyHash(key)
	if hash == nil {
		return identity{}, errStranger
	}
	who, err := s.identify(ctx, s.keys, [32]byte(hash), from, func() (access.Agent, access.Credential, error) { return s.Agents.ByHash(ctx, hash) })
	if err == nil && subtle.ConstantTimeCompare(who.credential.Hash, hash) != 1 {
		err = errStranger
	}
	return who, err
}

// identify is whose credential has a name: the keyed hash of its key, or a hash of its ID. What a flood of wrong ones costs the database is
// bound by their source's limit, which only what it has not seen counts against; right ones do not suffer from it once this server has
// seen them.
func (s *Server) identify(ctx context.Context, known *credentialCache, name [32]byte, from netip.Addr, find func() (access.Agent, access.Credential, error)) (identity, error) {
	now := s.Now()
	who, is := known.get(name, now)
	switch {
	case is == believed:
		return who, nil
	case is == wrongLately, is == unheard && s.strangers.Exhausted(throttle.Network(from).String(), now):
		return identity{}, errStranger
	}
	a, c, err := find()
	if fault.CodeOf(err) == fault.NotFound {
		known.refuse(name, now)
		s.guessed(ctx, from)
		return identity{}, errStranger
	}
	if err != nil {
		return identity{}, err
	}
	only, err := authentication.Restrict(ctx, a.Restriction, a.Domain, s.Domains)
	if err != nil {
		return identity{}, err
	}
	who = identity{a, c, only}
	known.put(name, who, now)
	return who, nil
}

// guessed counts a wrong key, ID or signature against its source, and tells whether it is still within the limit.
func (s *Server) guessed(ctx context.Context, from netip.Addr) bool {
	source, now := throttle.Network(from).String(), s.Now()
	if !s.strangers.Allows(source, now) {
		return false
	}
	if s.strangers.Exhausted(source, now) {
		s.Logger.WarnContext(ctx, "too many wrong access keys or signatures from one address: credentials that this server has not seen yet are refused there for now", "client", from)
	}
	return true
}

// An identity is an agent, and the credential that it has proven itself with.
type identity struct {
	agent      access.Agent
	credential access.Credential
	only       *authentication.Restriction
}

// remembered is how long a credential is believed without asking the database: a deleted one, or a changed setting,
// reaches every server after that time.
const remembered = 2 * time.Second

// refusedFor is how long a wrong key or ID is refused without asking the database, so that agents which go on with a deleted key do not
// exhaust what their address has. No new credential can be meant: its key and ID are made at random.
const refusedFor = time.Minute

// mostRemembered bounds the credentials in memory, and the wrong ones.
const mostRemembered = 10_000

// A credentialCache remembers credentials, and which ones are none, by the hashes of their keys or IDs.
type credentialCache struct {
	mu      sync.RWMutex
	entries map[[32]byte]cached // only existing ones get here
	wrong   map[[32]byte]time.Time
}

type cached struct {
	identity
	until time.Time
}

// A standing is what a cache knows of a credential.
type standing int

const (
	unheard     standing = iota
	believed             // it existed a moment ago
	seen                 // it existed when it was last used
	wrongLately          // it did not exist lately
)

func newCredentialCache() *credentialCache {
	return &credentialCache{entries: map[[32]byte]cached{}, wrong: map[[32]byte]time.Time{}}
}

func (c *credentialCache) get(name [32]byte, now time.Time) (identity, standing) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e, known := c.entries[name]; known {
		if now.Before(e.until) {
			return e.identity, believed
		}
		return identity{}, seen
	}
	if now.Before(c.wrong[name]) {
		return identity{}, wrongLately
	}
	return identity{}, unheard
}

func (c *credentialCache) put(name [32]byte, who identity, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= mostRemembered {
		clear(c.entries)
	}
	c.entries[name] = cached{who, now.Add(remembered)}
}

// refuse notes that there is no such credential, or none any more.
func (c *credentialCache) refuse(name [32]byte, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, name)
	if len(c.wrong) >= mostRemembered {
		clear(c.wrong)
	}
	c.wrong[name] = now.Add(refusedFor)
}
