package client

import "time"

// Times are UTC. Dates are texts such as 2031-01-01: whole days in UTC. Records
// have a Version that grows with every change.

// An Identity is who the server takes the caller for.
type Identity struct {
	Actor  string   `json:"actor"` // as audit events name it: "socket", "key:helpdesk-1"
	Role   string   `json:"role"`
	Rights []string `json:"rights"`
	Domain string   `json:"domain,omitempty"` // security domain that the caller is limited to; "" for the whole deployment
}

// A User is a person who holds tokens.
type User struct {
	UserID    string    `json:"user_id"` // what the person types to sign in
	Name      string    `json:"name"`
	Mail      string    `json:"mail"`
	Enabled   bool      `json:"enabled"`
	Expiry    string    `json:"expiry,omitempty"`  // last day on which her tokens may authenticate, YYYY-MM-DD; "" for none
	Expired   bool      `json:"expired,omitempty"` // it is over
	CreatedAt time.Time `json:"created_at"`
	Version   int       `json:"version"`
	Lockout   Lockout   `json:"lockout"`
	Domain    string    `json:"domain"` // security domain
	// TokenPolicy and LockoutPolicy are the domains whose policies hold for her: "root", or a security domain; "" for one above what the caller sees.
	TokenPolicy   string `json:"token_policy,omitempty"`
	LockoutPolicy string `json:"lockout_policy,omitempty"`
	// FixedPasscodeSetAt is when her passcode that stays the same was set; nil if she has none.
	FixedPasscodeSetAt *time.Time `json:"fixed_passcode_set_at,omitempty"`
	OnDemand           *OnDemand  `json:"on_demand,omitempty"` // nil if she gets no codes by mail
	Alike              string     `json:"alike,omitempty"`     // of one who was just added: another user, whose ID differs by the case of letters alone
}

// An OnDemand says that a user gets codes by mail who types her PIN for them.
type OnDemand struct {
	PINSetAt   time.Time  `json:"pin_set_at"`
	MustChange bool       `json:"must_change"`          // the next code leads to a new PIN
	SentAt     *time.Time `json:"sent_at,omitempty"`    // when the last code was; nil for never, or long ago
	CodeUntil  *time.Time `json:"code_until,omitempty"` // while it can be used
}

// A FixedPasscode is what a user signs in with always.
type FixedPasscode struct {
	Passcode Secret `json:"passcode"`
}

// A Lockout says which wrong passcodes of a user count now, and whether they lock her: all of hers, or those that
// came from sources (an agent and the station behind it) that she never succeeded from, which lock only such sources.
type Lockout struct {
	Failures
	UnknownSources Failures `json:"unknown_sources"`
}

// Failures are wrong passcodes in a row.
type Failures struct {
	Locked    bool       `json:"locked"`
	Count     int        `json:"failures"`
	Since     *time.Time `json:"since,omitempty"` // of the first one
	LockedAt  *time.Time `json:"locked_at,omitempty"`
	UnlocksAt *time.Time `json:"unlocks_at,omitempty"` // by itself; nil if only an administrator unlocks
}

// A SignIn is a passcode, or a dialogue that one began, that was accepted or denied, or that more was asked for.
type SignIn struct {
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome"` // success, failure, or challenge: right, and the agent was told to ask for more
	Agent   string    `json:"agent"`   // the program that asked: "radius:vpn1", "agent:web"
	Station string    `json:"station"` // where the user signed in, as far as the agent tells
	Tokens  []string  `json:"tokens"`  // the one that was used, or those that the passcode was compared with
	// Emergency is the kind of emergency code that was given in place of a tokencode; "" for none.
	Emergency string `json:"emergency"`
	// Method is what was given that is none of a token: fixed_passcode, on_demand_pin or on_demand_code; "" for none.
	Method        string `json:"method,omitempty"`
	Reason        string `json:"reason"`    // of a failure or challenge
	Meaning       string `json:"meaning"`   // the reason in a sentence
	NextStep      string `json:"next_step"` // and what the help desk does about it
	CorrelationID string `json:"correlation_id"`
}

