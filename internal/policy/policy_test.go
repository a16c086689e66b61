package policy_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

const day = 24 * time.Hour

func TestDefaultsAreThoseOfTheSpecification(t *testing.T) {
	want := policy.Set{
		Token: policy.Token{
			IncorrectBeforeNTC: 3, NextCodeFailure: "fail", PINCreation: "user", PINMin: 4, PINMax: 8, PINCharacters: "digits",
			RefuseTrivialPINs: true, PINHistory: 5, EmergencyLength: 8, EmergencyCharacters: "alphanumeric", EmergencyLife: 7 * day,
			EmergencyIfFound: "accept_and_end", FixedPasscode: "off", FixedPasscodeMin: 12, OnDemandLife: 15 * time.Minute, WindowSmall: 1, WindowMedium: 10 * time.Minute, WindowLarge: 12 * time.Hour,
		},
		Lockout:  policy.Lockout{Failures: 5, Within: day, SeparateUnknownSources: true},
		Settings: policy.Settings{MaxTokensPerUser: 3, MinDaysLeft: 30, WarnDays: 90, ActivationCodeDigits: 12, SplitDelivery: true, ResultLife: day},
	}
	got := policy.Default()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if err := validate(got); err != nil {
		t.Error(err)
	}
}

func validate(s policy.Set) error {
	return errors.Join(s.Token.Validate(), s.Lockout.Validate(), s.Settings.Validate())
}

func TestASetSurvivesJSON(t *testing.T) {
	before := policy.Default()
	before.Token.ExcludedWords, before.Lockout.UnlockAfter = []string{"acme"}, 30*time.Minute
	text, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	var after policy.Set
	if err := json.Unmarshal(text, &after); err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("%s became %+v, %v", text, after, err)
	}
}

