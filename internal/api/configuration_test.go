package api

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// actions are those of a plan: "add profiles phone".
func actions(p client.ConfigurationPlan) []string {
	var all []string
	for _, s := range p.Steps {
		all = append(all, strings.TrimSpace(s.Action+" "+s.Kind+" "+s.Name))
	}
	return all
}

const wearable = "{device_type: wearable, version: 1, digits: [6], interval_seconds: [60], pin_types: [fob], delivery_methods: [ctf]}"

func configurationRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	secret := client.Secret("a secret of sixteen")
	conf := client.Configuration{
		Devices:       [][]byte{[]byte(wearable)},
		TokenPolicy:   &client.TokenPolicyEdit{PINHistory: new(7)},
		LockoutPolicy: &client.LockoutPolicyEdit{Failures: new(8)},
		Settings:      &client.SettingsEdit{WarnDays: new(60)},
		Profiles:      []client.ConfiguredProfile{{Profile: "wearable", Set: &client.ProfileEdit{DeviceType: new("Wearable")}}},
		RADIUSClients: []client.ConfiguredRADIUSClient{{RADIUSClient: "applied", Set: &client.RADIUSClientEdit{
			Address: new("198.51.100.7"), Secret: &secret, ReplyAttributes: &[]client.RADIUSAttribute{},
		}}},
	}
	want := []string{"change token_policy", "change lockout_policy", "change settings", "add devices wearable", "add profiles wearable", "add radius_clients applied"}
	plan := try(c.Configure(client.DryRun(ctx), conf))(t)
	if got := actions(plan); !slices.Equal(got, want) {
		t.Errorf("planned %v", got)
	}
	if first := plan.Steps[0].Changes; !reflect.DeepEqual(first, []client.ConfigurationChange{{Member: "pin_history", From: first[0].From, To: "7"}}) {
		t.Errorf("planned %v", first)
	}
	_, err := c.Profile(ctx, "wearable")
	refused(t, err, 404, "PROFILE_NOT_FOUND")

	// Applied, it is as planned, and applied again it changes nothing, not even a version.
	conf.Expect = plan.Digest
	if done := try(c.Configure(ctx, conf))(t); !reflect.DeepEqual(done, plan) {
		t.Errorf("planned %v, done %v", plan, done)
	}
	before := try(c.Profile(ctx, "wearable"))(t)
	gateway := try(c.RADIUSClient(ctx, "applied"))(t)
	conf.Expect = ""
	for _, s := range try(c.Configure(ctx, conf))(t).Steps {
		if s.Action != "none" || len(s.Changes) > 0 {
			t.Errorf("the second time: %+v", s)
		}
	}
	if after := try(c.Profile(ctx, "wearable"))(t); after != before || after.Digits != 6 || after.Version != 1 {
		t.Errorf("profile %+v", after)
	}
	if after := try(c.RADIUSClient(ctx, "applied"))(t); after.Version != gateway.Version || after.Address != "198.51.100.7/32" {
		t.Errorf("client %+v", after)
	}

	// Another secret is a change that is not shown.
	another := client.Secret("another one of sixteen")
	conf = client.Configuration{RADIUSClients: []client.ConfiguredRADIUSClient{{RADIUSClient: "applied", Set: &client.RADIUSClientEdit{Secret: &another}}}}
	done := try(c.Configure(ctx, conf))(t)
	if got := done.Steps[0]; got.Action != "change" || len(got.Changes) != 1 || got.Changes[0].Member != "secret" || strings.Contains(got.Changes[0].To, "sixteen") {
		t.Errorf("another secret: %+v", done)
	}
	domainConfigurations(t, h)
	refusedConfigurations(t, h)
	prunedConfigurations(t, h)
}