// An Activity is the sign-ins of the last seven days, the newest first.
type Activity struct {
	SignIns []SignIn `json:"sign_ins"`
}

// A NewUser is a user to be added.
type NewUser struct {
	UserID string `json:"user_id"`
	Name   string `json:"name,omitempty"`
	Mail   string `json:"mail,omitempty"`
	Expiry string `json:"expiry,omitempty"` // last day on which her tokens may authenticate, YYYY-MM-DD; none
	Domain string `json:"domain,omitempty"` // security domain; the top of the caller's
}

// A UserEdit changes a user; what is nil stays.
type UserEdit struct {
	Name    *string `json:"name,omitempty"`
	Mail    *string `json:"mail,omitempty"`
	Enabled *bool   `json:"enabled,omitempty"`
	Expiry  *string `json:"expiry,omitempty"` // the last day, YYYY-MM-DD; "" for none
}

// A UserPage is a part of the list of users.
type UserPage struct {
	Users []User `json:"users"`
	Next  string `json:"next,omitempty"` // the After of the next page; "" after the last
}

// A TokenPolicy holds the rules for tokens and their PINs.
type TokenPolicy struct {
	IncorrectBeforeNTC      int      `json:"incorrect_before_ntc"` // wrong passcodes in a row before the next tokencode is asked for; 0 for never
	NextCodeFailure         string   `json:"next_code_failure"`    // what a wrong next tokencode does: fail or lock
	PINCreation             string   `json:"pin_creation"`         // who chooses a new PIN: user, system or either
	PINMin                  int      `json:"pin_min"`              // characters
	PINMax                  int      `json:"pin_max"`              // characters
	PINCharacters           string   `json:"pin_characters"`       // of a fob PIN: digits or alphanumeric
	PINMinLetters           int      `json:"pin_min_letters"`      // of an alphanumeric PIN
	PINMinDigits            int      `json:"pin_min_digits"`       // of an alphanumeric PIN
	RefuseTrivialPINs       bool     `json:"refuse_trivial_pins"`
	ExcludedWords           []string `json:"excluded_words"`             // not to be part of a PIN, in whatever case
	PINMaxLifeSeconds       int64    `json:"pin_max_life_seconds"`       // 0 for ever
	PINMinLifeSeconds       int64    `json:"pin_min_life_seconds"`       // before users may change it at their own wish, which nothing offers yet
	PINHistory              int      `json:"pin_history"`                // last PINs that may not be taken again
	EmergencyLength         int      `json:"emergency_length"`           // of an emergency code, characters
	EmergencyCharacters     string   `json:"emergency_characters"`       // of an emergency code: digits or alphanumeric
	EmergencyLifeSeconds    int64    `json:"emergency_life_seconds"`     // of emergency codes, unless said
	EmergencyMaxLifeSeconds int64    `json:"emergency_max_life_seconds"` // that may be said; 0 for no limit
	EmergencyIfFound        string   `json:"emergency_if_found"`         // what becomes of a lost token that turns up: deny, accept_and_end or accept_after
	FixedPasscode           string   `json:"fixed_passcode"`             // what fixed passcodes are made of: off (there are none), pin (the rules of PINs) or own
	FixedPasscodeMin        int      `json:"fixed_passcode_min"`         // of one with rules of its own, characters
	OnDemand                bool     `json:"on_demand"`                  // users may have codes by mail
	OnDemandLifeSeconds     int64    `json:"on_demand_life_seconds"`     // of such a code
	DeleteReplaced          bool     `json:"delete_replaced"`            // a token that another one has replaced; else it is unassigned
	WindowSmall             int      `json:"window_small"`               // intervals to each side in which a code is accepted at once
	WindowMediumSeconds     int64    `json:"window_medium_seconds"`      // to each side, in which it is accepted with the next one
	WindowLargeSeconds      int64    `json:"window_large_seconds"`       // to each side, which resynchronisation searches
	Domain                  string   `json:"domain,omitempty"`           // whose policy it is: "root", or a security domain; "" for one above what the caller sees
	Version                 int      `json:"version"`
}

