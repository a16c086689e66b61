// Package access says who may do what: roles with their rights, and the API
// keys that act in a role (spec/software-token-lifecycle.md section 15); the
// agents that ask through the SecurID Authentication API, with their
// credentials (spec/rest-authn-api.md section 2); and the clients that ask
// over RADIUS, with their shared secrets (spec/radius.md section 1).
package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// A Right is one thing somebody may do.
type Right string

// The rights.
const (
	Read           Right = "read"         // users, devices, profiles, tokens without secrets
	ManageUsers    Right = "manage_users" // add, edit, delete users
	ManageProfiles Right = "manage_profiles"
	ManagePolicies Right = "manage_policies" // for tokens and lockout
	ManageTokens   Right = "manage_tokens"   // create, import, assign, unassign, delete
	CareTokens     Right = "care_tokens"     // unlock users; enable, disable, resynchronise, PINs, loss
	ViewActivity   Right = "view_activity"   // when and why users were let in or not
	Distribute     Right = "distribute"      // first deliveries
	Redistribute   Right = "redistribute"    // new seeds for delivered tokens
	ViewDeliveries Right = "view_deliveries" // what jobs delivered: files, codes, passwords
	Authenticate   Right = "authenticate"    // ask whether a passcode is right
	ReadAudit      Right = "read_audit"
	ExportTokens   Right = "export_tokens" // with their seeds, to another deployment
	ReadChanges    Right = "read_changes"  // what happened, for programs that react to it
	ManageWebhooks Right = "manage_webhooks"
	ManageMail     Right = "manage_mail"        // how mail is sent, and what it says
	ManageReports  Right = "manage_reports"     // have reports made beside requests and by schedules, and delete them
	ManageKeys     Right = "manage_keys"        // API keys and data keys
	ManageSources  Right = "manage_directories" // that people come from, with their passwords
	ManageDomains  Right = "manage_domains"     // add, edit, delete security domains; move objects between them
	ApproveJobs    Right = "approve_jobs"       // that others started
	Operate        Right = "operate"            // the servers: their clocks, backups
	ManageAgents   Right = "manage_agents"      // the programs and RADIUS clients that ask for authentication
)

// A Role is a named set of rights.
type Role string

// The roles.
const (
	SuperAdmin         Role = "super_admin"
	TokenAdmin         Role = "token_admin"
	HelpDesk           Role = "help_desk"
	PrivilegedHelpDesk Role = "privileged_help_desk"
	Auditor            Role = "auditor"
	Operator           Role = "operator"
	AgentRole          Role = "agent"         // a program that asks for authentication
	ChangeReader       Role = "change_reader" // a program that reacts to changes
)

var rights = map[Role][]Right{
	SuperAdmin:         {Read, ManageUsers, ManageProfiles, ManagePolicies, ManageTokens, CareTokens, ViewActivity, Distribute, Redistribute, ViewDeliveries, Authenticate, ReadAudit, ReadChanges, ManageWebhooks, ManageMail, ManageReports, ManageKeys, ManageAgents, ManageDomains, ManageSources, ExportTokens, ApproveJobs, Operate},
	TokenAdmin:         {Read, ManageUsers, ManageTokens, CareTokens, ViewActivity, Distribute, Redistribute, ViewDeliveries, ManageReports, ApproveJobs},
	HelpDesk:           {Read, CareTokens, ViewActivity},
	PrivilegedHelpDesk: {Read, CareTokens, ViewActivity, Redistribute},
	Auditor:            {Read, ViewActivity, ReadAudit, ReadChanges, ManageReports},
	Operator:           {ManageKeys, Operate},
	AgentRole:          {Authenticate},
	ChangeReader:       {ReadChanges},
}

// Roles lists the roles by name.
func Roles() []Role {
	var all []Role
	for r := range rights {
		all = append(all, r)
	}
	slices.Sort(all)
	return all
}

// May tells whether the role has the right.
func (r Role) May(want Right) bool { return slices.Contains(rights[r], want) }

// Refuse is the refusal of what takes a right that a role does not have: it says which roles do, so that whoever reads it knows whom to ask.
func (r Role) Refuse(want Right) error {
	var who []string
	for _, other := range Roles() {
		if other.May(want) {
			who = append(who, string(other))
		}
	}
	return fault.New(fault.Forbidden, "role %s may not do this: it takes the right %s, which goes with %s", r, want, strings.Join(who, ", "))
}

// Rights lists what the role may do.
func (r Role) Rights() []Right { return slices.Clone(rights[r]) }

// A Key lets a program use the API in a role. Its secret is shown once and
// kept only as a keyed hash.
type Key struct {
	ID   string // 16 hexadecimal digits; the public part of the key
	Name string
	Role Role
	// Origin is the ID of the key that it goes back to: that of the key which made it, and its own if it was made over the admin socket. Keys
	// of one origin may all be in one hand, whatever became of those between.
	Origin    string
	Domain    string // security domain that it is limited to, with all below; domain.Root for the whole deployment
	Hash      []byte
	CreatedAt time.Time
	ExpiresAt time.Time // zero for never
}

// Store is what the registry needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// APIKey returns a key by ID; [fault.NotFound].
	APIKey(ctx context.Context, id string) (Key, error)
	// APIKeys lists the keys by name.
	APIKeys(ctx context.Context) ([]Key, error)
	// AddAPIKey stores a new key; [fault.Conflict] if the name is taken.
	AddAPIKey(ctx context.Context, k Key) error
	// DeleteAPIKey removes a key by name, and returns what it was; [fault.NotFound].
	DeleteAPIKey(ctx context.Context, name string) (Key, error)
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// A Hasher makes keyed hashes: a seed.Keyring.
type Hasher interface {
	MAC(purpose string, parts ...[]byte) []byte
}

