package access

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"maps"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

// A RADIUSClient is a gateway, a machine or a proxy that may send RADIUS
// requests (spec/radius.md sections 1 and 6).
type RADIUSClient struct {
	Name string
	// Address is where its packets come from; where several clients fit, the longest prefix wins. The zero Prefix is
	// for a client that only comes over TLS.
	Address netip.Prefix
	// Certificate says which client certificate is this client's over TLS (RadSec): "sha256:" and 64 hexadecimal
	// digits of the whole certificate, or a DNS name that it holds. "" for a client that only comes over UDP.
	Certificate string
	// Secret is shared with the client and sealed. It is zero for a client without an address.
	Secret seed.Sealed
	// Prompts is the set of texts that the client's dialogues are in.
	Prompts PromptSet
	// Challenges says whether the client can ask its user again. Without, who needs a next tokencode or a new PIN is rejected.
	Challenges bool
	// MessageAuthenticator says what is done with requests that carry none.
	MessageAuthenticator Strictness
	// Attributes are returned with every accept.
	Attributes []ReplyAttribute
	// StripRealm takes a realm off user names.
	StripRealm Realm
	// MaxQPS is how many requests a second are taken; what is more is dropped. 0 is no limit.
	MaxQPS int
	// Restriction is whom it may ask about.
	Restriction Restriction
	Domain      string // security domain
	CreatedAt   time.Time
	Version     int
}

// A PromptSet names the texts of dialogues: clients recognise some (spec/radius.md section 4).
type PromptSet string

// The prompt sets.
const (
	PromptsSecurID  PromptSet = "securid"
	PromptsCiscoASA PromptSet = "cisco-asa"
	PromptsPlain    PromptSet = "plain"
)

// A Strictness says what is done with a request without Message-Authenticator (CVE-2024-3596).
type Strictness string

// The degrees of strictness. A Message-Authenticator that is there and wrong is never passed over.
const (
	Require Strictness = "require" // dropped
	Warn    Strictness = "warn"    // taken, counted and logged
	Off     Strictness = "off"     // taken
)

// A Realm says where the realm of a user name stands.
type Realm string

// Where a realm may stand.
const (
	RealmNone   Realm = "none"
	RealmPrefix Realm = "prefix" // DOMAIN\user
	RealmSuffix Realm = "suffix" // user@realm
)