// A TokenPolicyEdit changes a token policy; what is nil stays.
type TokenPolicyEdit struct {
	IncorrectBeforeNTC      *int      `json:"incorrect_before_ntc,omitempty"`
	NextCodeFailure         *string   `json:"next_code_failure,omitempty"`
	PINCreation             *string   `json:"pin_creation,omitempty"`
	PINMin                  *int      `json:"pin_min,omitempty"`
	PINMax                  *int      `json:"pin_max,omitempty"`
	PINCharacters           *string   `json:"pin_characters,omitempty"`
	PINMinLetters           *int      `json:"pin_min_letters,omitempty"`
	PINMinDigits            *int      `json:"pin_min_digits,omitempty"`
	RefuseTrivialPINs       *bool     `json:"refuse_trivial_pins,omitempty"`
	ExcludedWords           *[]string `json:"excluded_words,omitempty"`
	PINMaxLifeSeconds       *int64    `json:"pin_max_life_seconds,omitempty"`
	PINMinLifeSeconds       *int64    `json:"pin_min_life_seconds,omitempty"`
	PINHistory              *int      `json:"pin_history,omitempty"`
	EmergencyLength         *int      `json:"emergency_length,omitempty"`
	EmergencyCharacters     *string   `json:"emergency_characters,omitempty"`
	EmergencyLifeSeconds    *int64    `json:"emergency_life_seconds,omitempty"`
	EmergencyMaxLifeSeconds *int64    `json:"emergency_max_life_seconds,omitempty"`
	EmergencyIfFound        *string   `json:"emergency_if_found,omitempty"`
	FixedPasscode           *string   `json:"fixed_passcode,omitempty"`
	FixedPasscodeMin        *int      `json:"fixed_passcode_min,omitempty"`
	OnDemand                *bool     `json:"on_demand,omitempty"`
	OnDemandLifeSeconds     *int64    `json:"on_demand_life_seconds,omitempty"`
	DeleteReplaced          *bool     `json:"delete_replaced,omitempty"`
	WindowSmall             *int      `json:"window_small,omitempty"`
	WindowMediumSeconds     *int64    `json:"window_medium_seconds,omitempty"`
	WindowLargeSeconds      *int64    `json:"window_large_seconds,omitempty"`
}

// A LockoutPolicy says when wrong passcodes lock a user.
type LockoutPolicy struct {
	Failures               int    `json:"failures"`                 // in a row that lock a user; 0 for never
	WithinSeconds          int64  `json:"within_seconds"`           // how long a failure counts
	UnlockAfterSeconds     int64  `json:"unlock_after_seconds"`     // 0: only an administrator unlocks
	SeparateUnknownSources bool   `json:"separate_unknown_sources"` // count failures from where the user never succeeded from on their own
	Domain                 string `json:"domain,omitempty"`         // whose policy it is: "root", or a security domain; "" for one above what the caller sees
	Version                int    `json:"version"`
}

// A LockoutPolicyEdit changes a lockout policy; what is nil stays.
type LockoutPolicyEdit struct {
	Failures               *int   `json:"failures,omitempty"`
	WithinSeconds          *int64 `json:"within_seconds,omitempty"`
	UnlockAfterSeconds     *int64 `json:"unlock_after_seconds,omitempty"`
	SeparateUnknownSources *bool  `json:"separate_unknown_sources,omitempty"`
}

// A PolicySet is the policies of the deployment, or those that hold in a security domain.
type PolicySet struct {
	Token   TokenPolicy   `json:"token"`
	Lockout LockoutPolicy `json:"lockout"`
}

