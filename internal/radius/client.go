package radius

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"layeh.com/radius"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// A client is a RADIUS client with its secret, ready for its packets.
type client struct {
	access.RADIUSClient
	secret  []byte
	agent   string
	only    *authentication.Restriction  // whom it may ask about
	replies map[string]radius.Attributes // returned with an accept, by the profile of the token; "" for any other
	limit   *rate.Limiter                // nil for none
	macs    sync.Pool                    // of HMAC-MD5 under the secret
}

// radSecSecret is the shared secret of everybody over TLS (RFC 6614 section 2.3).
const radSecSecret = "radsec"

func newClient(c access.RADIUSClient, secret []byte, only *authentication.Restriction, limit *rate.Limiter) (*client, error) {
	n := &client{RADIUSClient: c, secret: secret, agent: c.Agent(), only: only, limit: limit, replies: map[string]radius.Attributes{}}
	n.macs.New = func() any { return hmac.New(md5.New, secret) }
	for _, a := range c.Attributes {
		of := n.replies[a.Profile]
		if err := encode(&of, a); err != nil {
			return nil, err
		}
		n.replies[a.Profile] = of
	}
	return n, nil
}

// encode adds an attribute as it is sent.
func encode(to *radius.Attributes, a access.ReplyAttribute) error {
	number, value, err := a.Encode()
	if err == nil {
		to.Add(radius.Type(number), value)
	}
	return err
}

// repliesTo are the attributes that an accept returns: the user's, else the client's for the profile of the token, else the client's for all.
func (c *client) repliesTo(d authentication.Decision) (radius.Attributes, error) {
	if d.Reply != "" {
		own, err := access.ReadReply(d.Reply)
		var all radius.Attributes
		for _, a := range own {
			err = errors.Join(err, encode(&all, a))
		}
		return all, err
	}
	if own := c.replies[d.Profile]; own != nil {
		return own, nil
	}
	return c.replies[""], nil
}

// mac is HMAC-MD5 under the client's secret of the parts of a packet.
func (c *client) mac(parts ...[]byte) [md5.Size]byte {
	h := c.macs.Get().(hash.Hash)
	defer c.macs.Put(h)
	h.Reset()
	for _, p := range parts {
		h.Write(p)
	}
	var sum [md5.Size]byte
	h.Sum(sum[:0])
	return sum
}

// actor is how the audit log names the client at an address.
func (c *client) actor(from source) audit.Actor {
	return audit.Actor{Name: c.agent, Role: string(access.AgentRole), Client: from.address.String()}
}

// A table finds clients. It is never changed, only replaced.
type table struct {
	byName        map[string]*client // of UDP
	byPrefix      map[netip.Prefix]*client
	lengths       []int                    // of the prefixes, longest first
	byCertificate map[string]*client       // of TLS
	limits        map[string]*rate.Limiter // by name
	unserved      map[string]string        // why clients are not, by name
}

// Refresh reads the clients again. The server does so by itself every few seconds. A database that says nothing for as long as anybody
// waits for an answer is as good as away: [fault.Unavailable].
func (s *Server) Refresh(ctx context.Context) error {
	reading, end := context.WithCancel(ctx)
	defer end()
	silence := time.AfterFunc(patience, end)
	defer silence.Stop()
	err := s.refresh(reading, func() { silence.Reset(patience) })
	if err != nil {
		err = fmt.Errorf("reading the RADIUS clients: %w", err)
	}
	decides := true
	if s.Ping != nil && fault.CodeOf(err) != fault.Unavailable {
		if failed := s.Ping(reading); failed != nil { // whatever is wrong
			decides, err = false, errors.Join(err, fmt.Errorf("trying whether a decision could be committed: %w", failed))
		}
	}
	if err != nil && ctx.Err() == nil && reading.Err() != nil {
		err = fmt.Errorf("%w (%w)", fault.New(fault.Unavailable, "the database does not answer, or does not confirm what is written"), err)
	}
	s.away.Store(!decides || fault.CodeOf(err) == fault.Unavailable)
	return err
}

// refresh tells with goesOn that the database has answered.
func (s *Server) refresh(ctx context.Context, goesOn func()) error {
	all, err := s.Clients.List(ctx)
	if err != nil {
		return err
	}
	before := s.table.Load()
	if before == nil {
		before = &table{}
	}
	goesOn()
	tree, err := s.tree(ctx, all)
	if err != nil {
		return err
	}
	t := &table{byName: map[string]*client{}, byPrefix: map[netip.Prefix]*client{}, byCertificate: map[string]*client{}, limits: map[string]*rate.Limiter{}, unserved: map[string]string{}}
	for _, c := range all {
		goesOn()
		switch err := s.enter(ctx, t, before, c, authentication.RestrictIn(tree, c.Restriction, c.Domain)); {
		case ctx.Err() != nil:
			return ctx.Err()
		case fault.CodeOf(err) == fault.Unavailable:
			return err
		case err != nil: // the others are served all the same
			if t.unserved[c.Name] = err.Error(); t.unserved[c.Name] == before.unserved[c.Name] {
				continue // it was said
			}
			s.Log.ErrorContext(ctx, "radius: the secret of a client does not open, or its attributes are none that this release knows, so its packets are dropped: give it others with 'tallystick radius edit'",
				"client", c.Name, "error", err)
		}
	}
	slices.SortFunc(t.lengths, func(a, b int) int { return cmp.Compare(b, a) })
	s.table.Store(t)
	return nil
}

