package api

import (
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
)

// A user may sign in with what is none of a token, if her token policy says so. Mail is on.
func withoutTokenRoutes(t *testing.T, h *house) {
	ctx, c, help := t.Context(), h.admin, h.as(access.HelpDesk)
	try(c.AddUser(ctx, client.NewUser{UserID: "robot", Mail: "robot@example.com"}))(t)
	try(c.AddUser(ctx, client.NewUser{UserID: "hermit"}))(t)
	passcode := client.FixedPasscode{Passcode: "Tk7wqZ31hNbv"}
	refused(t, c.SetFixedPasscode(ctx, "robot", passcode), 409, "POLICY_FORBIDS")
	refused(t, c.SetOnDemand(ctx, "robot", client.PIN{PIN: "481093"}), 409, "POLICY_FORBIDS")
	own, on := "own", true
	try(c.EditTokenPolicy(ctx, 0, client.TokenPolicyEdit{FixedPasscode: &own, OnDemand: &on}))(t)

	refused(t, help.SetFixedPasscode(ctx, "robot", passcode), 403, "FORBIDDEN") // it is as good as a token
	refused(t, c.SetFixedPasscode(ctx, "robot", client.FixedPasscode{Passcode: "short1"}), 422, "PIN_INVALID")
	refused(t, c.SetFixedPasscode(ctx, "nobody-here", passcode), 404, "USER_NOT_FOUND")
	must(t, c.SetFixedPasscode(ctx, "robot", passcode))
	refused(t, help.SetOnDemand(ctx, "hermit", client.PIN{PIN: "481093"}), 422, "MAIL_MISSING")
	must(t, help.SetOnDemand(ctx, "robot", client.PIN{PIN: "481093", Temporary: true}))
	u := try(help.User(ctx, "robot"))(t)
	if u.FixedPasscodeSetAt == nil || !u.FixedPasscodeSetAt.Equal(h.Now()) || u.OnDemand == nil || !u.OnDemand.PINSetAt.Equal(h.Now()) || !u.OnDemand.MustChange || u.OnDemand.SentAt != nil {
		t.Errorf("user %+v, %+v", u, u.OnDemand)
	}

	ask := func(passcode, want string) {
		t.Helper()
		if d := try(c.Check(ctx, client.Check{UserID: "robot", Passcode: client.Secret(passcode)}))(t); d.Result != want {
			t.Errorf("%+v, want %s", d, want)
		}
	}
	ask(string(passcode.Passcode), "accepted")
	ask("481093", "next_tokencode")
	if u := try(c.User(ctx, "robot"))(t); u.OnDemand.SentAt == nil || u.OnDemand.CodeUntil == nil {
		t.Errorf("after a code was sent: %+v", u.OnDemand)
	}
	if page := try(c.MailMessages(ctx, client.MailFilter{UserID: "robot"}))(t); len(page.Messages) != 1 || page.Messages[0].Event != "on_demand_code" || page.Messages[0].State != "waiting" {
		t.Errorf("mail %+v", page)
	}
	signIns := try(help.UserActivity(ctx, "robot", 0))(t)
	if len(signIns) != 2 || signIns[0].Reason != "ON_DEMAND_CODE_ASKED" || signIns[0].Method != "on_demand_pin" || signIns[1].Method != "fixed_passcode" || len(signIns[1].Tokens) != 0 {
		t.Errorf("sign-ins %+v", signIns)
	}

	must(t, help.ClearFixedPasscode(client.DryRun(ctx), "robot"))
	must(t, help.ClearFixedPasscode(ctx, "robot"))
	refused(t, help.ClearFixedPasscode(ctx, "robot"), 404, "NOT_FOUND")
	must(t, help.ClearOnDemand(ctx, "robot"))
	refused(t, help.ClearOnDemand(ctx, "robot"), 404, "NOT_FOUND")
	if u := try(c.User(ctx, "robot"))(t); u.FixedPasscodeSetAt != nil || u.OnDemand != nil {
		t.Errorf("cleared %+v", u)
	}
}
