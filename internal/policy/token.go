package policy

import (
	"slices"
	"strings"
	"time"
)

// A NextCodeFailure says what follows when the next tokencode that was asked for is wrong.
type NextCodeFailure string

// What follows a wrong next tokencode.
const (
	NextCodeFails NextCodeFailure = "fail" // one more failure, like any wrong passcode
	NextCodeLocks NextCodeFailure = "lock" // the user is locked at once
)

// A PINCreation says who chooses a new PIN.
type PINCreation string

// Who chooses a new PIN.
const (
	ByUser   PINCreation = "user"
	BySystem PINCreation = "system" // made at random and shown once
	ByEither PINCreation = "either" // the user is asked which
)

// Characters says what a PIN or an emergency code is made of.
type Characters string

// What a PIN or an emergency code is made of.
const (
	Digits       Characters = "digits"
	Alphanumeric Characters = "alphanumeric" // letters A to Z and a to z, which differ, and digits
)

// An IfFound says what becomes of a lost token that turns up while emergency access is on (section 11.1).
type IfFound string

// What becomes of a lost token that turns up.
const (
	Deny         IfFound = "deny"           // refused while emergency access is on
	AcceptAndEnd IfFound = "accept_and_end" // accepted, and emergency access ends
	AcceptAfter  IfFound = "accept_after"   // accepted only after the emergency codes' lifetime has ended
)

// A FixedPasscode says what fixed passcodes are made of.
type FixedPasscode string

// What fixed passcodes are made of.
const (
	NoFixedPasscode FixedPasscode = "off" // there are none, and those that were set are refused
	FixedLikePIN    FixedPasscode = "pin" // the rules of PINs
	FixedByOwnRules FixedPasscode = "own" // letters and digits, one of each at least, from FixedPasscodeMin characters on
)

// A Token policy holds the rules for tokens and their PINs, and for what stands in for a token (sections 10.2, 10.4 and 11.1).
// Each field's comment gives its limits and its default.
type Token struct {
	// IncorrectBeforeNTC is after how many wrong passcodes in a row a right one is accepted only with the next
	// tokencode; 0 for never. 0 to 20, 3.
	IncorrectBeforeNTC int `json:"incorrect_before_ntc"`
	// NextCodeFailure is what a wrong next tokencode does. [NextCodeFails].
	NextCodeFailure NextCodeFailure `json:"next_code_failure"`

	// PINCreation is who chooses a new PIN. [ByUser].
	PINCreation PINCreation `json:"pin_creation"`
	// PINMin and PINMax are the length of a PIN in characters; a PINPad PIN is never longer than the code.
	// 4 to 16, 4 and 8.
	PINMin int `json:"pin_min"`
	PINMax int `json:"pin_max"`
	// PINCharacters is what a fob PIN is made of; a PINPad PIN is always digits, since it is added to the tokencode.
	// [Digits].
	PINCharacters Characters `json:"pin_characters"`
	// PINMinLetters and PINMinDigits are how many of each an alphanumeric fob PIN takes at least;
	// together at most PINMin. 0 and 0.
	PINMinLetters int `json:"pin_min_letters"`
	PINMinDigits  int `json:"pin_min_digits"`
	// RefuseTrivialPINs refuses sequences, repeats, keypad patterns, parts of the serial, and four digits that are a
	// year of birth. On.
	RefuseTrivialPINs bool `json:"refuse_trivial_pins"`
	// ExcludedWords must not be part of a PIN, in whatever case. Up to 1000 words of 4 to 16 letters and digits; none.
	ExcludedWords []string `json:"excluded_words"`
	// PINMaxLife is when a PIN must be changed; 0 for never. 0, or 1 to 3650 days; 0.
	PINMaxLife time.Duration `json:"pin_max_life"`
	// PINMinLife is how long a PIN that the user chose must stay before she may change it at her own wish, which nothing offers yet: whoever is asked for a new PIN
	// gives one. 0 to 365 days, less than PINMaxLife; 0.
	PINMinLife time.Duration `json:"pin_min_life"`
	// PINHistory is how many of the last PINs, with the present one, may not be taken again; one that must be changed may not in any case. 0 to 20, 5.
	PINHistory int `json:"pin_history"`

	// EmergencyLength is the length of an emergency code in characters. 8 to 16, 8.
	EmergencyLength int `json:"emergency_length"`
	// EmergencyCharacters is what an emergency code is made of; look-alikes are left out. [Alphanumeric].
	EmergencyCharacters Characters `json:"emergency_characters"`
	// EmergencyLife is how long an emergency code lives unless it is said. 1 hour to 365 days; 7 days.
	EmergencyLife time.Duration `json:"emergency_life"`
	// EmergencyMaxLife is the longest life that may be asked for; 0 for no limit. 0, or EmergencyLife to 365 days; 0.
	EmergencyMaxLife time.Duration `json:"emergency_max_life"`
	// EmergencyIfFound is what becomes of a lost token that turns up. [AcceptAndEnd].
	EmergencyIfFound IfFound `json:"emergency_if_found"`

	// FixedPasscode is whether a user may have a passcode that stays the same, and what it is made of. [NoFixedPasscode].
	FixedPasscode FixedPasscode `json:"fixed_passcode"`
	// FixedPasscodeMin is the length of a fixed passcode with rules of its own, in characters. 8 to 64, 12.
	FixedPasscodeMin int `json:"fixed_passcode_min"`
	// OnDemand lets users have codes by mail who have a PIN for them. Off: those that were sent are refused.
	OnDemand bool `json:"on_demand"`
	// OnDemandLife is how long such a code lives. 1 minute to 24 hours, 15 minutes.
	OnDemandLife time.Duration `json:"on_demand_life"`

	// DeleteReplaced deletes a token that another one has replaced; else it is unassigned. Off.
	DeleteReplaced bool `json:"delete_replaced"`

	// WindowSmall is how many intervals to each side of the token's own time a code is accepted at once. 0 to 10, 1.
	WindowSmall int `json:"window_small"`
	// WindowMedium is how far to each side a code is accepted with the next one, which corrects the stored clock
	// offset. WindowSmall minutes to 2 hours; 10 minutes.
	WindowMedium time.Duration `json:"window_medium"`
	// WindowLarge is how far to each side resynchronisation searches. WindowMedium to 24 hours; 12 hours.
	WindowLarge time.Duration `json:"window_large"`

	Domain  string `json:"-"` // whose policy it is; "" for the deployment's
	Version int    `json:"-"` // grows with every change
}