// A Token is what the server tells of a token; never its seed.
type Token struct {
	Serial          string            `json:"serial"`           // 12 digits
	Origin          string            `json:"origin"`           // generated or imported
	Birth           string            `json:"birth"`            // first valid day; "" if not said
	Expiry          string            `json:"expiry"`           // last valid day that the device knows
	EffectiveExpiry string            `json:"effective_expiry"` // last valid day of the server
	UserID          string            `json:"user_id"`          // "" while unassigned
	Enabled         bool              `json:"enabled"`
	State           string            `json:"state"` // in one word: unassigned, expired, disabled, lost, user_locked, pending_activation, activation_lapsed, issued, new_pin, next_tokencode, replacement, expiring, active
	Digits          int               `json:"digits"`
	IntervalSeconds int               `json:"interval_seconds"`
	PINType         string            `json:"pin_type"`
	PINSet          bool              `json:"pin_set"`
	Generation      int               `json:"generation"` // of the seed that is valid now
	Pending         *Pending          `json:"pending,omitempty"`
	Distribution    string            `json:"distribution"`    // not_distributed, issued, pending_activation, activation_lapsed or confirmed
	Profile         string            `json:"profile"`         // of the last distribution
	DeliveryMethod  string            `json:"delivery_method"` // of the last distribution
	DeviceID        string            `json:"device_id"`
	Nickname        string            `json:"nickname"`
	Type            string            `json:"type"`                  // software or hardware
	Algorithm       string            `json:"algorithm"`             // securid-aes128
	CreatedAt       time.Time         `json:"created_at"`            // made or imported
	AssignedAt      *time.Time        `json:"assigned_at,omitempty"` // to the present user
	AssignedBy      string            `json:"assigned_by,omitempty"` // who did it
	PINSetAt        *time.Time        `json:"pin_set_at,omitempty"`
	DistributedAt   *time.Time        `json:"distributed_at,omitempty"`
	ConfirmedAt     *time.Time        `json:"confirmed_at,omitempty"`
	LastUsedAt      *time.Time        `json:"last_used_at,omitempty"`
	IssueCount      int               `json:"issue_count"`     // ever
	ExtensionCount  int               `json:"extension_count"` // how often the lifetime was extended
	ExtendedBy      string            `json:"extended_by"`     // serial of the record that the last extension consumed, "" if none
	Notes           string            `json:"notes,omitempty"`
	Attributes      map[string]string `json:"attributes,omitempty"`
	Tags            []string          `json:"tags,omitempty"`
	IssuesCounted   int               `json:"issues_counted"` // since the count of the issue limit was last reset
	Tainted         bool              `json:"tainted"`        // a former user had the seed: the next distribution replaces it
	Version         int               `json:"version"`

	// What a right passcode meets.
	PINState           string `json:"pin_state"`            // not_used, none, set, must_change or expired
	NextTokencode      bool   `json:"next_tokencode"`       // a right passcode has to be followed by the next tokencode
	BadPasscodes       int    `json:"bad_passcodes"`        // in a row
	ClockOffsetSeconds int64  `json:"clock_offset_seconds"` // that the token's clock is known to be ahead of the server's

	LostAt    *time.Time `json:"lost_at,omitempty"` // nil if it is not lost
	Emergency *Emergency `json:"emergency,omitempty"`

	Replaces   string `json:"replaces"`    // serial of the token that this one takes over from at its first use; "" for none
	ReplacedBy string `json:"replaced_by"` // serial of the token that takes over from this one; "" for none
	Domain     string `json:"domain"`      // security domain

	// States that the one word of State is made of (section 3.1 of the lifecycle), beside Enabled, Distribution and PINState.
	Lifetime    string `json:"lifetime"`    // not_yet_valid, valid, expiring or expired
	Replacement string `json:"replacement"` // the part it takes in one: none, original or replacement
	Sync        string `json:"sync"`        // in_sync, next_tokencode, or out_of_sync where more wrong passcodes came than take the next tokencode
	Lost        bool   `json:"lost"`
}

// A Replacement says which token is to take over from another one.
type Replacement struct {
	With   string `json:"with,omitempty"`    // serial; the next available one for ""
	NewPIN bool   `json:"new_pin,omitempty"` // the PIN does not come along; it never does where the new token cannot have it
}

// An Emergency is access without the token, by codes that stand in for the tokencode.
type Emergency struct {
	Kind       string     `json:"kind"` // fixed: one code, again and again; set: each code once
	Until      time.Time  `json:"until"`
	Left       int        `json:"left"` // codes that may still be used
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
}

