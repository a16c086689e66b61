package authentication

// Reasons of a denial. They are in the audit record, and shown to the help desk with what [Explain] says of them; whoever
// asks for a decision is told none.
const (
	UnknownUser     = "UNKNOWN_USER"
	AgentRestricted = "AGENT_RESTRICTED" // the agent may not ask for this user
	UserDisabled    = "USER_DISABLED"
	UserExpired     = "USER_EXPIRED"
	UserLocked      = "USER_LOCKED"
	SourceLocked    = "SOURCE_LOCKED"           // too many failures from sources that the user never succeeded from
	NoToken         = "NO_TOKEN"                // none assigned
	TokenDisabled   = "TOKEN_DISABLED"          // those assigned are disabled ...
	TokenExpired    = "TOKEN_EXPIRED"           // ... or expired
	TokenNotYet     = "TOKEN_NOT_YET"           // ... or not valid yet
	TokenTainted    = "TOKEN_TAINTED"           // ... or still have the seed of a former user
	TokenLost       = "TOKEN_LOST"              // ... or lost
	EmergencyOver   = "EMERGENCY_EXPIRED"       // an emergency code after its time
	EmergencyUsed   = "EMERGENCY_USED"          // a one-time emergency code again
	OnDemandSent    = "ON_DEMAND_CODE_SENT"     // the PIN for codes on demand, at an agent that cannot ask for the code
	OnDemandNotSent = "ON_DEMAND_CODE_NOT_SENT" // ... while mail is off, or to nowhere
	OnDemandLimit   = "ON_DEMAND_LIMIT"         // ... too often
	OnDemandWrong   = "ON_DEMAND_CODE_WRONG"    // the PIN for codes on demand with a code that was not sent
	OnDemandUsed    = "ON_DEMAND_CODE_USED"     // ... with a code that was used before
	OnDemandOff     = "ON_DEMAND_OFF"           // the user may have none any more, in a dialogue about one
	OnDemandOver    = "ON_DEMAND_CODE_EXPIRED"
	PasscodeMissing = "PASSCODE_NOT_ENTERED" // not counted: some gateways send an empty one before they ask
	BadPasscode     = "BAD_PASSCODE"         // no tokencode of the window
	BadPIN          = "BAD_PIN"              // the tokencode was right
	BadTokencode    = "BAD_TOKENCODE"        // the PIN was right
	AlreadyUsed     = "ALREADY_USED"         // this code or a later one was accepted before
	Retransmitted   = "RETRY_AFTER_ACCEPT"   // the code that the same agent has just been told is accepted: not counted
	PINMissing      = "PIN_NOT_ENTERED"      // a fob code without its PIN
	PINUnexpected   = "PIN_NOT_EXPECTED"     // a tokencode behind something that the token does not take there
	NextWrong       = "NEXT_TOKENCODE_WRONG"
	NextRequired    = "NEXT_TOKENCODE_REQUIRED" // the agent cannot ask for it
	NewPINRequired  = "NEW_PIN_REQUIRED"        // the agent cannot ask for it
	PINRefused      = "NEW_PIN_REFUSED"         // too often, or by the user
	PINChanged      = "PIN_CHANGED_MEANWHILE"   // by an administrator or in another dialogue, while a new one was asked for
	Throttled       = "THROTTLED"               // more requests about the user than can be hers
	Cancelled       = "CANCELLED"
	DialogueOver    = "DIALOGUE_OVER" // an answer that came too late, or twice
)

// Reasons why a right passcode was not enough. The agent was told to ask the user for more, and what became of that is an event of its own, if
// she answered.
const (
	NextAsked     = "NEXT_TOKENCODE_ASKED"
	NewPINAsked   = "NEW_PIN_ASKED"
	OnDemandAsked = "ON_DEMAND_CODE_ASKED"
)

// An Explanation says what a reason means, and what to do next: a sentence each, for the help desk.
type Explanation struct{ Meaning, NextStep string }

// Explain tells what a reason means; nothing of one that is not known.
func Explain(reason string) Explanation { return explanations[reason] }

