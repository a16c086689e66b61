package api

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/sdtid"
	"github.com/tallystick/tallystick/securid"
)

// Each route is called with success through package client; that every answer
// keeps to the document is checked on the way (house.RoundTrip).
func TestEveryRoute(t *testing.T) {
	h := newHouse(t)
	for _, part := range []struct {
		name string
		walk func(*testing.T, *house)
	}{
		{"about", aboutRoutes}, {"users", userRoutes}, {"profiles", profileRoutes}, {"policies", policyRoutes}, {"settings", settingsRoutes}, {"care of many", manyRoutes}, {"labels", labelRoutes}, {"clock offsets", offsetRoutes}, {"tokens", tokenRoutes},
		{"groups", groupRoutes}, {"assignments", assignmentRoutes}, {"user files", userFileRoutes}, {"domains", domainRoutes}, {"policies of domains", domainPolicyRoutes}, {"directories", directoryRoutes},
		{"devices", deviceRoutes},
		{"deliveries", deliveryRoutes}, {"lockout", lockoutRoutes}, {"resync", resyncRoutes}, {"loss", lossRoutes}, {"replacement", replacementRoutes}, {"activity", activityRoutes}, {"agents", agentRoutes}, {"RADIUS clients", radiusRoutes}, {"keys", keyRoutes}, {"clock", clockRoutes}, {"backup", backupRoutes},
		{"reports", reportRoutes}, {"report runs", reportRunRoutes},
		{"audit", auditRoutes}, {"changes", changeRoutes},
		{"jobs", jobRoutes}, {"bulk", bulkRoutes}, {"approvals", approvalRoutes}, {"campaign", campaignRoutes}, {"imports", importRoutes}, {"uploads", uploadRoutes}, {"transfer", transferRoutes},
		{"webhooks", webhookRoutes},
		{"configuration", configurationRoutes}, // changes policies: the last
		{"mail", mailRoutes}, {"without a token", withoutTokenRoutes},
	} {
		t.Run(part.name, func(t *testing.T) { part.walk(t, h) })
	}
	for _, route := range table() {
		answered := h.seen[route.pattern]
		if !answered[200] && !answered[201] && !answered[202] && !answered[204] {
			t.Errorf("%s was never called with success", route.pattern)
		}
	}
}

func aboutRoutes(t *testing.T, h *house) {
	ctx := t.Context()
	me := try(h.as(access.Auditor).WhoAmI(ctx))(t)
	if !strings.HasPrefix(me.Actor, "key:auditor-") || me.Role != "auditor" || !slices.Equal(me.Rights, []string{"read", "view_activity", "read_audit", "read_changes", "manage_reports"}) {
		t.Errorf("auditor is %+v", me)
	}
	if document := try(h.admin.OpenAPI(ctx))(t); !bytes.Equal(document, openAPI) {
		t.Error("served another document than the one that is enforced")
	}
}

func userRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	u := try(c.AddUser(ctx, client.NewUser{UserID: "u/../1 é", Name: "Ü", Mail: "u@example.com"}))(t)
	if u.Version != 1 || !u.Enabled || !u.CreatedAt.Equal(h.Now()) {
		t.Errorf("added %+v", u)
	}
	if got := try(c.User(ctx, u.UserID))(t); got != u {
		t.Errorf("read %+v, added %+v", got, u)
	}
	for _, dots := range []string{".", ".."} {
		try(c.AddUser(ctx, client.NewUser{UserID: dots}))(t)
		if got := try(c.User(ctx, dots))(t); got.UserID != dots {
			t.Errorf("asked for user %q, got %q", dots, got.UserID)
		}
	}
	name, off := "New", false
	edited := try(c.EditUser(ctx, u.UserID, u.Version, client.UserEdit{Name: &name, Enabled: &off}))(t)
	if edited.Version != 2 || edited.Name != "New" || edited.Enabled || edited.Mail != u.Mail {
		t.Errorf("edited %+v", edited)
	}
	_, err := c.EditUser(ctx, u.UserID, 1, client.UserEdit{Name: &name})
	refused(t, err, 409, "CONFLICT")
	_, err = c.EditUser(ctx, u.UserID, 0, client.UserEdit{})
	refused(t, err, 400, "INVALID")
	_, err = c.AddUser(ctx, client.NewUser{UserID: u.UserID})
	refused(t, err, 409, "USER_EXISTS")
	_, err = c.AddUser(ctx, client.NewUser{UserID: " x"})
	refused(t, err, 422, "USER_INVALID")
	must(t, c.DeleteUser(ctx, u.UserID))
	_, err = c.User(ctx, u.UserID)
	refused(t, err, 404, "USER_NOT_FOUND")
	refused(t, c.DeleteUser(ctx, u.UserID), 404, "USER_NOT_FOUND")

	for _, id := range []string{"page-1", "page-2", "page-3"} {
		try(c.AddUser(ctx, client.NewUser{UserID: id}))(t)
	}
	first := try(c.Users(ctx, client.UserFilter{Query: "PAGE", Limit: 2}))(t)
	if len(first.Users) != 2 || first.Next != "page-2" {
		t.Errorf("first page %+v", first)
	}
	var all []string
	for u, err := range c.AllUsers(ctx, client.UserFilter{Query: "page", Limit: 1}) {
		must(t, err)
		all = append(all, u.UserID)
	}
	if !slices.Equal(all, []string{"page-1", "page-2", "page-3"}) {
		t.Errorf("all pages hold %v", all)
	}
}

func profileRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	devices := try(c.Devices(ctx))(t)
	if len(devices) < 6 {
		t.Errorf("%d devices", len(devices))
	}
	for _, d := range devices {
		got := try(c.Device(ctx, d.DeviceType))(t)
		if got.Title != d.Title || !slices.Equal(got.Digits, []int{6, 8}) {
			t.Errorf("device %+v", got)
		}
	}
	_, err := c.Device(ctx, "toaster")
	refused(t, err, 404, "DEVICE_DEF_NOT_FOUND")

	grace := int64(0)
	p := try(c.AddProfile(ctx, client.NewProfile{Profile: "Android 6", DeviceType: "Android", Digits: 6, DeliveryMethod: "ctkip", ActivationLifeSeconds: 3600, GraceSeconds: &grace}))(t)
	if p.DeviceType != "android" || p.IntervalSeconds != 60 || p.SwitchOver != "on_activation" || p.GraceSeconds != 0 || p.ActivationLifeSeconds != 3600 {
		t.Errorf("added %+v", p)
	}
	if other := try(c.AddProfile(ctx, client.NewProfile{Profile: "other", DeviceType: "ios"}))(t); other.GraceSeconds != 7*24*3600 {
		t.Errorf("default grace %d s", other.GraceSeconds)
	}
	if got := try(c.Profile(ctx, p.Profile))(t); got != p {
		t.Errorf("read %+v, added %+v", got, p)
	}
	method, notes, life := "ctf", "for field staff", int64(7200)
	edited := try(c.EditProfile(ctx, p.Profile, p.Version, client.ProfileEdit{DeliveryMethod: &method, Notes: &notes, ActivationLifeSeconds: &life}))(t)
	if edited.DeliveryMethod != "ctf" || edited.Digits != 6 || edited.Version != 2 || edited.ActivationLifeSeconds != life {
		t.Errorf("edited %+v", edited)
	}
	_, err = c.EditProfile(ctx, p.Profile, p.Version, client.ProfileEdit{Notes: &notes})
	refused(t, err, 409, "CONFLICT")
	_, err = c.AddProfile(ctx, client.NewProfile{Profile: p.Profile, DeviceType: "ios"})
	refused(t, err, 409, "PROFILE_NAME_TAKEN")
	_, err = c.AddProfile(ctx, client.NewProfile{Profile: "a&b", DeviceType: "ios"})
	refused(t, err, 422, "PROFILE_NAME_INVALID")
	_, err = c.AddProfile(ctx, client.NewProfile{Profile: "c", DeviceType: "toaster"})
	refused(t, err, 404, "DEVICE_DEF_NOT_FOUND")
	_, err = c.AddProfile(ctx, client.NewProfile{Profile: "d", DeviceType: "ios", Digits: 7})
	refused(t, err, 400, "INVALID")
	if all := try(c.Profiles(ctx))(t); !slices.ContainsFunc(all, func(q client.Profile) bool { return q == edited }) {
		t.Errorf("not listed: %+v", all)
	}
	must(t, c.DeleteProfile(ctx, p.Profile, "other"))
	_, err = c.Profile(ctx, p.Profile)
	refused(t, err, 404, "PROFILE_NOT_FOUND")
}

func policyRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	set := try(h.as(access.Auditor).Policies(ctx))(t)
	want := client.PolicySet{
		Token: client.TokenPolicy{
			IncorrectBeforeNTC: 3, NextCodeFailure: "fail", PINCreation: "user", PINMin: 4, PINMax: 8, PINCharacters: "digits", RefuseTrivialPINs: true,
			ExcludedWords: []string{}, PINHistory: 5, EmergencyLength: 8, EmergencyCharacters: "alphanumeric", EmergencyLifeSeconds: 7 * 86400,
			EmergencyIfFound: "accept_and_end", FixedPasscode: "off", FixedPasscodeMin: 12, OnDemandLifeSeconds: 900, WindowSmall: 1, WindowMediumSeconds: 600, WindowLargeSeconds: 43200, Domain: "root", Version: 1,
		},
		Lockout: client.LockoutPolicy{Failures: 5, WithinSeconds: 86400, SeparateUnknownSources: true, Domain: "root", Version: 1},
	}
	if !reflect.DeepEqual(set, want) {
		t.Errorf("defaults %+v", set)
	}

	// Every setting can be changed, and nothing else changes with it.
	want.Token = client.TokenPolicy{
		IncorrectBeforeNTC: 20, NextCodeFailure: "lock", PINCreation: "either", PINMin: 6, PINMax: 16, PINCharacters: "alphanumeric", PINMinLetters: 2,
		PINMinDigits: 3, ExcludedWords: []string{"acme", "2026"}, PINMaxLifeSeconds: 90 * 86400, PINMinLifeSeconds: 86400, PINHistory: 20,
		EmergencyLength: 12, EmergencyCharacters: "digits", EmergencyLifeSeconds: 3600, EmergencyMaxLifeSeconds: 7200, EmergencyIfFound: "deny", FixedPasscode: "own", FixedPasscodeMin: 20,
		OnDemand: true, OnDemandLifeSeconds: 60, DeleteReplaced: true,
		WindowSmall: 2, WindowMediumSeconds: 1200, WindowLargeSeconds: 3600, Domain: "root", Version: 2,
	}
	p := want.Token
	edited := try(c.EditTokenPolicy(ctx, 1, client.TokenPolicyEdit{
		IncorrectBeforeNTC: &p.IncorrectBeforeNTC, NextCodeFailure: &p.NextCodeFailure, PINCreation: &p.PINCreation, PINMin: &p.PINMin, PINMax: &p.PINMax,
		PINCharacters: &p.PINCharacters, PINMinLetters: &p.PINMinLetters, PINMinDigits: &p.PINMinDigits, RefuseTrivialPINs: &p.RefuseTrivialPINs,
		ExcludedWords: &p.ExcludedWords, PINMaxLifeSeconds: &p.PINMaxLifeSeconds, PINMinLifeSeconds: &p.PINMinLifeSeconds, PINHistory: &p.PINHistory,
		EmergencyLength: &p.EmergencyLength, EmergencyCharacters: &p.EmergencyCharacters, EmergencyLifeSeconds: &p.EmergencyLifeSeconds,
		EmergencyMaxLifeSeconds: &p.EmergencyMaxLifeSeconds, EmergencyIfFound: &p.EmergencyIfFound, FixedPasscode: &p.FixedPasscode,
		FixedPasscodeMin: &p.FixedPasscodeMin, OnDemand: &p.OnDemand, OnDemandLifeSeconds: &p.OnDemandLifeSeconds, DeleteReplaced: &p.DeleteReplaced, WindowSmall: &p.WindowSmall,
		WindowMediumSeconds: &p.WindowMediumSeconds, WindowLargeSeconds: &p.WindowLargeSeconds,
	}))(t)
	if got := try(c.TokenPolicy(ctx))(t); !reflect.DeepEqual(edited, want.Token) || !reflect.DeepEqual(got, want.Token) {
		t.Errorf("edited %+v, read %+v", edited, got)
	}
	l := client.LockoutPolicy{Failures: 0, WithinSeconds: 3600, UnlockAfterSeconds: 900, Domain: "root", Version: 2}
	locked := try(c.EditLockoutPolicy(ctx, 1, client.LockoutPolicyEdit{
		Failures: &l.Failures, WithinSeconds: &l.WithinSeconds, UnlockAfterSeconds: &l.UnlockAfterSeconds, SeparateUnknownSources: &l.SeparateUnknownSources,
	}))(t)
	if got := try(c.LockoutPolicy(ctx))(t); locked != l || got != l {
		t.Errorf("edited %+v, read %+v", locked, got)
	}

	least, most, life := 7, 5, int64(3600)
	_, err := c.EditTokenPolicy(ctx, 1, client.TokenPolicyEdit{PINMin: &least})
	refused(t, err, 409, "CONFLICT")
	_, err = c.EditTokenPolicy(ctx, 0, client.TokenPolicyEdit{PINMax: &most})
	refused(t, err, 422, "POLICY_INVALID")
	_, err = c.EditTokenPolicy(ctx, 0, client.TokenPolicyEdit{PINMaxLifeSeconds: &life})
	refused(t, err, 422, "POLICY_INVALID")
	most = 17
	_, err = c.EditTokenPolicy(ctx, 0, client.TokenPolicyEdit{PINMax: &most})
	refused(t, err, 400, "INVALID")
	_, err = c.EditLockoutPolicy(ctx, 1, client.LockoutPolicyEdit{Failures: &least})
	refused(t, err, 409, "CONFLICT")
	life = 59
	_, err = c.EditLockoutPolicy(ctx, 0, client.LockoutPolicyEdit{UnlockAfterSeconds: &life})
	refused(t, err, 422, "POLICY_INVALID")
	_, err = h.as(access.TokenAdmin).EditLockoutPolicy(ctx, 0, client.LockoutPolicyEdit{Failures: &least})
	refused(t, err, 403, "FORBIDDEN")
}

func tokenRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	serials := try(c.CreateTokens(ctx, client.NewTokens{Count: 3, Expiry: "2031-01-31"}))(t)
	tok := try(c.Token(ctx, serials[0]))(t)
	if tok.State != "unassigned" || tok.Birth != "2026-11-24" || tok.Expiry != "2031-01-31" || tok.Generation != 1 || tok.Enabled || tok.LastUsedAt != nil {
		t.Errorf("made %+v", tok)
	}
	_, err := c.CreateTokens(ctx, client.NewTokens{Count: 0})
	refused(t, err, 400, "INVALID")
	_, err = c.CreateTokens(ctx, client.NewTokens{Count: 1, Expiry: "2031-02-31"})
	refused(t, err, 400, "INVALID")
	_, err = c.Token(ctx, "999999999999")
	refused(t, err, 404, "TOKEN_NOT_FOUND")
	_, err = c.Token(ctx, "12")
	refused(t, err, 400, "INVALID")

	try(c.AddUser(ctx, client.NewUser{UserID: "alice"}))(t)
	tok = try(c.Assign(ctx, serials[0], "alice"))(t)
	if tok.State != "new_pin" || tok.UserID != "alice" || !tok.Enabled {
		t.Errorf("assigned %+v", tok)
	}
	_, err = c.Assign(ctx, serials[0], "alice")
	refused(t, err, 409, "TOKEN_ALREADY_ASSIGNED")
	next := try(c.AssignNext(ctx, "alice"))(t)
	try(c.AssignNext(ctx, "alice"))(t)
	_, err = c.AssignNext(ctx, "alice")
	refused(t, err, 422, "TOKEN_LIMIT_REACHED")
	_, err = c.AssignNext(ctx, "nobody")
	refused(t, err, 404, "USER_NOT_FOUND")
	refused(t, c.DeleteUser(ctx, "alice"), 409, "USER_IN_USE")

	off := try(c.Disable(ctx, next.Serial, next.Version))(t)
	if off.Enabled || off.State != "disabled" {
		t.Errorf("disabled %+v", off)
	}
	_, err = c.Enable(ctx, next.Serial, next.Version)
	refused(t, err, 409, "CONFLICT")
	on := try(c.Enable(ctx, next.Serial, off.Version))(t)
	free := try(c.Unassign(ctx, next.Serial, on.Version))(t)
	if free.UserID != "" || free.State != "unassigned" {
		t.Errorf("unassigned %+v", free)
	}
	_, err = c.Unassign(ctx, next.Serial, 0)
	refused(t, err, 409, "NOT_ASSIGNED")
	_, err = c.Enable(ctx, next.Serial, 0)
	refused(t, err, 409, "NOT_ASSIGNED")

	yes := true
	held := try(c.Tokens(ctx, client.TokenFilter{UserID: "alice", Assigned: &yes, Enabled: &yes, ExpiresBefore: "2032-01-01", Distribution: "not_distributed"}))(t)
	if len(held.Tokens) != 2 {
		t.Errorf("alice holds %d tokens", len(held.Tokens))
	}
	var seen int
	for _, err := range c.AllTokens(ctx, client.TokenFilter{UserID: "alice", Limit: 1}) {
		must(t, err)
		seen++
	}
	if seen != 2 {
		t.Errorf("pages of one held %d tokens", seen)
	}

	pinRoutes(t, h, serials[0])
	must(t, c.DeleteToken(ctx, next.Serial))
	refused(t, c.DeleteToken(ctx, next.Serial), 404, "TOKEN_NOT_FOUND")
}