// A Loss says that a token is lost, and which emergency codes its user shall have.
type Loss struct {
	Emergency   string `json:"emergency,omitempty"`    // fixed or set; "" for none
	Count       int    `json:"count,omitempty"`        // of a set, 1 to 50
	LifeSeconds int64  `json:"life_seconds,omitempty"` // 0 for what the token policy says
}

// A LostToken is a token that was said to be lost, with its emergency codes, which are shown this once.
type LostToken struct {
	Token Token    `json:"token"`
	Codes []Secret `json:"codes"`
}

// A Pending seed waits to take over from the one that is valid now.
type Pending struct {
	Generation int       `json:"generation"`
	Until      time.Time `json:"until"` // when it takes over at the latest
}

// A TokenPage is a part of the list of tokens.
type TokenPage struct {
	Tokens []Token `json:"tokens"`
	Next   string  `json:"next,omitempty"` // the After of the next page; "" after the last
}

// NewTokens says which tokens the server is to make.
type NewTokens struct {
	Count  int    `json:"count"`            // 1 to 10000
	Birth  string `json:"birth,omitempty"`  // first valid day; today
	Expiry string `json:"expiry,omitempty"` // last valid day; five years after the first
	Domain string `json:"domain,omitempty"` // security domain; the top of the caller's
}

// CreatedTokens are the serials of the tokens that were made.
type CreatedTokens struct {
	Serials []string `json:"serials"`
}

// A BackupRequest says for whom a backup is sealed: those who know a password, or have the private key to one of several
// public keys of age (age1...).
type BackupRequest struct {
	Password    Secret   `json:"password,omitempty"`
	To          []string `json:"to,omitempty"`
	IncludeKeys bool     `json:"include_keys,omitempty"` // the master key, and the server's own certification authority
}

// A TokenFile is a token file (.sdtid) to be imported.
type TokenFile struct {
	File     []byte `json:"file"`
	Password Secret `json:"password,omitempty"`
}

// ImportedTokens say what an import did.
type ImportedTokens struct {
	Imported []string `json:"imported"` // serials that are new
	Ignored  []string `json:"ignored"`  // serials that were here already, left untouched
}

// An Assignment names the user who is to hold a token.
type Assignment struct {
	UserID string `json:"user_id"`
}

// A Distribution says how a token is to be delivered. What is not said is the profile's.
type Distribution struct {
	Profile      string `json:"profile"`
	Password     Secret `json:"password,omitempty"`      // of a file or string
	Protection   string `json:"protection,omitempty"`    // as in Profile
	DeviceID     string `json:"device_id,omitempty"`     // binds the delivery to one device
	Nickname     string `json:"nickname,omitempty"`      // name of the token in the app; files only
	SwitchOver   string `json:"switch_over,omitempty"`   // as in Profile
	GraceSeconds *int64 `json:"grace_seconds,omitempty"` // as in Profile
	Mail         bool   `json:"mail,omitempty"`          // to the user's address
	SecretBy     string `json:"secret_by,omitempty"`     // how the password or activation code goes then: hand, mail or sign_in; "" is hand
}

// A Redistribution says how and why a token is to be delivered again, with a new seed.
type Redistribution struct {
	Distribution
	Reason string `json:"reason"`         // COMPROMISED, LOST_DEVICE, NEW_DEVICE, CHANGE_ATTRIBUTES, NOT_RECEIVED or OTHER
	Note   string `json:"note,omitempty"` // why, in words; OTHER needs it
}

// An Issue is what came of a distribution.
type Issue struct {
	Serial     string     `json:"serial"`
	Job        string     `json:"job"` // the correlation ID of its audit events
	Generation int        `json:"generation"`
	Delivery   Delivery   `json:"delivery"`
	SwitchOver string     `json:"switch_over"`
	OldUntil   *time.Time `json:"old_until,omitempty"` // when a still valid old seed stops at the latest
	Warnings   []string   `json:"warnings"`            // for the administrator
	Mails      []string   `json:"mails,omitempty"`     // IDs of the messages to the user; what they hold is not in the delivery
}

