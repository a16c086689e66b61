package api

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
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
	since := h.now()
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
	h.pass(time.Hour)
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
