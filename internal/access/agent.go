package access

import (
	"context"
	"crypto/rand"
	"net/netip"
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

// An HMACMode says whether an agent may, or must, sign its requests instead
// of sending its access key (spec/rest-authn-api.md section 2.2).
type HMACMode string

// The modes.
const (
	HMACOff      HMACMode = "off"
	HMACAllowed  HMACMode = "allowed"
	HMACRequired HMACMode = "required"
)

// An Agent is a program, such as a VPN gateway, that asks for its users
// through the SecurID Authentication API.
type Agent struct {
	Name        string // its clientId; unique whatever the case
	Retry       bool   // a wrong passcode leaves the attempt open for another one
	DisplayName string // of the method SECURID; "" sends null, which every known client takes
	HMAC        HMACMode
	Networks    []netip.Prefix // that it may ask from; none for all
	Restriction Restriction    // whom it may ask about
	Methods     []string       // that it may send passcodes by, some of [PasscodeMethods]
	// AlsoNamedBy is what users may be named by beside their IDs, of [NameKinds].
	AlsoNamedBy []string
	Note        string
	Domain      string // security domain
	CreatedAt   time.Time
	Version     int // grows with every change
}

// Actor is how the engine and the audit log name the agent when it asks.
func (a *Agent) Actor() string { return "agent:" + strings.ToLower(a.Name) }

// NameKinds are what an agent may name users by beside their IDs (spec/rest-authn-api.md section 3.2).
var NameKinds = []string{"mail"}

// PasscodeMethods are the methods of the SecurID Authentication API that passcodes may be sent by (spec/rest-authn-api.md section 4). All of
// them take any passcode; agents differ in which one they know.
var PasscodeMethods = []string{"SECURID", "TOKEN", "EMERGENCY_TOKENCODE"}

// A Credential is an access ID and an access key of one agent. An agent may
// have several, so that keys can be replaced without a gap.
type Credential struct {
	ID         string // the access ID: 64 characters of a-z and 0-9
	Agent      string
	Domain     string      // security domain of the agent
	Hash       []byte      // keyed hash of the access key
	Sealed     seed.Sealed // the access key itself, for checking signatures; none unless it was made while the agent's HMAC was on
	Deprecated bool        // works, and is warned about
	Note       string
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero for never
}

// Signs tells whether requests may be signed with the credential.
func (c Credential) Signs() bool { return c.Sealed.Blob != nil }

// ExpiredAt tells whether the credential is over at a time.
func (c Credential) ExpiredAt(t time.Time) bool {
	return !c.ExpiresAt.IsZero() && !t.Before(c.ExpiresAt)
}

// AgentStore is what the agents' registry needs of the database.
type AgentStore interface {
	restrictionStore
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Agent returns an agent by its name in any case; [fault.NotFound]. Within a transaction the row is locked for change.
	Agent(ctx context.Context, name string) (Agent, error)
	// Agents lists the agents by name.
	Agents(ctx context.Context) ([]Agent, error)
	// AddAgent stores a new agent; [fault.Conflict] if the name is taken.
	AddAgent(ctx context.Context, a Agent) error
	// SaveAgent stores a changed agent whose Version is still a.Version, and counts it up; else [fault.Conflict].
	SaveAgent(ctx context.Context, a Agent) error
	// DeleteAgent removes an agent with its credentials; [fault.NotFound].
	DeleteAgent(ctx context.Context, name string) error
	// Credential returns a credential by its access ID; [fault.NotFound]. Within a transaction the row is locked for change.
	Credential(ctx context.Context, id string) (Credential, error)
	// CredentialByHash returns a credential by the hash of its key; [fault.NotFound].
	CredentialByHash(ctx context.Context, hash []byte) (Credential, error)
	// Credentials lists the credentials of an agent, oldest first.
	Credentials(ctx context.Context, agent string) ([]Credential, error)
	// AddCredential stores a new credential of an agent that exists; else [fault.Conflict].
	AddCredential(ctx context.Context, c Credential) error
	// SaveCredential stores a changed note and flag; [fault.NotFound].
	SaveCredential(ctx context.Context, c Credential) error
	// DeleteCredential removes a credential; [fault.NotFound].
	DeleteCredential(ctx context.Context, id string) error
	// DropAccessKeys erases the sealed keys of an agent's credentials.
	DropAccessKeys(ctx context.Context, agent string) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// A Sealer makes keyed hashes, and seals what must be read again: a seed.Keyring.
type Sealer interface {
	Hasher
	Seal(secret []byte, b seed.Binding) (seed.Sealed, error)
	Open(ctx context.Context, s seed.Sealed, b seed.Binding) ([]byte, error)
}

// Agents keeps the deployment's agents and their credentials.
type Agents struct {
	Store AgentStore
	Keys  Sealer
	Now   func() time.Time
}

// Add stores a new agent.
func (r *Agents) Add(ctx context.Context, a Agent) (Agent, error) {
	orElse(&a.HMAC, HMACOff)
	if len(a.Methods) == 0 {
		a.Methods = PasscodeMethods[:1]
	}
	if err := a.check(); err != nil {
		return Agent{}, err
	}
	a.CreatedAt, a.Version, a.Domain = r.Now().UTC(), 1, domain.ScopeFrom(ctx).Top()
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		if err := a.Restriction.settle(ctx, r.Store, a.Domain, nil); err != nil {
			return err
		}
		if err := r.Store.AddAgent(ctx, a); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "agent.add", "agent:"+a.Name, a.details()))
	})
	return a, err
}

