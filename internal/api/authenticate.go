package api

import (
	"cmp"
	"context"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/throttle"
)

func (a *API) authenticate(ctx context.Context, r *request, in client.Check) (answer, error) {
	if err := whole(in); err != nil {
		return answer{}, err
	}
	if !a.subjects.Allows(throttle.Subject(domain.ScopeFrom(ctx).Top(), cmp.Or(in.UserID, in.Attempt)), a.Now()) {
		return answer{}, fault.New(fault.TooMany, "too many passcodes of this user come at once: wait a second")
	}
	actor := audit.ActorFrom(ctx)
	from := authentication.Source{Agent: actor.Name, Caller: actor.Caller(), Station: in.Station}
	var key []byte
	if in.RequestID != "" {
		key = a.Keyring.MAC("authenticate-request", []byte(actor.Caller()), []byte(in.RequestID), r.body)
	}
	var d authentication.Decision
	var err error
	if in.Attempt != "" {
		d, err = a.Authenticator.Continue(ctx, authentication.Answer{Attempt: in.Attempt, Turn: in.Turn, Text: string(in.Answer), Source: from, Key: key})
	} else {
		from.Station = cmp.Or(from.Station, actor.Client)
		d, err = a.Authenticator.Begin(ctx, authentication.Request{UserID: in.UserID, Passcode: string(in.Passcode), Source: from, Dialogue: true, Key: key})
	}
	if err != nil {
		return answer{}, err
	}
	return ok(decisionOf(d))
}

// whole refuses a check that is neither a passcode nor an answer.
func whole(in client.Check) error {
	missing := func(member string) error {
		return fault.New(fault.Invalid, "the member %q is missing: give user_id and passcode, or attempt, turn and answer", member).With("member", member).With("rule", "required")
	}
	switch begins, goesOn := in.UserID != "" || in.Passcode != "", in.Attempt != "" || in.Turn != 0 || in.Answer != ""; {
	case begins && goesOn:
		return fault.New(fault.Invalid, "give user_id and passcode, or attempt, turn and answer")
	case goesOn && in.Attempt == "":
		return missing("attempt")
	case goesOn && in.Turn == 0:
		return missing("turn")
	case goesOn:
		return nil
	case in.UserID == "":
		return missing("user_id")
	case in.Passcode == "":
		return missing("passcode")
	}
	return nil
}

func decisionOf(d authentication.Decision) client.Decision {
	out := client.Decision{Result: string(d.Result)}
	if d.Step == authentication.StepNone {
		return out
	}
	out.Step, out.Attempt, out.Turn, out.ExpiresAt = string(d.Step), d.Attempt, d.Turn, moment(d.Expires)
	out.Rejected, out.SystemPIN, out.Mailed = d.Rejected, client.Secret(d.SystemPIN), d.Mailed
	if d.Step == authentication.StepNewPIN {
		out.PIN = &client.PINRules{Min: d.PIN.Min, Max: d.PIN.Max, Alphanumeric: d.PIN.Alphanumeric, Creation: d.PIN.Creation}
	}
	return out
}