// domainConfigurations make a tree in whatever order it is written, and move a RADIUS client in it.
func domainConfigurations(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	conf := client.Configuration{
		Domains: []client.ConfiguredDomain{
			{Domain: "floor", Set: &client.DomainEdit{Parent: new("tower")}}, {Domain: "tower"}, {Domain: "room", Set: &client.DomainEdit{Parent: new("floor"), Note: new("3.14")}},
		},
		RADIUSClients: []client.ConfiguredRADIUSClient{
			{RADIUSClient: "applied", Domain: "room"}, {RADIUSClient: "placed", Domain: "floor", Set: &client.RADIUSClientEdit{Certificate: new("placed.example.com")}},
		},
	}
	want := []string{"add domains tower", "add domains floor", "add domains room", "change radius_clients applied", "add radius_clients placed"}
	if got := actions(try(c.Configure(ctx, conf))(t)); !slices.Equal(got, want) {
		t.Errorf("done %v", got)
	}
	for name, want := range map[string]string{"applied": "room", "placed": "floor"} {
		if got := try(c.RADIUSClient(ctx, name))(t); got.Domain != want {
			t.Errorf("%s is in %s", name, got.Domain)
		}
	}
	for _, s := range try(c.Configure(ctx, conf))(t).Steps {
		if s.Action != "none" {
			t.Errorf("the second time: %+v", s)
		}
	}
	_, err := c.Configure(ctx, client.Configuration{Domains: []client.ConfiguredDomain{{Domain: "tower", Set: &client.DomainEdit{Parent: new("room")}}, {Domain: "room", Set: &client.DomainEdit{Parent: new("tower")}}}})
	refused(t, err, 422, "DOMAIN_INVALID")
	_, err = c.Configure(ctx, client.Configuration{Domains: []client.ConfiguredDomain{{Domain: "x", Set: &client.DomainEdit{Parent: new("nowhere")}}}})
	refused(t, err, 404, "DOMAIN_NOT_FOUND")

	governedConfigurations(t, h)
	// Out of one part of the tree into another, with whom it may ask about there.
	try(c.Configure(ctx, client.Configuration{
		Domains:       []client.ConfiguredDomain{{Domain: "annex"}},
		RADIUSClients: []client.ConfiguredRADIUSClient{{RADIUSClient: "placed", Domain: "annex", Set: &client.RADIUSClientEdit{AllowedDomain: new("annex")}}},
	}))(t)
	if got := try(c.RADIUSClient(ctx, "placed"))(t); got.Domain != "annex" || got.AllowedDomain != "annex" {
		t.Errorf("moved %+v", got)
	}
	must(t, c.DeleteRADIUSClient(ctx, "placed"))
	try(c.Configure(ctx, client.Configuration{RADIUSClients: []client.ConfiguredRADIUSClient{{RADIUSClient: "applied", Domain: "tower"}}}))(t)
	got := actions(try(c.Configure(client.DryRun(ctx), client.Configuration{Prune: []string{"domains"}}))(t))
	for _, want := range []string{"delete domains room", "delete domains floor", "keep domains tower"} {
		if !slices.Contains(got, want) {
			t.Errorf("planned %v, which has no %s", got, want)
		}
	}
	if slices.Index(got, "delete domains room") > slices.Index(got, "delete domains floor") {
		t.Errorf("planned %v", got)
	}
}

