// Package mail writes to the people who hold tokens: what they need to take a
// token into their app, that one is about to expire, that a new one waits
// (spec/software-token-lifecycle.md sections 7 and 8).
//
// A [Message] is put into the outbox in the transaction of what it tells
// about ([Outbox.Deliver]), so there is never one without the other, and is
// sent afterwards by whichever server comes first ([Sender]). It is sent once:
// the server commits that it begins before it does, and a message whose end
// nobody knows, after a crash in the middle, is [Unknown] until an
// administrator decides. What refuses for a while is tried again; what refuses for good fails.
//
// Bodies hold secrets. They are sealed in the outbox, erased once the message
// is sent, and in no log, answer or event. A secret travels in two parts
// (setting split_delivery): the file, string or link by one message, the
// password or activation code on paper or by another.
//
// What messages say are [Template]s, one for each [Event], of which a profile may have its own.
package mail

import (
	"context"
	"net/mail"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/user"
)

// An Event is an occasion to write.
type Event string

// The events.
const (
	Distribution   Event = "distribution"    // a token, for the first time
	Redistribution Event = "redistribution"  // a token with a new seed
	ActivationCode Event = "activation_code" // the other part of a link
	Password       Event = "password"        // the other part of a file or string
	OnDemandCode   Event = "on_demand_code"  // in place of a tokencode, to who asks for one
	Expiry         Event = "expiry"          // a token ends soon
	Reminder       Event = "reminder"        // a token that was given out was never used
	JobFinished    Event = "job_finished"    // to administrators
	JobApproval    Event = "job_approval"    // to administrators: one waits to be approved
	ReportFinished Event = "report_finished" // of a schedule; to administrators
	Test           Event = "test"            // to whoever tries the settings
)

// Events lists the events.
func Events() []Event {
	return []Event{Distribution, Redistribution, ActivationCode, Password, OnDemandCode, Expiry, Reminder, JobFinished, JobApproval, ReportFinished, Test}
}

// brief tells whether what messages of an event tell is over at a time of its own, so that they are not sent after it.
func (e Event) brief() bool { return e == ActivationCode || e == OnDemandCode }

// A State says what has become of a message.
type State string

// The states. The last four are final, but an administrator may send a message again that failed or is unknown.
const (
	Held      State = "held" // until the user has signed in
	Waiting   State = "waiting"
	Sending   State = "sending"
	Sent      State = "sent"
	Failed    State = "failed"
	Unknown   State = "unknown" // it was on its way when the server or the connection died: it may have arrived
	Cancelled State = "cancelled"
)

// States lists the states.
func States() []State { return []State{Held, Waiting, Sending, Sent, Failed, Unknown, Cancelled} }

// A Message is one mail. Times are UTC.
type Message struct {
	ID         string // UUIDv7, also of its Message-ID
	Event      Event
	UserID     string // who it is for; "" for administrators
	Serial     string // the token it is about; "" for none
	Generation int    // of the seed that was, or will be, delivered by it; 0 if it tells of none
	Recipient  string // address
	Job        string // names the delivery or job it tells about
	State      State
	Sealed     seed.Sealed // the body; zero once it is of no use any more
	CreatedAt  time.Time
	NextAt     time.Time // when it is sent or tried again
	ExpiresAt  time.Time // after which it is of no use
	Tries      int
	ClaimedBy  string // the server that sent it last
	ClaimedAt  time.Time
	EndedAt    time.Time // when it came to its state, once that is not Waiting or Sending
	Code       int       // what the mail server answered last; 0 for nothing
	Trouble    Trouble   // why it is not sent
}

// A Trouble says in a word why a message was not sent.
type Trouble string