// A Delivery is what is handed to the user: only the fields of its method are
// there. It is as secret as the seed that it holds or leads to.
type Delivery struct {
	Method            string     `json:"method"` // file, ctf or ctkip
	File              []byte     `json:"file,omitempty"`
	FileName          string     `json:"file_name,omitempty"`
	CTF               string     `json:"ctf,omitempty"` // the bare digits
	CTFURL            string     `json:"ctf_url,omitempty"`
	CTKIPURL          string     `json:"ctkip_url,omitempty"`
	CTKIPLink         string     `json:"ctkip_link,omitempty"` // opens the app with URL and code
	ActivationCode    string     `json:"activation_code,omitempty"`
	ActivationExpires *time.Time `json:"activation_expires,omitempty"`
	QR                string     `json:"qr,omitempty"` // the text that the QR code holds
}

// A Revocation says what was revoked.
type Revocation struct {
	Revoked int `json:"revoked"` // activation codes: 0 or 1
}

// A PIN is the PIN that a token is to have.
type PIN struct {
	PIN Secret `json:"pin"`
	// Temporary has the user change it at its first use.
	Temporary bool `json:"temporary,omitempty"`
}

// Tokencodes are two that a token shows one after the other, without PIN.
type Tokencodes struct {
	First  Secret `json:"first"`
	Second Secret `json:"second"`
}

// A Check is a passcode to be decided, or the answer to what an earlier one asked for: UserID and Passcode, or Attempt,
// Turn and Answer.
type Check struct {
	UserID   string `json:"user_id,omitempty"`
	Passcode Secret `json:"passcode,omitempty"`

	Attempt string `json:"attempt,omitempty"` // of the Decision that is answered
	Turn    int    `json:"turn,omitempty"`
	Answer  Secret `json:"answer,omitempty"`

	// Station is the user's machine, such as its address; without it, the caller's.
	Station string `json:"station,omitempty"`
	// RequestID is random. The same request sent again gets the same decision and is not decided again.
	RequestID string `json:"request_id,omitempty"`
}

