// Package distribution gives tokens out of the house: by token file, by
// compressed string, or by activation code for dynamic provisioning; the first
// time, or again with a new seed (spec/software-token-lifecycle.md sections 7 and 8).
//
// [Distributor.Distribute] and [Distributor.Redistribute] change the token, build the
// delivery, open it again as an app would ([Distributor.prove]) and only then
// commit, so that what leaves is what the server will check. A dynamic delivery
// is a link and an activation code; the seed comes into being later, in
// [Distributor.Begin] and [Distributor.Finish].
package distribution

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/throttle"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// A Reason says why a token is redistributed (section 8 rule 9).
type Reason string

// The reasons. Other takes a note in words.
const (
	Compromised      Reason = "COMPROMISED"
	LostDevice       Reason = "LOST_DEVICE"
	NewDevice        Reason = "NEW_DEVICE"
	ChangeAttributes Reason = "CHANGE_ATTRIBUTES"
	NotReceived      Reason = "NOT_RECEIVED"
	Other            Reason = "OTHER"
)

// Reasons lists the reasons.
func Reasons() []Reason {
	return []Reason{Compromised, LostDevice, NewDevice, ChangeAttributes, NotReceived, Other}
}

// A Request says how one token is to be delivered.
type Request struct {
	Serial     string
	Profile    string
	Password   string             // of a file or string; "" for none
	Protection profile.Protection // "" for the profile's
	DeviceID   string             // binds the delivery to one device; "" for the profile's binding, and where that wants an ID the one that is known
	Nickname   string             // name of the token in the app; files only
	SwitchOver profile.SwitchOver // "" for the profile's
	Grace      time.Duration      // of the old seed, for a switch-over on activation; below 0 for the profile's

	individual bool // a password is made for it
	mailed     bool // it goes to the user's address
	sameDevice bool // the device ID that is known holds, whatever the reason

	seen  *token.Seen          // the token when its job was made; nil where nobody looked
	while []token.Distribution // Bulk.While
}

// A Delivery is what is handed to the user, who needs nothing else but the
// password. It holds the seed or the right to make one: it is as secret as they are.
type Delivery struct {
	Serial     string
	Job        string // names the run; the correlation ID of its events
	Generation int    // of the seed that was, or will be, delivered
	Method     device.Method

	FileName string // of a token file: <user>_<serial>.sdtid
	File     []byte

	CTF    string // the bare digits; "" for strings that exist in URLs only
	CTFURL string

	CTKIPURL          string // to be typed together with the code
	Link              string // opens the app with both, in the form that the profile wants
	ActivationCode    string
	ActivationExpires time.Time

	QR string // the text that a QR code of this delivery holds; "" for files, and for apps that read none

	// For messages to the user.
	Again      bool   // this user has had the token before
	Locked     bool   // a password is needed, and not only the user ID
	Lock       string // what is typed to open it: the password, the user ID, or the one and behind it the other; "" for nothing
	Profile    string
	DeviceType string
	Nickname   string
	Expiry     time.Time

	SwitchOver profile.SwitchOver
	OldUntil   time.Time // when a still valid old seed stops at the latest; zero if none is left
	Warnings   []string  // for the administrator
}

// A Keyring seals and opens secrets and makes keyed hashes: a seed.Keyring.
type Keyring interface {
	token.Keyring
	OpenSeed(ctx context.Context, s seed.Sealed, serial string, generation int) (seed.Seed, error)
	Seal(secret []byte, b seed.Binding) (seed.Sealed, error)
	Open(ctx context.Context, s seed.Sealed, b seed.Binding) ([]byte, error)
	Secret(ctx context.Context, name string, fresh func() ([]byte, error)) ([]byte, error)
	DropSecret(ctx context.Context, name string) error
}

// A Distributor delivers tokens.
type Distributor struct {
	Store   Store
	Devices Devices
	Keys    Keyring
	Now     func() time.Time
	// Endpoint is the public https URL of the dynamic provisioning service, as apps reach it.
	Endpoint string
	// OwnAuthority says that nobody but the server vouches for the certificate of Endpoint.
	OwnAuthority bool
	// Post takes the deliveries of jobs that go by mail.
	Post Post
	// Service is the name under which apps show who issued the token.
	Service string

	signer signerCache
	server serverKeys

	unknown throttle.Sample // activation codes that do not exist
}

// Distribute delivers an assigned token. A token that was delivered before gets a new seed, as if
// redistributed with reason [Other].
func (d *Distributor) Distribute(ctx context.Context, r Request) (Delivery, error) {
	return d.issue(ctx, r, "", "")
}

// Redistribute delivers a token again, always with a new seed; the profile
// may differ from the last one in everything. note is the text of reason [Other].
// One that was never delivered, or offered, is refused with [fault.NotDistributed].
func (d *Distributor) Redistribute(ctx context.Context, r Request, reason Reason, note string) (Delivery, error) {
	if err := reason.check(note); err != nil {
		return Delivery{}, err
	}
	return d.issue(ctx, r, reason, note)
}