// Get returns an agent.
func (r *Agents) Get(ctx context.Context, name string) (Agent, error) {
	return r.Store.Agent(ctx, name)
}

// List returns the agents by name.
func (r *Agents) List(ctx context.Context) ([]Agent, error) { return r.Store.Agents(ctx) }

// Edit runs change on the agent and saves it, in one transaction; its name
// stays. If version is not 0, the agent must still be at it: else
// [fault.Conflict]. When HMAC is turned off, the keys that were sealed for it are erased.
func (r *Agents) Edit(ctx context.Context, name string, version int, change func(*Agent)) (Agent, error) {
	var after Agent
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		before, err := r.Store.Agent(ctx, name)
		if err != nil {
			return err
		}
		if version != 0 && before.Version != version {
			return fault.New(fault.Conflict, "agent %s was changed meanwhile: read it again", before.Name)
		}
		after = before
		change(&after)
		after.Name = before.Name
		if err := after.check(); err != nil {
			return err
		}
		if err := after.Restriction.settle(ctx, r.Store, before.Domain, &before.Restriction); err != nil {
			return err
		}
		if err := r.Store.SaveAgent(ctx, after); err != nil {
			return err
		}
		after.Version++
		if after.HMAC == HMACOff && before.HMAC != HMACOff {
			if err := r.Store.DropAccessKeys(ctx, after.Name); err != nil {
				return err
			}
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "agent.edit", "agent:"+after.Name, after.details()))
	})
	return after, err
}

// Delete removes an agent with its credentials.
func (r *Agents) Delete(ctx context.Context, name string) error {
	return r.Store.Transact(ctx, func(ctx context.Context) error {
		a, err := r.Store.Agent(ctx, name)
		if err != nil {
			return err
		}
		if err := r.Store.DeleteAgent(ctx, a.Name); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "agent.delete", "agent:"+a.Name, nil))
	})
}

// keyLength is that of access IDs and access keys: agents may have fields of just this width
// (spec/rest-authn-api.md section 2).
const keyLength = 64