// Strip takes the realm off a user name.
func (r Realm) Strip(name string) string {
	switch r {
	case RealmPrefix:
		if _, user, found := strings.Cut(name, `\`); found {
			return user
		}
	case RealmSuffix:
		if at := strings.LastIndexByte(name, '@'); at >= 0 {
			return name[:at]
		}
	}
	return name
}

// Limits of RADIUS clients.
const (
	MaxRADIUSSecret = 128 // bytes; a secret should have 16 at least
	MaxRADIUSQPS    = 100_000
)

// radiusName is what a client may be called: it is part of agents' names, of log lines and of paths.
var radiusName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)

// certificateName is a DNS name of two or more parts.
var certificateName = regexp.MustCompile(`^([0-9a-z_-]{1,63}\.)+[0-9a-z-]{1,63}$`)

// ParseClientAddress reads an address or a prefix in CIDR notation.
func ParseClientAddress(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, addrErr := netip.ParseAddr(text)
		if addrErr != nil || a.Zone() != "" {
			return netip.Prefix{}, fault.New(fault.Invalid, "a RADIUS client's address looks like 192.0.2.7, 192.0.2.0/24 or 2001:db8::/64")
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, fault.New(fault.Invalid, "write the prefix of an IPv4 network as one of IPv4")
	}
	return p.Masked(), nil
}

// complete fills in what is not said and checks the rest.
func (c *RADIUSClient) complete() error {
	orElse(&c.Prompts, PromptsSecurID)
	orElse(&c.MessageAuthenticator, Require)
	orElse(&c.StripRealm, RealmNone)
	c.Certificate = strings.ToLower(c.Certificate)
	switch {
	case !radiusName.MatchString(c.Name):
		return fault.New(fault.Invalid, "the name of a RADIUS client takes 1 to 64 letters, digits, dots, dashes and underscores, and starts with a letter or digit")
	case !c.Address.IsValid() && c.Certificate == "":
		return fault.New(fault.Invalid, "a RADIUS client is known by its address or, over TLS, by its certificate: give one of them")
	case c.Address.IsValid() && c.Secret.KeyID == 0:
		return fault.New(fault.Invalid, "a RADIUS client with an address takes a shared secret")
	case !c.Address.IsValid() && c.Secret.KeyID != 0:
		return fault.New(fault.Invalid, "a RADIUS client without an address has no shared secret: over TLS it is %q for everybody", "radsec")
	case c.Certificate != "" && !certificateName.MatchString(c.Certificate) && !isFingerprint(c.Certificate):
		return fault.New(fault.Invalid, "a certificate is named by sha256: and 64 hexadecimal digits, or by a DNS name that it holds")
	case !slices.Contains([]PromptSet{PromptsSecurID, PromptsCiscoASA, PromptsPlain}, c.Prompts):
		return fault.New(fault.Invalid, "no prompt set %q: take securid, cisco-asa or plain", c.Prompts)
	case !slices.Contains([]Strictness{Require, Warn, Off}, c.MessageAuthenticator):
		return fault.New(fault.Invalid, "a Message-Authenticator is to be required (require), missed with a warning (warn) or not missed (off)")
	case !slices.Contains([]Realm{RealmNone, RealmPrefix, RealmSuffix}, c.StripRealm):
		return fault.New(fault.Invalid, "a realm is a prefix, a suffix or none")
	case c.MaxQPS < 0 || c.MaxQPS > MaxRADIUSQPS:
		return fault.New(fault.Invalid, "the limit of requests a second lies between 0, for none, and %d", MaxRADIUSQPS)
	}
	return checkAttributes(c.Attributes, maxReplyBytes)
}

func orElse[T comparable](v *T, other T) {
	var zero T
	if *v == zero {
		*v = other
	}
}

func isFingerprint(text string) bool {
	digits, is := strings.CutPrefix(text, "sha256:")
	sum, err := hex.DecodeString(digits)
	return is && err == nil && len(sum) == 32
}

func checkSecret(secret string) error {
	if secret == "" || len(secret) > MaxRADIUSSecret || !utf8.ValidString(secret) || strings.ContainsFunc(secret, unicode.IsControl) {
		return fault.New(fault.Invalid, "a shared secret takes 1 to %d bytes of text without control characters; 16 random characters are the least that is safe", MaxRADIUSSecret)
	}
	return nil
}

// Agent is how the engine and the audit log name the client.
func (c *RADIUSClient) Agent() string { return "radius:" + c.Name }

// clone is a copy that shares nothing.
func (c RADIUSClient) clone() RADIUSClient {
	c.Attributes = slices.Clone(c.Attributes)
	c.Restriction.Users, c.Restriction.Groups = slices.Clone(c.Restriction.Users), slices.Clone(c.Restriction.Groups)
	return c
}

func (c *RADIUSClient) details() audit.Details {
	var address string
	if c.Address.IsValid() {
		address = c.Address.String()
	}
	return audit.Details{
		"address": address, "certificate": c.Certificate, "prompt_set": c.Prompts, "challenges": c.Challenges,
		"message_authenticator": c.MessageAuthenticator, "reply_attributes": c.Attributes, "strip_realm": c.StripRealm, "max_qps": c.MaxQPS, "restriction": c.Restriction,
	}
}

// RADIUSStore is what the registry of RADIUS clients needs of the database.
type RADIUSStore interface {
	restrictionStore
	// HasProfile refuses a profile that is not there: [fault.ProfileNotFound]. Within a transaction it stays until that ends.
	HasProfile(ctx context.Context, name string) error
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// AfterCommit runs do when the transaction of ctx has been committed; at once if there is none.
	AfterCommit(ctx context.Context, do func())
	// RADIUSClient returns a client; [fault.NotFound]. Within a transaction the row is locked for change.
	RADIUSClient(ctx context.Context, name string) (RADIUSClient, error)
	// RADIUSClients lists the clients by name.
	RADIUSClients(ctx context.Context) ([]RADIUSClient, error)
	// AddRADIUSClient stores a new client; [fault.Conflict] if its name, address or certificate is another's.
	AddRADIUSClient(ctx context.Context, c RADIUSClient) error
	// SaveRADIUSClient stores a changed client whose Version is still c.Version, and counts it up; else
	// [fault.Conflict], also if its address or certificate is another's.
	SaveRADIUSClient(ctx context.Context, c RADIUSClient) error
	// DeleteRADIUSClient removes a client; [fault.NotFound].
	DeleteRADIUSClient(ctx context.Context, name string) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// A RADIUSRegistry keeps the deployment's RADIUS clients.
type RADIUSRegistry struct {
	Store RADIUSStore
	Keys  Sealer
	Now   func() time.Time
	// Changed, if set, is told of every change that was made through this registry, once it can be read.
	Changed func()
}

// seal replaces the secret of a client.
func (r *RADIUSRegistry) seal(c *RADIUSClient, secret string) error {
	if err := checkSecret(secret); err != nil {
		return err
	}
	sealed, err := r.Keys.Seal([]byte(secret), seed.OfRADIUSClient(c.Name))
	c.Secret = sealed
	return err
}

// Add completes and stores a new client with its secret, "" for one without an address.
func (r *RADIUSRegistry) Add(ctx context.Context, c RADIUSClient, secret string) (RADIUSClient, error) {
	c = c.clone()
	c.CreatedAt, c.Version, c.Domain = r.Now().UTC(), 1, domain.ScopeFrom(ctx).Top()
	err := r.change(ctx, func(ctx context.Context) error {
		if c.Secret = (seed.Sealed{}); secret != "" {
			if err := r.seal(&c, secret); err != nil {
				return err
			}
		}
		if err := c.complete(); err != nil {
			return err
		}
		if err := c.Restriction.settle(ctx, r.Store, c.Domain, nil); err != nil {
			return err
		}
		if err := r.known(ctx, c.Attributes, nil); err != nil {
			return err
		}
		if err := r.apart(ctx, c, RADIUSClient{}); err != nil {
			return err
		}
		if err := r.Store.AddRADIUSClient(ctx, c); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "radius_client.add", "radius_client:"+c.Name, c.details()))
	})
	return c, err
}

// change runs do in a transaction, and tells of the change once it is made: a caller's transaction may hold it back.
func (r *RADIUSRegistry) change(ctx context.Context, do func(context.Context) error) error {
	err := r.Store.Transact(ctx, do)
	if err == nil && r.Changed != nil {
		r.Store.AfterCommit(ctx, r.Changed)
	}
	return err
}

// Get returns a client; [fault.NotFound].
func (r *RADIUSRegistry) Get(ctx context.Context, name string) (RADIUSClient, error) {
	return r.Store.RADIUSClient(ctx, name)
}

// List returns the clients by name.
func (r *RADIUSRegistry) List(ctx context.Context) ([]RADIUSClient, error) {
	return r.Store.RADIUSClients(ctx)
}

// Secret opens the secret that is shared with a client; nil if there is none. The caller answers for where it goes.
func (r *RADIUSRegistry) Secret(ctx context.Context, c RADIUSClient) ([]byte, error) {
	if c.Secret.KeyID == 0 {
		return nil, nil
	}
	return r.Keys.Open(ctx, c.Secret, seed.OfRADIUSClient(c.Name))
}

// Edit runs change on the client and saves it, in one transaction; the name stays. A secret that is not nil replaces the
// one there was. If version is not 0, the client must still be at it: else [fault.Conflict]. What changes nothing leaves
// the version as it is.
func (r *RADIUSRegistry) Edit(ctx context.Context, name string, version int, secret *string, change func(*RADIUSClient)) (RADIUSClient, error) {
	var after RADIUSClient
	err := r.change(ctx, func(ctx context.Context) error {
		before, err := r.Store.RADIUSClient(ctx, name)
		if err != nil {
			return err
		}
		if version != 0 && before.Version != version {
			return fault.New(fault.Conflict, "RADIUS client %s was changed meanwhile: read it again", name)
		}
		after = before.clone()
		change(&after)
		after.Name, after.Version, after.CreatedAt, after.Secret = before.Name, before.Version, before.CreatedAt, before.Secret
		if secret, err = r.another(ctx, before, secret); err != nil {
			return err
		}
		switch {
		case secret != nil:
			err = r.seal(&after, *secret)
		case !after.Address.IsValid():
			after.Secret = seed.Sealed{}
		}
		if err != nil {
			return err
		}
		if err := after.complete(); err != nil {
			return err
		}
		if err := after.Restriction.settle(ctx, r.Store, before.Domain, &before.Restriction); err != nil {
			return err
		}
		if err := r.known(ctx, after.Attributes, before.Attributes); err != nil {
			return err
		}
		if err := r.apart(ctx, after, before); err != nil {
			return err
		}
		if slices.Equal(after.Attributes, before.Attributes) {
			after.Attributes = before.Attributes // no list and an empty one are the same
		}
		if after.Restriction.equal(before.Restriction) {
			after.Restriction = before.Restriction
		}
		if reflect.DeepEqual(after, before) {
			return nil
		}
		if err := r.Store.SaveRADIUSClient(ctx, after); err != nil {
			return err
		}
		after.Version++
		details := audit.Details{"before": before.details(), "after": after.details(), "secret_changed": secret != nil}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "radius_client.edit", "radius_client:"+name, details))
	})
	return after, err
}

// known refuses attributes for a profile that is not there, unless there were some before: were it misspelled, accepts of the tokens that are meant
// would carry what is for all others.
func (r *RADIUSRegistry) known(ctx context.Context, attributes, before []ReplyAttribute) error {
	profiles := map[string]bool{}
	for _, a := range attributes {
		profiles[a.Profile] = true
	}
	for _, a := range before {
		delete(profiles, a.Profile)
	}
	delete(profiles, "")
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		if err := r.Store.HasProfile(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// What a limited administrator may claim: nobody else of the same limits gets an address within it.
const (
	widest4 = 24 // bits
	widest6 = 48
)

// apart refuses a limited administrator what could take packets from a client that he may not change: a certificate, a network that is wider than a
// site's, and an address within that of such a client; as the longest prefix wins, the new client would take packets from that one, under a secret of
// its own. What the client had before stays its own.
//
// A certificate may be claimed by its fingerprint and by each of its names, and of a claim by one nobody can tell whether another client has the same
// certificate by another. Nor does it help to go by who claimed it first: a name is claimed before the certificate is made that has it, and a
// fingerprint anew whenever that is renewed.
func (r *RADIUSRegistry) apart(ctx context.Context, c, before RADIUSClient) error {
	scope := domain.ScopeFrom(ctx).Caller()
	if !scope.Limited() {
		return nil
	}
	if c.Certificate != "" && c.Certificate != before.Certificate {
		return fault.New(fault.OutOfScope, "a certificate takes an administrator of all security domains, as a client of another one may have it by another name or its fingerprint: "+
			"have one add this client, or edit it, with --certificate")
	}
	if !c.Address.IsValid() || c.Address == before.Address {
		return nil
	}
	widest := widest6
	if c.Address.Addr().Is4() {
		widest = widest4
	}
	if c.Address.Bits() < widest {
		return fault.New(fault.OutOfScope, "a network wider than a /%d takes an administrator of all security domains: nobody else's clients could be added within it", widest)
	}
	all, err := r.Store.RADIUSClients(domain.At(ctx, scope.Top()))
	if err != nil {
		return err
	}
	for _, o := range all {
		if !scope.Covers(o.Domain) && o.Address.IsValid() && o.Address.Bits() <= c.Address.Bits() && o.Address.Contains(c.Address.Addr()) {
			return fault.New(fault.Conflict, "%s belongs to a RADIUS client of another security domain, which would lose its packets: "+
				"have an administrator of both add this one, and place it with 'tallystick domain put'", c.Address)
		}
	}
	return nil
}

// another is a secret, or nil if it is the one that the client has.
func (r *RADIUSRegistry) another(ctx context.Context, c RADIUSClient, secret *string) (*string, error) {
	if secret == nil {
		return nil, nil
	}
	has, err := r.Secret(ctx, c)
	if err != nil {
		return nil, err
	}
	defer clear(has)
	if len(has) > 0 && subtle.ConstantTimeCompare(has, []byte(*secret)) == 1 {
		return nil, nil
	}
	return secret, nil
}

// Delete removes a client: its packets are those of a stranger from then on.
func (r *RADIUSRegistry) Delete(ctx context.Context, name string) error {
	return r.change(ctx, func(ctx context.Context) error {
		if err := r.Store.DeleteRADIUSClient(ctx, name); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "radius_client.delete", "radius_client:"+name, nil))
	})
}
