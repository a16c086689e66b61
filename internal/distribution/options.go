package distribution

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// minPassword is the shortest delivery password, in characters.
const minPassword = 8

// check holds the request against token, user, profile and device (section 7.2) and settles
// what the delivery is locked with and bound to.
func (i *issue) check(of holdings) error {
	if err := i.asSeen(); err != nil {
		return err
	}
	if i.token.ExpiredAt(i.now) {
		return fault.New(fault.Expired, "token %s expired on %s: extend it first, or assign another", i.Serial, i.token.EffectiveExpiry.Format(time.DateOnly))
	}
	i.token.GiveUpCode()
	if limit := i.house.IssueLimit; limit > 0 && i.token.IssuesCounted() >= limit {
		return fault.New(fault.IssueLimit, "token %s was issued %d times, and the limit is %d: reset its count, or give the user another token", i.Serial, i.token.IssuesCounted(), limit)
	}
	if i.house.NoPINs && !slices.Contains(i.device.PINTypes, device.NoPIN) {
		return fault.New(fault.ProfileMismatch, "tokens of this deployment take no PIN, and those of device type %s must: take a profile of another device type", i.device.Name)
	}
	if err := checkSwitchOver(i.SwitchOver, i.Grace, i.profile); err != nil {
		return err
	}
	if err := i.checkNickname(); err != nil {
		return err
	}
	if err := i.recall(of); err != nil {
		return err
	}
	if err := i.bind(); err != nil {
		return err
	}
	return i.protect()
}

// checkSwitchOver holds the rule that was asked for, and the grace, against each other and the profile.
func checkSwitchOver(rule profile.SwitchOver, grace time.Duration, p profile.Profile) error {
	switch {
	case rule != "" && rule != profile.Immediate && rule != profile.OnActivation:
		return fault.New(fault.Invalid, "the switch-over is %s or %s", profile.Immediate, profile.OnActivation)
	case grace > profile.MaxGrace:
		return fault.New(fault.Invalid, "the grace of an old seed is at most 30 days, not %s", grace)
	case grace > 0 && cmp.Or(rule, p.SwitchOver) == profile.Immediate:
		return fault.New(fault.Invalid, "the old seed ends at once, and has no grace: ask for switch-over %s as well, or leave the grace out", profile.OnActivation)
	}
	return nil
}

func (i *issue) checkNickname() error {
	if utf8.RuneCountInString(i.Nickname) > i.device.Nickname || !user.Printable(i.Nickname) || i.Nickname != strings.TrimSpace(i.Nickname) {
		return fault.New(fault.NicknameInvalid, "a nickname takes up to %d printable characters without blanks at its ends", i.device.Nickname)
	}
	return nil
}

// bind settles the device that the delivery is for.
func (i *issue) bind() error {
	if i.DeviceID == "" {
		class := i.profile.Binding == profile.BindClass || i.profile.Binding == profile.BindAsk
		if class && i.profile.Method != device.CTKIP {
			i.binding = i.device.ClassGUID
		}
		return nil
	}
	if !i.device.TakesDeviceID(i.DeviceID) {
		return fault.New(fault.DeviceIDInvalid, "this is no device ID of device type %s: take it from the app on the user's device", i.device.Name)
	}
	if i.profile.Method == device.CTF {
		if err := counts(i.DeviceID, i.profile.CTFVersion); err != nil {
			return err
		}
	}
	i.binding = i.DeviceID
	return nil
}

// counts refuses a device ID of which a string does not count enough to tell devices apart (spec/ctf.md sections 5.2 and 5.4), such as the SIDs of
// a Windows domain, whose last digits are the user's.
func counts(id string, version int) error {
	const (
		inURL  = 40 // characters, of version 2
		ofGUID = 27 // hexadecimal digits among those that are typed, in braces, which are enough where an ID goes on
		later  = 48 // letters and digits, of the others
	)
	letters, digits := 0, hexDigits(id)
	for _, r := range id {
		if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			letters++
		}
	}
	switch {
	case version == 2 && (len(id) > inURL || len(id) > typedPart && digits < ofGUID):
		return fault.New(fault.DeviceIDInvalid, "a string of version 2 is bound by the first %d characters of the device ID, typed by the first %d, and this one has more: "+
			"a device whose ID begins like it could take the token; take a profile with version 3 or 4", inURL, typedPart)
	case version == 2 && digits == 0:
		return fault.New(fault.DeviceIDInvalid, "a string of version 2 is bound by the hexadecimal digits of the device ID, and this one has none: take a profile with version 3 or 4")
	case version > 2 && letters > later:
		return fault.New(fault.DeviceIDInvalid, "a string is bound by the first %d letters and digits of the device ID, and this one has more: "+
			"a device whose ID begins like it could take the token; take a profile that delivers a token file", later)
	}
	return nil
}