// governedConfigurations give domains policies of their own, from the top down, and take them away.
func governedConfigurations(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	failures := try(c.LockoutPolicy(ctx))(t).Failures
	conf := client.Configuration{Domains: []client.ConfiguredDomain{
		{Domain: "room", LockoutPolicy: &client.LockoutPolicyEdit{WithinSeconds: new(int64(3600))}},
		{Domain: "tower", LockoutPolicy: &client.LockoutPolicyEdit{Failures: new(failures + 1)}, TokenPolicy: &client.TokenPolicyEdit{PINHistory: new(3)}},
	}}
	want := []string{"none domains room", "none domains tower", "add token_policy tower", "add lockout_policy tower", "add lockout_policy room"}
	if got := actions(try(c.Configure(client.DryRun(ctx), conf))(t)); !slices.Equal(got, want) {
		t.Errorf("planned %v", got)
	}
	if got := actions(try(c.Configure(ctx, conf))(t)); !slices.Equal(got, want) {
		t.Errorf("done %v", got)
	}
	if got := try(c.LockoutPolicyOf(ctx, "room"))(t); got.Failures != failures+1 || got.WithinSeconds != 3600 || got.Domain != "room" {
		t.Errorf("room has %+v", got)
	}
	for _, s := range try(c.Configure(ctx, conf))(t).Steps {
		if s.Action != "none" {
			t.Errorf("the second time: %+v", s)
		}
	}
	again := client.Configuration{Domains: []client.ConfiguredDomain{{Domain: "tower", Inherit: []string{"token", "lockout"}}, {Domain: "room", Inherit: []string{"token", "lockout"}}}}
	want = []string{"none domains tower", "none domains room", "delete token_policy tower", "delete lockout_policy tower", "delete lockout_policy room"}
	if got := actions(try(c.Configure(ctx, again))(t)); !slices.Equal(got, want) {
		t.Errorf("inherited %v", got)
	}
	if got := actions(try(c.Configure(ctx, again))(t)); !slices.Equal(got, want[:2]) {
		t.Errorf("the second time %v", got)
	}
	_, err := c.Configure(ctx, client.Configuration{Domains: []client.ConfiguredDomain{{Domain: "room", Inherit: []string{"token"}, TokenPolicy: &client.TokenPolicyEdit{PINHistory: new(3)}}}})
	refused(t, err, 400, "INVALID")
	_, err = c.Configure(ctx, client.Configuration{Domains: []client.ConfiguredDomain{{Domain: "room", TokenPolicy: &client.TokenPolicyEdit{PINMin: new(16)}}}})
	refused(t, err, 422, "POLICY_INVALID")
}

// refusedConfigurations change nothing, and tell what they are about.
func refusedConfigurations(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	conf := client.Configuration{
		Settings: &client.SettingsEdit{WarnDays: new(30)},
		Profiles: []client.ConfiguredProfile{{Profile: "wearable", Set: &client.ProfileEdit{Digits: new(8)}}},
	}
	_, err := c.Configure(ctx, conf)
	refused(t, err, 422, "PROFILE_OPTION_NOT_ALLOWED_BY_DEVICE")
	var told *client.Error
	if !errors.As(err, &told) || told.Details["kind"] != "profiles" || told.Details["name"] != "wearable" || !strings.HasPrefix(told.Message, "profile wearable: ") {
		t.Errorf("told %v", err)
	}
	if s := try(c.Settings(ctx))(t); s.WarnDays != 60 {
		t.Errorf("a refused configuration changed a setting: %+v", s)
	}
	conf.Profiles, conf.Expect = nil, strings.Repeat("0", 64)
	_, err = c.Configure(ctx, conf)
	refused(t, err, 409, "CONFLICT")
	_, err = c.Configure(ctx, client.Configuration{Profiles: []client.ConfiguredProfile{{Profile: "x", Set: &client.ProfileEdit{DeviceType: new("ios")}}, {Profile: "x"}}})
	refused(t, err, 400, "INVALID")
	_, err = c.Configure(ctx, client.Configuration{Devices: [][]byte{[]byte("<x/>")}})
	refused(t, err, 422, "DEVICE_DEF_INVALID")
	_, err = c.Configure(ctx, client.Configuration{TokenPolicy: &client.TokenPolicyEdit{PINMin: new(12), PINMax: new(5)}})
	refused(t, err, 422, "POLICY_INVALID")
	_, err = c.Configure(ctx, client.Configuration{RADIUSClients: []client.ConfiguredRADIUSClient{{RADIUSClient: "nowhere"}}})
	refused(t, err, 400, "INVALID")

	auditor := h.as(access.Auditor)
	try(auditor.Configure(ctx, client.Configuration{}))(t)
	for _, conf := range []client.Configuration{
		{Settings: &client.SettingsEdit{WarnDays: new(1)}}, {Profiles: []client.ConfiguredProfile{{Profile: "x"}}}, {Prune: []string{"radius_clients"}}, {Prune: []string{"devices"}},
	} {
		_, err := auditor.Configure(ctx, conf)
		refused(t, err, 403, "FORBIDDEN")
	}
}

