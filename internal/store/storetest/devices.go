package storetest

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/profile"
)

func deviceDefinitions(t *testing.T, s fixture) {
	ctx := t.Context()
	all, err := s.Devices(ctx)
	if len(must(t, all, err)) != 0 {
		t.Errorf("a new database holds %+v", all)
	}
	android, _ := device.NewCatalog(nil).Find("android")
	android.BuiltIn, android.Title, android.Version, android.ImportedAt = false, "Ändroid", 2, start
	linux, _ := device.NewCatalog(nil).Find("linux")
	linux.BuiltIn, linux.DeviceID, linux.ImportedAt = false, nil, day(1)
	for _, d := range []device.Definition{linux, android} {
		ok(t, s.SaveDevice(ctx, d))
	}
	shown := func(d []device.Definition) string { // compiled patterns are not to be compared
		text, err := json.Marshal(d)
		return string(must(t, text, err))
	}
	all, err = s.Devices(ctx)
	same(t, shown(must(t, all, err)), shown([]device.Definition{android, linux}))
	if !all[0].ImportedAt.Equal(start) || !all[1].ImportedAt.Equal(day(1)) {
		t.Errorf("imported at %s and %s", all[0].ImportedAt, all[1].ImportedAt)
	}
	android.Version, android.Digits = 3, []int{8}
	ok(t, s.SaveDevice(ctx, android))
	all, err = s.DevicesForChange(ctx)
	same(t, shown(must(t, all, err)), shown([]device.Definition{android, linux}))
	ok(t, s.DeleteDevice(ctx, "android"))
	refused(t, s.DeleteDevice(ctx, "android"), fault.DeviceNotFound)
	guarded(t, s)
}

// guarded tests that of two who change definitions and profiles at once, one sees what the other did.
func guarded(t *testing.T, s fixture) {
	t.Helper()
	seen := make(chan int, 2)
	turn := func(name string) {
		found := -1
		err := s.Transact(t.Context(), func(ctx context.Context) error {
			if _, err := s.DevicesForChange(ctx); err != nil {
				return err
			}
			profiles, err := s.Profiles(ctx)
			if err != nil {
				return err
			}
			p := profile.Profile{Name: name, DeviceType: "android", CreatedAt: start, Version: 1}
			if err := s.AddProfile(ctx, p); err != nil {
				return err
			}
			found = len(profiles)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		seen <- found
	}
	go turn("one")
	go turn("two")
	if a, b := <-seen, <-seen; a+b != 1 {
		t.Errorf("the two saw %d and %d profiles", a, b)
	}
}
