package authentication

import (
	"cmp"
	"time"
)

// A Source is who asks, and where the user signs in.
type Source struct {
	// Agent is the program that asks: "radius:vpn1", "agent:web", "key:portal", "socket". Only the agent that began
	// an attempt may go on with it.
	Agent string
	// Caller tells the agent from another one that gets its name later (audit.Actor.Caller); "" where the name does.
	Caller string
	// Station is the user's machine as the agent tells it, such as an address or a Calling-Station-Id; else the
	// agent's own address. Failures from sources that the user never succeeded from have a budget of their own
	// (spec/software-token-lifecycle.md section 10.5).
	Station string
	// Only is whom the agent may ask about; nil for everybody.
	Only *Restriction
}

// caller is who began an attempt, or may go on with it.
func (s Source) caller() string { return cmp.Or(s.Caller, s.Agent) }

// A Request asks whether a passcode is right.
type Request struct {
	UserID string
	// ByMail says that UserID may be a mail address too. What is the ID or the address of several users whom the agent may ask about names none.
	ByMail bool
	// Admits is asked whether the user that an address names may be decided about now: it counts her requests, whatever she is
	// named by. nil admits all.
	Admits func(userID string) bool
	// Passcode is what the user typed. A request without one (Ask) opens an attempt that waits for it.
	Passcode string
	Ask      bool
	Source   Source
	// TokenOnly refuses what is none of a token: fixed passcodes and codes on demand.
	TokenOnly bool
	// Dialogue says that the agent can ask the user again. Without it a right passcode that needs a next tokencode
	// or a new PIN is denied, not used up, and the reason recorded.
	Dialogue bool
	// Confirm says that the agent does not have a new PIN typed twice by itself: the attempt does
	// (StepRepeatPIN, StepSystemAsk, StepChoose). RADIUS agents confirm, REST agents do not.
	Confirm bool
	// Retry says that a wrong passcode leaves the attempt open for another one.
	Retry bool
	// Life is how long an attempt waits for each answer; 0 is DefaultLife.
	Life time.Duration
	// Key names this very request, a hash of 16 to 64 bytes, of which no other request has the first 8: asked again with the same key, the
	// decision of the first time is given again and nothing is evaluated or counted. nil if the agent repeats nothing.
	Key []byte
}

// DefaultLife is how long an attempt waits for an answer, and MaxLife the longest that an agent may ask for.
const (
	DefaultLife = 180 * time.Second
	MaxLife     = 600 * time.Second
)

// A Step is what an open attempt asks the user for.
type Step string

// The steps.
const (
	StepPasscode       Step = "passcode"       // opened without one, or a wrong one may be followed by another
	StepNextTokencode  Step = "next_tokencode" // the tokencode after the one that was given, without PIN, or a code that was mailed
	StepChoose         Step = "choose"         // "y": the system makes the PIN; all else: the user does (only with Confirm)
	StepNewPIN         Step = "new_pin"        // the new PIN
	StepRepeatPIN      Step = "repeat_pin"     // the new PIN again (only with Confirm)
	StepSystemAsk      Step = "system_ask"     // "y": prepared to see a PIN made by the system; all else ends in a denial (only with Confirm)
	StepSystemPIN      Step = "system_pin"     // the PIN is shown (Decision.SystemPIN): any answer accepts it; without Confirm "n", "no" and "cancel" refuse it
	StepReauthenticate Step = "reauthenticate" // a passcode with the new PIN and a later tokencode
	StepNone           Step = ""               // decided
)

// makesPIN tells whether the answer is one on the way to a new PIN.
func (s Step) makesPIN() bool {
	switch s {
	case StepChoose, StepNewPIN, StepRepeatPIN, StepSystemAsk, StepSystemPIN:
		return true
	}
	return false
}

// A Decision is what the agent is told.
type Decision struct {
	Result Result
	// Step is what to ask the user for, StepNone once it is decided.
	Step Step
	// Attempt names the dialogue: 26 characters of A-Z and 2-7, of 128 random bits; "" if there is none.
	Attempt string
	// Turn counts the decisions of an attempt from 1; an answer names the turn that it answers, once.
	Turn int
	// Expires is when the attempt stops waiting.
	Expires time.Time
	// PIN holds what a new PIN must be like in StepNewPIN and StepRepeatPIN.
	PIN PINRules
	// Rejected is why the PIN that was just given is not taken, for the user to read; "" if it is no such answer.
	// PINMismatch means that it was not typed the same twice.
	Rejected string
	// SystemPIN is the PIN that the system made, in StepSystemPIN only. It is a secret.
	SystemPIN string
	// Mailed says that the dialogue is about codes on demand: the next tokencode is one that was sent to the user, the PIN is the one for them, and
	// once it is set, it alone has another code sent.
	Mailed bool
	// Serial is the token that was used, once Accepted.
	Serial string
	// Profile is that of the token's last distribution, once Accepted; "" for none.
	Profile string
	// Reply is the RADIUS attributes of the user, once Accepted, as access.ReadReply takes them.
	Reply string
}

// PINMismatch is Decision.Rejected when the second PIN differs from the first.
const PINMismatch = "the PINs do not match"

// PINRules are what a new PIN must be like, for prompts.
type PINRules struct {
	Min, Max     int
	Alphanumeric bool
	Creation     string // who may make it: user, system, either (policy.Token.PINCreation)
}

// An Answer goes on with an attempt.
type Answer struct {
	Attempt string
	// Turn is that of the decision that is answered, and Step what it asked for; "" answers whatever was asked.
	Turn   int
	Step   Step
	UserID string // of the attempt; "" if the agent does not repeat it
	Text   string // what the user typed
	Source Source
	Key    []byte // as in Request
}