// enter puts a client into a table.
func (s *Server) enter(ctx context.Context, t, before *table, c access.RADIUSClient, only *authentication.Restriction) error {
	limit := before.limit(c)
	t.limits[c.Name] = limit
	if c.Certificate != "" { // first: over TLS its secret does not matter
		n, err := s.kept(before.byCertificate[c.Certificate], c, []byte(radSecSecret), only, limit)
		if err != nil {
			return err
		}
		t.byCertificate[c.Certificate] = n
	}
	if !c.Address.IsValid() {
		return nil
	}
	secret, err := s.Clients.Secret(ctx, c)
	if err != nil {
		return err
	}
	n, err := s.kept(before.byName[c.Name], c, secret, only, limit)
	if err != nil {
		return err
	}
	t.byName[c.Name], t.byPrefix[c.Address] = n, n
	if bits := c.Address.Bits(); !slices.Contains(t.lengths, bits) {
		t.lengths = append(t.lengths, bits)
	}
	return nil
}

// tree is the domains, if any client is limited to one. They are read once for all: a thousand clients, each in a domain of its own, would else
// have a thousand domains read for each of them, every few seconds.
func (s *Server) tree(ctx context.Context, clients []access.RADIUSClient) (domain.Tree, error) {
	for _, c := range clients {
		if c.Domain != domain.Root || c.Restriction.UserDomain != domain.Root {
			return s.Domains.Tree(ctx)
		}
	}
	return nil, nil
}

// limit is of what a client sends over UDP and TLS together, nil for none. What it has used up stays so.
func (t *table) limit(c access.RADIUSClient) *rate.Limiter {
	l := t.limits[c.Name]
	switch {
	case c.MaxQPS == 0:
		return nil
	case l != nil && l.Burst() == c.MaxQPS:
		return l
	}
	return rate.NewLimiter(rate.Limit(c.MaxQPS), c.MaxQPS)
}

// kept is the client as it was if nothing about it has changed, else a new one.
func (s *Server) kept(before *client, c access.RADIUSClient, secret []byte, only *authentication.Restriction, limit *rate.Limiter) (*client, error) {
	if before != nil && before.Name == c.Name && before.Version == c.Version && before.Domain == c.Domain && before.CreatedAt.Equal(c.CreatedAt) && bytes.Equal(before.secret, secret) &&
		reflect.DeepEqual(before.only, only) { // the domains change without the client
		clear(secret)
		return before, nil
	}
	return newClient(c, secret, only, limit)
}

// at is the client with the longest prefix that holds the address, nil if there is none.
func (t *table) at(a netip.Addr) *client {
	for _, bits := range t.lengths {
		if p, err := a.Prefix(bits); err == nil && t.byPrefix[p] != nil { // IPv4 has none of 128 bits
			return t.byPrefix[p]
		}
	}
	return nil
}

// holding is the client whose certificate this is, or nil, and why. The fingerprint goes before the names. A certificate of clients in several
// security domains is nobody's: else who administers one domain could take the place of another domain's client, with other attributes and for other
// users, and needs only its fingerprint for that, which everybody learns who is shown the certificate. A client at the root goes before all others:
// who made it administers the whole deployment, and nobody of one domain is to shut it out.
func (t *table) holding(cert *x509.Certificate) (found *client, why string) {
	several := false
	var all []string
	for _, name := range append([]string{fingerprint(cert)}, cert.DNSNames...) {
		c := t.byCertificate[strings.ToLower(name)]
		if c == nil {
			continue
		}
		all = append(all, c.Name)
		switch {
		case found == nil || found.Domain != domain.Root && c.Domain == domain.Root:
			found, several = c, false
		case found.Domain != domain.Root && c.Domain != found.Domain:
			several = true
		}
	}
	switch {
	case several:
		return nil, fmt.Sprintf(severalDomains, strings.Join(all, ", "))
	case found == nil:
		return nil, unknownCertificate
	}
	return found, ""
}

// fingerprint is that of a certificate as a client has it.
func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// shown is for the log what a client can be given of a certificate. A few of its names are enough to know it by.
func shown(cert *x509.Certificate) []slog.Attr {
	const few = 8
	return []slog.Attr{slog.String("certificate", fingerprint(cert)), slog.Any("names", cert.DNSNames[:min(few, len(cert.DNSNames))])}
}
