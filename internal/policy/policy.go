// Package policy is what administrators may decide about authentication: the
// token policy (how many mistakes, which PINs, how wide the windows, which
// emergency codes) and the lockout policy
// (spec/software-token-lifecycle.md sections 10.2, 10.4, 10.5 and 11.1); and
// about the life of tokens: the deployment's [Settings].
//
// The deployment has one policy of each kind, and a security domain may have
// its own: users and their tokens are under that of their domain, else of the
// nearest domain above that has one, else the deployment's. Authentications are
// decided by them, so all are read together, as a [Tree]: [Registry.Current]
// gives it from memory, at most a second old. What is said when a policy is
// edited holds for what happens from then on; a PIN that was taken stays.
package policy

import "time"

// A Lockout policy says when wrong passcodes lock a user (section 10.5). Failures of all the user's tokens and methods
// add up, and a success starts anew. Each field's comment gives its limits and its default.
type Lockout struct {
	// Failures in a row lock the user; 0 for never. 0 to 100, 5.
	Failures int `json:"failures"`
	// Within is how long a failure counts. 1 minute to 365 days; 24 hours.
	Within time.Duration `json:"within"`
	// UnlockAfter is when a locked user is unlocked without an administrator; 0 for never.
	// 0, or 1 minute to 365 days; 0.
	UnlockAfter time.Duration `json:"unlock_after"`
	// SeparateUnknownSources counts failures from sources that the user never succeeded from on their own, so that a
	// stranger cannot lock a user out where the user signs in. On.
	SeparateUnknownSources bool `json:"separate_unknown_sources"`

	Domain  string `json:"-"` // whose policy it is; "" for the deployment's
	Version int    `json:"-"` // grows with every change
}

// Limits of the settings of a lockout policy.
const (
	MaxFailures = 100
	MaxLockout  = 365 * day // of Within and UnlockAfter
)

// Validate refuses a policy that breaks a limit, with [fault.PolicyInvalid] and a message that names the setting.
func (l Lockout) Validate() error {
	return first(
		between("failures", l.Failures, 0, MaxFailures),
		within("within", l.Within, time.Minute, MaxLockout),
		zeroOr("unlock_after", l.UnlockAfter, time.Minute, MaxLockout),
	)
}

// A Set is the policies that hold for a user, and the settings.
type Set struct {
	Token    Token    `json:"token"`
	Lockout  Lockout  `json:"lockout"`
	Settings Settings `json:"settings"`
}

// Default returns the policies that hold until an administrator changes them.
func Default() Set {
	return Set{
		Token: Token{
			IncorrectBeforeNTC: 3, NextCodeFailure: NextCodeFails,
			PINCreation: ByUser, PINMin: 4, PINMax: 8, PINCharacters: Digits, RefuseTrivialPINs: true, PINHistory: 5,
			EmergencyLength: 8, EmergencyCharacters: Alphanumeric, EmergencyLife: 7 * day, EmergencyIfFound: AcceptAndEnd,
			FixedPasscode: NoFixedPasscode, FixedPasscodeMin: 12, OnDemandLife: 15 * time.Minute,
			WindowSmall: 1, WindowMedium: 10 * time.Minute, WindowLarge: 12 * time.Hour,
		},
		Lockout:  Lockout{Failures: 5, Within: day, SeparateUnknownSources: true},
		Settings: Settings{MaxTokensPerUser: 3, MinDaysLeft: 30, WarnDays: 90, ActivationCodeDigits: 12, SplitDelivery: true, ResultLife: day},
	}
}