// typedPart is of how many characters of a device ID the digits of a string of version 2 know.
const typedPart = 32

// hexDigits is how many hexadecimal digits those have, which are all that tells devices apart there.
func hexDigits(id string) (n int) {
	for _, r := range id[:min(len(id), typedPart)] {
		if strings.ContainsRune("0123456789abcdefABCDEF", r) {
			n++
		}
	}
	return n
}

// protect settles the password that the delivery is locked with.
func (i *issue) protect() error {
	if i.profile.Method == device.CTKIP {
		if i.Password != "" || i.Protection != "" {
			return fault.New(fault.Invalid, "dynamic provisioning takes no password: the seed is not in the delivery")
		}
		return nil
	}
	how := i.Protection
	if how == "" {
		how = i.profile.Protection
	}
	if i.individual {
		length := passwordLength
		if how == profile.UserIDPassword { // the limits hold for both together
			length = max(minPassword, min(length, i.device.MaxPassword-utf8.RuneCountInString(i.user.ID), i.longestPassword()-len(i.user.ID)))
		}
		var err error
		if i.Password, err = newPassword(length); err != nil {
			return err
		}
	}
	switch how {
	case profile.PasswordOptional:
		i.lock = i.Password
	case profile.NoPassword:
		if i.Password != "" {
			return fault.New(fault.Invalid, "profile %s delivers without password: leave it out, or ask for another protection", i.profile.Name)
		}
	case profile.Password, profile.UserIDPassword:
		if i.Password == "" {
			return fault.New(fault.PasswordRequired, "this delivery is locked with a password: give one")
		}
		i.lock = i.Password
		if how == profile.UserIDPassword {
			i.lock = i.user.ID + i.Password
		}
	case profile.UserID:
		if i.Password != "" { // whoever gives one takes it for what opens the delivery
			return fault.New(fault.Invalid, "protection %s locks with the user ID alone, which is no secret: leave the password out, or ask for protection %s", how, profile.UserIDPassword)
		}
		i.lock = i.user.ID
	default:
		return fault.New(fault.Invalid, "no protection %q", how)
	}
	i.secret = how != profile.UserID && i.lock != ""
	return i.checkPassword(how)
}

// Longest password in bytes that every reader agrees on: of a token file, and of a string.
const (
	maxFilePassword   = 32
	maxStringPassword = 40
)

func (i *issue) longestPassword() int {
	if i.profile.Method == device.CTF {
		return maxStringPassword
	}
	return maxFilePassword
}

func (i *issue) checkPassword(how profile.Protection) error {
	longest := i.longestPassword()
	switch {
	case utf8.RuneCountInString(i.lock) > i.device.MaxPassword || len(i.lock) > longest:
		return fault.New(fault.PasswordTooLong, "the password, with the user ID if that is part of it, takes up to %d characters (%d bytes)", i.device.MaxPassword, longest)
	case !user.Printable(i.lock):
		return fault.New(fault.Invalid, "a password takes printable characters only: others cannot be typed on every device")
	case i.Password != "" && utf8.RuneCountInString(i.Password) < minPassword:
		return fault.New(fault.PasswordTooWeak, "a delivery password takes at least %d characters", minPassword)
	case i.Password != "" && strings.EqualFold(i.Password, i.user.ID):
		return fault.New(fault.PasswordTooWeak, "the password must not be the user ID: ask for protection %s if it is meant to be", profile.UserID)
	case how == profile.UserID && i.lock == "":
		return fault.New(fault.PasswordRequired, "the user has no ID to lock with")
	}
	return nil
}

// link is the form of the delivery's URL: the profile's, else the device definition's.
func (i *issue) link() device.Link {
	if i.profile.URLStyle != "" {
		return i.profile.URLStyle
	}
	if links := i.device.Links(i.profile.Method); len(links) > 0 {
		return links[0]
	}
	return ""
}

// settings are what the profile makes of the token; where the deployment uses no PINs, it does not say the PIN type (section 4.2).
func (i *issue) settings() token.Settings {
	s := token.Settings{Digits: i.profile.Digits, Interval: i.profile.Interval, PINType: i.profile.PINType}
	if i.house.NoPINs {
		s.PINType = device.NoPIN
	}
	return s
}

// switchOver is when the old seed stops: the rule that was asked for or the profile's,
// but at once where somebody else may hold the seed (section 8 rule 5).
func (i *issue) switchOver() profile.SwitchOver {
	if i.inOtherHands() != "" || i.token.Tainted || !i.token.Current.Delivered || i.grace() == 0 {
		return profile.Immediate
	}
	return i.wishedSwitchOver()
}