func (r Reason) check(note string) error {
	for _, known := range Reasons() {
		if r == known {
			if r == Other && note == "" {
				return fault.New(fault.ReasonRequired, "reason OTHER takes a note that says why")
			}
			if len(note) > 1024 {
				return fault.New(fault.Invalid, "a note takes up to 1024 bytes")
			}
			return nil
		}
	}
	return fault.New(fault.ReasonRequired, "say why the token is redistributed: one of %v", Reasons())
}

// Revoke ends the open activation code of a token and returns how many there were (0 or 1). An old seed that was to give
// way to the one of that code stays, unless its grace is over.
func (d *Distributor) Revoke(ctx context.Context, serial string) (int, error) {
	revoked := 0
	err := d.Store.Transact(ctx, func(ctx context.Context) error {
		t, err := d.Store.Token(ctx, serial)
		if err != nil {
			return err
		}
		if err := token.CheckHolder(ctx, d.Store, t); err != nil {
			return err
		}
		if revoked, err = d.Store.RevokeOffers(ctx, serial); err != nil || revoked == 0 {
			return err
		}
		if err := token.EndGrace(ctx, d.Store, &t, d.Now()); err != nil { // what has ended does not come back
			return err
		}
		t.EndCode()
		if err := d.Store.SaveToken(ctx, t); err != nil {
			return err
		}
		return d.Store.Record(ctx, audit.New(ctx, d.Now(), "dist.revoke", "token:"+serial, audit.Details{"user": t.UserID}))
	})
	return revoked, err
}

// An issue is one delivery in the making. What it does is in memory, until [Distributor.issueAll] stores it.
type issue struct {
	Request
	run
	token   token.Token
	user    user.User
	lock    string // the password that the delivery is locked with
	secret  bool   // that is one which only its user is told, and not her ID
	binding string // device ID or class GUID that it is bound to
	seed    seed.Seed
	offered *Offer        // of a dynamic delivery
	ended   audit.Details // of the redistribution before, whose grace was over; nil for none
	out     Delivery
}

// A run is what the deliveries of one transaction have in common.
type run struct {
	now     time.Time
	job     string
	reason  Reason // "" for a first delivery
	note    string
	many    bool // token files go without the deployment's signature
	profile profile.Profile
	device  device.Definition
	house   policy.Settings
}

func (d *Distributor) issue(ctx context.Context, r Request, reason Reason, note string) (Delivery, error) {
	job := uuid.Must(uuid.NewV7()).String()
	ctx = audit.WithCorrelation(ctx, job)
	// Keys are made outside the transaction: an RSA key takes longer than others should wait.
	if err := d.Prepare(ctx); err != nil {
		return Delivery{}, err
	}
	var made []Made
	err := d.Store.Transact(ctx, func(ctx context.Context) (err error) {
		made, err = d.issueAll(ctx, run{now: d.Now().UTC(), job: job, reason: reason, note: note}, []Request{r})
		if err != nil {
			return err
		}
		return made[0].Err
	})
	if err != nil {
		return Delivery{}, err
	}
	return made[0].Delivery, nil
}

// load settles who and what the delivery is about.
func (i *issue) load(of holdings) error {
	if i.token.Hardware {
		return fault.New(fault.NotSoftware, "token %s is a hardware token, with its seed inside: hand it over as it is", i.Serial)
	}
	if i.token.UserID == "" {
		return fault.New(fault.TokenNotAssigned, "token %s belongs to nobody: assign it first", i.Serial)
	}
	// Whoever may deliver tokens again may not deliver any to a user for the first time. One that was imported may be in use without.
	if t := &i.token; i.reason != "" && t.Distribution == token.NotDistributed && !i.inUse() {
		return fault.New(fault.NotDistributed, "token %s was never delivered to its user: use 'token distribute', which takes the right distribute", i.Serial)
	}
	if i.token.SwitchOverIfDue(i.now) {
		i.ended = i.token.GraceEnded()
	}
	if i.reason == "" && i.again() {
		i.reason, i.note = Other, distributedAgain
	}
	return i.check(of)
}

// distributedAgain is the note of a distribution of what was delivered before.
const distributedAgain = "distributed again"

// again tells whether the token was delivered before. An activation code that nobody used delivered nothing.
func (i *issue) again() bool {
	t := &i.token
	return t.IssueCount > 0 && (!t.Unanswered() || i.profile.Method != device.CTKIP)
}

// inUse tells whether the user has used the token since she holds it: she has it in her app, wherever it came from. What a former user had is not hers.
func (i *issue) inUse() bool { return i.token.Current.LastUsedAt.After(i.token.AssignedAt) }