// A Decision is the answer to a check, and all that an outsider is told. Unless
// Step is "", it is not decided yet: ask the user for it and send the answer.
type Decision struct {
	Result    string     `json:"result"`            // accepted, denied, next_tokencode or new_pin
	Step      string     `json:"step,omitempty"`    // next_tokencode, new_pin, system_pin or reauthenticate
	Attempt   string     `json:"attempt,omitempty"` // names the dialogue; any server goes on with it
	Turn      int        `json:"turn,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // when the attempt stops waiting
	PIN       *PINRules  `json:"pin,omitempty"`        // what a new PIN must be like
	Rejected  string     `json:"rejected,omitempty"`   // why the PIN that was just given is not taken, for the user to read
	SystemPIN Secret     `json:"system_pin,omitempty"` // the PIN that the system made; any answer but n, no and cancel takes it
	Mailed    bool       `json:"mailed,omitempty"`     // it is about codes on demand: the next tokencode is one that was sent to her, and a new PIN, once it is set, has another one sent
}

// PINRules are what a new PIN must be like.
type PINRules struct {
	Min          int    `json:"min"`
	Max          int    `json:"max"`
	Alphanumeric bool   `json:"alphanumeric"`
	Creation     string `json:"creation"` // who may make it: user, system or either
}

// Accepted is the one Result that lets the user in.
const Accepted = "accepted"

// An APIKey lets a program use the API in a role.
type APIKey struct {
	Name      string     `json:"name"`
	ID        string     `json:"id"` // the public part of the key
	Role      string     `json:"role"`
	Origin    string     `json:"origin"` // ID of the key that it goes back to: keys of one origin count as one person
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // nil for never
	Domain    string     `json:"domain"`               // security domain that it is limited to; root for the whole deployment
}

// A NewAPIKey is a key to be made.
type NewAPIKey struct {
	Name        string `json:"name"`
	Role        string `json:"role"`
	LifeSeconds int64  `json:"life_seconds,omitempty"` // 0 for ever
	Domain      string `json:"domain,omitempty"`       // security domain; the top of the caller's
}

// A CreatedAPIKey is a new key with its text, which is shown this once.
type CreatedAPIKey struct {
	APIKey
	Key Secret `json:"key"` // to be sent as Authorization: Bearer
}

// An APIKeyList is all keys, without their texts.
type APIKeyList struct {
	APIKeys []APIKey `json:"api_keys"`
}

// An Agent is a program, such as a VPN gateway, that asks for its users
// through the SecurID Authentication API.
type Agent struct {
	Agent       string   `json:"agent"`         // its name, which it gives as clientId; unique whatever the case
	Retry       bool     `json:"retry"`         // a wrong passcode leaves the attempt open for another one
	DisplayName string   `json:"display_name"`  // of the method SECURID; "" sends null, which every known agent takes
	HMAC        string   `json:"hmac"`          // off, allowed or required: requests are signed
	Networks    []string `json:"networks"`      // that it may ask from; none for all
	Methods     []string `json:"methods"`       // that it may send passcodes by: SECURID, TOKEN, EMERGENCY_TOKENCODE
	AlsoNamedBy []string `json:"also_named_by"` // what users may be named by beside their IDs: mail
	// Whom it may ask about: one of the users or a member of one of the groups, where either is named, who is in the security domain
	// or below. Whoever is not is denied like somebody with a wrong passcode.
	AllowedUsers  []string  `json:"allowed_users"`  // IDs
	AllowedGroups []string  `json:"allowed_groups"` // names
	AllowedDomain string    `json:"allowed_domain"` // "" for everywhere
	Note          string    `json:"note"`
	CreatedAt     time.Time `json:"created_at"`
	Version       int       `json:"version"`
	Domain        string    `json:"domain"` // security domain
}

// A NewAgent is an agent to be added.
type NewAgent struct {
	Agent         string   `json:"agent"`
	Retry         bool     `json:"retry,omitempty"`
	DisplayName   string   `json:"display_name,omitempty"`
	HMAC          string   `json:"hmac,omitempty"` // off
	Networks      []string `json:"networks,omitempty"`
	Methods       []string `json:"methods,omitempty"` // SECURID
	AlsoNamedBy   []string `json:"also_named_by,omitempty"`
	AllowedUsers  []string `json:"allowed_users,omitempty"`
	AllowedGroups []string `json:"allowed_groups,omitempty"`
	AllowedDomain string   `json:"allowed_domain,omitempty"`
	Note          string   `json:"note,omitempty"`
	Domain        string   `json:"domain,omitempty"` // security domain; the top of the caller's
}

// An AgentEdit changes an agent; what is nil stays.
type AgentEdit struct {
	Retry         *bool     `json:"retry,omitempty"`
	DisplayName   *string   `json:"display_name,omitempty"`
	HMAC          *string   `json:"hmac,omitempty"`
	Networks      *[]string `json:"networks,omitempty"`
	Methods       *[]string `json:"methods,omitempty"`
	AlsoNamedBy   *[]string `json:"also_named_by,omitempty"`
	AllowedUsers  *[]string `json:"allowed_users,omitempty"`
	AllowedGroups *[]string `json:"allowed_groups,omitempty"`
	AllowedDomain *string   `json:"allowed_domain,omitempty"`
	Note          *string   `json:"note,omitempty"`
}

// An AgentList is all agents.
type AgentList struct {
	Agents []Agent `json:"agents"`
}

// An AgentCredential is what an agent proves itself with.
type AgentCredential struct {
	AccessID   string     `json:"access_id"`
	Agent      string     `json:"agent"`
	Deprecated bool       `json:"deprecated"` // works, and is warned about
	HMAC       bool       `json:"hmac"`       // requests may be signed with it: it was made while the agent's HMAC was on
	Note       string     `json:"note"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"` // nil for never
}