// opaque makes a random text of a-z and 0-9, with 330 bits.
func opaque() string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	const fair = 256 - 256%len(letters) // bytes above would favour the first letters
	out := make([]byte, 0, keyLength)
	for raw := make([]byte, keyLength); ; {
		rand.Read(raw)
		for _, b := range raw {
			if int(b) < fair {
				out = append(out, letters[int(b)%len(letters)])
			}
			if len(out) == keyLength {
				return string(out)
			}
		}
	}
}

// AddCredential makes a credential and returns it with its access key, which
// cannot be shown again. life 0 means for ever.
func (r *Agents) AddCredential(ctx context.Context, agent, note string, life time.Duration) (Credential, string, error) {
	if err := checkNote(note); err != nil {
		return Credential{}, "", err
	}
	if life < 0 {
		return Credential{}, "", fault.New(fault.Invalid, "a credential cannot have expired already")
	}
	key := opaque()
	c := Credential{ID: opaque(), Hash: r.hash(key), Note: note, CreatedAt: r.Now().UTC()}
	if life > 0 {
		c.ExpiresAt = c.CreatedAt.Add(life)
	}
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		a, err := r.Store.Agent(ctx, agent)
		if err != nil {
			return err
		}
		c.Agent, c.Sealed = a.Name, seed.Sealed{}
		if a.HMAC != HMACOff {
			if c.Sealed, err = r.Keys.Seal([]byte(key), seed.OfCredential(c.ID)); err != nil {
				return err
			}
		}
		if err := r.Store.AddCredential(ctx, c); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "agent.credential_add", "agent:"+a.Name, audit.Details{"access_id": c.ID, "note": note}))
	})
	return c, key, err
}

// Credentials lists the credentials of an agent, oldest first.
func (r *Agents) Credentials(ctx context.Context, agent string) ([]Credential, error) {
	a, err := r.Store.Agent(ctx, agent)
	if err != nil {
		return nil, err
	}
	return r.Store.Credentials(ctx, a.Name)
}

// EditCredential changes a credential's note, or whether it is deprecated.
func (r *Agents) EditCredential(ctx context.Context, id string, change func(*Credential)) (Credential, error) {
	var c Credential
	err := r.Store.Transact(ctx, func(ctx context.Context) (err error) {
		if c, err = r.Store.Credential(ctx, id); err != nil {
			return err
		}
		change(&c)
		if err := checkNote(c.Note); err != nil {
			return err
		}
		if err := r.Store.SaveCredential(ctx, c); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "agent.credential_edit", "agent:"+c.Agent,
			audit.Details{"access_id": c.ID, "deprecated": c.Deprecated, "note": c.Note}))
	})
	return c, err
}

// DeleteCredential makes a credential useless.
func (r *Agents) DeleteCredential(ctx context.Context, id string) error {
	return r.Store.Transact(ctx, func(ctx context.Context) error {
		c, err := r.Store.Credential(ctx, id)
		if err != nil {
			return err
		}
		if err := r.Store.DeleteCredential(ctx, id); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "agent.credential_delete", "agent:"+c.Agent, audit.Details{"access_id": c.ID}))
	})
}

func (r *Agents) hash(key string) []byte { return r.Keys.MAC("agent-key", []byte(key)) }

// KeyHash is the keyed hash that the credential of an access key has; nil for what cannot be an access key.
func (r *Agents) KeyHash(key string) []byte {
	if len(key) != keyLength {
		return nil
	}
	return r.hash(key)
}

// ByHash returns the agent and the credential whose access key has that keyed hash; [fault.NotFound].
func (r *Agents) ByHash(ctx context.Context, hash []byte) (Agent, Credential, error) {
	c, err := r.Store.CredentialByHash(ctx, hash)
	if err != nil {
		return Agent{}, Credential{}, err
	}
	a, err := r.Store.Agent(ctx, c.Agent)
	return a, c, err
}