// newSeed tells whether the delivery brings a seed of its own: all do but the first one of the seed that the token has, unless that was lost, or is in use
// in another form.
func (i *issue) newSeed() bool {
	t := &i.token
	// A seed that was used counts its codes in intervals: in those of another length all of them would be used up for decades, or used ones be good again.
	recounted := t.Current.LastInterval != token.Unused && t.Current.Settings.Interval != i.settings().Interval
	// And her app goes on showing it as it was imported: it does not take the same seed again.
	reshaped := i.inUse() && i.shown(t.Current.Settings) != i.shown(i.settings())
	return i.profile.Method == device.CTKIP || i.reason != "" || t.Tainted || t.LostWith(&t.Current) || t.IssueCount > 0 || recounted || reshaped
}

// shown are the settings that an app shows codes by: it knows of no PIN but one that it takes, and of none where the deployment has none.
func (i *issue) shown(s token.Settings) token.Settings {
	if s.PINType != device.PINPad || i.house.NoPINs {
		s.PINType = device.NoPIN
	}
	return s
}

// prepare gives the token its seed and settings.
func (d *Distributor) prepare(ctx context.Context, i *issue) error {
	i.out = Delivery{Serial: i.Serial, Job: i.job, Method: i.profile.Method, SwitchOver: i.switchOver(), Warnings: i.warnings(d.OwnAuthority)}
	i.out.Again = i.reason != "" && !i.token.DistributedAt.IsZero() || i.newSeed() && i.inUse()
	i.out.Locked, i.out.Lock = i.secret, i.lock
	i.out.Profile, i.out.DeviceType, i.out.Nickname, i.out.Expiry = i.profile.Name, i.device.Name, i.Nickname, i.token.EffectiveExpiry
	if i.profile.Method == device.CTKIP {
		return d.offer(ctx, i)
	}
	i.token.Expiry = i.token.EffectiveExpiry // the app learns of an extension
	i.token.Distribution = token.Issued
	return d.supply(ctx, i)
}

// build makes what is handed out, and proves it. Several issues are built at once.
func (d *Distributor) build(i *issue, sign *signature) error {
	var err error
	switch i.profile.Method {
	case device.File:
		err = d.writeFile(i, sign)
	case device.CTF:
		err = i.writeString()
	}
	if err != nil {
		return err
	}
	return d.prove(i)
}

// supply makes sure that the token has the seed and settings to deliver: its own, or new ones.
func (d *Distributor) supply(ctx context.Context, i *issue) error {
	t, s := &i.token, i.settings()
	if !i.newSeed() {
		t.Shape(s)
		t.Current.Delivered = true
		i.out.Generation = t.Current.Number
		var err error
		i.seed, err = d.Keys.OpenSeed(ctx, t.Current.Sealed, t.Serial, t.Current.Number)
		return err
	}
	i.seed = seed.Generate()
	g, err := token.NewGeneration(d.Keys, t.Serial, t.Next(i.reason != ""), i.seed, s, i.now)
	if err != nil {
		return err
	}
	g.Delivered = true
	i.out.Generation = g.Number
	i.succeed(g)
	return nil
}

// succeed makes g the token's next generation, at once or after the grace of the old one at the latest.
func (i *issue) succeed(g token.Generation) {
	if i.out.SwitchOver == profile.Immediate {
		i.token.Replace(g)
		return
	}
	i.token.Await(g, i.now.Add(i.grace()))
	i.out.OldUntil = i.token.PendingUntil
}

// finish gives the token its new state and tells what was done.
func (i *issue) finish(ctx context.Context) []audit.Event {
	t := &i.token
	t.Profile, t.Method, t.DeviceID, t.Nickname = i.profile.Name, i.profile.Method, i.DeviceID, i.Nickname
	t.DistributedAt, t.ConfirmedAt, t.DeliveredBy = i.now, time.Time{}, i.job
	t.IssueCount++
	details := audit.Details{
		"user": i.user.ID, "profile": i.profile.Name, "delivery": i.profile.Method, "generation": i.out.Generation,
		"protected": i.lock != "", "bound": i.binding != "",
	}
	action := "dist.issue"
	if i.reason != "" {
		action = "redist.start"
		details["switch_over"] = i.out.SwitchOver
		if i.note != "" {
			details["note"] = i.note
		}
	}
	var events []audit.Event
	if i.ended != nil {
		events = append(events, audit.New(ctx, i.now, "redist.complete", "token:"+t.Serial, i.ended))
	}
	if o := i.offered; o != nil {
		events = append(events, audit.New(ctx, i.now, "dist.offer", "token:"+t.Serial,
			audit.Details{"user": i.user.ID, "generation": o.Generation, "expires": o.ExpiresAt}))
	}
	return append(events, audit.New(ctx, i.now, action, "token:"+t.Serial, details).Because(string(i.reason)))
}
