package agentapi

import (
	"context"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
)

// errStranger is every refusal of an agent: which part was wrong is not told.
var errStranger = fault.New(fault.Unauthorized, "the agent is not known")

// caller finds out which agent sends a request (section 2).
func (s *Server) caller(r *http.Request, body []byte) (*call, error) {
	from := sourceOf(r)
	var who identity
	var err error
	signed := isSigned(r)
	if signed {
		who, err = s.signer(r, body, from)
	} else {
		who, err = s.holder(r.Context(), r.Header.Get("client-key"), from)
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
	case !signed && (s.RequireHMAC || a.HMAC == access.HMACRequired):
		why = "its requests have to be signed"
	}
	if why != "" {
		return nil, s.turnAway(r.Context(), a, c, from, why)
	}
	role := string(access.AgentRole)
	if c.Deprecated {
		role += ", with a deprecated credential" // in each event of the audit log
		s.Logger.WarnContext(r.Context(), "agent uses a deprecated credential", "agent", a.Name, "access_id", c.ID, "client", from)
	}
	name := a.Actor()
	ctx := audit.WithActor(r.Context(), audit.Actor{Name: name, Role: role, Client: from.String()})
	return &call{
		Request: r.WithContext(ctx), body: body, agent: a, credential: c,
		source: authentication.Source{Agent: name, Station: from.String(), Only: who.only},
	}, nil
}

// turnAway says in the log why an agent is refused, for whoever set it up. Of strangers it says nothing.
func (s *Server) turnAway(ctx context.Context, a access.Agent, c access.Credential, from netip.Addr, why string) error {
	if c.ID != "" {
		s.Logger.WarnContext(ctx, "agent refused", "agent", a.Name, "access_id", c.ID, "client", from, "because", why)
	}
	return errStranger
}

// sourceOf is the address that a request came from; the zero address if there is none.
func sourceOf(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// network is what a source of wrong keys is known by: an IPv4 address, or the /64 that a host can choose its IPv6
// address from.
func network(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	p, _ := a.Prefix(64) // the zero prefix for an unknown source
	return p.String()
}

// holder is whose access key a request carries. A key that is in the cache costs one keyed hash; a source of wrong ones
// is refused without looking them up.
func (s *Server) holder(ctx context.Context, key string, from netip.Addr) (identity, error) {
	hash := s.Agents.KeyHash(key)
	if hash == nil {
		return identity{}, errStranger
	}
	now := s.Now()
	who, known := s.known.get([32]byte(hash), now)
	if !known {
		source := network(from)
		if s.strangers.Exhausted(source, now) {
			return identity{}, errStranger
		}
		var err error
		who.agent, who.credential, err = s.Agents.ByHash(ctx, hash)
		if fault.CodeOf(err) == fault.NotFound {
			s.strangers.Allows(source, now)
			return identity{}, errStranger
		}
		if err == nil {
			who.only, err = authentication.Restrict(ctx, who.agent.Restriction, s.Domains)
		}
		if err != nil {
			return identity{}, err
		}
		s.known.put([32]byte(hash), who, now)
	}
	if subtle.ConstantTimeCompare(who.credential.Hash, hash) != 1 {
		return identity{}, errStranger
	}
	return who, nil
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

// mostRemembered bounds the credentials in memory; only existing ones get there.
const mostRemembered = 10_000

// A credentialCache remembers credentials by the hashes of their keys.
type credentialCache struct {
	mu      sync.RWMutex
	entries map[[32]byte]cached
}

type cached struct {
	identity
	until time.Time
}

func newCredentialCache() *credentialCache { return &credentialCache{entries: map[[32]byte]cached{}} }

func (c *credentialCache) get(hash [32]byte, now time.Time) (identity, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.entries[hash]
	return e.identity, ok && now.Before(e.until)
}

func (c *credentialCache) put(hash [32]byte, who identity, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= mostRemembered {
		clear(c.entries)
	}
	c.entries[hash] = cached{who, now.Add(remembered)}
}
