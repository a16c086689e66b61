package api

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
)

// definition is a definition file of a device type.
func definition(t *testing.T, d client.Device) []byte {
	t.Helper()
	return try(json.Marshal(d))(t)
}

func deviceRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	d := try(c.Device(ctx, "ios"))(t)
	if !d.BuiltIn || d.ImportedAt != nil || d.KeyBits != 128 || d.CTKIPLinks[0] != "securid" {
		t.Errorf("built in: %+v", d)
	}
	d.DeviceType, d.Title, d.Digits = "Tablet-OS", "Tablet OS", []int{8}

	// A dry run tells what would happen and changes nothing.
	done := try(c.ImportDevices(ctx, client.DeviceFile{File: definition(t, d), DryRun: true}))(t)
	if !done.DryRun || len(done.Devices) != 1 || done.Devices[0].DeviceType != "tablet-os" || done.Devices[0].Replaces != 0 {
		t.Errorf("dry run: %+v", done)
	}
	_, err := c.Device(ctx, "tablet-os")
	refused(t, err, 404, "DEVICE_DEF_NOT_FOUND")
	try(c.ImportDevices(ctx, client.DeviceFile{File: definition(t, d)}))(t)
	got := try(c.Device(ctx, "TabletOS"))(t)
	if got.DeviceType != "tablet-os" || got.BuiltIn || got.ImportedAt == nil || !got.ImportedAt.Equal(h.Now()) || !slices.Equal(got.Digits, []int{8}) {
		t.Errorf("imported %+v", got)
	}
	_, err = c.ImportDevices(ctx, client.DeviceFile{File: definition(t, d)})
	refused(t, err, 409, "DEVICE_DEF_DUPLICATE")

	// Profiles that would not be valid any more are listed, and keep the definition as it is.
	for name, digits := range map[string]int{"tablet 8": 8, "tablet too": 8} {
		try(c.AddProfile(ctx, client.NewProfile{Profile: name, DeviceType: "tablet os", Digits: digits, DeliveryMethod: "ctf", URLStyle: "android"}))(t)
	}
	d.Version, d.Digits, d.CTFLinks = 2, []int{6, 8}, []string{"android"}
	done = try(c.ImportDevices(ctx, client.DeviceFile{File: definition(t, d)}))(t)
	if change := done.Devices[0]; change.Replaces != 1 || len(change.Profiles) != 2 || !change.Profiles[0].OK || change.Profiles[0].Profile != "tablet 8" {
		t.Errorf("replaced: %+v", done)
	}
	try(c.EditProfile(ctx, "tablet 8", 0, client.ProfileEdit{Digits: new(6)}))(t)
	d.Version, d.Digits = 3, []int{8}
	done = try(c.ImportDevices(ctx, client.DeviceFile{File: definition(t, d), DryRun: true}))(t)
	if list := done.Devices[0].Profiles; len(list) != 2 || list[0].OK || list[0].Code != "PROFILE_OPTION_NOT_ALLOWED_BY_DEVICE" || !list[1].OK {
		t.Errorf("dry run: %+v", list)
	}
	_, err = c.ImportDevices(ctx, client.DeviceFile{File: definition(t, d)})
	refused(t, err, 409, "DEVICE_DEF_IN_USE")
	var told *client.Error
	if errors.As(err, &told) && (!strings.Contains(told.Message, "tablet 8 (code length 6") || strings.Contains(told.Message, "tablet too")) {
		t.Errorf("told %q", told.Message)
	}
	if got := try(c.Device(ctx, "tablet-os"))(t); got.Version != 2 {
		t.Errorf("the refused import left version %d", got.Version)
	}

	refused(t, c.DeleteDevice(ctx, "tablet-os"), 409, "DEVICE_DEF_IN_USE")
	refused(t, c.DeleteDevice(ctx, "android"), 409, "DEVICE_DEF_IN_USE")
	refused(t, c.DeleteDevice(ctx, "toaster"), 404, "DEVICE_DEF_NOT_FOUND")
	must(t, c.DeleteProfile(client.DryRun(ctx), "tablet 8", ""))
	if _, err := c.Profile(ctx, "tablet 8"); err != nil {
		t.Errorf("a dry run deleted a profile: %v", err)
	}
	for _, name := range []string{"tablet 8", "tablet too"} {
		must(t, c.DeleteProfile(ctx, name, ""))
	}
	must(t, c.DeleteDevice(client.DryRun(ctx), "tablet-os"))
	must(t, c.DeleteDevice(ctx, "tablet-os"))
	refused(t, c.DeleteDevice(ctx, "tablet-os"), 404, "DEVICE_DEF_NOT_FOUND")

	badDefinitions(t, h)
	definitionWithProfile(t, h, d)
}

func badDefinitions(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	_, err := c.ImportDevices(ctx, client.DeviceFile{File: []byte("<DeviceDefinition>\n<x>")})
	refused(t, err, 422, "DEVICE_DEF_INVALID")
	_, err = c.ImportDevices(ctx, client.DeviceFile{File: []byte("device_type: x\nkey_bits: 64\n")})
	refused(t, err, 422, "DEVICE_DEF_UNSUPPORTED")
	_, err = c.ImportDevices(ctx, client.DeviceFile{File: make([]byte, 300_000)})
	refused(t, err, 413, "TOO_LARGE")
	_, err = h.as(access.TokenAdmin).ImportDevices(ctx, client.DeviceFile{File: []byte("x")})
	refused(t, err, 403, "FORBIDDEN")
	_, err = c.CreateTokens(client.DryRun(ctx), client.NewTokens{Count: 1})
	refused(t, err, 400, "INVALID") // what cannot be done dry is not done at all
}

// definitionWithProfile adds a profile together with the definition of its device type, both or none.
func definitionWithProfile(t *testing.T, h *house, d client.Device) {
	ctx, c := t.Context(), h.admin
	d.DeviceType, d.Version = "watch", 1
	_, err := c.AddProfile(ctx, client.NewProfile{Profile: "watch", DeviceFile: definition(t, d), Digits: 6})
	refused(t, err, 422, "PROFILE_OPTION_NOT_ALLOWED_BY_DEVICE")
	_, err = c.Device(ctx, "watch")
	refused(t, err, 404, "DEVICE_DEF_NOT_FOUND")
	p := try(c.AddProfile(ctx, client.NewProfile{
		Profile: "watch", DeviceFile: definition(t, d), SelfService: true, DisplayName: "Watch", Description: "Codes on your wrist",
		ImageURL: "https://example.com/watch.png", AppURL: "https://example.com/app", HelpURL: "https://example.com/help", URLStyle: "loopback", Binding: "ask",
	}))(t)
	if p.DeviceType != "watch" || p.Digits != 8 || !p.SelfService || p.HelpURL != "https://example.com/help" || p.URLStyle != "loopback" || p.Binding != "ask" {
		t.Errorf("added %+v", p)
	}
	p.SelfService, p.DisplayName, p.URLStyle, p.Version = false, "", "", 2
	edited := try(c.EditProfile(ctx, "watch", 1, client.ProfileEdit{SelfService: new(false), DisplayName: new(""), URLStyle: new("")}))(t)
	if edited != p {
		t.Errorf("edited %+v", edited)
	}
	_, err = c.EditProfile(ctx, "watch", 0, client.ProfileEdit{AppURL: new("https://user:secret@example.com")})
	refused(t, err, 400, "INVALID")
}
