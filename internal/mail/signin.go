package mail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/throttle"
)

// HeldFor is how long a message is held for a user who does not sign in; an activation code no longer than it lives.
const HeldFor = 14 * 24 * time.Hour

// A SignIn has the messages sent that are held for a user, once she has shown that it is she: by the password of the directory that she comes
// from, or by a passcode of a token that she has already. She is shown no secret: it goes to her mail address, the one that she has
// by then. Nothing is asked about a user for whom nothing is held.
type SignIn struct {
	Outbox *Outbox
	// Passcode decides a passcode as for any agent, which uses it up. It is asked about [MaxPasscodes] wrong ones at most.
	Passcode func(ctx context.Context, userID, passcode, station string) (bool, error)
	// Password asks a directory: a directory.Registry. [fault.TooMany] and [fault.NotFound] where it does not.
	Password func(ctx context.Context, userID, password string) (bool, error)
	// Pace is the step of time in which answers leave, so that how long one takes tells little of what was asked; 0 for none.
	Pace time.Duration

	idle   throttle.Sample    // those who signed in without anything being compared
	clicks singleflight.Group // under way, by who says what
}

// A Claim is what somebody says who wants her messages: a passcode or a password.
type Claim struct {
	UserID, Passcode, Password string
	Station                    string // where she is
}

// Release has the messages sent that are held for a user, and tells how many; 0 whatever is wrong, and the audit log has what. It does not matter whether
// she waits: who leaves to be neither counted nor recorded could try any number of passwords. Who clicks twice has left the first time, and is answered what
// the first click is: by the second alone, nothing is held any more, and her passcode is used up.
func (s *SignIn) Release(ctx context.Context, c Claim) (int, error) {
	n, err, _ := s.clicks.Do(fmt.Sprintf("%q", []string{audit.ActorFrom(ctx).Caller(), c.Station, c.UserID, c.Passcode, c.Password}), func() (any, error) {
		begin := time.Now() // not o.Now: a length of time
		n, err := s.release(context.WithoutCancel(ctx), c)
		if s.Pace > 0 {
			time.Sleep(s.Pace - time.Since(begin)%s.Pace)
		}
		return n, err
	})
	return n.(int), err
}

func (s *SignIn) release(ctx context.Context, c Claim) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	o := s.Outbox
	if (c.Passcode == "") == (c.Password == "") {
		return 0, fault.New(fault.Invalid, "give a password or a passcode")
	}
	held, err := o.Store.HeldMessages(ctx, c.UserID, o.Now())
	if err != nil {
		return 0, err
	}
	if len(held) == 0 {
		// What was typed as a user ID may be anything, a password too.
		return 0, s.unasked(ctx, audit.New(ctx, o.Now(), signIn, nobodysSignIn, audit.Details{"station": c.Station}).Failed("NOTHING_HELD"))
	}
	by := "passcode"
	var right bool
	if c.Passcode != "" {
		right, err = s.passcode(ctx, c)
	} else {
		by = "directory"
		right, err = s.Password(ctx, c.UserID, c.Password)
	}
	event := audit.New(ctx, o.Now(), signIn, "user:"+c.UserID, audit.Details{"by": by, "station": c.Station})
	if code := fault.CodeOf(err); slices.Contains(undecidedBy, code) {
		return 0, s.unasked(ctx, event.Failed(string(code))) // the same answer, or it would tell who is in a directory, or has something held
	}
	if err != nil {
		return 0, err
	}
	if !right {
		return 0, o.Store.Record(ctx, event.Failed("NOT_ACCEPTED"))
	}
	return s.free(ctx, c.UserID, event)
}