// A Registry keeps the deployment's API keys.
type Registry struct {
	Store Store
	Hash  Hasher
	Now   func() time.Time
}

// keyPrefix starts every API key, so that scanners for leaked secrets find them.
const keyPrefix = "tsk_"

// Add makes a key and returns it with the secret text that its user sends;
// the text is not kept and cannot be shown again. life 0 means for ever. A role with a right that whoever makes the key does not
// have is refused, and so is a life beyond the end of a key that makes it: [fault.Forbidden].
func (r *Registry) Add(ctx context.Context, name string, role Role, life time.Duration) (Key, string, error) {
	if !shown(name, 1, 64) {
		return Key{}, "", fault.New(fault.Invalid, "the name of an API key takes 1 to 64 printable characters without blanks at its ends")
	}
	if rights[role] == nil {
		return Key{}, "", fault.New(fault.Invalid, "no role %q: take one of %v", role, Roles())
	}
	if err := mayHandle(ctx, "make", role); err != nil {
		return Key{}, "", err
	}
	if life < 0 {
		return Key{}, "", fault.New(fault.Invalid, "an API key cannot have expired already")
	}
	raw := make([]byte, 8+32)
	rand.Read(raw)
	id, secret := hex.EncodeToString(raw[:8]), base64.RawURLEncoding.EncodeToString(raw[8:])
	k := Key{ID: id, Name: name, Role: role, Domain: domain.ScopeFrom(ctx).Top(), Hash: r.Hash.MAC("api-key", []byte(id), []byte(secret)), CreatedAt: r.Now().UTC()}
	if k.Origin = audit.ActorFrom(ctx).Origin; k.Origin == "" {
		k.Origin = id
	}
	if life > 0 {
		k.ExpiresAt = k.CreatedAt.Add(life)
	}
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		if err := r.outlives(ctx, k); err != nil {
			return err
		}
		if err := r.Store.AddAPIKey(ctx, k); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "admin.key_add", "api_key:"+name, audit.Details{"role": role, "domain": domain.Show(k.Domain)}))
	})
	return k, keyPrefix + id + "_" + secret, err
}

// outlives refuses a key that would last longer than the one that makes it: the end of that one would end nothing.
func (r *Registry) outlives(ctx context.Context, k Key) error {
	by := audit.ActorFrom(ctx).KeyID
	if by == "" {
		return nil
	}
	maker, err := r.Store.APIKey(ctx, by)
	if fault.CodeOf(err) == fault.NotFound { // deleted since the request came
		return errKey
	}
	if err != nil || maker.ExpiresAt.IsZero() || !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(maker.ExpiresAt) {
		return err
	}
	left := int64(maker.ExpiresAt.Sub(k.CreatedAt) / time.Second)
	return fault.New(fault.Forbidden, "your own API key ends at %s, and one that it makes may not last longer: give it a life of %ds or less, or have a key without an end make it",
		maker.ExpiresAt.UTC().Format(time.RFC3339), left)
}

// mayHandle refuses to who acts in ctx what he wants to do with a key of a role that has a right which he does not have: the right to make keys
// would be all rights, and whoever deletes keys could shut out those who watch him.
func mayHandle(ctx context.Context, what string, role Role) error {
	by := Role(audit.ActorFrom(ctx).Role)
	if rights[by] == nil {
		return nil
	}
	for _, want := range rights[role] {
		if !by.May(want) {
			return fault.New(fault.Forbidden, "role %s may not %s a key of the role %s, which has rights that it does not have, such as %s", by, what, role, want)
		}
	}
	return nil
}

// List returns the keys by name.
func (r *Registry) List(ctx context.Context) ([]Key, error) { return r.Store.APIKeys(ctx) }

// Delete makes a key useless from now on. One of a role with a right that whoever deletes it does not have is refused: [fault.Forbidden].
func (r *Registry) Delete(ctx context.Context, name string) error {
	return r.Store.Transact(ctx, func(ctx context.Context) error {
		k, err := r.Store.DeleteAPIKey(ctx, name)
		if err != nil {
			return err
		}
		if err := mayHandle(ctx, "delete", k.Role); err != nil { // which undoes it
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "admin.key_delete", "api_key:"+name, nil))
	})
}

var errKey = fault.New(fault.Unauthorized, "this API key is not known or no longer valid: ask an administrator for a new one")

// Check returns the key that a secret text belongs to. Every refusal is the
// same [fault.Unauthorized].
func (r *Registry) Check(ctx context.Context, text string) (Key, error) {
	rest, ours := strings.CutPrefix(text, keyPrefix)
	id, secret, whole := strings.Cut(rest, "_")
	if !ours || !whole || len(id) != 16 || len(secret) != 43 {
		return Key{}, errKey
	}
	k, err := r.Store.APIKey(ctx, id)
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		return Key{}, err
	}
	right := subtle.ConstantTimeCompare(k.Hash, r.Hash.MAC("api-key", []byte(id), []byte(secret))) == 1
	if !right || k.expiredAt(r.Now()) {
		return Key{}, errKey
	}
	return k, nil
}

func (k Key) expiredAt(t time.Time) bool { return !k.ExpiresAt.IsZero() && !t.Before(k.ExpiresAt) }

// Still refuses who acts in ctx once the API key that was checked for that is deleted or has expired, as Check would: [fault.Unauthorized].
func (r *Registry) Still(ctx context.Context) error {
	by := audit.ActorFrom(ctx).KeyID
	if by == "" {
		return nil
	}
	k, err := r.Store.APIKey(ctx, by)
	if fault.CodeOf(err) == fault.NotFound || err == nil && k.expiredAt(r.Now()) {
		return errKey
	}
	return err
}
