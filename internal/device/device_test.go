package device_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
)

func TestFind(t *testing.T) {
	catalog := device.NewCatalog(nil)
	for given, want := range map[string]string{
		"android": "android", "Android": "android", "iOS": "ios", "iphone": "ios", "Windows Desktop": "windows",
		"macOS-desktop": "macos", "linux_cli": "linux", "generic": "generic",
	} {
		if d, err := catalog.Find(given); err != nil || d.Name != want {
			t.Errorf("%q is %q, %v", given, d.Name, err)
		}
	}
	if _, err := catalog.Find("toaster"); !errors.Is(err, fault.DeviceNotFound) {
		t.Errorf("toaster: %v", err)
	}
}

func TestDeviceIDs(t *testing.T) {
	android, _ := device.NewCatalog(nil).Find("android")
	for id, fits := range map[string]bool{
		"d82c-467c-56fb-2058-edf8-add6": true, "d82c 467c 56fb 2058 edf8 add6": true, "d82c467c56fb2058edf8add6": true,
		"d82c467c56fb2058edf8add6d82c467c56fb2058": true,
		"": false, "d82c": false, "x82c467c56fb2058edf8add6": false, "d82c467c56fb2058edf8add6\n": false, "d82c467c56fb2058edf8add6d82c467c": false,
	} {
		if android.TakesDeviceID(id) != fits {
			t.Errorf("%q fits: %t", id, !fits)
		}
	}
	if !device.SameID("D82C-467C", "d82c467c") || device.SameID("d82c467c", "d82c467d") {
		t.Error("SameID")
	}
	if (device.Definition{}).TakesDeviceID("d82c") {
		t.Error("a device type without device IDs takes one")
	}
}

// An imported definition takes the place of the built-in one of its name, and goes before other names for built-in ones.
func TestCatalog(t *testing.T) {
	android := device.Definition{Name: "android", Version: 7}
	iphone := device.Definition{Name: "iphone", Version: 1}
	c := device.NewCatalog([]device.Definition{android, iphone})
	if d, err := c.Find("Android"); err != nil || d.Version != 7 || d.BuiltIn {
		t.Errorf("Android is %+v, %v", d, err)
	}
	if d, err := c.Find("iPhone"); err != nil || d.Name != "iphone" {
		t.Errorf("iPhone is %+v, %v", d, err)
	}
	if d, err := c.Find("iPad"); err != nil || d.Name != "ios" {
		t.Errorf("iPad is %+v, %v", d, err)
	}
	built := device.NewCatalog(nil)
	if len(c.All()) != len(built.All())+1 || c.All()[1].Version != 7 {
		t.Errorf("all: %+v", c.All())
	}
	without := c.Without("android").Without("iphone").Without("toaster")
	if d, _ := without.Exactly("android"); !d.BuiltIn || len(without.All()) != len(built.All()) {
		t.Errorf("android is %+v without the import", d)
	}
}

// A shelf is a store of imported definitions.
type shelf struct {
	all   []device.Definition
	reads int
}

func (s *shelf) Devices(context.Context) ([]device.Definition, error) {
	s.reads++
	return s.all, nil
}

// joining is where a context of the tests says that it carries a transaction.
type joining struct{}

func (s *shelf) Joins(ctx context.Context) bool { return ctx.Value(joining{}) != nil }

// What a transaction reads may come to nothing with it.
func TestWhatATransactionReadsIsItsOwn(t *testing.T) {
	s := &shelf{all: []device.Definition{{Name: "toaster", Version: 3}}}
	r := &device.Registry{Store: s, Now: func() time.Time { return time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC) }}
	within := context.WithValue(t.Context(), joining{}, true)
	if d, err := r.Find(within, "toaster"); err != nil || d.Version != 3 {
		t.Errorf("found %+v, %v", d, err)
	}
	s.all = nil
	if _, err := r.Find(t.Context(), "toaster"); !errors.Is(err, fault.DeviceNotFound) {
		t.Errorf("outside: %v", err)
	}
	s.all = []device.Definition{{Name: "toaster", Version: 3}}
	if _, err := r.Find(within, "toaster"); err != nil { // it was not there a moment ago
		t.Error(err)
	}
	s.all = nil
	if _, err := r.Find(t.Context(), "toaster"); !errors.Is(err, fault.DeviceNotFound) {
		t.Errorf("outside again: %v", err)
	}
}

func TestRegistryReadsOnceASecond(t *testing.T) {
	s, now := &shelf{}, time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	r := &device.Registry{Store: s, Now: func() time.Time { return now }}
	find := func(name string, version int) {
		t.Helper()
		if d, err := r.Find(t.Context(), name); err != nil || d.Version != version {
			t.Errorf("%s is version %d, %v, want %d", name, d.Version, err, version)
		}
	}
	find("android", 1)
	find("ios", 1)
	if s.reads != 1 {
		t.Errorf("%d reads for two finds", s.reads)
	}
	s.all = []device.Definition{{Name: "android", Version: 2}}
	find("android", 1) // of another server: known within a second
	now = now.Add(time.Second)
	find("android", 2)
	s.all = append(s.all, device.Definition{Name: "toaster", Version: 3})
	find("toaster", 3) // a profile may name it already
	s.all = nil
	r.Forget()
	find("android", 1)
	if _, err := r.Find(t.Context(), "toaster"); !errors.Is(err, fault.DeviceNotFound) {
		t.Errorf("toaster: %v", err)
	}
}
