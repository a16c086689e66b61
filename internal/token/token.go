// Package token is the token record and its states: made or imported,
// assigned, enabled, distributed, redistributed, expired
// (spec/software-token-lifecycle.md sections 3 and 6).
//
// A [Token] always has a seed: that of its current [Generation]. While a
// redistribution waits for its switch-over there is a second, pending one.
// The rules are methods of Token and change it in memory; a [Registry], or a
// verb such as distribution, runs them inside one transaction of the store.
package token

import (
	"cmp"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

// Settings are what the app and the server must agree on to show and to check codes.
type Settings struct {
	Digits   int // 6 or 8
	Interval int // seconds, 30 or 60
	PINType  device.PINType
}

// Factory are the settings of a token that no profile has shaped yet (section 3).
var Factory = Settings{Digits: 8, Interval: 60, PINType: device.PINPad}

// A Generation is one seed of a token with its settings and its replay guard.
type Generation struct {
	Number int // 1 for the first; grows whenever a seed that may have left the house is superseded
	Sealed seed.Sealed
	// Fingerprint is a keyed hash of the seed: no two generations of the deployment may share one.
	Fingerprint []byte
	Settings    Settings
	MadeAt      time.Time
	// Delivered says that the seed has left the server, or came from outside.
	Delivered bool
	Clock
}

// A Clock is the replay guard of a generation and what is known of its token's clock. Intervals are t div interval, since 1970.
type Clock struct {
	LastInterval int64     // of the last code that was used; Unused before the first
	Offset       int64     // intervals the token's clock is ahead of the server's
	BadPasscodes int       // in a row
	LastUsedAt   time.Time // of the last success, resynchronisation or right next tokencode; zero before the first
	LastAgent    string    // who was told of the last success; "" before the first, and once a resynchronisation or next tokencode came after it
	Accepted     string    // the requests whose codes were accepted lately, as package authentication marks them
}

// A Keyring seals seeds and makes keyed hashes: a seed.Keyring.
type Keyring interface {
	SealSeed(s seed.Seed, serial string, generation int) (seed.Sealed, error)
	MAC(purpose string, parts ...[]byte) []byte
}

// NewGeneration seals a seed as a generation of a serial that no code was
// accepted of yet.
func NewGeneration(keys Keyring, serial string, number int, s seed.Seed, settings Settings, now time.Time) (Generation, error) {
	sealed, err := keys.SealSeed(s, serial, number)
	if err != nil {
		return Generation{}, err
	}
	raw := s.Reveal()
	defer clear(raw)
	return Generation{
		Number: number, Sealed: sealed, Fingerprint: keys.MAC("seed", raw), Settings: settings,
		MadeAt: now.UTC(), Clock: Clock{LastInterval: Unused},
	}, nil
}

// Unused is the LastInterval of a generation no code of which was accepted yet.
// It lies before every interval of a four-digit year.
const Unused = int64(-1) << 40

// A Distribution state says how far the delivery of a token has come.
type Distribution string

// The distribution states. A PendingActivation whose code has expired, was
// revoked or locked is shown as ActivationLapsed.
const (
	NotDistributed    Distribution = "not_distributed"
	Issued            Distribution = "issued"             // handed out, not seen yet
	PendingActivation Distribution = "pending_activation" // activation code live
	ActivationLapsed  Distribution = "activation_lapsed"
	Confirmed         Distribution = "confirmed"
)

// An Origin says where a record came from.
type Origin string

// The origins.
const (
	Generated Origin = "generated" // made by this server
	Imported  Origin = "imported"  // came in a token file
)

// A PIN is what the server keeps of a token's PIN.
type PIN struct {
	Hash   []byte // keyed; nil while no PIN is set
	Length int    // characters
	SetAt  time.Time
	// MustChange says that the next right passcode begins with a new PIN: this one is temporary, or a new one was asked for.
	MustChange bool
	// History holds the hashes of earlier PINs (package pin); it goes with the user.
	History []byte
	// Serial is the one that the hashes are bound to if it is not the token's own: that of the token which this one
	// replaced, and which the PIN was carried over from.
	Serial string
}

// IsSet tells whether the token has a PIN.
func (p PIN) IsSet() bool { return len(p.Hash) > 0 }

// Past are the hashes of the PINs that may not be taken again, the present one first: that one alone where the policy kept none when it was set.
func (p PIN) Past() []byte {
	if len(p.History) == 0 {
		return p.Hash
	}
	return p.History
}

// Cleared is no PIN, with the history of the one that was.
func (p PIN) Cleared() PIN { return PIN{History: p.Past(), Serial: p.Serial} }

// A Token is the server's record of one token. Times are UTC; dates
// are their 00:00, and expiry dates are the last valid day.
type Token struct {
	Serial string // 12 digits
	Origin Origin
	// Hardware says that the token is a device of its own, with its seed inside: it is not distributed, redistributed or extended.
	Hardware bool
	Birth    time.Time // first valid day; zero if not said
	// Expiry is the last valid day that the device knows; EffectiveExpiry is the server's.
	Expiry, EffectiveExpiry time.Time

	UserID     string // "" while unassigned
	AssignedAt time.Time
	AssignedBy string
	Enabled    bool
	PIN        PIN

	Current Generation
	Pending *Generation // of a redistribution that switches over on activation; nil if none
	// PendingUntil is when the current generation gives way to the pending one at the latest.
	PendingUntil time.Time
	// LastNumber is the highest generation number ever announced.
	LastNumber int
	// Tainted: the seed was in a former user's hands and must not be delivered again.
	Tainted bool

	Distribution  Distribution
	Profile       string // of the last distribution
	Method        device.Method
	DeviceID      string
	Nickname      string
	DistributedAt time.Time
	DeliveredBy   string // ID of the job that delivered it last, or the correlation ID of a single delivery; "" if none did
	ConfirmedAt   time.Time
	IssueCount    int // ever
	// IssuesForgiven are those that the issue limit is not about: from before an administrator last reset the count, and activation codes that nobody used.
	IssuesForgiven int

	// ExtensionCount is how often the lifetime was extended, and ExtendedBy the serial of the record that the last extension
	// consumed; "" if none was.
	ExtensionCount int
	ExtendedBy     string

	// LostAt is when the token was said to be lost; zero if it is not. Emergency is the access without it, nil if none.
	LostAt    time.Time
	Emergency *Emergency
	// Replaces is the serial of the token that this one takes over from at its first use, and ReplacedBy of the one that
	// takes over from this one; "" if none.
	Replaces, ReplacedBy string

	Domain    string // security domain
	CreatedAt time.Time
	Version   int // grows with every change
}

// The types of tokens (section 2), as they are named.
const (
	Software = "software"
	Hardware = "hardware"
)

// Type is the type of the token, by its name.
func (t *Token) Type() string {
	if t.Hardware {
		return Hardware
	}
	return Software
}

// PINSerial is the serial that the hashes of the token's PINs are bound to.
func (t *Token) PINSerial() string { return cmp.Or(t.PIN.Serial, t.Serial) }

// CheckSerial refuses what is no serial number of 12 decimal digits.
func CheckSerial(serial string) error {
	if len(serial) != 12 || strings.Trim(serial, "0123456789") != "" {
		return fault.New(fault.Invalid, "%q is no serial number: it takes 12 decimal digits", serial)
	}
	return nil
}

// ExpiredAt tells whether the token's last valid day is over at t.
func (t *Token) ExpiredAt(now time.Time) bool {
	return !now.Before(t.EffectiveExpiry.AddDate(0, 0, 1))
}

// endsWithin tells whether the last valid day is today or so many days later at the latest.
func (t *Token) endsWithin(now time.Time, days int) bool {
	return t.ExpiredAt(now.AddDate(0, 0, days+1))
}

// ValidAt tells whether t lies between the token's first and last valid day.
func (t *Token) ValidAt(now time.Time) bool {
	return !now.Before(t.Birth) && !t.ExpiredAt(now)
}

// Assign gives an unassigned token to a user and enables it (section 6).
func (t *Token) Assign(userID, by string, now time.Time) error {
	if t.UserID != "" {
		return fault.New(fault.TokenAssigned, "token %s already belongs to %s: unassign it first", t.Serial, t.UserID)
	}
	if t.ExpiredAt(now) {
		return fault.New(fault.TokenExpired, "token %s expired on %s", t.Serial, t.EffectiveExpiry.Format(time.DateOnly))
	}
	t.UserID, t.AssignedAt, t.AssignedBy = userID, now.UTC(), by
	t.Enabled, t.PIN = true, PIN{}
	t.Forgive()
	return nil
}

// Missed counts a wrong passcode against each seed that the token may have: it was meant for one of them.
func (t *Token) Missed() { t.eachSeed(func(g *Generation) { g.BadPasscodes++ }) }

// Forgive forgets the wrong passcodes, and tells whether there were any.
func (t *Token) Forgive() (were bool) {
	t.eachSeed(func(g *Generation) {
		were = were || g.BadPasscodes > 0
		g.BadPasscodes = 0
	})
	return were
}

// Unassign takes the token from its user. A seed that was delivered is
// tainted: the next distribution replaces it; a hardware token shows its seed to nobody. One that is lost stays so. The caller revokes activation codes.
func (t *Token) Unassign() error {
	if t.UserID == "" {
		return fault.New(fault.TokenNotAssigned, "token %s belongs to nobody", t.Serial)
	}
	t.UserID, t.AssignedAt, t.AssignedBy = "", time.Time{}, ""
	t.Enabled, t.PIN, t.Emergency = false, PIN{}, nil
	t.Replaces, t.ReplacedBy = "", ""
	tainted := t.Tainted
	t.SwitchOver() // what was handed out last is what the former user may hold; it takes the mark away, which comes after it therefore
	t.Tainted = tainted || !t.Hardware && t.Current.Delivered
	t.GiveUpCode()
	t.Distribution, t.Profile, t.Method = NotDistributed, "", ""
	t.DeviceID, t.Nickname = "", ""
	t.DistributedAt, t.ConfirmedAt, t.DeliveredBy = time.Time{}, time.Time{}, ""
	return nil
}

// Shape gives the current generation other settings: those of a profile, before its seed is first delivered, or of a file that brings the seed again. In that case its
// clock counts in other intervals, perhaps, and is for the caller to save.
func (t *Token) Shape(s Settings) {
	t.keepPIN(s)
	t.Current.recount(t.Current.Settings.Interval, s.Interval)
	t.Current.Settings = s
}

// recount has a clock count in intervals of another length. By both a seed shows the same four codes in every second block of two minutes, the longer ones up to two minutes
// later (spec/securid-tokencode.md section 3): all codes of the four minutes in which one was used last count as used.
func (c *Clock) recount(was, is int) {
	const block = 240
	if was == is || c.LastInterval == Unused {
		return
	}
	c.LastInterval = (c.LastInterval*int64(was)/block+1)*block/int64(is) - 1
	c.Offset = nearest(int(c.Offset)*was, is)
}

// Replace makes g, which is new, the current generation at once; the old seed and a pending one are gone. The requests that codes of the old one answered stay known.
func (t *Token) Replace(g Generation) { t.take(t.sinceLoss(g)) }

func (t *Token) take(g Generation) {
	g.Accepted += t.Current.Accepted
	t.keepPIN(g.Settings)
	t.Current, t.Pending, t.PendingUntil, t.Tainted = g, nil, time.Time{}, false
	t.LastNumber = max(t.LastNumber, g.Number)
}

// Await makes g, which is new, the pending generation: the current one works until g is
// proven, or until the given time at the latest.
func (t *Token) Await(g Generation, until time.Time) {
	g = t.sinceLoss(g)
	t.Pending, t.PendingUntil = &g, until.UTC()
	t.LastNumber = max(t.LastNumber, g.Number)
}

// SwitchOver makes the pending generation the current one and tells whether there was one.
func (t *Token) SwitchOver() bool {
	if t.Pending == nil {
		return false
	}
	t.take(*t.Pending)
	return true
}

// SwitchOverIfDue switches over when the grace of the current generation has
// ended at now, and tells whether it did.
func (t *Token) SwitchOverIfDue(now time.Time) bool {
	return t.Pending != nil && !now.Before(t.PendingUntil) && t.SwitchOver()
}

// GraceEnded are the details of the event that a switch-over was due.
func (t *Token) GraceEnded() audit.Details {
	return audit.Details{"user": t.UserID, "generation": t.Current.Number, "because": "grace ended"}
}

// keepPIN clears the PIN where the new settings have no use for it.
func (t *Token) keepPIN(next Settings) {
	if !t.PIN.fits(t.Current.Settings.PINType, next) {
		t.PIN = t.PIN.Cleared()
	}
}

// Next is the number of the generation that a new seed gets. A current seed
// that never left the house gives way under its own number, unless a higher
// one was announced or again is true: a redistribution always counts up.
func (t *Token) Next(again bool) int {
	if !again && !t.Current.Delivered && t.LastNumber == t.Current.Number {
		return t.Current.Number
	}
	return t.LastNumber + 1
}

// DistributionAt is the distribution state at now, given when the token's open
// activation code expires (zero if it has none).
func (t *Token) DistributionAt(now, codeExpires time.Time) Distribution {
	if t.Distribution == PendingActivation && !now.Before(codeExpires) {
		return ActivationLapsed
	}
	return t.Distribution
}

// A Situation is what the summary of a token depends on beside its record.
type Situation struct {
	Now           time.Time
	CodeExpires   time.Time // of the token's open activation code; zero if it has none
	UserLocked    bool
	NewPIN        bool // the next right passcode begins with a new PIN
	NextTokencode bool // and is followed by the next tokencode
	WarnDays      int  // before its last valid day, from which on a token is expiring
}

// IssuesCounted is how often the token was issued since an administrator last reset the count, with the activation code that is not used yet.
func (t *Token) IssuesCounted() int { return t.IssueCount - t.IssuesForgiven }

// Unanswered tells whether what was handed out last is an activation code that nobody used.
func (t *Token) Unanswered() bool {
	return t.Distribution == PendingActivation || t.Distribution == ActivationLapsed
}

// GiveUpCode forgives an activation code that nobody used, and that ends: no seed was issued by it. What comes next gives the token another distribution
// state, so that it is forgiven once.
func (t *Token) GiveUpCode() {
	if t.Unanswered() && t.IssuesCounted() > 0 {
		t.IssuesForgiven++
	}
}

// EndCode notes that the activation code which was open can be used no more. An old seed that was to give way to the one of that code stays.
func (t *Token) EndCode() {
	if t.Distribution != PendingActivation {
		return
	}
	t.Distribution = ActivationLapsed
	if t.Pending != nil && !t.Pending.Delivered {
		t.Pending, t.PendingUntil = nil, time.Time{}
	}
}

// Summary is the one word that describes the token (section 3.1; first match wins).
func (t *Token) Summary(s Situation) string {
	d := t.DistributionAt(s.Now, s.CodeExpires)
	switch {
	case t.UserID == "":
		return "unassigned"
	case t.ExpiredAt(s.Now):
		return "expired"
	case !t.Enabled:
		return "disabled"
	case t.Lost():
		return "lost"
	case s.UserLocked:
		return "user_locked"
	case d == PendingActivation, d == ActivationLapsed, d == Issued:
		return string(d)
	case s.NewPIN:
		return "new_pin"
	case s.NextTokencode:
		return "next_tokencode"
	case t.Replaces != "":
		return "replacement"
	case t.endsWithin(s.Now, s.WarnDays):
		return "expiring"
	}
	return "active"
}
