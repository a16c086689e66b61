package audit

import (
	"slices"
	"strings"
)

// A Category says which of three monitors shows an event (spec/software-token-lifecycle.md section 13).
type Category string

// The categories: somebody signed in or tried to; somebody administers; the servers themselves.
const (
	Authentication Category = "authentication"
	Administration Category = "administration"
	System         Category = "system"
)

// Categories lists them.
func Categories() []Category { return []Category{Authentication, Administration, System} }

// SignInActions are the actions of [Authentication], as a [Choice] names them.
func SignInActions() []string { return slices.Clone(signInActions) }

// signInActions are what the actions of sign-ins begin with, whoever asked for them.
var signInActions = []string{"authn.", "ntc.", "lockout.lock", "pin.ask", "emergency.use", "on_demand.send", "replace.done"}

// systemActions are those of the servers, whoever made them notice.
var systemActions = []string{"clock.skew", "clock.back", "agent.instance"}

// Category tells which monitor shows the event.
func (e Event) Category() Category {
	begins := func(prefix string) bool { return strings.HasPrefix(e.Action, prefix) }
	switch {
	case slices.ContainsFunc(signInActions, begins):
		return Authentication
	case slices.ContainsFunc(systemActions, begins), e.Actor.Name == serverActor:
		return System
	}
	return Administration
}