// prunedConfigurations delete what they do not name, but for what is in use.
func prunedConfigurations(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	tok := h.assigned("wearer")
	try(c.Distribute(ctx, tok.Serial, client.Distribution{Profile: "wearable"}))(t)
	for _, name := range []string{"prune 1", "prune 2", "prune 3"} {
		try(c.AddProfile(ctx, client.NewProfile{Profile: name, DeviceType: "ios"}))(t)
	}
	try(c.AddRADIUSClient(ctx, client.NewRADIUSClient{RADIUSClient: "answers", Certificate: "answers.example.com",
		ReplyAttributes: []client.RADIUSAttribute{{Name: "Class", Value: "staff", Profile: "prune 3"}}}))(t)
	var kept []client.ConfiguredProfile
	for _, p := range try(c.Profiles(ctx))(t) {
		if !slices.Contains([]string{"prune 1", "prune 3", "wearable"}, p.Profile) {
			kept = append(kept, client.ConfiguredProfile{Profile: p.Profile})
		}
	}
	conf := client.Configuration{Profiles: kept, Prune: []string{"profiles", "devices"}}
	plan := try(c.Configure(client.DryRun(ctx), conf))(t)
	got := slices.DeleteFunc(actions(plan), func(a string) bool { return strings.HasPrefix(a, "none ") || a == "keep devices watch" })
	if !slices.Equal(got, []string{"delete profiles prune 1", "keep profiles prune 3", "keep profiles wearable", "keep devices wearable"}) {
		t.Errorf("planned %v", got)
	}
	try(c.Configure(ctx, conf))(t)
	_, err := c.Profile(ctx, "prune 1")
	refused(t, err, 404, "PROFILE_NOT_FOUND")
	for _, name := range []string{"prune 2", "wearable"} {
		try(c.Profile(ctx, name))(t)
	}
	try(c.RADIUSClient(ctx, "applied"))(t) // of a kind that was not to be pruned
	done := try(c.Configure(ctx, client.Configuration{Prune: []string{"radius_clients"}}))(t)
	if !slices.Contains(actions(done), "delete radius_clients applied") {
		t.Errorf("done %v", actions(done))
	}
}

// A configuration that waits for another one, or for an edit of a profile, keeps nothing meanwhile that the other may need.
func TestAConfigurationWaitsWithEmptyHands(t *testing.T) {
	url := deploytest.Postgres(t)
	h := furnish(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	admin := try(pgx.Connect(ctx, url))(t)
	defer admin.Close(context.Background())
	try(h.admin.AddProfile(ctx, client.NewProfile{Profile: "phone", DeviceType: "ios"}))(t)
	done := make(chan error, 1)
	// Sooner than PostgreSQL looks for a ring, and ends one of its transactions.
	err := h.db.TransactSoon(ctx, 100*time.Millisecond, func(ctx context.Context) error {
		if _, err := h.db.DevicesForChange(ctx); err != nil {
			return err
		}
		go func() {
			_, err := h.admin.Configure(t.Context(), client.Configuration{Profiles: []client.ConfiguredProfile{{Profile: "phone", Set: &client.ProfileEdit{Notes: new("new")}}}})
			done <- err
		}()
		for waits := false; !waits; {
			if err := admin.QueryRow(ctx, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").Scan(&waits); err != nil {
				return err
			}
		}
		_, err := h.db.Profile(ctx, "phone")
		return err
	})
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
}
