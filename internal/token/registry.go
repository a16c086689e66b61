package token

import (
	"context"
	"errors"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/user"
)

// A Filter selects tokens; its zero value selects all.
type Filter struct {
	UserID        string
	Group         string // that the user is a member of
	Domain        string // security domain that the token is in, or that is above its own
	Assigned      *bool
	Hardware      *bool // the type: true for hardware, false for software
	Enabled       *bool
	Distribution  Distribution
	Profile       string
	Extendable    *bool     // whether the lifetime can be extended (section 11.3)
	ExpiresBefore time.Time // effective expiry, exclusive; zero for any
	ExpiresFrom   time.Time // effective expiry, inclusive
	BeginsAfter   time.Time // the first valid day is later than this; zero for any
	BeginsUntil   time.Time // it is not later than this, or not said; zero for any
	Lost          *bool
	Part          string // in a replacement: [NoReplacement], [Original] or [Replacement]
	Query         string // part of serial, user ID, nickname or notes, in any case
	Tag           string
	Attribute     string   // its name; with Value "" whatever it says
	Value         string   // of the attribute
	Issued        bool     // only those that were delivered at least once
	Unconfirmed   bool     // only those that were delivered, or offered, and not seen since
	Waiting       bool     // only those whose old seed lives until the new one is used
	NotMoved      string   // only those that the job of this ID or name delivered, and that were not seen since
	Serials       []string // only these; at most 1000, nil for any
	After         string   // only serials after this one: the next page
	Limit         int      // at most so many; 0 for all
}

