package server_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/server"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

const wearable = "{device_type: wearable, version: 1, digits: [6, 8], interval_seconds: [60], pin_types: [none], delivery_methods: [ctf], ctf_links: [android, ios]}"

// What is configured at one server holds at another on the same database: a profile for a new device type is used there at
// once, and a definition that would break it is refused there, whoever added the profile.
func TestConfigurationHoldsOnAllServers(t *testing.T) {
	ctx := t.Context()
	database := storetest.Postgres(t)
	first := start(t, folder(t), "--database", database)
	second := start(t, folder(t), "--database", database, "--master-key", filepath.Join(first.data, "master.key"))
	here, there := client.Unix(server.SocketPath(first.data)), client.Unix(server.SocketPath(second.data))

	all, err := there.Devices(ctx) // the second server knows the definitions before there is another
	must(t, all, err)
	conf := client.Configuration{
		Devices:  [][]byte{[]byte(wearable)},
		Profiles: []client.ConfiguredProfile{{Profile: "wearable", Set: &client.ProfileEdit{DeviceType: new("wearable"), URLStyle: new("ios")}}},
	}
	plan, err := here.Configure(ctx, conf)
	if must(t, plan, err); len(plan.Steps) != 2 {
		t.Errorf("done %+v", plan)
	}
	user, err := there.AddUser(ctx, client.NewUser{UserID: "alice"})
	must(t, user, err)
	made, err := there.CreateTokens(ctx, client.NewTokens{Count: 1})
	must(t, made, err)
	token, err := there.Assign(ctx, made[0], "alice")
	must(t, token, err)
	issue, err := there.Distribute(ctx, made[0], client.Distribution{Profile: "wearable", Password: "correct horse"})
	if must(t, issue, err); issue.Delivery.CTFURL == "" {
		t.Error("nothing was delivered")
	}

	_, err = there.ImportDevices(ctx, client.DeviceFile{File: []byte("{device_type: wearable, version: 2, digits: 6, interval_seconds: 60, pin_types: none, delivery_methods: ctf}")})
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Code != "DEVICE_DEF_IN_USE" {
		t.Errorf("breaking the profile: %v", err)
	}
	plan, err = there.Configure(ctx, conf)
	for _, step := range must(t, plan, err).Steps {
		if step.Action != "none" {
			t.Errorf("the second server: %+v", step)
		}
	}
}