func pinRoutes(t *testing.T, h *house, serial string) {
	ctx, c := t.Context(), h.admin
	must(t, c.SetPIN(ctx, serial, client.PIN{PIN: "918274"}))
	if !try(c.Token(ctx, serial))(t).PINSet {
		t.Error("no PIN after SetPIN")
	}
	refused(t, c.SetPIN(ctx, serial, client.PIN{PIN: "1"}), 422, "PIN_INVALID")
	state := func(pin, summary string) {
		t.Helper()
		if got := try(c.Token(ctx, serial))(t); got.PINState != pin || got.State != summary {
			t.Errorf("PIN %s, state %s, want %s, %s", got.PINState, got.State, pin, summary)
		}
	}
	state("set", "active")
	must(t, h.as(access.HelpDesk).ForceNewPIN(ctx, serial))
	state("must_change", "new_pin")
	must(t, c.ClearPIN(ctx, serial))
	state("none", "new_pin")
	refused(t, c.ForceNewPIN(ctx, serial), 422, "PIN_INVALID")
	must(t, c.SetPIN(ctx, serial, client.PIN{PIN: "918275", Temporary: true}))
	state("must_change", "new_pin")
	must(t, c.ClearPIN(ctx, serial))
}

func deliveryRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	h.profile("file", "file")
	h.profile("string", "ctf")
	h.profile("dynamic", "ctkip")
	tok := h.assigned("bob")

	first := try(c.Distribute(ctx, tok.Serial, client.Distribution{Profile: "file", Password: "correct horse"}))(t)
	if first.Generation != 1 || first.Delivery.Method != "file" || first.Delivery.FileName == "" || first.Job == "" || first.Warnings == nil {
		t.Errorf("distributed %+v", first.Job)
	}
	if got := try(c.Authenticate(ctx, "bob", h.code(first.Delivery, "correct horse")))(t); got != client.Accepted {
		t.Errorf("code of the delivered file is %s", got)
	}
	if got := try(c.Authenticate(ctx, "bob", h.code(first.Delivery, "correct horse")))(t); got != "denied" {
		t.Errorf("code that was used is %s", got)
	}
	if after := try(c.Token(ctx, tok.Serial))(t); after.Distribution != "confirmed" || after.LastUsedAt == nil || after.IssueCount != 1 {
		t.Errorf("after the first code: %+v", after)
	}

	refused(t, c.ClearPIN(ctx, tok.Serial), 422, "PIN_INVALID") // it takes none
	second := try(c.Redistribute(ctx, tok.Serial, client.Redistribution{Distribution: client.Distribution{Profile: "string", SwitchOver: "on_activation"}, Reason: "NEW_DEVICE"}))(t)
	if second.Generation != 2 || second.Delivery.CTF == "" || second.Delivery.CTFURL == "" || second.OldUntil == nil || len(second.Warnings) != 1 {
		t.Errorf("redistributed %+v", second.Job)
	}
	if waiting := try(c.Token(ctx, tok.Serial))(t); waiting.Generation != 1 || waiting.Pending == nil || waiting.Pending.Generation != 2 {
		t.Errorf("while the new seed waits: %+v", waiting)
	}
	h.Pass(8 * 24 * time.Hour)
	if over := try(c.Token(ctx, tok.Serial))(t); over.Generation != 2 || over.Pending != nil {
		t.Errorf("after the grace: %+v", over)
	}

	third := try(c.Redistribute(ctx, tok.Serial, client.Redistribution{Distribution: client.Distribution{Profile: "dynamic"}, Reason: "OTHER", Note: "wants the app"}))(t)
	if third.Delivery.ActivationCode == "" || third.Delivery.CTKIPURL == "" || third.Delivery.QR == "" || third.Delivery.ActivationExpires == nil {
		t.Error("incomplete dynamic delivery")
	}
	if pending := try(c.Token(ctx, tok.Serial))(t); pending.State != "pending_activation" {
		t.Errorf("state %s", pending.State)
	}
	if n := try(c.Revoke(ctx, tok.Serial))(t); n != 1 {
		t.Errorf("revoked %d codes", n)
	}
	if n := try(c.Revoke(ctx, tok.Serial))(t); n != 0 {
		t.Errorf("revoked %d codes twice", n)
	}
	if lapsed := try(c.Token(ctx, tok.Serial))(t); lapsed.State != "activation_lapsed" {
		t.Errorf("state %s", lapsed.State)
	}
	deliveryRefusals(t, h, tok.Serial)
	importRoute(t, h)
}