// Each setting takes the ends of its range and refuses what lies beyond, by its name.
func TestLimits(t *testing.T) {
	type change = func(*policy.Set)
	long := make([]string, 1001)
	for i := range long {
		long[i] = "word"
	}
	for _, c := range []struct {
		setting string
		good    []change
		bad     []change
	}{
		{"incorrect_before_ntc", []change{
			func(s *policy.Set) { s.Token.IncorrectBeforeNTC = 0 }, func(s *policy.Set) { s.Token.IncorrectBeforeNTC = 20 },
		}, []change{
			func(s *policy.Set) { s.Token.IncorrectBeforeNTC = -1 }, func(s *policy.Set) { s.Token.IncorrectBeforeNTC = 21 },
		}},
		{"next_code_failure", []change{func(s *policy.Set) { s.Token.NextCodeFailure = policy.NextCodeLocks }},
			[]change{func(s *policy.Set) { s.Token.NextCodeFailure = "" }}},
		{"pin_creation", []change{
			func(s *policy.Set) { s.Token.PINCreation = policy.BySystem }, func(s *policy.Set) { s.Token.PINCreation = policy.ByEither },
		}, []change{func(s *policy.Set) { s.Token.PINCreation = "User" }}},
		{"pin_min", []change{func(s *policy.Set) { s.Token.PINMin = 8 }},
			[]change{func(s *policy.Set) { s.Token.PINMin = 3 }, func(s *policy.Set) { s.Token.PINMin, s.Token.PINMax = 17, 17 }}},
		{"pin_max", []change{func(s *policy.Set) { s.Token.PINMax = 4 }, func(s *policy.Set) { s.Token.PINMax = 16 }},
			[]change{func(s *policy.Set) { s.Token.PINMax = 17 }, func(s *policy.Set) { s.Token.PINMin, s.Token.PINMax = 6, 5 }}},
		{"pin_characters", []change{func(s *policy.Set) { s.Token.PINCharacters = policy.Alphanumeric }},
			[]change{func(s *policy.Set) { s.Token.PINCharacters = "emoji" }}},
		{"pin_min_letters", []change{func(s *policy.Set) { s.Token.PINMinLetters = 4 }},
			[]change{func(s *policy.Set) { s.Token.PINMinLetters = 5 }, func(s *policy.Set) { s.Token.PINMinLetters = -1 }}},
		{"pin_min_digits", []change{func(s *policy.Set) { s.Token.PINMinLetters, s.Token.PINMinDigits = 2, 2 }},
			[]change{func(s *policy.Set) { s.Token.PINMinLetters, s.Token.PINMinDigits = 2, 3 }}},
		{"excluded_words", []change{func(s *policy.Set) { s.Token.ExcludedWords = []string{"acme", "2026", "Rumpelstilzchens"} }, func(s *policy.Set) { s.Token.ExcludedWords = long[:1000] }},
			[]change{
				func(s *policy.Set) { s.Token.ExcludedWords = []string{"abc"} }, func(s *policy.Set) { s.Token.ExcludedWords = []string{"größe"} },
				func(s *policy.Set) { s.Token.ExcludedWords = []string{strings.Repeat("x", 17)} }, func(s *policy.Set) { s.Token.ExcludedWords = long },
			}},
		{"pin_max_life", []change{func(s *policy.Set) { s.Token.PINMaxLife = day }, func(s *policy.Set) { s.Token.PINMaxLife = 3650 * day }},
			[]change{
				func(s *policy.Set) { s.Token.PINMaxLife = day - time.Second }, func(s *policy.Set) { s.Token.PINMaxLife = 3651 * day },
				func(s *policy.Set) { s.Token.PINMaxLife = day + time.Millisecond }, func(s *policy.Set) { s.Token.PINMaxLife = -day },
			}},
		{"pin_min_life", []change{func(s *policy.Set) { s.Token.PINMinLife, s.Token.PINMaxLife = day, 2*day }},
			[]change{func(s *policy.Set) { s.Token.PINMinLife, s.Token.PINMaxLife = 2*day, 2*day }, func(s *policy.Set) { s.Token.PINMinLife = 366 * day }}},
		{"pin_history", []change{func(s *policy.Set) { s.Token.PINHistory = 0 }, func(s *policy.Set) { s.Token.PINHistory = 20 }},
			[]change{func(s *policy.Set) { s.Token.PINHistory = 21 }}},
		{"emergency_length", []change{func(s *policy.Set) { s.Token.EmergencyLength = 16 }},
			[]change{func(s *policy.Set) { s.Token.EmergencyLength = 7 }, func(s *policy.Set) { s.Token.EmergencyLength = 17 }}},
		{"emergency_characters", []change{func(s *policy.Set) { s.Token.EmergencyCharacters = policy.Digits }},
			[]change{func(s *policy.Set) { s.Token.EmergencyCharacters = "" }}},
		{"emergency_life", []change{func(s *policy.Set) { s.Token.EmergencyLife = time.Hour }},
			[]change{func(s *policy.Set) { s.Token.EmergencyLife = 0 }, func(s *policy.Set) { s.Token.EmergencyLife = 366 * day }, func(s *policy.Set) { s.Token.EmergencyLife = time.Hour + time.Millisecond }}},
		{"emergency_max_life", []change{func(s *policy.Set) { s.Token.EmergencyMaxLife = 7 * day }},
			[]change{func(s *policy.Set) { s.Token.EmergencyMaxLife = 6 * day }}},
		{"emergency_if_found", []change{func(s *policy.Set) { s.Token.EmergencyIfFound = policy.Deny }, func(s *policy.Set) { s.Token.EmergencyIfFound = policy.AcceptAfter }},
			[]change{func(s *policy.Set) { s.Token.EmergencyIfFound = "keep" }}},
		{"fixed_passcode", []change{func(s *policy.Set) { s.Token.FixedPasscode = policy.FixedLikePIN }, func(s *policy.Set) { s.Token.FixedPasscode = policy.FixedByOwnRules }},
			[]change{func(s *policy.Set) { s.Token.FixedPasscode = "" }}},
		{"fixed_passcode_min", []change{func(s *policy.Set) { s.Token.FixedPasscodeMin = 8 }, func(s *policy.Set) { s.Token.FixedPasscodeMin = 64 }},
			[]change{func(s *policy.Set) { s.Token.FixedPasscodeMin = 7 }, func(s *policy.Set) { s.Token.FixedPasscodeMin = 65 }}},
		{"on_demand_life", []change{func(s *policy.Set) { s.Token.OnDemandLife = time.Minute }, func(s *policy.Set) { s.Token.OnDemandLife = day }},
			[]change{func(s *policy.Set) { s.Token.OnDemandLife = 59 * time.Second }, func(s *policy.Set) { s.Token.OnDemandLife = 25 * time.Hour }}},
		{"window_small", []change{func(s *policy.Set) { s.Token.WindowSmall = 0 }, func(s *policy.Set) { s.Token.WindowSmall = 10 }},
			[]change{func(s *policy.Set) { s.Token.WindowSmall = 11 }, func(s *policy.Set) { s.Token.WindowSmall = -1 }}},
		{"window_medium", []change{func(s *policy.Set) { s.Token.WindowMedium = 2 * time.Hour }},
			[]change{func(s *policy.Set) { s.Token.WindowMedium = 59 * time.Second }, func(s *policy.Set) { s.Token.WindowMedium = 3 * time.Hour }}},
		{"window_large", []change{func(s *policy.Set) { s.Token.WindowLarge = 24 * time.Hour }},
			[]change{func(s *policy.Set) { s.Token.WindowLarge = 9 * time.Minute }, func(s *policy.Set) { s.Token.WindowLarge = 25 * time.Hour }}},
		{"failures", []change{func(s *policy.Set) { s.Lockout.Failures = 0 }, func(s *policy.Set) { s.Lockout.Failures = 100 }},
			[]change{func(s *policy.Set) { s.Lockout.Failures = -1 }, func(s *policy.Set) { s.Lockout.Failures = 101 }}},
		{"within", []change{func(s *policy.Set) { s.Lockout.Within = time.Minute }},
			[]change{func(s *policy.Set) { s.Lockout.Within = 0 }, func(s *policy.Set) { s.Lockout.Within = 366 * day }}},
		{"unlock_after", []change{func(s *policy.Set) { s.Lockout.UnlockAfter = time.Minute }},
			[]change{func(s *policy.Set) { s.Lockout.UnlockAfter = time.Second }, func(s *policy.Set) { s.Lockout.UnlockAfter = -time.Minute }}},
		{"max_tokens_per_user", []change{func(s *policy.Set) { s.Settings.MaxTokensPerUser = 1 }, func(s *policy.Set) { s.Settings.MaxTokensPerUser = 10 }},
			[]change{func(s *policy.Set) { s.Settings.MaxTokensPerUser = 0 }, func(s *policy.Set) { s.Settings.MaxTokensPerUser = 11 }}},
		{"min_days_left", []change{func(s *policy.Set) { s.Settings.MinDaysLeft = 0 }}, []change{func(s *policy.Set) { s.Settings.MinDaysLeft = -1 }}},
		{"warn_days", []change{func(s *policy.Set) { s.Settings.WarnDays = 0 }}, []change{func(s *policy.Set) { s.Settings.WarnDays = 3651 }}},
		{"issue_limit", []change{func(s *policy.Set) { s.Settings.IssueLimit = 1000 }},
			[]change{func(s *policy.Set) { s.Settings.IssueLimit = -1 }, func(s *policy.Set) { s.Settings.IssueLimit = 1001 }}},
		{"result_life", []change{func(s *policy.Set) { s.Settings.ResultLife = time.Hour }, func(s *policy.Set) { s.Settings.ResultLife = 30 * day }},
			[]change{func(s *policy.Set) { s.Settings.ResultLife = 0 }, func(s *policy.Set) { s.Settings.ResultLife = 31 * day }}},
		{"audit_authentication_days", []change{func(s *policy.Set) { s.Settings.AuditAuthenticationDays = 30 }}, []change{func(s *policy.Set) { s.Settings.AuditAuthenticationDays = 29 }}},
		{"audit_administration_days", []change{func(s *policy.Set) { s.Settings.AuditAdministrationDays = 36500 }}, []change{func(s *policy.Set) { s.Settings.AuditAdministrationDays = 36501 }}},
		{"audit_system_days", []change{func(s *policy.Set) { s.Settings.AuditSystemDays = 0 }}, []change{func(s *policy.Set) { s.Settings.AuditSystemDays = -1 }}},
	} {
		for i, change := range c.good {
			s := policy.Default()
			change(&s)
			if err := validate(s); err != nil {
				t.Errorf("%s, good %d: %v", c.setting, i, err)
			}
		}
		for i, change := range c.bad {
			s := policy.Default()
			change(&s)
			err := validate(s)
			var refusal *fault.Error
			if !errors.Is(err, fault.PolicyInvalid) || !errors.As(err, &refusal) || refusal.Details["setting"] != c.setting ||
				!strings.HasPrefix(refusal.Message, c.setting+" ") {
				t.Errorf("%s, bad %d: %v", c.setting, i, err)
			}
		}
	}
}
