package authentication

import (
	"slices"

	"github.com/tallystick/tallystick/internal/audit"
)

// takeOver ends the token that one replaces which was just accepted: it is unassigned, or deleted if the policy says so
// (section 11.2), in the transaction of the acceptance.
func (r *round) takeOver(j *job, s *subject, v verdict) {
	t := v.token.token
	if t.Replaces == "" {
		return
	}
	serial := t.Replaces
	t.Replaces = ""
	r.change(v.token)
	deleted := s.policy.Token.DeleteReplaced
	r.record(j, "replace.done", "token:"+t.Serial, "", audit.Details{"user": s.UserID, "replaced": serial, "deleted": deleted})
	original := s.holding(serial)
	if original == nil {
		return
	}
	r.endGrace(j, original)
	for _, number := range numbers(original.token) { // requests that it answered stay known
		v.token.generation(v.number).Accepted += original.generation(number).Accepted
	}
	r.retired = append(r.retired, original)
	s.tokens = slices.DeleteFunc(s.tokens, func(o *tokenState) bool { return o == original })
	r.changed = slices.DeleteFunc(r.changed, func(o *tokenState) bool { return o == original })
	action := "token.unassign"
	if deleted {
		action = "token.delete"
	}
	r.record(j, action, "token:"+serial, "", audit.Details{"user": s.UserID, "because": "replaced by " + t.Serial})
}

// retire takes a token from its user. What the round accepted of it before is written first: whoever gets the token next
// must not find a code of it unused.
func (r *round) retire(original *tokenState) error {
	store, o := r.engine.Store, original.token
	if original.policy.Token.DeleteReplaced {
		return store.DeleteToken(r.ctx, o.Serial)
	}
	if err := store.Settle(r.ctx, Settlement{Uses: original.appendUses(nil)}); err != nil {
		return err
	}
	if err := o.Unassign(); err != nil {
		return err
	}
	if err := store.SaveToken(r.ctx, *o); err != nil {
		return err
	}
	_, err := store.RevokeOffers(r.ctx, o.Serial)
	return err
}