// free has what is held for a user sent, and records that by the event of her sign-in.
func (s *SignIn) free(ctx context.Context, userID string, event audit.Event) (n int, err error) {
	o := s.Outbox
	err = o.Store.Transact(ctx, func(ctx context.Context) error {
		now := o.Now().UTC()
		held, err := o.Store.HeldMessages(ctx, userID, now)
		if err != nil {
			return err
		}
		// Who has signed in sees no record: the scope of the program that asks for her is not about it.
		u, err := o.Store.Addressee(domain.WithScope(ctx, domain.Scope{}), userID)
		if err != nil {
			return err
		}
		if err := o.Reaches(u); err != nil { // it is held on, until she has an address
			return o.Store.Record(ctx, event.Failed(string(fault.CodeOf(err))))
		}
		ids := []string{}
		for _, m := range held {
			m.State, m.NextAt, m.Recipient = Waiting, now, u.Mail
			if !m.Event.brief() {
				m.ExpiresAt = now.Add(longestTry)
			}
			if err := o.Store.SaveMessage(ctx, m, Held); err != nil {
				return err
			}
			ids = append(ids, m.ID)
		}
		n = len(ids)
		event.Details["mails"], event.Details["to"] = ids, u.Mail
		return o.Store.Record(ctx, event)
	})
	return n, err
}

// The audit event of a sign-in, and its object where nothing is held for a user of that name.
const (
	signIn        = "mail.sign_in"
	nobodysSignIn = "mail:sign_in"
)

// undecidedBy are the reasons why what was typed was not compared with anything.
var undecidedBy = []fault.Code{fault.DirectoryUnreachable, fault.DirectoryRefused, fault.Unavailable, fault.TooMany, fault.NotFound}

// unasked records a sign-in of whom nothing was asked, as long as there are few of them: anybody may have as many as he likes. The others are counted.
func (s *SignIn) unasked(ctx context.Context, e audit.Event) error {
	if !s.idle.Takes(s.Outbox.Now()) {
		return nil
	}
	return s.Outbox.Store.Record(ctx, e)
}

// CleanUp records how many sign-ins were too many for an event each. It is called now and then.
func (s *SignIn) CleanUp(ctx context.Context) error {
	n := s.idle.Rest()
	if n == 0 {
		return nil
	}
	return s.Outbox.Store.Record(ctx, audit.New(ctx, s.Outbox.Now(), signIn, nobodysSignIn, audit.Details{"sign_ins": n}).Failed(string(fault.TooMany)))
}

// MaxPasscodes is how many wrong passcodes of a user are asked about within the time for which failures count.
const MaxPasscodes = 3

// passcode has a passcode decided, unless so many were wrong that one more might lock the user. Anybody may type them here, so what
// is typed here alone never locks her.
func (s *SignIn) passcode(ctx context.Context, c Claim) (bool, error) {
	o := s.Outbox
	u, err := o.Store.Addressee(ctx, c.UserID)
	if code := fault.CodeOf(err); code == fault.OutOfScope || code == fault.UserNotFound {
		return false, nil // as the engine has it: who asks is told of nobody elsewhere
	}
	if err != nil {
		return false, err
	}
	set, err := o.Policies.Current(ctx)
	if err != nil {
		return false, err
	}
	lockout, most := set.Of(u.Domain).Lockout, MaxPasscodes
	if lockout.Failures > 0 {
		most = min(most, lockout.Failures-1)
	}
	now := o.Now()
	may, err := o.Store.TryPasscode(ctx, c.UserID, now, now.Add(-lockout.Within), most)
	if err == nil && !may {
		err = fault.New(fault.TooMany, "%d wrong passcodes of user %s were looked at", most, c.UserID)
	}
	if err != nil {
		return false, err
	}
	right, err := s.Passcode(ctx, c.UserID, c.Passcode, c.Station)
	if right || authentication.Untouched(err) {
		// Who is right begins anew, and what the engine did not look at counts for nobody. Of all else that is unavailable it may have counted.
		err = errors.Join(err, o.Store.ForgetPasscodes(context.WithoutCancel(ctx), c.UserID, right))
	}
	return right, err
}

// overdue gives messages up that are held and of no use any more.
func (o *Outbox) overdue(ctx context.Context) error {
	for more := true; more && ctx.Err() == nil; {
		err := o.Store.Transact(ctx, func(ctx context.Context) error {
			now := o.Now()
			all, err := o.Store.OverdueMessages(ctx, now, noticePage)
			more = len(all) == noticePage
			for _, m := range all {
				m.end(Failed, TooLate, now)
				err = errors.Join(err, o.Store.SaveMessage(ctx, m, Held), o.Store.Record(ctx, m.event(ctx, now, "mail.fail").Failed(string(TooLate))))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
