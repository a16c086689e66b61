package authentication

import (
	"slices"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// takeOver ends the token that one replaces which was just accepted: it is unassigned, or deleted if the policy says so
// (section 11.2). That is written at once, in the transaction of the acceptance.
func (r *round) takeOver(j *job, s *subject, v verdict) error {
	t := v.token.token
	if t.Replaces == "" {
		return nil
	}
	if !r.sure {
		return errChanged // of two tokens at once: under locks, or servers would wait for each other
	}
	serial := t.Replaces
	t.Replaces = ""
	r.change(v.token)
	deleted := s.policy.Token.DeleteReplaced
	r.record(j, "replace.done", "token:"+t.Serial, "", audit.Details{"user": s.UserID, "replaced": serial, "deleted": deleted})
	original := s.holding(serial)
	if original == nil {
		return nil
	}
	if err := r.hold(original); err != nil {
		return err
	}
	for _, number := range numbers(original.token) { // requests that it answered stay known
		v.token.generation(v.number).Accepted += original.generation(number).Accepted
	}
	if err := r.retire(original, deleted); fault.CodeOf(err) != "" && fault.CodeOf(err) != fault.Unavailable {
		// Somebody changed the original, or removed it. Nothing of the group is written: it is looked at again, and what is left of the replacement done.
		return errChanged
	} else if err != nil {
		return err
	}
	s.tokens = slices.DeleteFunc(s.tokens, func(o *tokenState) bool { return o == original })
	r.changed = slices.DeleteFunc(r.changed, func(o *tokenState) bool { return o == original })
	action := "token.unassign"
	if deleted {
		action = "token.delete"
	}
	r.record(j, action, "token:"+serial, "", audit.Details{"user": s.UserID, "because": "replaced by " + t.Serial})
	return nil
}

// retire takes a token from its user. What the round accepted of it before is written first: whoever gets the token next
// must not find a code of it unused.
func (r *round) retire(original *tokenState, deleted bool) error {
	store, o := r.engine.Store, original.token
	if deleted {
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
