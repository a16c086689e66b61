package authentication

import (
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/token"
)

// A subject is a user while a round decides about her: what one job changes, the next one sees.
type subject struct {
	Subject
	policy       *policy.Set // of her security domain
	guardChanged bool
	tokens       []*tokenState
}

func newSubject(s Subject, p *policy.Set) *subject {
	out := &subject{Subject: s, policy: p, tokens: make([]*tokenState, len(s.Tokens))}
	for i := range s.Tokens {
		out.tokens[i] = newTokenState(&s.Tokens[i], p)
	}
	return out
}

// subject is the user of that ID; nil if there is none, or if she is outside of the security domain that a job's caller is limited to.
func (r *round) subject(j *job, userID string) *subject {
	s := r.subjects[userID]
	if s != nil && !domain.ScopeFrom(j.ctx).Covers(s.Domain) {
		return nil
	}
	return s
}

// holding is the user's token with that serial, nil if there is none any more.
func (s *subject) holding(serial string) *tokenState {
	for _, t := range s.tokens {
		if t.token.Serial == serial {
			return t
		}
	}
	return nil
}

// about is the token that an attempt is about, if there is one and she holds it: the history of that shows what became of the attempt.
func (s *subject) about(a *Attempt) []*tokenState {
	if s == nil {
		return nil
	}
	if t := s.holding(a.state.Serial); t != nil {
		return []*tokenState{t}
	}
	return nil
}

// A tokenState is a token while a round decides.
type tokenState struct {
	token   *token.Token // of its subject, in place: the rows are large
	policy  *policy.Set  // of its user
	before  [2]reading   // of its generations; the second may be none
	changed bool         // more than clocks
}

// A reading is the clock of a generation as it was read; number is 0 for none.
type reading struct {
	number int
	clock  token.Clock
}

func newTokenState(t *token.Token, p *policy.Set) *tokenState {
	s := &tokenState{token: t, policy: p, before: [2]reading{{t.Current.Number, t.Current.Clock}}}
	if t.Pending != nil {
		next := *t.Pending
		s.token.Pending = &next
		s.before[1] = reading{next.Number, next.Clock}
	}
	return s
}

// generation is the one of that number, nil if there is none any more.
func (s *tokenState) generation(number int) *token.Generation {
	switch t := s.token; {
	case t.Current.Number == number:
		return &t.Current
	case t.Pending != nil && t.Pending.Number == number:
		return t.Pending
	}
	return nil
}

// as is the token as a code of a generation would make it: of a pending one, with what its switch-over does to the PIN.
func (s *tokenState) as(number int) *token.Token {
	if s.token.Current.Number == number {
		return s.token
	}
	next := *s.token
	next.SwitchOver()
	return &next
}

// saved notes that the record was stored, and with it the wrong passcodes of its generations.
func (s *tokenState) saved() {
	s.token.Version++
	for i := range s.before {
		if g := s.generation(s.before[i].number); g != nil {
			s.before[i].clock.BadPasscodes = g.BadPasscodes
		}
	}
}

// appendUses adds the clocks that changed.
func (s *tokenState) appendUses(all []Use) []Use {
	for _, before := range s.before {
		if g := s.generation(before.number); before.number != 0 && g != nil && g.Clock != before.clock {
			all = append(all, Use{Serial: s.token.Serial, Version: s.token.Version, Number: before.number, Disabled: !s.token.Enabled, Before: before.clock, After: g.Clock})
		}
	}
	return all
}

// ends tells whether a generation that was read is no more.
func (s *tokenState) ends() bool {
	for _, before := range s.before {
		if before.number != 0 && s.generation(before.number) == nil {
			return true
		}
	}
	return false
}

// change notes that the record itself changed.
func (r *round) change(s *tokenState) {
	if !s.changed {
		s.changed = true
		r.changed = append(r.changed, s)
	}
}

// endGrace has the new seed of a token take over if the old one's grace is over.
func (r *round) endGrace(j *job, s *tokenState) {
	if t := s.token; t.SwitchOverIfDue(r.now) {
		r.change(s)
		r.record(j, "redist.complete", "token:"+t.Serial, "", t.GraceEnded())
	}
}