// Store is what the registry needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Token returns a token; [fault.TokenNotFound]. Within a transaction the row is locked for change.
	Token(ctx context.Context, serial string) (Token, error)
	// Tokens lists tokens by serial.
	Tokens(ctx context.Context, f Filter) ([]Token, error)
	// ChooseTokens lists tokens by serial, with what is seen of them in the moment that f lets them pass.
	ChooseTokens(ctx context.Context, f Filter) ([]Chosen, error)
	// TokensOf lists the tokens of at most 1000 users that f lets pass, as ChooseTokens does, by user.
	TokensOf(ctx context.Context, userIDs []string, f Filter) (map[string][]Chosen, error)
	// LockTokens returns those of the tokens that there are, locked for change, in the order of serials.
	LockTokens(ctx context.Context, serials []string) ([]Token, error)
	// Partners returns the serials of the tokens that take part in a replacement with others. It locks nothing.
	Partners(ctx context.Context, serials []string) ([]string, error)
	// SaveTokens stores many changed tokens as SaveToken does one; their generations are those that were read.
	SaveTokens(ctx context.Context, tokens []Token) error
	// SaveToken stores a changed token whose Version is still t.Version, and counts it up; else [fault.Conflict].
	// Generations that t no longer has are destroyed; of those that stay, the replay guard is left alone.
	SaveToken(ctx context.Context, t Token) error
	// DeleteToken removes a token with its seeds and activation codes.
	DeleteToken(ctx context.Context, serial string) error
	// DeleteTokens removes many as DeleteToken does one.
	DeleteTokens(ctx context.Context, serials []string) error
	// RevokeOffersOf ends the open activation codes of tokens.
	RevokeOffersOf(ctx context.Context, serials []string) error
	// AddExtensions keeps what was done to tokens that are there.
	AddExtensions(ctx context.Context, all []Extended) error
	// Extensions lists extensions, by serial and then by their number.
	Extensions(ctx context.Context, f ExtensionFilter) ([]Extended, error)
	// Labels returns the labels of tokens by their serials; tokens without one are left out.
	Labels(ctx context.Context, serials []string) (map[string]Label, error)
	// SaveLabel stores the label of a token that is there.
	SaveLabel(ctx context.Context, serial string, l Label) error
	// SaveOffsets stores the clock offsets of seeds.
	SaveOffsets(ctx context.Context, all []Moved) error
	// AddCorrection stores a new correction.
	AddCorrection(ctx context.Context, c Correction) error
	// Correction returns a correction with its counts; [fault.NotFound].
	Correction(ctx context.Context, id string) (Correction, error)
	// HoldCorrection keeps a correction from being marked as undone until the transaction ends; [fault.Conflict] if it is, or is gone.
	HoldCorrection(ctx context.Context, id string) error
	// Corrections lists at most limit corrections with their counts, the newest first; those before one, "" for all.
	Corrections(ctx context.Context, before string, limit int) ([]Correction, error)
	// MarkUndone stores who undoes a correction, and when.
	MarkUndone(ctx context.Context, c Correction) error
	// SaveMoved keeps which seeds a correction shifted, or marks those that were shifted back.
	SaveMoved(ctx context.Context, correction string, all []Moved) error
	// MovedOf returns what a correction did to tokens.
	MovedOf(ctx context.Context, correction string, serials []string) ([]Moved, error)
	// MovedSerials lists the tokens with a seed that a correction shifted and nobody shifted back, by serial, after one.
	MovedSerials(ctx context.Context, correction, after string, limit int) ([]string, error)
	// Offsets counts the tokens of users that were used by the seconds that their clocks are ahead, from the smallest number on.
	Offsets(ctx context.Context) ([]OffsetCount, error)
	// FarOff lists at most limit tokens of users whose clocks are off by more than so many intervals, by serial, after one.
	FarOff(ctx context.Context, beyond int, after string, limit int) ([]Off, error)
	// RevokeOffers ends the open activation codes of a token and returns how many there were.
	RevokeOffers(ctx context.Context, serial string) (int, error)
	// SwitchOversDue lists the serials of tokens whose PendingUntil is not after now.
	SwitchOversDue(ctx context.Context, now time.Time) ([]string, error)
	// User returns a user; [fault.UserNotFound]. Within a transaction the row is locked for change.
	User(ctx context.Context, id string) (user.User, error)
	// Settings returns the deployment's settings; it locks nothing.
	Settings(ctx context.Context) (policy.Settings, error)
	// LockUsers returns those of the users that there are, by ID. Within a transaction their rows are locked, in the order of IDs.
	LockUsers(ctx context.Context, ids []string) (map[string]user.User, error)
	// MemberIDs lists the members of a group by ID, at most limit; [fault.GroupNotFound].
	MemberIDs(ctx context.Context, group string, limit int) ([]string, error)
	// TokensHeld counts the tokens of users; a token and its replacement count as one.
	TokensHeld(ctx context.Context, userIDs []string) (map[string]int, error)
	// Candidates returns those of the tokens that there are, by serial. Within a transaction they are locked, in their order.
	Candidates(ctx context.Context, serials []string) (map[string]Candidate, error)
	// Free returns at most n software tokens of some security domains that are assigned to nobody and not lost, of those that come after one by
	// last valid day and serial. Within a transaction it locks them, and passes over those that others have locked.
	Free(ctx context.Context, in []string, after Candidate, n int) ([]Candidate, error)
	// DomainsAbove lists, for each of some domains, the domain and those above it up to the root, whatever the scope of ctx. It locks nothing.
	DomainsAbove(ctx context.Context, names []string) (map[string][]string, error)
	Homes
	// AssignTokens stores that tokens were assigned as [Token.Assign] does it; [fault.Conflict] if one is not what was read.
	AssignTokens(ctx context.Context, given []Given, by string, at time.Time) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
	// RecordAll keeps many.
	RecordAll(ctx context.Context, events []audit.Event) error
}

// A Registry keeps the deployment's tokens: assigned, unassigned, enabled,
// disabled, deleted, each with its event in one transaction.
type Registry struct {
	Store Store
	Now   func() time.Time
}

// Get returns a token.
func (r *Registry) Get(ctx context.Context, serial string) (Token, error) {
	return r.Store.Token(ctx, serial)
}