var explanations = map[string]Explanation{
	UnknownUser: {
		"There is no user of this ID; or several have the mail address that was typed, one of them perhaps for an ID.",
		"Ask what she typed: IDs differ by case; 'user list --query' finds hers, and who else has her address."},
	AgentRestricted: {
		"The agent that she signs in at may not ask for her: it is limited to some users, groups or a security domain.",
		"If she may sign in there, have a token administrator add her to a group that 'agent show NAME' or, for RADIUS, 'radius show NAME' names; if not, she tried the wrong door."},
	UserDisabled: {
		"The user is disabled, and with her all of her tokens.",
		"If she may sign in again, a token administrator enables her with 'user enable USERID'."},
	UserExpired: {
		"The user's last day is over, and with it all of her tokens are refused.",
		"If she may sign in again, a token administrator gives her a later last day, or none, with 'user edit USERID --expiry'."},
	UserLocked: {
		"Too many wrong passcodes in a row locked the user; or a wrong next tokencode, where the token policy says that it locks.",
		"Look at the failures before the lock; if they were hers, 'user unlock USERID'; if not, have her change her PIN too."},
	SourceLocked: {
		"Too many wrong passcodes came from places that she never signed in from, and locked all such places.",
		"If she is at a new place, 'user unlock USERID'; if not, somebody tries her name: leave it locked, she is not hindered where she signs in."},
	NoToken: {
		"The user holds no token, or the one that the dialogue began with was taken away or got a new seed.",
		"See 'user show USERID'; a token administrator gives her one with 'token assign --user USERID' and 'token distribute'."},
	TokenDisabled: {
		"Her token is disabled.",
		"Find out why in 'token show SERIAL'; if she may use it again, 'token enable SERIAL'."},
	TokenExpired: {
		"Her token's last valid day is over.",
		"A token administrator gives it a later last day with 'token extend SERIAL', or her another one with 'token replace SERIAL'."},
	TokenTainted: {
		"Her token still has the seed of its former user, who may hold it.",
		"Have a token administrator deliver it to her with 'token distribute SERIAL --profile PROFILE': that makes a new seed."},
	TokenNotYet: {
		"Her token's first valid day has not come.",
		"Have her wait for the day that 'token show SERIAL' names, or a token administrator give her another token."},
	TokenLost: {
		"The token is marked lost, and its codes are refused.",
		"If she has it, 'token found SERIAL'; if not, the sign-in was not hers: have the token get a new seed, 'token redistribute SERIAL --reason LOST_DEVICE --profile PROFILE' (takes a privileged help desk), " +
			"or 'token replace SERIAL' (a token administrator). Emergency codes only after that, or where 'policy show' says emergency-if-found deny: else whoever has the device signs in with it."},
	EmergencyOver: {
		"The emergency code was right, but emergency access is over.",
		"Give her new codes with 'token lost SERIAL --emergency set', or replace the token."},
	EmergencyUsed: {
		"This emergency code of a set was used before.",
		"Have her take the next one of her list; if she did not use it, its copy is in other hands: 'token lost SERIAL --emergency set' ends the old ones."},
	OnDemandSent: {
		"Her PIN for codes on demand was right, and a code was sent to her address; this agent cannot ask for it.",
		"Have her type the PIN and the code behind it, as one word, at the next sign-in."},
	OnDemandNotSent: {
		"Her PIN for codes on demand was right, and no code could be sent: mail is off, she has no address that can be written to, or the template cannot be used.",
		"See 'user show USERID' for her address, 'mail settings show' for the mail server, and 'mail template preview on_demand_code'."},
	OnDemandLimit: {
		"Her PIN for codes on demand was right, and too many codes were sent to her within a quarter of an hour.",
		"Have her take the code of the last message; if it was not her who asked, somebody knows her PIN: 'user set-on-demand USERID'."},
	OnDemandWrong: {
		"Her PIN for codes on demand was right, and the code is not the one that was sent to her last.",
		"Have her take the code of the last message; the PIN alone sends another one."},
	OnDemandUsed: {
		"Her PIN for codes on demand was right, and the code was used before.",
		"Have her type the PIN alone, for another code; if she did not use it, somebody reads her mail and knows her PIN: 'user set-on-demand USERID'."},
	OnDemandOff: {
		"While a code on demand was asked for, her PIN for them was taken away, or the token policy came to have none.",
		"If she may have them, see 'policy show' (with --domain where 'user show' names one) and 'user set-on-demand USERID'."},
	OnDemandOver: {
		"The code on demand was right, but too old.",
		"Have her type the PIN alone, for another code; if messages take long, see 'mail list --user USERID'."},
	PasscodeMissing: {
		"The passcode was empty; it counts as no failure.",
		"Have her type one; if each of her sign-ins begins so, the agent sends an empty one before it asks."},
	BadPasscode: {
		"What was typed is no code that her tokens show now, and no other passcode of hers; where the PIN is typed in the app, a wrong one may look like that, too.",
		"Compare serial number and clock of her app with 'token show SERIAL': where the distribution is issued or pending_activation, she has not taken the last delivery in yet, " +
			"and an older one does not count; two codes and 'token resync SERIAL' tell a clock that is off; " +
			"if the codes are right and she types the PIN in the app, 'token clear-pin SERIAL': the next tokencode, with the PIN left empty, sets a new one."},
	BadPIN: {
		"The tokencode, or the emergency code in its place, was right and the PIN was not; where the PIN is typed in the app, a mistyped code may look like that by chance.",
		"If she forgot the PIN, 'token clear-pin SERIAL': the next right code sets a new one; if it was not her, her device, or the emergency code, is in other hands."},
	BadTokencode: {
		"The PIN was right and the tokencode was not.",
		"Have her wait for the next tokencode; if that fails too, 'token resync SERIAL'; while she has emergency codes, have her compare what she typed with them; if it was not her, somebody knows her PIN."},
	AlreadyUsed: {
		"This tokencode, or a later one, was used before: it was accepted, or had her asked for a next tokencode or a new PIN.",
		"Have her wait until the app shows the next one; if that goes on, the clock of her device was set back, and its codes count again once it is past the time that it showed, or with a new seed; " +
			"if she did not use it, somebody saw it: look who signed in just before."},
	Retransmitted: {
		"The agent sent again what it had just been told is accepted; it counts as no failure.",
		"Nothing for her to do; if it happens often, the agent gives up waiting too early."},
	PINMissing: {
		"The tokencode, or the emergency code in its place, was right, and the PIN before it was missing.",
		"Have her type the PIN and the code after it, as one word, an emergency code also where she types the PIN in the app otherwise."},
	PINUnexpected: {
		"The tokencode, or the emergency code in its place, was right, but something stood before it: her token takes no PIN there, has none any more, or has it typed in the app.",
		"Have her type the code alone, a tokencode as the app shows it; if her PIN was cleared, she is asked for a new one then."},
	NextWrong: {
		"A next tokencode was asked for, and what came is not the one that follows the first.",
		"Have her type the tokencode that the app shows right after the one before; 'token resync SERIAL' helps if the clock is off."},
	NextRequired: {
		"The passcode was right, but the next tokencode is needed, and this agent cannot ask for it.",
		"Have her sign in once where it can be asked for, or 'token resync SERIAL'."},
	NewPINRequired: {
		"The passcode was right, but a new PIN is needed, and this agent cannot ask for it.",
		"Have her sign in once where it can be asked for, or set one with 'token set-pin SERIAL', or 'user set-on-demand USERID' if she signs in with codes on demand."},
	PINRefused: {
		"No new PIN came about: three were refused by the rules, or she did not want the one that was made.",
		"Tell her the rules for PINs ('policy show', with --domain where 'user show' names one) and have her sign in again; the old PIN stays until then."},
	PINChanged: {
		"While she was choosing a new PIN, an administrator or another dialogue changed it.",
		"Have her sign in again with the PIN that holds now; if the other dialogue was not hers, 'token clear-pin SERIAL' while she is there, or 'user set-on-demand USERID' for codes on demand."},
	Throttled: {
		"More sign-ins of this user came in a second than one person makes.",
		"Find out at the agent who tries; nothing is counted against her, and she can sign in as soon as it ends."},
	DialogueOver: {
		"An answer came to a dialogue that was over, since it waits for some minutes only, or that was not hers or not this agent's.",
		"Have her begin again with the next tokencode; a new PIN that was taken before counts."},
	NextAsked: {
		"The passcode was right, and the agent was told to ask her for the next tokencode.",
		"If no answer of hers follows, the agent may not have asked: have her sign in where it can be asked for, or 'token resync SERIAL'; then a passcode alone is enough."},
	NewPINAsked: {
		"The passcode was right, and the agent was told to ask her for a new PIN.",
		"If no answer of hers follows, the agent may not have asked: have her sign in where it can be asked for, or set one with 'token set-pin SERIAL', or 'user set-on-demand USERID' for codes on demand."},
	OnDemandAsked: {
		"Her PIN for codes on demand was right, a code was sent to her address, and the agent was told to ask her for it.",
		"If no answer of hers follows, the agent may not have asked, or no message came: see 'mail list --user USERID', and have her type the PIN and the code behind it as one word."},
	Cancelled: {
		"She, or the agent for her, ended the dialogue.",
		"Have her begin again with the next tokencode."},
}