// wishedSwitchOver is the rule that was asked for, or the profile's.
func (i *issue) wishedSwitchOver() profile.SwitchOver {
	return cmp.Or(i.SwitchOver, i.profile.SwitchOver)
}

// inOtherHands is what says that somebody else may hold the seed, "" if nothing does. A lost token whose user has emergency codes may turn up.
func (i *issue) inOtherHands() string {
	switch t := &i.token; {
	case i.reason == Compromised, i.reason == LostDevice:
		return string(i.reason)
	case t.Current.Delivered && t.LostWith(&t.Current) && t.Emergency == nil:
		return "the token is lost"
	}
	return ""
}

// grace is how long the old seed may live on after a redistribution on activation.
func (i *issue) grace() time.Duration {
	if i.Grace >= 0 {
		return i.Grace
	}
	return i.profile.Grace
}

// warnings are what the administrator should know and nothing forbids. ownAuthority says that only the server vouches for its certificate.
func (i *issue) warnings(ownAuthority bool) []string {
	var w []string
	if !i.token.Enabled {
		w = append(w, "the token is disabled: its codes are refused until it is enabled")
	}
	if !i.user.Enabled {
		w = append(w, "the user is disabled: no code is accepted until the user is enabled")
	}
	if i.user.ExpiredAt(i.now) {
		w = append(w, "the user's last day, "+i.user.Expiry.Format(time.DateOnly)+", is over: no code is accepted until 'user edit --expiry' names a later one")
	}
	if why := i.inOtherHands(); why != "" && i.wishedSwitchOver() == profile.OnActivation {
		w = append(w, fmt.Sprintf("the old seed has ended, since somebody else may hold it (%s): no code is accepted until the user has imported this", why))
	}
	if i.profile.Binding == profile.BindAsk && i.DeviceID == "" {
		w = append(w, "no device ID was given: any device of the type can import this")
	}
	const few = 8 // digits; the shortest IDs that devices have by themselves have as many
	if i.profile.Method == device.CTF && i.profile.CTFVersion == 2 && i.DeviceID != "" && i.binding == i.DeviceID && hexDigits(i.DeviceID) < few {
		w = append(w, "a string of version 2 is bound by the hexadecimal digits of the device ID, of which this one has few: other devices may be able to import it; a profile with version 3 or 4 counts all letters")
	}
	if i.profile.Method != device.CTKIP && i.lock == "" {
		w = append(w, "nothing protects this delivery: whoever sees it owns the token")
	}
	if i.profile.Method == device.CTKIP && ownAuthority {
		w = append(w, "the server vouches for its certificate itself: apps that were not told to trust it refuse, some of them without asking; give the server a certificate with --tls-cert or --acme-host")
	}
	if i.Nickname != "" && i.profile.Method != device.File {
		w = append(w, "only token files carry a nickname: the user can set it in the app")
	}
	if i.reason == "" || i.note == distributedAgain {
		w = append(w, i.superseded()...)
	}
	return w
}

// superseded says what becomes of the delivery before one that did not ask for another seed: whoever distributes may not know of it, since two
// administrators may do so at the same moment.
func (i *issue) superseded() []string {
	t := &i.token
	switch {
	case i.many || t.Distribution == token.ActivationLapsed || t.DistributedAt.IsZero() && !(i.inUse() && i.newSeed()):
		return nil
	case t.DistributedAt.IsZero() && i.switchOver() == profile.OnActivation:
		return []string{fmt.Sprintf("token %s is in use as it was imported: that seed ends once this delivery is used, and on %s at the latest", i.Serial, minute(i.now.Add(i.grace())))}
	case t.DistributedAt.IsZero():
		return []string{fmt.Sprintf("token %s was in use as it was imported: this ended that seed, and its user has to take this delivery in", i.Serial)}
	case t.Distribution == token.PendingActivation:
		return []string{fmt.Sprintf("token %s was offered before: the activation code of %s has ended, and only this delivery can be taken in", i.Serial, minute(t.DistributedAt))}
	case i.switchOver() == profile.OnActivation && t.Pending == nil:
		return []string{fmt.Sprintf("token %s was delivered before: the seed that was delivered on %s ends once this delivery is used, and on %s at the latest",
			i.Serial, minute(t.DistributedAt), minute(i.now.Add(i.grace())))}
	}
	return []string{fmt.Sprintf("token %s was delivered before: this ended the seed that was delivered on %s, and whoever took that in has to take this one in", i.Serial, minute(t.DistributedAt))}
}