// List returns the tokens that f selects.
func (r *Registry) List(ctx context.Context, f Filter) ([]Token, error) {
	return r.Store.Tokens(ctx, f)
}

// Assign gives a token to a user: the one of that serial, or the next
// available of her security domain and those above it if serial is "".
func (r *Registry) Assign(ctx context.Context, serial, userID string) (Token, error) {
	var t Token
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		// The user's row is locked first, so that two assignments cannot both pass the limit.
		u, err := r.Store.User(ctx, userID)
		if err != nil {
			return err
		}
		settings, err := r.Store.Settings(ctx)
		if err != nil {
			return err
		}
		held, err := r.Store.TokensHeld(ctx, []string{userID}) // in whatever security domains
		if err != nil {
			return err
		}
		if held[userID] >= settings.MaxTokensPerUser {
			return fault.New(fault.TokenLimit, "%s holds %d tokens, and the limit is %d: unassign one first", userID, held[userID], settings.MaxTokensPerUser)
		}
		if t, err = r.chosen(ctx, serial, u.Domain, settings); err != nil {
			return err
		}
		if err := t.Assign(userID, audit.ActorFrom(ctx).Name, r.Now()); err != nil {
			return err
		}
		return r.save(ctx, &t, "token.assign", audit.Details{"user": userID})
	})
	return t, err
}

// Change runs change on the token, saves it and records the action, in one
// transaction. If version is not 0, the token must still be at it: else [fault.Conflict].
func (r *Registry) Change(ctx context.Context, serial string, version int, action string, change func(*Token) (audit.Details, error)) (Token, error) {
	var t Token
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		var err error
		if t, err = r.Store.Token(ctx, serial); err != nil {
			return err
		}
		if version != 0 && t.Version != version {
			return fault.New(fault.Conflict, "token %s was changed meanwhile: read it again", serial)
		}
		details, err := change(&t)
		if err != nil {
			return err
		}
		return r.save(ctx, &t, action, details)
	})
	return t, err
}

// lock locks tokens and those that take part in a replacement with them, all in one order, as the first use of a replacement does. It finds them in
// whatever security domain they are: the replacement of a token of one's own may be in another.
func (r *Registry) lock(ctx context.Context, serials ...string) ([]Token, error) {
	ctx = domain.WithScope(ctx, domain.Scope{})
	partners, err := r.Store.Partners(ctx, serials)
	if err != nil {
		return nil, err
	}
	found, err := r.Store.LockTokens(ctx, append(partners, serials...))
	if err != nil {
		return nil, err
	}
	held := make(map[string]bool, len(found))
	for _, t := range found {
		held[t.Serial] = true
	}
	partners = nil
	for _, t := range found {
		if p := t.Replaces + t.ReplacedBy; p != "" && !held[p] { // the replacement began meanwhile
			partners = append(partners, p)
		}
	}
	if len(partners) == 0 {
		return found, nil
	}
	more, err := r.Store.LockTokens(ctx, partners)
	return append(found, more...), err
}

func (r *Registry) save(ctx context.Context, t *Token, action string, details audit.Details) error {
	if err := r.Store.SaveToken(ctx, *t); err != nil {
		return err
	}
	t.Version++
	return r.Store.Record(ctx, audit.New(ctx, r.Now(), action, "token:"+t.Serial, t.about(details)))
}

// about puts into the details of an event whose token it is about, unless they say so: reports on a user leave out what does not name her.
func (t *Token) about(details audit.Details) audit.Details {
	if _, said := details["user"]; said || t.UserID == "" {
		return details
	}
	if details == nil {
		details = audit.Details{}
	}
	details["user"] = t.UserID
	return details
}