func deliveryRefusals(t *testing.T, h *house, serial string) {
	ctx, c := t.Context(), h.admin
	for code, d := range map[string]client.Distribution{
		"PASSWORD_TOO_WEAK": {Profile: "file", Password: "short"},
		"PASSWORD_TOO_LONG": {Profile: "file", Password: "a password that no app lets anybody type"},
		"PASSWORD_REQUIRED": {Profile: "file", Protection: "password"},
		"NICKNAME_INVALID":  {Profile: "file", Nickname: strings.Repeat("n", 25)},
		"DEVICE_ID_INVALID": {Profile: "file", DeviceID: "?"},
	} {
		_, err := c.Distribute(ctx, serial, d)
		refused(t, err, 422, code)
	}
	_, err := c.Distribute(ctx, serial, client.Distribution{Profile: "nowhere"})
	refused(t, err, 404, "PROFILE_NOT_FOUND")
	_, err = c.Redistribute(ctx, serial, client.Redistribution{Distribution: client.Distribution{Profile: "file"}, Reason: "OTHER"})
	refused(t, err, 422, "REASON_REQUIRED")
	_, err = c.Redistribute(ctx, serial, client.Redistribution{Distribution: client.Distribution{Profile: "file"}})
	refused(t, err, 400, "INVALID")
	free := try(c.CreateTokens(ctx, client.NewTokens{Count: 1}))(t)
	_, err = c.Distribute(ctx, free[0], client.Distribution{Profile: "file"})
	refused(t, err, 409, "NOT_ASSIGNED")
	refused(t, c.DeleteProfile(ctx, "dynamic", ""), 409, "PROFILE_IN_USE")
	hardwareTokens(t, h)
}

// hardwareTokens are imported and assigned like others, and leave by no delivery.
func hardwareTokens(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	file := try(sdtid.Encode(sdtid.Batch{Tokens: []sdtid.Token{{
		Serial: "000000700001", Seed: []byte("hardware letters"), Digits: 6, Interval: 60, Birth: h.Now(), Expiry: h.Now().AddDate(5, 0, 0),
	}}}))(t)
	h.Jobs.Register(h.Records.ImportWorker())
	try(c.StartImport(ctx, client.Import{Type: "hardware", Name: "key fobs"}, bytes.NewReader(file)))(t)
	must(t, h.Jobs.RunAll(ctx))
	before := try(c.Statistics(ctx, -1))(t)
	tok := try(c.Assign(ctx, "000000700001", "alice"))(t)
	if tok.Type != "hardware" || tok.PINType != "fob" || tok.Digits != 6 {
		t.Errorf("imported %+v", tok)
	}
	if after := try(c.Statistics(ctx, -1))(t); before.HardwareTotal != 1 || before.SoftwareAvailable != after.SoftwareAvailable || before.Available != after.Available+1 {
		t.Errorf("statistics %+v, %+v", before, after)
	}
	_, err := c.Distribute(ctx, tok.Serial, client.Distribution{Profile: "file"})
	refused(t, err, 422, "NOT_SOFTWARE")
	_, err = c.Redistribute(ctx, tok.Serial, client.Redistribution{Distribution: client.Distribution{Profile: "file"}, Reason: "NEW_DEVICE"})
	refused(t, err, 422, "NOT_SOFTWARE")
	if tok.Lifetime != "valid" || tok.Replacement != "none" || tok.Sync != "in_sync" || tok.Lost {
		t.Errorf("states %+v", tok)
	}
	for state, want := range map[string]int{"valid": 1, "expired": 0, "not_yet_valid": 0, "expiring": 0} {
		no := false
		if page := try(c.Tokens(ctx, client.TokenFilter{Query: "700001", Lifetime: state, Replacement: "none", Lost: &no}))(t); len(page.Tokens) != want {
			t.Errorf("%d tokens are %s", len(page.Tokens), state)
		}
	}
	for kind, want := range map[string]int{"hardware": 1, "software": 0} {
		if page := try(c.Tokens(ctx, client.TokenFilter{UserID: "alice", Type: kind, Query: "700001"}))(t); len(page.Tokens) != want {
			t.Errorf("%d tokens of type %s", len(page.Tokens), kind)
		}
	}
	dormant := func() int {
		return h.rows("dormant", client.ReportQuery{Filters: map[string]string{"days": "2", "type": "hardware"}}).Count
	}
	if n := dormant(); n != 0 {
		t.Errorf("%d are dormant that were assigned just now", n)
	}
	h.Pass(49 * time.Hour)
	if n := dormant(); n != 1 {
		t.Errorf("%d are dormant that were assigned two days ago", n)
	}
	must(t, c.DeleteToken(ctx, tok.Serial))
}