// The troubles.
const (
	Refused     Trouble = "REFUSED"     // the mail server does not take it
	NotNow      Trouble = "NOT_NOW"     // it does not take it now
	Unreachable Trouble = "UNREACHABLE" // no connection to the mail server, or it broke
	Untrusted   Trouble = "UNTRUSTED"   // its certificate is signed by nobody who is trusted
	NoTLS       Trouble = "NO_TLS"      // it offers no encryption
	BadLogin    Trouble = "BAD_LOGIN"   // it refuses the user name or password
	Interrupted Trouble = "INTERRUPTED" // nobody knows whether it took the message
	TooLate     Trouble = "TOO_LATE"    // what the message tells is over
	Superseded  Trouble = "SUPERSEDED"  // another delivery of the token followed
	Withdrawn   Trouble = "WITHDRAWN"   // an administrator did not want it sent
	BadMessage  Trouble = "BAD_MESSAGE" // it cannot be written: the address or the template is wrong
)

// A body is what of a message is sealed.
type body struct {
	Subject  string `json:"subject"`
	Text     string `json:"text"`
	HTML     string `json:"html,omitempty"`
	FileName string `json:"file_name,omitempty"`
	File     []byte `json:"file,omitempty"`
	Report   string `json:"report,omitempty"` // the run of a report whose content is the file, which is read when it is sent
}

// A Filter selects messages; its zero value selects all.
type Filter struct {
	State  State
	UserID string
	Serial string
	Before string // only messages older than this one: the next page
	Limit  int
}

// Lives of messages.
const (
	longestTry = 5 * 24 * time.Hour  // a message that nobody takes fails then
	Kept       = 90 * 24 * time.Hour // what has ended is forgotten then
)

// A Holder is a token with the user who holds it, as far as messages tell of them.
type Holder struct {
	Serial, Profile, DeviceType string
	Expiry                      time.Time
	UserID, UserName, Mail      string
	Enabled                     bool      // the user is
	LastDay                     time.Time // of the user; zero for none
	Waiting                     bool      // it was given out and never used since
}

// A Backlog is how much mail is not sent: how many messages in each state that is not the end of the matter, and when the oldest one that
// waits was written; zero for none.
type Backlog struct {
	Messages map[State]int
	Oldest   time.Time
}

