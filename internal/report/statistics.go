package report

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

// Statistics are how many tokens there are of each kind at a moment (section 13). A token may be counted in several of them.
type Statistics struct {
	Total     int
	Hardware  int // the others are software tokens
	Assigned  int
	Available int // unassigned, not lost and not expired
	// AvailableNext are those of them that may be taken as next available: software tokens that last long enough.
	AvailableNext int
	Expired       int // their last valid day is over
	Expiring      int // their last valid day comes within ExpiringDays
	Enabled       int
	Disabled      int
	Lost          int
	Replacement   int // take over from another token at their first use
	Replaced      int // give way to another token at its first use
	OverLimit     int // issued more often than the issue limit; 0 while there is none
	NewPIN        int // assigned, and their next right passcode begins with a new PIN
	NextTokencode int // assigned, and their next right passcode is followed by the next tokencode
	LockedUsers   int // users, not tokens
	// PendingActivations are activation codes that live.
	PendingActivations int
	// NeverConfirmed were handed out or offered, and no code of that seed was accepted yet nor an exchange finished.
	NeverConfirmed int

	ExpiringDays int // how far ahead Expiring looks
}

// A Question says what statistics depend on beside the records. Times are microseconds since 1970.
type Question struct {
	Now           int64
	Today         int64 // 00:00; a token that expires before it is expired
	ExpiringUntil int64 // 00:00 of the day before which an expiring token's last one is
	LastsUntil    int64 // the next available token lasts to here at least
	IssueLimit    int64
	Limits
	// Exceptions are the security domains whose users have other limits, each domain once.
	Exceptions []Exception
}

// Limits are what of a Question the policies of a user say.
type Limits struct {
	PINsSetUntil   int64 // PINs that were set then or earlier are too old
	BadPasscodes   int64 // so many in a row take the next tokencode
	LocksSinceThen int64 // a user who was locked then or earlier is free again
}

// An Exception is domains with other limits than the deployment's.
type Exception struct {
	Limits
	Domains []string
}

// MaxExpiringDays is how far ahead statistics look for expiring tokens.
const MaxExpiringDays = 3650

// never stands for a limit that nothing reaches.
const never = math.MaxInt64

// Statistics counts. Tokens are expiring if their last valid day comes within so many days; a negative number stands for the setting
// warn_days. The counts are of one moment, under policies that may be a second old.
func (r *Registry) Statistics(ctx context.Context, expiringDays int) (Statistics, error) {
	if expiringDays > MaxExpiringDays {
		return Statistics{}, fault.New(fault.Invalid, "statistics look 0 to %d days ahead", MaxExpiringDays)
	}
	p, err := r.Policies.Current(ctx)
	if err != nil {
		return Statistics{}, err
	}
	if expiringDays < 0 {
		expiringDays = p.Settings.WarnDays
	}
	s, err := r.Store.Statistics(ctx, NewQuestion(r.Now(), p, expiringDays))
	s.ExpiringDays = expiringDays
	return s, err
}

// NewQuestion asks for the statistics of a moment under policies.
func NewQuestion(now time.Time, p *policy.Tree, expiringDays int) Question {
	now = now.UTC()
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	q := Question{
		Now: now.UnixMicro(), Today: today.UnixMicro(), ExpiringUntil: today.AddDate(0, 0, expiringDays+1).UnixMicro(),
		LastsUntil: now.AddDate(0, 0, p.Settings.MinDaysLeft).UnixMicro(),
		IssueLimit: never, Limits: limitsOf(now, p.Of(domain.Root)),
	}
	if p.Settings.IssueLimit > 0 {
		q.IssueLimit = int64(p.Settings.IssueLimit)
	}
	others := map[Limits][]string{}
	for set, domains := range p.Domains() {
		if l := limitsOf(now, set); l != q.Limits {
			others[l] = append(others[l], domains...)
		}
	}
	for l, domains := range others {
		slices.Sort(domains)
		q.Exceptions = append(q.Exceptions, Exception{l, domains})
	}
	slices.SortFunc(q.Exceptions, func(a, b Exception) int { return cmp.Compare(a.Domains[0], b.Domains[0]) })
	return q
}

func limitsOf(now time.Time, p *policy.Set) Limits {
	l := Limits{PINsSetUntil: -1, BadPasscodes: never, LocksSinceThen: -1}
	if p.Token.PINMaxLife > 0 {
		l.PINsSetUntil = now.Add(-p.Token.PINMaxLife).UnixMicro()
	}
	if p.Token.IncorrectBeforeNTC > 0 {
		l.BadPasscodes = int64(p.Token.IncorrectBeforeNTC)
	}
	if p.Lockout.UnlockAfter > 0 {
		l.LocksSinceThen = now.Add(-p.Lockout.UnlockAfter).UnixMicro()
	}
	return l
}
