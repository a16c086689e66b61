package audit

import "testing"

func TestCategories(t *testing.T) {
	for _, c := range []struct {
		actor, action string
		want          Category
	}{
		{"radius:vpn", "authn.success", Authentication}, {"key:agent", "authn.fail", Authentication}, {"socket", "authn.fail", Authentication},
		{"radius:vpn", "ntc.enter", Authentication}, {"radius:vpn", "lockout.lock", Authentication}, {"radius:vpn", "emergency.use", Authentication},
		{"key:desk", "lockout.unlock", Administration}, {"key:desk", "emergency.issue", Administration}, {"socket", "key.rotate", Administration},
		{"socket", "clock.confirm", Administration}, {"app", "dist.activate", Administration},
		{"server", "redist.complete", System}, {"server", "clock.skew", System}, {"socket", "clock.skew", System}, {"server", "clock.back", System}, {"server", "key.rotate", System},
	} {
		e := Event{Action: c.action, Actor: Actor{Name: c.actor}}
		if got := e.Category(); got != c.want {
			t.Errorf("%s by %s is %s, want %s", c.action, c.actor, got, c.want)
		}
	}
	if err := (Choice{Actions: SignInActions()}).Check(); err != nil {
		t.Error(err)
	}
}
