package mail

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

// A Channel is how the second part of a delivery, its password or activation code, reaches the user.
type Channel string

// The channels.
const (
	ByHand   Channel = "hand"    // on paper, by telephone: whoever distributes sees to it
	ByMail   Channel = "mail"    // by a message of its own
	BySignIn Channel = "sign_in" // by a message of its own, once the user has signed in (SignIn)
)

// Ready refuses while mail is off, or a channel that there is not.
func (o *Outbox) Ready(ctx context.Context, secretBy string) error {
	if c := Channel(secretBy); c != "" && c != ByHand && c != ByMail && c != BySignIn {
		return fault.New(fault.Invalid, "a password or activation code goes by %s, by %s or by %s", ByHand, ByMail, BySignIn)
	}
	s, err := o.Settings(ctx)
	if err == nil && !s.Enabled {
		err = fault.New(fault.MailOff, "mail is off: 'tallystick mail settings edit --host HOST --from ADDRESS --enable' sets it up")
	}
	return err
}

// Reaches refuses a user who cannot be written to.
func (o *Outbox) Reaches(u user.User) error { return checkAddress(u.ID, u.Mail) }

// Deliver puts the messages of deliveries into the outbox, in the transaction of ctx, which is that of the
// distributions, and returns the IDs of the messages. What still waits about these tokens is cancelled. It is refused with
// [fault.MailOff], [fault.MailMissing] if a user has no address, and [fault.PasswordRequired] if somebody else could use what
// is mailed: with the setting allow_unprotected_ctf off, a file or string takes a password.
func (o *Outbox) Deliver(ctx context.Context, all []distribution.Posted, secretBy string) ([]string, error) {
	set, err := o.Policies.Current(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.Ready(ctx, secretBy); err != nil {
		return nil, err
	}
	var letters []letter
	var serials []string
	for _, d := range all {
		if err := o.Reaches(d.User); err != nil {
			return nil, err
		}
		if d.Method != device.CTKIP && !d.Locked && !set.Settings.AllowUnprotectedCTF {
			return nil, fault.New(fault.PasswordRequired, "the file or string of token %s would show its seed to whoever reads the mail: give a password, or let it go without by the setting allow_unprotected_ctf", d.Serial)
		}
		letters = append(letters, o.lettersOf(d, Channel(secretBy), set.Settings.SplitDelivery)...)
		serials = append(serials, d.Serial)
	}
	if err := o.Store.CancelMessages(ctx, serials, Superseded, o.Now()); err != nil {
		return nil, err
	}
	return o.post(ctx, letters)
}

// CannotSignIn returns those of the users of deliveries for whom something is held until they have signed in, which they have no way to do.
func (o *Outbox) CannotSignIn(ctx context.Context, all []distribution.Posted, secretBy string) ([]string, error) {
	if Channel(secretBy) != BySignIn {
		return nil, nil
	}
	var users []string
	for _, d := range all {
		if d.Method == device.CTKIP || d.Locked {
			users = append(users, d.User.ID)
		}
	}
	return o.Store.UnableToSignIn(ctx, users, midnight(o.Now()))
}

// appLink opens the app, or is typed into it. It never holds the code: the form that an app wants may.
func appLink(d distribution.Posted) string {
	if d.Link == "" || strings.Contains(d.Link, d.ActivationCode) || strings.Contains(d.Link, url.QueryEscape(d.ActivationCode)) {
		return d.CTKIPURL
	}
	return d.Link
}

// lettersOf are one or two messages. While split, link and code, or file and password, are never in the same one.
func (o *Outbox) lettersOf(d distribution.Posted, secret Channel, split bool) []letter {
	first := letter{
		event: Distribution, profile: d.Profile, userID: d.User.ID, serial: d.Serial, generation: d.Generation, recipient: d.User.Mail, job: d.Job, expires: d.ActivationExpires,
		data: Data{
			UserID: d.User.ID, UserName: d.User.Name, Serial: d.Serial, Profile: d.Profile, DeviceType: d.DeviceType, Nickname: d.Nickname,
			Expiry: day(d.Expiry), Method: string(d.Method), Import: importing(d.DeviceType, d.Method), OldUntil: minute(d.OldUntil),
		},
	}
	if d.Again {
		first.event, first.data.Replace = Redistribution, replacing(d.DeviceType, d.Serial)
	}
	switch d.Method {
	case device.File:
		first.data.FileName, first.fileName, first.file = d.FileName, d.FileName, slices.Clone(d.File)
	case device.CTF:
		first.data.Link, first.data.String = d.CTFURL, d.CTF
	case device.CTKIP:
		first.data.Link = appLink(d)
	}
	second := first
	second.event, second.fileName, second.file = Password, "", nil
	second.data.Link, second.data.String, second.data.FileName = "", "", ""
	switch {
	case d.Method == device.CTKIP:
		second.event, second.data.Code, second.data.CodeExpires = ActivationCode, d.ActivationCode, minute(d.ActivationExpires)
	case !d.Locked: // with nothing, or the user ID, which is no secret
		first.data.Password = d.Lock
		return []letter{first}
	default:
		second.data.Password = d.Lock
	}
	switch {
	case secret == BySignIn: // never in one message
		first.data.OtherPart = "by another message, once you have signed in at " + o.SignInURL
		second.held = true
		return []letter{first, second}
	case secret != ByMail:
		first.data.OtherPart = "from your administrator"
		return []letter{first}
	case split:
		first.data.OtherPart = "by another message"
		return []letter{first, second}
	}
	first.data.Code, first.data.CodeExpires, first.data.Password = second.data.Code, second.data.CodeExpires, second.data.Password
	return []letter{first}
}
