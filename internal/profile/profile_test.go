package profile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/profile"
)

func TestDefaults(t *testing.T) {
	p := profile.Profile{Name: "iPhone", DeviceType: "iOS", Grace: -1}
	if err := p.Complete(device.NewCatalog(nil)); err != nil {
		t.Fatal(err)
	}
	want := profile.Profile{
		Name: "iPhone", DeviceType: "ios", Digits: 8, Interval: 60, PINType: device.PINPad, Method: device.CTKIP, CTFVersion: 4,
		Binding: profile.BindClass, Protection: profile.PasswordOptional, ActivationLife: 24 * time.Hour,
		SwitchOver: profile.OnActivation, Grace: 7 * 24 * time.Hour,
	}
	if p != want {
		t.Errorf("got %+v", p)
	}
	file := profile.Profile{Name: "x", DeviceType: "generic", Method: device.File}
	if err := file.Complete(device.NewCatalog(nil)); err != nil || file.SwitchOver != profile.Immediate || file.Grace != 0 {
		t.Errorf("a file switches over %s with grace %s, %v", file.SwitchOver, file.Grace, err)
	}
}

func TestRefusals(t *testing.T) {
	ok := profile.Profile{Name: "p", DeviceType: "generic"}
	for name, c := range map[string]struct {
		change func(*profile.Profile)
		code   fault.Code
	}{
		"no name":         {func(p *profile.Profile) { p.Name = "" }, fault.ProfileNameBad},
		"escape":          {func(p *profile.Profile) { p.Name = "x\x1b[31m" }, fault.ProfileNameBad},
		"barred sign":     {func(p *profile.Profile) { p.Name = "a&b" }, fault.ProfileNameBad},
		"blank at end":    {func(p *profile.Profile) { p.Name = "a " }, fault.ProfileNameBad},
		"unknown device":  {func(p *profile.Profile) { p.DeviceType = "toaster" }, fault.DeviceNotFound},
		"seven digits":    {func(p *profile.Profile) { p.Digits = 7 }, fault.ProfileNotAllowed},
		"45 seconds":      {func(p *profile.Profile) { p.Interval = 45 }, fault.ProfileNotAllowed},
		"unknown PIN":     {func(p *profile.Profile) { p.PINType = "finger" }, fault.ProfileNotAllowed},
		"unknown way":     {func(p *profile.Profile) { p.Method = "pigeon" }, fault.ProfileNotAllowed},
		"string v1":       {func(p *profile.Profile) { p.CTFVersion = 1 }, fault.ProfileNotAllowed},
		"binding":         {func(p *profile.Profile) { p.Binding = "rope" }, fault.ProfileNotAllowed},
		"protection":      {func(p *profile.Profile) { p.Protection = "dog" }, fault.ProfileNotAllowed},
		"switch-over":     {func(p *profile.Profile) { p.SwitchOver = "later" }, fault.ProfileNotAllowed},
		"style of a file": {func(p *profile.Profile) { p.Method, p.URLStyle = device.File, device.LinkIOS }, fault.ProfileNotAllowed},
		"style of others": {func(p *profile.Profile) { p.Method, p.URLStyle = device.CTF, device.LinkSecurID }, fault.ProfileNotAllowed},
		"no https":        {func(p *profile.Profile) { p.SelfService.HelpURL = "http://help.example.com" }, fault.Invalid},
		"password in URL": {func(p *profile.Profile) { p.SelfService.AppURL = "https://a:b@example.com" }, fault.Invalid},
		"two lines":       {func(p *profile.Profile) { p.SelfService.DisplayName = "a\nb" }, fault.Invalid},
		"long text":       {func(p *profile.Profile) { p.SelfService.Description = strings.Repeat("x", 2049) }, fault.Invalid},
		"short code life": {func(p *profile.Profile) { p.ActivationLife = time.Minute }, fault.Invalid},
		"long grace":      {func(p *profile.Profile) { p.Grace = 31 * 24 * time.Hour }, fault.Invalid},
	} {
		p := ok
		c.change(&p)
		if err := p.Complete(device.NewCatalog(nil)); !errors.Is(err, c.code) {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}
