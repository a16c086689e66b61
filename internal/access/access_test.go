package access_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
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

// The manual's table of roles says what each may do, and a refusal who may.
func TestTheManualKnowsEveryRole(t *testing.T) {
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Roles\n")
	section, _, _ = strings.Cut(section, "\n## ")
	head, seen := []string(nil), map[access.Right]bool{}
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i, cell := range cells {
			cells[i] = strings.Trim(cell, " `")
		}
		if head == nil {
			head = cells
			continue
		}
		right := access.Right(cells[0])
		seen[right] = true
		for i := 2; i < len(head); i++ {
			role := access.Role(head[i])
			if role.May(right) != (cells[i] == "yes") {
				t.Errorf("the manual is wrong about %s of %s", right, role)
			}
			if told := strings.Contains(access.Role("nobody").Refuse(right).Error(), string(role)); cells[i] == "yes" && !told {
				t.Errorf("who is refused %s is not told of %s", right, role)
			}
		}
	}
	for _, role := range access.Roles() {
		if !slices.Contains(head, string(role)) {
			t.Errorf("the manual does not know the role %s", role)
		}
	}
	for _, right := range access.SuperAdmin.Rights() {
		if !seen[right] {
			t.Errorf("the manual does not know the right %s", right)
		}
	}
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
	for _, name := range []string{"", " desk", "desk ", strings.Repeat("ж", 65), "a\tb", "a\xff"} { // one with a blank at its end looks like another's in lists
		if _, _, err := r.Add(ctx, name, access.HelpDesk, 0); !errors.Is(err, fault.Invalid) {
			t.Errorf("the name %q: %v", name, err)
		}
	}
	if _, _, err := r.Add(ctx, strings.Repeat("ж", 64), access.HelpDesk, 0); err != nil {
		t.Errorf("64 characters: %v", err)
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

// What a key makes ends with it at the latest.
func TestNoKeyIsOutlivedByWhatItMakes(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	keys := &access.Registry{Store: deploytest.Open(t, deploytest.SQLite(t)), Hash: plainHash{}, Now: func() time.Time { return now }}
	by := func(name string, life time.Duration) context.Context {
		k, _, err := keys.Add(t.Context(), name, access.Operator, life)
		if err != nil {
			t.Fatal(err)
		}
		return audit.WithActor(t.Context(), audit.Actor{Name: "key:" + k.Name, Role: string(k.Role), KeyID: k.ID})
	}
	today, lasting := by("today", 24*time.Hour), by("lasting", 0)
	now = now.Add(time.Hour)
	for _, c := range []struct {
		by   context.Context
		life time.Duration
		want error
	}{
		{today, 23 * time.Hour, nil}, {today, 23*time.Hour + time.Second, fault.Forbidden}, {today, 0, fault.Forbidden},
		{lasting, 0, nil}, {lasting, 48 * time.Hour, nil}, {t.Context(), 0, nil},
	} {
		name := fmt.Sprintf("by %s for %s", audit.ActorFrom(c.by).Name, c.life)
		if _, _, err := keys.Add(c.by, name, access.Operator, c.life); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := keys.Delete(t.Context(), "lasting"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := keys.Add(lasting, "too late", access.Operator, 0); !errors.Is(err, fault.Unauthorized) {
		t.Errorf("by a key that is gone: %v", err)
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

// Whoever may make keys gets no right by it that he does not have, and takes none from whoever has more.
func TestNobodyMakesOrDeletesAKeyOfMoreRights(t *testing.T) {
	keys := access.Registry{Store: deploytest.Open(t, deploytest.SQLite(t)), Hash: plainHash{}, Now: time.Now}
	for _, role := range access.Roles() {
		if _, _, err := keys.Add(t.Context(), string(role), role, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, by := range access.Roles() {
		ctx := audit.WithActor(t.Context(), audit.Actor{Name: "key:" + string(by), Role: string(by)})
		for _, role := range access.Roles() {
			lacks := slices.ContainsFunc(role.Rights(), func(r access.Right) bool { return !by.May(r) })
			_, _, err := keys.Add(ctx, string(by)+" "+string(role), role, 0)
			if lacks != errors.Is(err, fault.Forbidden) || !lacks && err != nil {
				t.Errorf("a key of %s by %s: %v", role, by, err)
			}
			err = keys.Delete(ctx, string(role))
			if lacks != errors.Is(err, fault.Forbidden) || !lacks && err != nil {
				t.Errorf("a key of %s deleted by %s: %v", role, by, err)
			}
			switch _, _, err := keys.Add(t.Context(), string(role), role, 0); {
			case lacks && !errors.Is(err, fault.Conflict): // it was gone
				t.Errorf("a key of %s after %s was refused to delete it: %v", role, by, err)
			case !lacks && err != nil:
				t.Fatal(err)
			}
		}
	}
}
