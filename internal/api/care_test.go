package api

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/policy"
)

func lockoutRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.HelpDesk)
	tok := h.assigned("mallory")
	try(h.Policies.EditLockout(ctx, 0, func(l *policy.Lockout) { *l = policy.Default().Lockout }))(t)
	try(h.Policies.EditToken(ctx, 0, func(p *policy.Token) { *p = policy.Default().Token }))(t)
	for range 4 {
		try(h.admin.Authenticate(ctx, "mallory", "00000000"))(t)
	}
	since := h.Now()
	u := try(c.User(ctx, "mallory"))(t)
	if l := u.Lockout; l.Locked || l.Count != 4 || l.Since == nil || !l.Since.Equal(since) || l.LockedAt != nil || l.UnknownSources != (client.Failures{}) {
		t.Errorf("after four failures: %+v", l)
	}
	if got := try(c.Token(ctx, tok.Serial))(t); got.BadPasscodes != 4 || !got.NextTokencode {
		t.Errorf("after four failures: %+v", got)
	}
	try(h.admin.Authenticate(ctx, "mallory", "00000000"))(t)
	u = try(c.User(ctx, "mallory"))(t)
	if l := u.Lockout; !l.Locked || l.Count != 5 || l.LockedAt == nil || l.UnlocksAt != nil {
		t.Errorf("after five failures: %+v", l)
	}
	if got := try(c.Token(ctx, tok.Serial))(t); got.State != "user_locked" {
		t.Errorf("the token of a locked user is %s", got.State)
	}

	// One who is unlocked by time is shown as unlocked, before any success.
	try(h.Policies.EditLockout(ctx, 0, func(l *policy.Lockout) { l.UnlockAfter = time.Hour }))(t)
	if l := try(c.User(ctx, "mallory"))(t).Lockout; !l.Locked || l.UnlocksAt == nil || !l.UnlocksAt.Equal(since.Add(time.Hour)) {
		t.Errorf("with a time to be unlocked at: %+v", l)
	}
	h.Pass(time.Hour)
	if l := try(c.User(ctx, "mallory"))(t).Lockout; l != (client.Lockout{}) {
		t.Errorf("an hour later: %+v", l)
	}
	try(h.Policies.EditLockout(ctx, 0, func(l *policy.Lockout) { l.UnlockAfter = 0 }))(t)
	if !try(c.User(ctx, "mallory"))(t).Lockout.Locked {
		t.Error("unlocked although only an administrator unlocks")
	}

	must(t, c.Unlock(ctx, "mallory"))
	if l := try(c.User(ctx, "mallory"))(t).Lockout; l != (client.Lockout{}) {
		t.Errorf("after Unlock: %+v", l)
	}
	must(t, c.Unlock(ctx, "mallory"))
	refused(t, c.Unlock(ctx, "nobody-here"), 404, "USER_NOT_FOUND")
}

func resyncRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.HelpDesk)
	h.profile("six", "file")
	tok := h.assigned("drifting")
	issue := try(h.admin.Distribute(ctx, tok.Serial, client.Distribution{Profile: "six", Password: "correct horse"}))(t)
	h.Pass(2 * time.Hour)
	first := h.code(issue.Delivery, "correct horse")
	h.Pass(time.Minute)
	second := h.code(issue.Delivery, "correct horse")
	h.Pass(-2*time.Hour - time.Minute)

	_, err := c.Resync(ctx, tok.Serial, client.Tokencodes{First: second, Second: first})
	refused(t, err, 422, "RESYNC_NOT_SUCCESSIVE")
	_, err = c.Resync(ctx, tok.Serial, client.Tokencodes{First: "1", Second: "2"})
	refused(t, err, 400, "INVALID")
	got := try(c.Resync(ctx, tok.Serial, client.Tokencodes{First: first, Second: second}))(t)
	if got.ClockOffsetSeconds != 2*3600+60 || got.Distribution != "confirmed" {
		t.Errorf("after it: %+v", got)
	}
	_, err = c.Resync(ctx, tok.Serial, client.Tokencodes{First: first, Second: second})
	refused(t, err, 422, "RESYNC_ALREADY_USED")
	free := try(h.admin.CreateTokens(ctx, client.NewTokens{Count: 1}))(t)
	_, err = c.Resync(ctx, free[0], client.Tokencodes{First: first, Second: second})
	refused(t, err, 409, "NOT_ASSIGNED")
	_, err = h.as(access.Auditor).Resync(ctx, tok.Serial, client.Tokencodes{First: first, Second: second})
	refused(t, err, 403, "FORBIDDEN")
}

func lossRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.HelpDesk)
	tok := h.assigned("forgetful")
	must(t, c.SetPIN(ctx, tok.Serial, client.PIN{PIN: "809357"}))
	lost := try(c.ReportLost(ctx, tok.Serial, client.Loss{Emergency: "fixed", LifeSeconds: 3600}))(t)
	if e := lost.Token.Emergency; len(lost.Codes) != 1 || lost.Token.State != "lost" || e == nil || e.Kind != "fixed" || !e.Until.Equal(h.Now().Add(time.Hour)) || e.LastUsedAt != nil {
		t.Errorf("lost: %+v", lost.Token)
	}
	for range 2 {
		if got := try(h.admin.Authenticate(ctx, "forgetful", "809357"+lost.Codes[0]))(t); got != client.Accepted {
			t.Errorf("an emergency code is %s", got)
		}
	}
	lost = try(c.ReportLost(ctx, tok.Serial, client.Loss{Emergency: "set", Count: 50}))(t)
	if e := lost.Token.Emergency; len(lost.Codes) != 50 || e == nil || e.Left != 50 || !e.Until.Equal(h.Now().Add(7*24*time.Hour)) {
		t.Errorf("lost: %+v", lost.Token.Emergency)
	}
	if got := try(h.admin.Authenticate(ctx, "forgetful", "809357"+lost.Codes[7]))(t); got != client.Accepted {
		t.Errorf("an emergency code is %s", got)
	}
	if e := try(c.Token(ctx, tok.Serial))(t).Emergency; e == nil || e.Left != 49 || e.LastUsedAt == nil {
		t.Errorf("after one code: %+v", e)
	}
	_, err := c.ReportFound(ctx, tok.Serial, tok.Version)
	refused(t, err, 409, "CONFLICT")
	if got := try(c.ReportFound(ctx, tok.Serial, 0))(t); got.LostAt != nil || got.Emergency != nil || got.State != "active" {
		t.Errorf("found: %+v", got)
	}
	if got := try(c.ReportLost(ctx, tok.Serial, client.Loss{}))(t); got.Token.Emergency != nil || got.Codes == nil || len(got.Codes) != 0 {
		t.Errorf("lost without emergency access: %+v", got)
	}
	_, err = c.ReportLost(ctx, tok.Serial, client.Loss{Emergency: "set"})
	refused(t, err, 400, "INVALID")
	_, err = c.ReportLost(ctx, tok.Serial, client.Loss{Emergency: "set", Count: 51})
	refused(t, err, 400, "INVALID")
	free := try(h.admin.CreateTokens(ctx, client.NewTokens{Count: 1}))(t)
	_, err = c.ReportLost(ctx, free[0], client.Loss{Emergency: "fixed"})
	refused(t, err, 409, "EMERGENCY_NOT_ALLOWED")
}

func replacementRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.TokenAdmin)
	old := h.assigned("upgrading")
	must(t, c.SetPIN(ctx, old.Serial, client.PIN{PIN: "809357"}))
	made := try(c.CreateTokens(ctx, client.NewTokens{Count: 1}))(t)
	next := try(c.Replace(ctx, old.Serial, client.Replacement{With: made[0]}))(t)
	if next.Serial != made[0] || next.UserID != "upgrading" || next.Replaces != old.Serial || next.ReplacedBy != "" || next.State != "replacement" || !next.PINSet {
		t.Errorf("replacement: %+v", next)
	}
	if got := try(c.Token(ctx, old.Serial))(t); got.ReplacedBy != next.Serial || got.State != "active" {
		t.Errorf("replaced: %+v", got)
	}
	_, err := c.Replace(ctx, old.Serial, client.Replacement{})
	refused(t, err, 409, "IN_REPLACEMENT")
	try(c.Unassign(ctx, next.Serial, 0))(t)
	again := try(c.Replace(ctx, old.Serial, client.Replacement{NewPIN: true}))(t)
	if again.PINSet || again.Replaces != old.Serial {
		t.Errorf("without PIN: %+v", again)
	}
	_, err = h.as(access.HelpDesk).Replace(ctx, old.Serial, client.Replacement{})
	refused(t, err, 403, "FORBIDDEN")
}

func activityRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.HelpDesk)
	try(h.Policies.EditToken(ctx, 0, func(p *policy.Token) { *p = policy.Default().Token }))(t)
	try(h.admin.AddProfile(ctx, client.NewProfile{Profile: "with PIN", DeviceType: "generic", DeliveryMethod: "file", PINType: "fob"}))(t)
	one := h.assigned("asking")
	try(h.admin.CreateTokens(ctx, client.NewTokens{Count: 1}))(t)
	two := try(h.admin.AssignNext(ctx, "asking"))(t)
	try(h.admin.Authenticate(ctx, "asking", "00000000"))(t)
	h.Pass(6*24*time.Hour + 23*time.Hour)
	issue := try(h.admin.Distribute(ctx, one.Serial, client.Distribution{Profile: "with PIN", Password: "correct horse"}))(t)
	must(t, c.SetPIN(ctx, one.Serial, client.PIN{PIN: "809357"}))
	try(c.Disable(ctx, two.Serial, 0))(t)
	code := h.code(issue.Delivery, "correct horse")
	try(h.admin.Authenticate(ctx, "asking", code))(t)
	h.Pass(time.Minute)
	lost := try(c.ReportLost(ctx, one.Serial, client.Loss{Emergency: "fixed"}))(t)
	if got := try(h.admin.Authenticate(ctx, "asking", "809357"+lost.Codes[0]))(t); got != client.Accepted {
		t.Fatal(got)
	}

	all := try(c.UserActivity(ctx, "asking", 0))(t)
	if len(all) != 3 || all[0].Outcome != "success" || all[0].Emergency != "fixed" || all[1].Reason != "PIN_NOT_ENTERED" || all[2].Reason != "BAD_PASSCODE" || len(all[2].Tokens) != 2 {
		t.Fatalf("activity %+v", all)
	}
	if why := authentication.Explain("BAD_PASSCODE"); all[2].Meaning != why.Meaning || all[2].NextStep != why.NextStep || all[2].Agent == "" || all[0].Meaning != "" {
		t.Errorf("explained as %+v", all[2])
	}
	if few := try(c.UserActivity(ctx, "asking", 1))(t); len(few) != 1 || !few[0].At.Equal(all[0].At) {
		t.Errorf("the last one is %+v", few)
	}
	if of := try(c.TokenActivity(ctx, two.Serial, 0))(t); len(of) != 1 || of[0].Reason != "BAD_PASSCODE" {
		t.Errorf("activity of the second token %+v", of)
	}
	if of := try(c.TokenActivity(ctx, one.Serial, 2))(t); len(of) != 2 || of[0].Outcome != "success" {
		t.Errorf("activity of the first token %+v", of)
	}
	h.Pass(2 * time.Hour) // what is older than seven days is not shown
	if all = try(c.UserActivity(ctx, "asking", 0))(t); len(all) != 2 {
		t.Errorf("an hour later: %d", len(all))
	}
	try(h.admin.Unassign(ctx, two.Serial, 0))(t)
	if of := try(c.TokenActivity(ctx, two.Serial, 0))(t); of == nil || len(of) != 0 {
		t.Errorf("activity of nobody's token %+v", of)
	}
	// Who gets the ID of a user that is gone has done nothing yet.
	try(h.admin.Unassign(ctx, one.Serial, 0))(t)
	must(t, h.admin.DeleteUser(ctx, "asking"))
	h.Pass(time.Minute)
	try(h.admin.AddUser(ctx, client.NewUser{UserID: "asking"}))(t)
	try(h.admin.Assign(ctx, two.Serial, "asking"))(t)
	if all = try(c.UserActivity(ctx, "asking", 0))(t); len(all) != 0 {
		t.Errorf("a new user did what a former one of the ID did: %+v", all)
	}
	try(h.admin.Authenticate(ctx, "asking", "00000000"))(t)
	if all = try(c.UserActivity(ctx, "asking", 0))(t); len(all) != 1 {
		t.Errorf("her first sign-in: %+v", all)
	}
	if of := try(c.TokenActivity(ctx, two.Serial, 0))(t); len(of) != 1 {
		t.Errorf("of her token: %+v", of)
	}
	// An agent that is told to ask for more may refuse her instead.
	three := h.assigned("dropped")
	issue = try(h.admin.Distribute(ctx, three.Serial, client.Distribution{Profile: "with PIN", Password: "correct horse"}))(t)
	if got := try(h.admin.Authenticate(ctx, "dropped", h.code(issue.Delivery, "correct horse")))(t); got != "new_pin" {
		t.Fatal(got)
	}
	want := authentication.Explain(authentication.NewPINAsked)
	for _, all := range [][]client.SignIn{try(c.UserActivity(ctx, "dropped", 0))(t), try(c.TokenActivity(ctx, three.Serial, 0))(t)} {
		if len(all) != 1 || all[0].Outcome != "challenge" || all[0].Reason != authentication.NewPINAsked || all[0].Meaning != want.Meaning || all[0].NextStep != want.NextStep {
			t.Errorf("after a dropped challenge: %+v", all)
		}
	}
	_, err := c.UserActivity(ctx, "nobody-here", 0)
	refused(t, err, 404, "USER_NOT_FOUND")
	_, err = c.TokenActivity(ctx, "999999999999", 0)
	refused(t, err, 404, "TOKEN_NOT_FOUND")
	_, err = h.as(access.AgentRole).UserActivity(ctx, "asking", 0)
	refused(t, err, 403, "FORBIDDEN")
	_, err = h.as(access.AgentRole).TokenActivity(ctx, one.Serial, 0)
	refused(t, err, 403, "FORBIDDEN")
}