// Store is what mail needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// MailSettings returns the settings; [fault.NotFound] before the first ones.
	MailSettings(ctx context.Context) (Settings, error)
	// LockMailSettings is MailSettings, with the row locked for change in the transaction of ctx.
	LockMailSettings(ctx context.Context) (Settings, error)
	// SaveMailSettings stores settings whose Version is still s.Version, and counts it up; else [fault.Conflict].
	SaveMailSettings(ctx context.Context, s Settings) error
	// NoteMailTrouble keeps what is wrong with the mail server, "" for nothing.
	NoteMailTrouble(ctx context.Context, t Trouble, at time.Time) error
	// MailTemplates lists the templates that replace built-in ones.
	MailTemplates(ctx context.Context) ([]Template, error)
	// SaveMailTemplate stores a template.
	SaveMailTemplate(ctx context.Context, t Template) error
	// DeleteMailTemplate removes one; [fault.NotFound].
	DeleteMailTemplate(ctx context.Context, e Event, profile string) error
	// AddMessages stores new messages.
	AddMessages(ctx context.Context, all []Message) error
	// Message returns a message to a user in the scope of ctx; [fault.NotFound], [fault.OutOfScope]. Within a transaction the row is locked
	// for change.
	Message(ctx context.Context, id string) (Message, error)
	// Messages lists the messages to users in the scope of ctx, all if that is not limited, the newest first.
	Messages(ctx context.Context, f Filter) ([]Message, error)
	// DueMessage returns, and locks, a waiting message whose time has come, or comes after late only, and that nobody else has locked; [fault.NotFound].
	DueMessage(ctx context.Context, now, late time.Time) (Message, error)
	// SaveMessage stores a message that was in a state; else [fault.Conflict].
	SaveMessage(ctx context.Context, m Message, was State) error
	// MessagesClaimed is how many messages were begun within a minute before now, or by a clock that is a little ahead.
	MessagesClaimed(ctx context.Context, now time.Time) (int, error)
	// HeldMessages returns the messages that are held for a user who is enabled and whose last day is not over, are of use at a moment, and are
	// about no token that is somebody else's, or nobody's, by now. Within a transaction their rows are locked.
	HeldMessages(ctx context.Context, userID string, now time.Time) ([]Message, error)
	// OverdueMessages returns up to limit messages that are held and of no use any more at a moment. Within a transaction their rows are locked.
	OverdueMessages(ctx context.Context, now time.Time, limit int) ([]Message, error)
	// TryPasscode counts a try of a user's passcode and tells whether it may be made, on all servers: no more than most unless the last
	// one was at the moment from or before.
	TryPasscode(ctx context.Context, userID string, now, from time.Time, most int) (bool, error)
	// ForgetPasscodes forgets all tries of a user's passcodes, or takes the last one back.
	ForgetPasscodes(ctx context.Context, userID string, all bool) error
	// ClaimedMessages returns messages that are being sent: by a server, or since before a moment, or after late, by anybody.
	ClaimedMessages(ctx context.Context, server string, before, late time.Time) ([]Message, error)
	// CancelMessages cancels what is held, waits, failed or is unknown about tokens, for a reason, and erases the bodies. One that is being sent has no body
	// then, and the reason.
	CancelMessages(ctx context.Context, serials []string, why Trouble, at time.Time) error
	// HasGeneration tells whether a token has a generation of its seed.
	HasGeneration(ctx context.Context, serial string, generation int) (bool, error)
	// DropMessages removes what ended before a moment.
	DropMessages(ctx context.Context, before time.Time) (int, error)
	// Holders returns tokens that are assigned, with who holds them; what is not there, or not in the scope of ctx, is left out.
	Holders(ctx context.Context, serials []string) ([]Holder, error)
	// ExpiringHolders returns up to limit tokens in use whose last day is today (0:00 UTC) or at most so many days later, ordered by that day: those after a
	// token, or all after the zero Holder. Their users are enabled, have an address and a last day that is not over, and were not told yet that so many days,
	// or fewer, are left. In use are enabled tokens that were given out or imported: who holds an imported one may have it already.
	ExpiringHolders(ctx context.Context, today time.Time, days int, after Holder, limit int) ([]Holder, error)
	// AddNotices notes that users were told of so many days left until the end of tokens; [fault.Conflict] if another server did.
	AddNotices(ctx context.Context, tokens []Holder, days int) error
	// RemindedSince returns which of some tokens users were reminded of after a moment.
	RemindedSince(ctx context.Context, serials []string, since time.Time) ([]string, error)
	// UnableToSignIn returns those of some users who have no way to sign in, as far as the records tell: no directory shows them, and they
	// have no token that works today (0:00 UTC).
	UnableToSignIn(ctx context.Context, userIDs []string, today time.Time) ([]string, error)
	// Addressee returns a user; [fault.UserNotFound]. Nothing is locked.
	Addressee(ctx context.Context, userID string) (user.User, error)
	// RecordAll keeps events, in the transaction of ctx.
	RecordAll(ctx context.Context, events []audit.Event) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// A Keyring seals and opens secrets: a seed.Keyring.
type Keyring interface {
	Seal(secret []byte, b seed.Binding) (seed.Sealed, error)
	Open(ctx context.Context, s seed.Sealed, b seed.Binding) ([]byte, error)
	Secret(ctx context.Context, name string, fresh func() ([]byte, error)) ([]byte, error)
	DropSecret(ctx context.Context, name string) error
}

// checkAddress refuses a user who cannot be written to.
func checkAddress(userID, address string) error {
	if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
		return fault.New(fault.MailMissing, "user %s has no mail address that can be written to: give one with user edit", userID)
	}
	return nil
}
