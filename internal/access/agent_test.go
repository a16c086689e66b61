package access_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

func TestAgents(t *testing.T) {
	db, keys := deploytest.New(t, deploytest.SQLite(t), time.Now)
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	r := &access.Agents{Store: db, Keys: keys, Now: func() time.Time { return now }}
	ctx := t.Context()
	if _, err := r.Add(ctx, access.Agent{Name: "VPN1"}); err != nil {
		t.Fatal(err)
	}

	plain, key, err := r.AddCredential(ctx, "vpn1", "", time.Hour)
	if err != nil || plain.Signs() || plain.Agent != "VPN1" {
		t.Fatalf("%+v, %v", plain, err)
	}
	if a, c, err := r.ByHash(ctx, r.KeyHash(key)); err != nil || a.Name != "VPN1" || c.ID != plain.ID || !c.ExpiredAt(now.Add(time.Hour)) || c.ExpiredAt(now) {
		t.Errorf("by its key: %+v, %+v, %v", a, c, err)
	}
	for _, other := range []string{"", key[1:], key + "x", strings.ToUpper(key), plain.ID} {
		if _, _, err := r.ByHash(ctx, r.KeyHash(other)); !errors.Is(err, fault.NotFound) {
			t.Errorf("%q: %v", other, err)
		}
	}
	bySigner := func(id string) (access.Agent, string, error) {
		a, c, err := r.ByID(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		key, err := r.SigningKey(ctx, a, c)
		return a, string(key), err
	}
	if _, _, err := bySigner(plain.ID); !errors.Is(err, fault.NotFound) {
		t.Errorf("signing while HMAC is off: %v", err)
	}

	turn := func(mode access.HMACMode) {
		t.Helper()
		if _, err := r.Edit(ctx, "vpn1", 0, func(a *access.Agent) { a.HMAC, a.Name = mode, "never renamed" }); err != nil {
			t.Fatal(err)
		}
	}
	turn(access.HMACAllowed)
	if _, _, err := bySigner(plain.ID); !errors.Is(err, fault.NotFound) {
		t.Errorf("signing with a credential from before HMAC: %v", err)
	}
	signing, secret, err := r.AddCredential(ctx, "vpn1", "", 0)
	if err != nil || !signing.Signs() || bytes.Contains(signing.Sealed.Blob, []byte(secret)) {
		t.Fatalf("%+v, %v", signing, err)
	}
	if a, got, err := bySigner(signing.ID); err != nil || got != secret || a.Name != "VPN1" {
		t.Errorf("by its access ID: %q, %v", got, err)
	}
	if _, err := keys.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Reseal(ctx, 100); err != nil {
		t.Fatal(err)
	}
	if c, err := db.Credential(ctx, signing.ID); err != nil || c.Sealed.KeyID == signing.Sealed.KeyID {
		t.Errorf("not resealed: %v", err)
	}
	if _, got, err := bySigner(signing.ID); err != nil || got != secret {
		t.Errorf("after a new data key: %q, %v", got, err)
	}
	turn(access.HMACOff)
	turn(access.HMACAllowed)
	if _, _, err := bySigner(signing.ID); !errors.Is(err, fault.NotFound) {
		t.Errorf("HMAC was off, and the key was kept: %v", err)
	}
	if _, _, err := r.ByHash(ctx, r.KeyHash(secret)); err != nil {
		t.Errorf("as a plain key: %v", err)
	}
	if err := r.Delete(ctx, "vpn1"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.ByHash(ctx, r.KeyHash(key)); !errors.Is(err, fault.NotFound) {
		t.Errorf("of an agent that is gone: %v", err)
	}
	page, err := db.Events(ctx, audit.Filter{Limit: audit.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	log := ""
	for _, e := range page.Entries {
		log += string(e.Record)
	}
	for _, action := range []string{"agent.add", "agent.edit", "agent.credential_add", "agent.delete"} {
		if !strings.Contains(log, action) {
			t.Errorf("%s is not in the audit log", action)
		}
	}
	if strings.Contains(log, key) || strings.Contains(log, secret) {
		t.Error("an access key is in the audit log")
	}
}

func TestAdmits(t *testing.T) {
	a := access.Agent{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	for addr, want := range map[string]bool{"192.0.2.9": true, "192.0.3.9": false, "2001:db8::1": false} {
		if a.Admits(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s: want %v", addr, want)
		}
	}
	if !(access.Agent{}).Admits(netip.MustParseAddr("2001:db8::1")) || a.Admits(netip.Addr{}) {
		t.Error("without networks every address is admitted, with some an unknown one is not")
	}
}
