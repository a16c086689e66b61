package audit

import (
	"bytes"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/internal/fault"
)

// MaxChoice is how many actions, and how many kinds of objects, a [Choice] may name.
const MaxChoice = 32

// A Choice says which changes somebody wants to hear of. Its zero value is all of them but the sign-ins, which are
// many and change nothing; those of strangers who ask for a user's mail among them.
type Choice struct {
	Actions []string // exactly, or prefixes that end in a dot or star: "token.*"; none for all but authn.* and mail.sign_in
	Kinds   []string // of objects: "token", "user"; none for all
}

// isSignIn tells whether an action is a sign-in.
func isSignIn(action []byte) bool {
	return bytes.HasPrefix(action, []byte("authn.")) || string(action) == "mail.sign_in"
}

// Check refuses a choice that nothing could meet.
func (c Choice) Check() error {
	if len(c.Actions) > MaxChoice || len(c.Kinds) > MaxChoice {
		return fault.New(fault.Invalid, "name at most %d actions and %d kinds of objects", MaxChoice, MaxChoice)
	}
	for _, a := range c.Actions {
		name, _ := strings.CutSuffix(a, "*")
		if a == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_.") != "" {
			return fault.New(fault.Invalid, "an action looks like token.assign, or token.* for all of its kind, or * for all")
		}
	}
	for _, k := range c.Kinds {
		if strings.Trim(k, "abcdefghijklmnopqrstuvwxyz_") != "" || k == "" {
			return fault.New(fault.Invalid, "a kind of object is what stands before its colon: token, user, radius_client")
		}
	}
	return nil
}

// Has tells whether a record is of an event that c chooses; one that was pruned is not.
func (c Choice) Has(record []byte) bool {
	if len(record) == 0 {
		return false
	}
	action := memberOf(record, actionMember)
	if len(c.Actions) == 0 {
		return !isSignIn(action) && c.hasKind(record)
	}
	return slices.ContainsFunc(c.Actions, func(want string) bool {
		begin, isPrefix := Filter{Action: want}.action()
		return string(action) == begin || isPrefix && bytes.HasPrefix(action, []byte(begin))
	}) && c.hasKind(record)
}

func (c Choice) hasKind(record []byte) bool {
	if len(c.Kinds) == 0 {
		return true
	}
	kind, _, _ := bytes.Cut(ObjectOf(record), []byte{':'})
	return slices.Contains(c.Kinds, string(kind))
}
