package device_test

import (
	"errors"
	"testing"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
)

func TestFind(t *testing.T) {
	for given, want := range map[string]string{
		"android": "android", "Android": "android", "iOS": "ios", "iphone": "ios", "Windows Desktop": "windows",
		"macOS-desktop": "macos", "linux_cli": "linux", "generic": "generic",
	} {
		if d, err := device.Find(given); err != nil || d.Name != want {
			t.Errorf("%q is %q, %v", given, d.Name, err)
		}
	}
	if _, err := device.Find("toaster"); !errors.Is(err, fault.DeviceNotFound) {
		t.Errorf("toaster: %v", err)
	}
}

func TestDeviceIDs(t *testing.T) {
	android, _ := device.Find("android")
	for id, fits := range map[string]bool{
		"d82c-467c-56fb-2058-edf8-add6": true, "d82c 467c 56fb 2058 edf8 add6": true, "d82c467c56fb2058edf8add6": true,
		"": false, "d82c": false, "x82c467c56fb2058edf8add6": false, "d82c467c56fb2058edf8add6\n": false,
	} {
		if android.DeviceID.MatchString(id) != fits {
			t.Errorf("%q fits: %t", id, !fits)
		}
	}
	if !device.SameID("D82C-467C", "d82c467c") || device.SameID("d82c467c", "d82c467d") {
		t.Error("SameID")
	}
}