// importRoute imports a file from elsewhere, and one that this deployment made.
func importRoute(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	foreign := try(sdtid.Encode(sdtid.Batch{Password: "from elsewhere", Tokens: []sdtid.Token{{
		Serial: "000123456789", Seed: []byte("sixteen letters!"), Digits: 8, Interval: 60, Birth: h.Now(), Expiry: h.Now().AddDate(5, 0, 0),
	}}}))(t)
	taken := try(c.ImportTokens(ctx, client.TokenFile{File: foreign, Password: "from elsewhere"}))(t)
	if !slices.Equal(taken.Imported, []string{"000123456789"}) || len(taken.Ignored) != 0 {
		t.Fatalf("import of a token: %+v", taken)
	}
	if imported := try(c.Token(ctx, taken.Imported[0]))(t); imported.Origin != "imported" || imported.State != "unassigned" {
		t.Errorf("imported %+v", imported)
	}
	tok := h.assigned("carol")
	out := try(c.Distribute(ctx, tok.Serial, client.Distribution{Profile: "file", Password: "correct horse"}))(t)
	got := try(c.ImportTokens(ctx, client.TokenFile{File: out.Delivery.File, Password: "correct horse"}))(t)
	if len(got.Imported) != 0 || !slices.Equal(got.Ignored, []string{tok.Serial}) {
		t.Errorf("import of what is here: %+v", got)
	}
	must(t, c.DeleteToken(ctx, tok.Serial))
	_, err := c.ImportTokens(ctx, client.TokenFile{File: out.Delivery.File, Password: "correct horse"})
	refused(t, err, 409, "SEED_IN_USE") // destroyed seeds do not come back
	_, err = c.ImportTokens(ctx, client.TokenFile{File: out.Delivery.File, Password: "wrong horse"})
	refused(t, err, 422, "IMPORT_BAD_PASSWORD")
	var archive bytes.Buffer
	must(t, zip.NewWriter(&archive).Close())
	_, err = c.ImportTokens(ctx, client.TokenFile{File: archive.Bytes()})
	refused(t, err, 422, "IMPORT_BAD_FORMAT")
}

// code is the tokencode that an app would show now.
func (h *house) code(d client.Delivery, password string) client.Secret {
	h.t.Helper()
	f := try(sdtid.Parse(d.File))(h.t)
	tokens := try(f.Open(password))(h.t)
	return client.Secret(try(securid.Code(tokens[0].Seed, tokens[0].Serial, tokens[0].Digits, tokens[0].Interval, h.Now()))(h.t))
}

func radiusRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	// Who is told of a change can read it: adding has an idempotency key, and with that a transaction around it.
	seen := make(chan int, 100)
	h.RADIUS.Changed = func() { seen <- len(try(h.RADIUS.List(ctx))(t)) }
	defer func() { h.RADIUS.Changed = nil }()
	vpn := try(c.AddRADIUSClient(ctx, client.NewRADIUSClient{RADIUSClient: "vpn1", Address: "192.0.2.7", Secret: "a secret of the gateway"}))(t)
	if vpn.Address != "192.0.2.7/32" || vpn.PromptSet != "securid" || !vpn.Challenges || vpn.RequireMessageAuthenticator != "require" || vpn.StripRealm != "none" || vpn.Version != 1 {
		t.Errorf("added %+v", vpn)
	}
	if n := <-seen; n != 1 {
		t.Errorf("of a client that was added, %d were to be seen", n)
	}
	off := false
	try(c.AddProfile(ctx, client.NewProfile{Profile: "vpn phones", DeviceType: "ios"}))(t)
	wide := try(c.AddRADIUSClient(ctx, client.NewRADIUSClient{
		RADIUSClient: "site", Address: "2001:db8::1/48", Certificate: "VPN.example.com", Secret: "another secret of 16", PromptSet: "cisco-asa", Challenges: &off,
		RequireMessageAuthenticator: "warn", StripRealm: "suffix", MaxQPS: 7, ReplyAttributes: []client.RADIUSAttribute{{Name: "Class", Value: "staff"}, {Name: "Session-Timeout", Value: "3600", Profile: "vpn phones"}},
	}))(t)
	if wide.Address != "2001:db8::/48" || wide.Certificate != "vpn.example.com" || wide.Challenges || wide.MaxQPS != 7 || len(wide.ReplyAttributes) != 2 {
		t.Errorf("added %+v", wide)
	}
	if got := try(c.RADIUSClient(ctx, "site"))(t); !reflect.DeepEqual(got, wide) {
		t.Errorf("read %+v, added %+v", got, wide)
	}
	for name, wrong := range map[string]client.NewRADIUSClient{
		"no address":     {RADIUSClient: "x", Secret: "s"},
		"no secret":      {RADIUSClient: "x", Address: "10.0.0.1"},
		"no prefix":      {RADIUSClient: "x", Address: "10.0.0.1/33", Secret: "s"},
		"a zone":         {RADIUSClient: "x", Address: "fe80::1%eth0", Secret: "s"},
		"a name":         {RADIUSClient: "x y", Address: "10.0.0.1", Secret: "s"},
		"control":        {RADIUSClient: "x", Address: "10.0.0.1", Secret: "a\nb"},
		"TLS secret":     {RADIUSClient: "x", Certificate: "a.example.com", Secret: "s"},
		"certificate":    {RADIUSClient: "x", Certificate: "sha256:12"},
		"attribute":      {RADIUSClient: "x", Address: "10.0.0.1", Secret: "s", ReplyAttributes: []client.RADIUSAttribute{{Name: "State", Value: "x"}}},
		"address value":  {RADIUSClient: "x", Address: "10.0.0.1", Secret: "s", ReplyAttributes: []client.RADIUSAttribute{{Name: "Framed-IP-Address", Value: "::1"}}},
		"number":         {RADIUSClient: "x", Address: "10.0.0.1", Secret: "s", ReplyAttributes: []client.RADIUSAttribute{{Name: "Idle-Timeout", Value: "-1"}}},
		"text too long":  {RADIUSClient: "x", Address: "10.0.0.1", Secret: "s", ReplyAttributes: []client.RADIUSAttribute{{Name: "Cisco-AVPair", Value: strings.Repeat("x", 248)}}},
		"prompt set":     {RADIUSClient: "x", Address: "10.0.0.1", Secret: "s", PromptSet: "klingon"},
		"realm":          {RADIUSClient: "x", Address: "10.0.0.1", Secret: "s", StripRealm: "middle"},
		"too much a day": {RADIUSClient: "x", Address: "10.0.0.1", Secret: "s", MaxQPS: 100_001},
	} {
		if _, err := c.AddRADIUSClient(ctx, wrong); err == nil {
			t.Errorf("%s was taken", name)
		} else {
			refused(t, err, 400, "INVALID")
		}
	}
	for _, taken := range []client.NewRADIUSClient{
		{RADIUSClient: "vpn1", Address: "10.0.0.1", Secret: "s"},
		{RADIUSClient: "x", Address: "192.0.2.7/32", Secret: "s"},
		{RADIUSClient: "x", Certificate: "vpn.example.com"},
	} {
		_, err := c.AddRADIUSClient(ctx, taken)
		refused(t, err, 409, "CONFLICT")
	}

	misspelled := client.RADIUSClientEdit{ReplyAttributes: &[]client.RADIUSAttribute{{Name: "Class", Value: "staff", Profile: "phone"}}}
	_, err := c.EditRADIUSClient(ctx, "vpn1", 0, misspelled)
	refused(t, err, 404, "PROFILE_NOT_FOUND")
	refused(t, c.DeleteProfile(ctx, "vpn phones", ""), 409, "PROFILE_IN_USE")
	secret, realm, none := client.Secret("the secret of tomorrow"), "prefix", []client.RADIUSAttribute{}
	edited := try(c.EditRADIUSClient(ctx, "site", wide.Version, client.RADIUSClientEdit{Secret: &secret, StripRealm: &realm, ReplyAttributes: &none}))(t)
	if edited.Version != 2 || edited.StripRealm != "prefix" || len(edited.ReplyAttributes) != 0 || edited.MaxQPS != 7 || edited.Challenges {
		t.Errorf("edited %+v", edited)
	}
	kept := try(h.RADIUS.Get(ctx, "site"))(t)
	if opened := try(h.RADIUS.Secret(ctx, kept))(t); string(opened) != string(secret) {
		t.Error("another secret than the one that was set")
	}
	must(t, c.DeleteProfile(ctx, "vpn phones", ""))
	_, err = c.EditRADIUSClient(ctx, "site", 1, client.RADIUSClientEdit{StripRealm: &realm})
	refused(t, err, 409, "CONFLICT")
	_, err = c.EditRADIUSClient(ctx, "site", 0, client.RADIUSClientEdit{Address: &vpn.Address})
	refused(t, err, 409, "CONFLICT")
	_, err = c.EditRADIUSClient(ctx, "nobody", 0, client.RADIUSClientEdit{StripRealm: &realm})
	refused(t, err, 404, "NOT_FOUND")
	nowhere := ""
	if only := try(c.EditRADIUSClient(ctx, "site", 0, client.RADIUSClientEdit{Address: &nowhere}))(t); only.Address != "" {
		t.Errorf("still has an address: %+v", only)
	}
	if left := try(h.RADIUS.Secret(ctx, try(h.RADIUS.Get(ctx, "site"))(t)))(t); left != nil {
		t.Error("the secret outlived the address")
	}
	_, err = c.EditRADIUSClient(ctx, "site", 0, client.RADIUSClientEdit{Certificate: &nowhere})
	refused(t, err, 400, "INVALID")
	if all := try(c.RADIUSClients(ctx))(t); len(all) != 2 || all[0].RADIUSClient != "site" || !reflect.DeepEqual(all[1], vpn) {
		t.Errorf("listed %+v", all)
	}
	must(t, c.DeleteRADIUSClient(ctx, "site"))
	refused(t, c.DeleteRADIUSClient(ctx, "site"), 404, "NOT_FOUND")
	_, err = c.RADIUSClient(ctx, "site")
	refused(t, err, 404, "NOT_FOUND")
	for _, secret := range []string{"a secret of the gateway", "another secret of 16", string(secret)} {
		if strings.Contains(h.logged.String()+strings.Join(h.texts, ""), secret) {
			t.Error("a shared secret was shown")
		}
	}
}

func clockRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	must(t, h.API.Clock.Beat(ctx))
	shown := try(c.Clock(ctx))(t)
	if !shown.Trusted || shown.BehindSeconds != 0 || len(shown.Servers) != 1 || shown.Servers[0].Server != "test" || !shown.Servers[0].Latest.Equal(h.Now()) {
		t.Errorf("clock %+v", shown)
	}
	h.Pass(-time.Minute)
	if shown = try(c.Clock(ctx))(t); shown.Trusted || shown.BehindSeconds != 60 {
		t.Errorf("after the clock went back: %+v", shown)
	}
	if shown = try(c.ConfirmClock(ctx))(t); !shown.Trusted {
		t.Errorf("after it was confirmed: %+v", shown)
	}
	h.Pass(time.Minute)
}

func keyRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	made := try(c.AddAPIKey(ctx, client.NewAPIKey{Name: "desk 1/a", Role: "help_desk", LifeSeconds: 60}))(t)
	if made.ExpiresAt == nil || !made.ExpiresAt.Equal(h.Now().Add(time.Minute)) || !strings.HasPrefix(string(made.Key), "tsk_"+made.ID+"_") {
		t.Errorf("made %+v", made.APIKey)
	}
	if status, _, _ := h.send(string(made.Key), "GET", "/v1/whoami", ""); status != http.StatusOK {
		t.Errorf("the new key gets %d", status)
	}
	_, err := c.AddAPIKey(ctx, client.NewAPIKey{Name: "desk 1/a", Role: "auditor"})
	refused(t, err, 409, "CONFLICT")
	_, err = c.AddAPIKey(ctx, client.NewAPIKey{Name: "x", Role: "king"})
	refused(t, err, 400, "INVALID")
	keys := try(c.APIKeys(ctx))(t)
	if !slices.ContainsFunc(keys, func(k client.APIKey) bool { return k.ID == made.ID && k.Name == made.Name }) {
		t.Errorf("not listed: %+v", keys)
	}
	must(t, c.DeleteAPIKey(ctx, "desk 1/a"))
	refused(t, c.DeleteAPIKey(ctx, "desk 1/a"), 404, "NOT_FOUND")
	if status, _, _ := h.send(string(made.Key), "GET", "/v1/whoami", ""); status != http.StatusUnauthorized {
		t.Errorf("the deleted key gets %d", status)
	}

	before := try(c.RotateDataKey(ctx))(t)
	if again := try(c.RotateDataKey(ctx))(t); again != before+1 {
		t.Errorf("rotated from %d to %d", before, again)
	}
	h.assigned("after-rotation")
}

func auditRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	try(c.AddUser(ctx, client.NewUser{UserID: "seen"}))(t)
	if n := try(c.AuditPending(ctx))(t); n < 1 {
		t.Errorf("%d events wait for their places", n)
	}
	try(h.Log.Sequence(ctx))(t)
	if n := try(c.AuditPending(ctx))(t); n != 0 {
		t.Errorf("%d events wait after sequencing", n)
	}
	page := try(c.AuditEvents(ctx, client.EventFilter{Object: "user:seen", Action: "user.*", Outcome: "success", Since: h.Now().Add(-time.Hour), Until: h.Now().Add(time.Hour)}))(t)
	if len(page.Events) != 1 || page.Next != "" {
		t.Fatalf("events %+v", page)
	}
	e := page.Events[0]
	if e.Action != "user.add" || !strings.HasPrefix(e.Actor, "key:super_admin-") || e.Role != "super_admin" || e.Client != "127.0.0.1" || e.CorrelationID == "" || e.Seq < 0 {
		t.Errorf("event %+v", e)
	}
	first := try(c.AuditEvents(ctx, client.EventFilter{Limit: 1}))(t)
	if len(first.Events) != 1 || first.Next == "" {
		t.Errorf("first page %+v", first)
	}
	second := try(c.AuditEvents(ctx, client.EventFilter{Limit: 1, After: first.Next}))(t)
	if len(second.Events) != 1 || second.Events[0].Seq != first.Events[0].Seq+1 {
		t.Errorf("second page %+v", second)
	}
	newest := try(c.AuditEvents(ctx, client.EventFilter{Limit: 1, Newest: true}))(t)
	if len(newest.Events) != 1 || newest.Events[0].Seq <= second.Events[0].Seq {
		t.Errorf("newest page %+v", newest)
	}

	vkey := try(c.AuditVerifierKey(ctx))(t)
	report := try(audit.Verify(ctx, remote{c}, try(note.NewVerifier(vkey))(t), nil))(t)
	if report.Err() != nil || report.Events == 0 || report.Checkpoints == 0 {
		t.Errorf("the log as the API shows it: %+v", report)
	}
	oldest := try(c.AuditCheckpoints(ctx, 0, 1))(t)
	try(c.AddUser(ctx, client.NewUser{UserID: "seen-later"}))(t)
	try(h.Log.Sequence(ctx))(t)
	newer := try(c.AuditCheckpoints(ctx, oldest[0].Size, 1))(t)
	if len(oldest) != 1 || len(newer) != 1 || newer[0].Size <= oldest[0].Size {
		t.Errorf("pages of signed heads: %+v, %+v", oldest, newer)
	}
	var unasked client.CheckpointList // as clients ask that know of no pages
	_, _, body := h.send(h.key(access.Auditor), http.MethodGet, "/v1/audit/checkpoints?limit=1", "")
	must(t, json.Unmarshal([]byte(body), &unasked))
	if newest := try(h.Log.NewestCheckpoints(ctx, 1))(t)[0].Size; len(unasked.Checkpoints) != 1 || unasked.Checkpoints[0].Size != newest {
		t.Errorf("without a page there are the heads %+v, want the newest, of %d", unasked.Checkpoints, newest)
	}
}

// remote is the audit log of a server, as its API shows it.
type remote struct{ c *client.Client }

func (r remote) Entries(ctx context.Context, first int64, limit int) ([]audit.Entry, error) {
	entries, err := r.c.AuditEntries(ctx, first, limit)
	return mapped(entries, func(e client.Entry) audit.Entry {
		return audit.Entry{Seq: e.Seq, Record: e.Record, Leaf: tlog.Hash(e.Leaf)}
	}), err
}

func (r remote) Checkpoints(ctx context.Context, after int64, limit int) ([]audit.Checkpoint, error) {
	all, err := r.c.AuditCheckpoints(ctx, after, limit)
	return mapped(all, func(c client.Checkpoint) audit.Checkpoint {
		return audit.Checkpoint{Size: c.Size, At: c.At, Signed: c.Signed}
	}), err
}

func (r remote) Pending(ctx context.Context) (int, error) { return r.c.AuditPending(ctx) }