// EndGrace has the new seed of a token take over, and records that, if the grace of the old one has ended at now and housekeeping has not come to it yet. The
// token is for the caller to save, in the same transaction.
func EndGrace(ctx context.Context, log interface {
	Record(ctx context.Context, e audit.Event) error
}, t *Token, now time.Time) error {
	if !t.SwitchOverIfDue(now) {
		return nil
	}
	return log.Record(ctx, audit.New(ctx, now, "redist.complete", "token:"+t.Serial, t.GraceEnded()))
}

// Unassign takes the token from its user, revokes its activation codes and ends a replacement.
func (r *Registry) Unassign(ctx context.Context, serial string, version int) (Token, error) {
	var t Token
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		var partner string
		_, err := r.lock(ctx, serial)
		if err != nil {
			return err
		}
		t, err = r.Change(ctx, serial, version, "token.unassign", func(t *Token) (audit.Details, error) {
			details := audit.Details{"user": t.UserID}
			partner = t.Replaces + t.ReplacedBy // one of them at most
			if err := EndGrace(ctx, r.Store, t, r.Now()); err != nil {
				return nil, err
			}
			return details, t.Unassign()
		})
		if err != nil {
			return err
		}
		if _, err = r.Store.RevokeOffers(ctx, serial); err != nil {
			return err
		}
		return r.endReplacement(ctx, partner, "token "+serial+" was unassigned")
	})
	return t, err
}

// Enable lets an assigned token authenticate.
func (r *Registry) Enable(ctx context.Context, serial string, version int) (Token, error) {
	return r.Change(ctx, serial, version, "token.enable", func(t *Token) (audit.Details, error) {
		return nil, t.Enable()
	})
}

// Disable stops a token from authenticating and keeps everything else.
func (r *Registry) Disable(ctx context.Context, serial string, version int) (Token, error) {
	return r.Change(ctx, serial, version, "token.disable", func(t *Token) (audit.Details, error) {
		t.Enabled = false
		return nil, nil
	})
}

// ResetIssueCount lets a token that was issued as often as the deployment allows be issued again (section 7.7).
func (r *Registry) ResetIssueCount(ctx context.Context, serial string, version int) (Token, error) {
	return r.Change(ctx, serial, version, "token.edit", func(t *Token) (audit.Details, error) {
		was := t.IssuesCounted()
		t.IssuesForgiven = t.IssueCount
		return audit.Details{"before": audit.Details{"issues_counted": was}, "after": audit.Details{"issues_counted": 0}}, nil
	})
}

// Delete removes a token and destroys its seeds.
func (r *Registry) Delete(ctx context.Context, serial string) error {
	return r.Store.Transact(ctx, func(ctx context.Context) error {
		if _, err := r.lock(ctx, serial); err != nil {
			return err
		}
		t, err := r.Store.Token(ctx, serial)
		if err != nil {
			return err
		}
		if err := r.Store.DeleteToken(ctx, serial); err != nil {
			return err
		}
		if err := r.endReplacement(ctx, t.Replaces+t.ReplacedBy, "token "+serial+" was deleted"); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "token.delete", "token:"+serial, audit.Details{"user": t.UserID}))
	})
}

// SwitchOverDue switches over every token whose old seed's grace has ended,
// so that old seeds are destroyed on time. Authentication does the same for
// the token it looks at: no answer depends on when this runs.
func (r *Registry) SwitchOverDue(ctx context.Context) (int, error) {
	due, err := r.Store.SwitchOversDue(ctx, r.Now())
	if err != nil {
		return 0, err
	}
	done := 0
	for _, serial := range due {
		err := r.Store.Transact(ctx, func(ctx context.Context) error {
			t, err := r.Store.Token(ctx, serial)
			if err != nil || !t.SwitchOverIfDue(r.Now()) {
				return err
			}
			done++
			return r.save(ctx, &t, "redist.complete", t.GraceEnded())
		})
		if err != nil && !errors.Is(err, fault.TokenNotFound) {
			return done, err
		}
	}
	return done, nil
}
