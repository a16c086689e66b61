// Package transfer carries tokens from one deployment to another, with or
// without their users (spec/software-token-lifecycle.md section 5.3).
//
// A transfer is an age file (age-encryption.org/v1) to the public key of the
// target deployment ([Deployment.PublicKey]), of gzip of lines of JSON: a
// header, a line for each token (or for a token and its replacement, which go
// together), and a last line that says how many there were and has the source's
// signature (Ed25519) of all lines before it. Seeds are in the
// clear inside: only the target opens it.
//
// Carried: serial, seed and its generation, settings, dates, what is known of
// its clock, the codes that are used up, how it was distributed, and on demand
// its user. Not carried: PINs and emergency codes, whose hashes are keyed with
// a secret of the source (users set a new PIN), labels, activation codes, and
// the profile unless the target has an identical one of that name.
package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// Store is what a deployment needs of its database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// LockTokens returns those of the tokens that there are, by serial. Within a transaction they are locked for change.
	LockTokens(ctx context.Context, serials []string) ([]token.Token, error)
	// AddTokens stores new records, all or none.
	AddTokens(ctx context.Context, tokens []token.Token) error
	// KnownSeeds tells of seeds, by their fingerprints, the serial of the token that has or had each; new ones are left out.
	KnownSeeds(ctx context.Context, fingerprints [][]byte) (map[string]string, error)
	token.Homes
	// LockUsers returns those of the users that there are, by ID.
	LockUsers(ctx context.Context, ids []string) (map[string]user.User, error)
	// Profile returns a profile; [fault.ProfileNotFound].
	Profile(ctx context.Context, name string) (profile.Profile, error)
	// RecordAll keeps events, in the transaction of ctx.
	RecordAll(ctx context.Context, events []audit.Event) error
}

// Keyring is the deployment's: a seed.Keyring.
type Keyring interface {
	token.Keyring
	OpenSeed(ctx context.Context, s seed.Sealed, serial string, generation int) (seed.Seed, error)
	Secret(ctx context.Context, name string, fresh func() ([]byte, error)) ([]byte, error)
}

// A Deployment sends and receives tokens.
type Deployment struct {
	Store Store
	Keys  Keyring
	Users *user.Registry
	Jobs  *job.Registry
	Now   func() time.Time
}

// secretName is the name of the secret that opens what is sent here.
const secretName = "transfer"

// pair is the deployment's key pair in age's text forms. It is made when it is first asked for.
func (d *Deployment) pair(ctx context.Context) (p struct{ Private, Public string }, err error) {
	fresh := func() ([]byte, error) {
		p.Private, p.Public, err = backup.NewKey()
		if err != nil {
			return nil, err
		}
		return json.Marshal(p)
	}
	kept, err := d.Keys.Secret(ctx, secretName, fresh)
	if errors.Is(err, fault.Conflict) { // another server was first
		kept, err = d.Keys.Secret(ctx, secretName, fresh)
	}
	if err != nil {
		return p, err
	}
	defer clear(kept)
	err = json.Unmarshal(kept, &p)
	return p, err
}

// PublicKey is what others seal tokens for this deployment to: a public key of age.
func (d *Deployment) PublicKey(ctx context.Context) (string, error) {
	p, err := d.pair(ctx)
	return p.Public, err
}

// A header is the first line.
type header struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	MadeAt  time.Time `json:"made_at"`
	Users   bool      `json:"users"` // whether the tokens come with them
	From    string    `json:"from"`  // the source's SignerKey
	To      string    `json:"to"`    // the target's PublicKey
}

const (
	formatName    = "tallystick-transfer"
	formatVersion = 2 // 1 was not signed
	// MaxTokens is how many tokens one file carries.
	MaxTokens = 200_000
	// longestLine is that of a token with its replacement, and then some.
	longestLine = 64 << 10
)

// A line is one after the header.
type line struct {
	Tokens []carried `json:"tokens,omitempty"` // one, or one with its replacement
	End    *int      `json:"end,omitempty"`    // of all: how many lines with tokens there were
	// Signature is that of the source, in the last line.
	Signature []byte `json:"signature,omitempty"`
}

// A carried is a token on its way.
type carried struct {
	Serial     string         `json:"serial"`
	Origin     token.Origin   `json:"origin"`
	Hardware   bool           `json:"hardware,omitempty"`
	Seed       []byte         `json:"seed"`
	Generation int            `json:"generation"`
	Digits     int            `json:"digits"`
	Interval   int            `json:"interval"`
	PINType    device.PINType `json:"pin_type"`
	Birth      time.Time      `json:"birth,omitzero"`
	Expiry     time.Time      `json:"expiry"`
	Effective  time.Time      `json:"effective_expiry"`

	LastInterval int64     `json:"last_interval"` // codes up to it are used up
	Offset       int64     `json:"offset"`        // intervals that its clock is ahead
	Delivered    bool      `json:"delivered"`
	Tainted      bool      `json:"tainted"`
	Marked       bool      `json:"marked,omitempty"` // the source marks every seed that a former user holds, as releases do from migration 58 on
	LostAt       time.Time `json:"lost_at,omitzero"`
	MadeAt       time.Time `json:"made_at,omitzero"` // its seed: whether that was lost with the token
	Issues       int       `json:"issues"`

	// Of a token that comes with its user.
	User          *person            `json:"user,omitempty"`
	Enabled       bool               `json:"enabled,omitempty"`
	Distribution  token.Distribution `json:"distribution,omitempty"`
	Profile       string             `json:"profile,omitempty"`
	ProfileHash   string             `json:"profile_hash,omitempty"`
	Method        device.Method      `json:"method,omitempty"`
	DeviceID      string             `json:"device_id,omitempty"`
	Nickname      string             `json:"nickname,omitempty"`
	DistributedAt time.Time          `json:"distributed_at,omitzero"`
	ConfirmedAt   time.Time          `json:"confirmed_at,omitzero"`
	Replaces      string             `json:"replaces,omitempty"`
	ReplacedBy    string             `json:"replaced_by,omitempty"`
}

// Format hides the seed from every verb of package fmt.
func (c carried) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "token %s", c.Serial) }

// A person is a user on her way.
type person struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Mail    string     `json:"mail"`
	Enabled bool       `json:"enabled"`
	Expiry  *time.Time `json:"expiry,omitempty"` // the last day, nil for none
}

// hashOf tells profiles apart by what they do to a token: one that is the same here and there has the same.
func hashOf(p profile.Profile) string {
	p.Notes, p.CreatedAt, p.Version, p.SelfService = "", time.Time{}, 0, profile.SelfService{}
	text, _ := json.Marshal(p) // of texts, numbers and times
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