// A NewAgentCredential is a credential to be made.
type NewAgentCredential struct {
	Note        string `json:"note,omitempty"`
	LifeSeconds int64  `json:"life_seconds,omitempty"` // 0 for ever
}

// A CreatedAgentCredential is a new credential with its access key, which is shown this once.
type CreatedAgentCredential struct {
	AgentCredential
	AccessKey Secret `json:"access_key"`
}

// An AgentCredentialEdit changes a credential; what is nil stays.
type AgentCredentialEdit struct {
	Deprecated *bool   `json:"deprecated,omitempty"`
	Note       *string `json:"note,omitempty"`
}

// An AgentCredentialList is the credentials of an agent, oldest first.
type AgentCredentialList struct {
	Credentials []AgentCredential `json:"credentials"`
}

// A DataKey is a key that secrets are sealed with.
type DataKey struct {
	DataKey int64 `json:"data_key"` // its number
}

// An Event is one thing that was done or refused.
type Event struct {
	Seq           int64          `json:"seq"` // place in the audit log; -1 for an event that has none yet
	ID            string         `json:"id"`
	At            time.Time      `json:"at"`
	Node          string         `json:"node,omitempty"`
	Actor         string         `json:"actor"`
	Role          string         `json:"role,omitempty"`
	Client        string         `json:"client,omitempty"` // address that the request came from
	Action        string         `json:"action"`
	Object        string         `json:"object"`
	Outcome       string         `json:"outcome"` // success or failure
	Reason        string         `json:"reason,omitempty"`
	Details       map[string]any `json:"details,omitempty"`
	CorrelationID string         `json:"correlation_id,omitempty"`
}

// An EventPage is a part of the audit log.
type EventPage struct {
	Events []Event `json:"events"`
	Next   string  `json:"next,omitempty"` // the After of the next page; "" after the last
}

// An Entry is an event as the audit log hashes it.
type Entry struct {
	Seq    int64  `json:"seq"`
	Record []byte `json:"record"`
	Leaf   []byte `json:"leaf"` // SHA-256 that is stored beside the record
}

// An EntryList is a run of the audit log.
type EntryList struct {
	Entries []Entry `json:"entries"`
}

// A Checkpoint is the signed head of the audit log.
type Checkpoint struct {
	Size   int64     `json:"size"` // number of events
	At     time.Time `json:"at"`
	Signed []byte    `json:"signed"` // the signed note (C2SP tlog-checkpoint)
}

// A CheckpointList is a page of signed heads.
type CheckpointList struct {
	Checkpoints []Checkpoint `json:"checkpoints"`
}

// A VerifierKey checks the signatures of checkpoints.
type VerifierKey struct {
	VerifierKey string `json:"verifier_key"` // as package golang.org/x/mod/sumdb/note writes it
}

// A PendingCount is how many events have no place in the audit log yet.
type PendingCount struct {
	Pending int `json:"pending"`
}

// A Problem is the document of a refusal (RFC 9457).
type Problem struct {
	Type          string         `json:"type"`
	Title         string         `json:"title"` // of the status
	Status        int            `json:"status"`
	Code          string         `json:"code"`
	Message       string         `json:"message"`
	Detail        string         `json:"detail"` // the message again, under its name in RFC 9457
	Details       map[string]any `json:"details,omitempty"`
	CorrelationID string         `json:"correlation_id"`
}

// A Clock is what the servers say of their clocks.
type Clock struct {
	// Trusted says that the server that answers decides passcodes: its clock did not go back.
	Trusted       bool          `json:"trusted"`
	BehindSeconds float64       `json:"behind_seconds"` // the latest time that it has shown
	SkewSeconds   float64       `json:"skew_seconds"`   // between the two clocks that are furthest apart
	Servers       []ServerClock `json:"servers"`        // heard of within a minute
}

// A ServerClock is what one server last said of its clock.
type ServerClock struct {
	Server       string    `json:"server"`
	Latest       time.Time `json:"latest"`        // time that it has seen
	AheadSeconds float64   `json:"ahead_seconds"` // of the database's clock
	At           time.Time `json:"at"`            // when it said so, by the database's clock
}