// ByID returns the agent and the credential of an access ID; [fault.NotFound].
func (r *Agents) ByID(ctx context.Context, id string) (Agent, Credential, error) {
	c, err := r.Store.Credential(ctx, id)
	if err != nil {
		return Agent{}, Credential{}, err
	}
	a, err := r.Store.Agent(ctx, c.Agent)
	return a, c, err
}

// SigningKey is the access key of an agent's credential, which the caller erases; [fault.NotFound] if requests may not be signed with it.
func (r *Agents) SigningKey(ctx context.Context, a Agent, c Credential) ([]byte, error) {
	switch {
	case a.HMAC == HMACOff:
		return nil, fault.New(fault.NotFound, "it may not sign its requests: 'tallystick agent edit %s --hmac allowed'", a.Name)
	case !c.Signs():
		return nil, fault.New(fault.NotFound, "its credential was made while HMAC was off: make a new one")
	}
	return r.Keys.Open(ctx, c.Sealed, seed.OfCredential(c.ID))
}

// check holds what every agent keeps to.
func (a Agent) check() error {
	switch {
	case !shown(a.Name, 1, 64):
		return fault.New(fault.Invalid, "the name of an agent takes 1 to 64 printable characters without blanks at its ends")
	case !shown(a.DisplayName, 0, 64):
		return fault.New(fault.Invalid, "a display name takes up to 64 printable characters without blanks at its ends")
	case a.HMAC != HMACOff && a.HMAC != HMACAllowed && a.HMAC != HMACRequired:
		return fault.New(fault.Invalid, "HMAC is off, allowed or required, not %q", string(a.HMAC))
	case len(a.Networks) > 64:
		return fault.New(fault.Invalid, "an agent takes up to 64 networks")
	}
	if err := checkMethods(a.Methods); err != nil {
		return err
	}
	for i, kind := range a.AlsoNamedBy {
		if !slices.Contains(NameKinds, kind) || slices.Contains(a.AlsoNamedBy[:i], kind) {
			return fault.New(fault.Invalid, "beside their IDs users are named by mail, and not by %q", kind)
		}
	}
	for _, n := range a.Networks {
		if !n.IsValid() || n != n.Masked() {
			return fault.New(fault.Invalid, "%s is no network: write 192.0.2.0/24, and the first address of the network", n)
		}
	}
	return checkNote(a.Note)
}

func checkMethods(methods []string) error {
	for i, m := range methods {
		if !slices.Contains(PasscodeMethods, m) || slices.Contains(methods[:i], m) {
			return fault.New(fault.Invalid, "an agent's methods are some of %s, each once, and not %q", strings.Join(PasscodeMethods, ", "), m)
		}
	}
	if len(methods) == 0 {
		return fault.New(fault.Invalid, "an agent needs a method: SECURID for most of them")
	}
	return nil
}

// Admits tells whether the agent may ask from an address.
func (a Agent) Admits(from netip.Addr) bool {
	for _, n := range a.Networks {
		if n.Contains(from) {
			return true
		}
	}
	return len(a.Networks) == 0
}

func (a Agent) details() audit.Details {
	return audit.Details{"retry": a.Retry, "display_name": a.DisplayName, "hmac": a.HMAC, "networks": a.Networks, "restriction": a.Restriction, "methods": a.Methods, "also_named_by": a.AlsoNamedBy, "note": a.Note}
}

// shown tells whether a text has so many characters, all of them printable, and no blanks at its ends.
func shown(s string, least, most int) bool {
	n := utf8.RuneCountInString(s)
	return n >= least && n <= most && utf8.ValidString(s) && s == strings.TrimSpace(s) &&
		strings.IndexFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) < 0
}

// maxNote is how many characters a note may have (spec/rest-authn-api.md section 2).
const maxNote = 1020

func checkNote(s string) error {
	if utf8.RuneCountInString(s) > maxNote || !utf8.ValidString(s) || strings.Contains(s, "\x00") {
		return fault.New(fault.Invalid, "a note takes up to %d characters", maxNote)
	}
	return nil
}