// Limits of the settings of a token policy.
const (
	MaxIncorrectBeforeNTC = 20
	MinPINLength          = 4
	MaxPINLength          = 16
	MaxExcludedWords      = 1000
	MinWordLength         = 4 // shorter words could leave no PIN to choose
	MaxPINLife            = 3650 * day
	MaxPINMinLife         = 365 * day
	MaxPINHistory         = 20
	MinEmergencyLength    = 8
	MaxEmergencyLength    = 16
	MinEmergencyLife      = time.Hour
	MaxEmergencyLife      = 365 * day
	MinFixedPasscode      = 8
	MaxFixedPasscode      = 64
	MinOnDemandLife       = time.Minute
	MaxOnDemandLife       = 24 * time.Hour
	MaxWindowSmall        = 10 // intervals
	MaxWindowMedium       = 2 * time.Hour
	MaxWindowLarge        = 24 * time.Hour

	day = 24 * time.Hour
)

// Validate refuses a policy that breaks a limit, with [fault.PolicyInvalid] and a message that names the setting.
func (t Token) Validate() error {
	return first(
		between("incorrect_before_ntc", t.IncorrectBeforeNTC, 0, MaxIncorrectBeforeNTC),
		oneOf("next_code_failure", t.NextCodeFailure, NextCodeFails, NextCodeLocks),
		oneOf("pin_creation", t.PINCreation, ByUser, BySystem, ByEither),
		between("pin_min", t.PINMin, MinPINLength, MaxPINLength),
		t.pinMax(),
		oneOf("pin_characters", t.PINCharacters, Digits, Alphanumeric),
		between("pin_min_letters", t.PINMinLetters, 0, t.PINMin),
		between("pin_min_digits", t.PINMinDigits, 0, t.PINMin-t.PINMinLetters),
		words(t.ExcludedWords),
		zeroOr("pin_max_life", t.PINMaxLife, day, MaxPINLife),
		t.pinMinLife(),
		between("pin_history", t.PINHistory, 0, MaxPINHistory),
		between("emergency_length", t.EmergencyLength, MinEmergencyLength, MaxEmergencyLength),
		oneOf("emergency_characters", t.EmergencyCharacters, Digits, Alphanumeric),
		within("emergency_life", t.EmergencyLife, MinEmergencyLife, MaxEmergencyLife),
		zeroOr("emergency_max_life", t.EmergencyMaxLife, t.EmergencyLife, MaxEmergencyLife),
		oneOf("emergency_if_found", t.EmergencyIfFound, Deny, AcceptAndEnd, AcceptAfter),
		oneOf("fixed_passcode", t.FixedPasscode, NoFixedPasscode, FixedLikePIN, FixedByOwnRules),
		between("fixed_passcode_min", t.FixedPasscodeMin, MinFixedPasscode, MaxFixedPasscode),
		within("on_demand_life", t.OnDemandLife, MinOnDemandLife, MaxOnDemandLife),
		between("window_small", t.WindowSmall, 0, MaxWindowSmall),
		within("window_medium", t.WindowMedium, time.Duration(t.WindowSmall)*time.Minute, MaxWindowMedium),
		within("window_large", t.WindowLarge, t.WindowMedium, MaxWindowLarge),
	)
}

// pinMax is named with the setting that bounds it, which may be the one that is changed.
func (t Token) pinMax() error {
	if t.PINMax < t.PINMin {
		return refuse("pin_max", "is %d, and must not be less than pin_min, which is %d", t.PINMax, t.PINMin)
	}
	return between("pin_max", t.PINMax, t.PINMin, MaxPINLength)
}

// pinMinLife leaves a user some time to change a PIN between the day it may be changed and the day it must be.
func (t Token) pinMinLife() error {
	if err := within("pin_min_life", t.PINMinLife, 0, MaxPINMinLife); err != nil {
		return err
	}
	if t.PINMaxLife > 0 && t.PINMinLife >= t.PINMaxLife {
		return refuse("pin_min_life", "must be shorter than pin_max_life, which is %s", t.PINMaxLife)
	}
	return nil
}

func words(all []string) error {
	if len(all) > MaxExcludedWords {
		return refuse("excluded_words", "takes up to %d words, not %d", MaxExcludedWords, len(all))
	}
	const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	useless := func(word string) bool {
		return len(word) < MinWordLength || len(word) > MaxPINLength || strings.Trim(word, characters) != ""
	}
	if slices.ContainsFunc(all, useless) {
		return refuse("excluded_words", "takes words of %d to %d letters A to Z and digits, as PINs have them", MinWordLength, MaxPINLength)
	}
	return nil
}
