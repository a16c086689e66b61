package access_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// plainHash hashes nothing away, so that a test sees what is kept.
type plainHash struct{}

func (plainHash) MAC(purpose string, parts ...[]byte) []byte {
	out := []byte(purpose)
	for _, p := range parts {
		out = append(append(out, '/'), p...)
	}
	return out
}

func TestKeys(t *testing.T) {
	db := deploytest.Open(t, deploytest.SQLite(t))
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	r := &access.Registry{Store: db, Hash: plainHash{}, Now: func() time.Time { return now }}
	ctx := t.Context()

	k, text, err := r.Add(ctx, "desk", access.HelpDesk, time.Hour)
	if err != nil || !strings.HasPrefix(text, "tsk_"+k.ID+"_") {
		t.Fatal(err)
	}
	if got, err := r.Check(ctx, text); err != nil || got.Name != "desk" || got.Role != access.HelpDesk {
		t.Errorf("checked: %+v, %v", got, err)
	}
	wrong := text[:len(text)-1] + string(text[len(text)-1]^1)
	for name, other := range map[string]string{
		"empty": "", "prefix": "tsk_", "wrong secret": wrong, "unknown": strings.Replace(text, k.ID, "0000000000000000", 1),
		"longer": text + "x", "another prefix": strings.Replace(text, "tsk_", "abc_", 1),
	} {
		if _, err := r.Check(ctx, other); !errors.Is(err, fault.Unauthorized) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := r.Add(ctx, "desk", access.HelpDesk, 0); !errors.Is(err, fault.Conflict) {
		t.Errorf("the same name again: %v", err)
	}
	if _, _, err := r.Add(ctx, "x", "king", 0); !errors.Is(err, fault.Invalid) {
		t.Errorf("unknown role: %v", err)
	}
	now = now.Add(time.Hour)
	if _, err := r.Check(ctx, text); !errors.Is(err, fault.Unauthorized) {
		t.Errorf("expired: %v", err)
	}
	_, forever, err := r.Add(ctx, "agent", access.AgentRole, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(ctx, "agent"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Check(ctx, forever); !errors.Is(err, fault.Unauthorized) {
		t.Errorf("deleted: %v", err)
	}
}

func TestRolesMayWhatTheyShould(t *testing.T) {
	for _, c := range []struct {
		role access.Role
		may  access.Right
		want bool
	}{
		{access.HelpDesk, access.CareTokens, true}, {access.HelpDesk, access.Redistribute, false}, {access.HelpDesk, access.Distribute, false},
		{access.PrivilegedHelpDesk, access.Redistribute, true}, {access.PrivilegedHelpDesk, access.Distribute, false},
		{access.Auditor, access.ReadAudit, true}, {access.Auditor, access.CareTokens, false},
		{access.TokenAdmin, access.ManageProfiles, false}, {access.SuperAdmin, access.ManageProfiles, true},
		{access.TokenAdmin, access.ManagePolicies, false}, {access.SuperAdmin, access.ManagePolicies, true},
		{access.AgentRole, access.Authenticate, true}, {access.AgentRole, access.Read, false}, {"king", access.Read, false},
	} {
		if c.role.May(c.may) != c.want {
			t.Errorf("%s may %s: %t", c.role, c.may, !c.want)
		}
	}
}
