package distribution_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/profile"
)

// edits change each field of a profile that can be changed to another value.
var edits = map[string]func(*profile.Profile){
	"DeviceType":     func(p *profile.Profile) { p.DeviceType = "android" },
	"Digits":         func(p *profile.Profile) { p.Digits = 6 },
	"Interval":       func(p *profile.Profile) { p.Interval = 30 },
	"PINType":        func(p *profile.Profile) { p.PINType = device.Fob },
	"Method":         func(p *profile.Profile) { p.Method = other(p.Method, device.File, device.CTKIP) },
	"CTFVersion":     func(p *profile.Profile) { p.CTFVersion = 4 },
	"URLStyle":       func(p *profile.Profile) { p.Method, p.URLStyle = device.CTF, device.LinkIPhone },
	"Binding":        func(p *profile.Profile) { p.Binding = profile.BindDeviceID },
	"Protection":     func(p *profile.Profile) { p.Protection = profile.UserIDPassword },
	"ActivationLife": func(p *profile.Profile) { p.ActivationLife = time.Hour },
	"SwitchOver":     func(p *profile.Profile) { p.SwitchOver = other(p.SwitchOver, profile.Immediate, profile.OnActivation) },
	"Grace":          func(p *profile.Profile) { p.Grace = time.Hour },
	"SelfService":    func(p *profile.Profile) { p.SelfService.Available = true },
	"Notes":          func(p *profile.Profile) { p.Notes = "other" },
}

func other[T comparable](v, a, b T) T {
	if v == a {
		return b
	}
	return a
}

// Invariant 8: editing a profile changes no issued token, whatever field is edited. Its record stays byte for byte, its
// codes are accepted, and an open activation code is as it was.
func TestInvariant08EditingAProfileChangesNoIssuedToken(t *testing.T) {
	fields := reflect.TypeFor[profile.Profile]()
	for field := range fields.Fields() {
		name := field.Name
		if name == "Name" || name == "CreatedAt" || name == "Version" {
			continue // never edited
		}
		if edits[name] == nil {
			t.Errorf("field %s is not edited in this test", name)
			continue
		}
		t.Run(name, func(t *testing.T) { editedProfile(t, edits[name]) })
	}
}

func editedProfile(t *testing.T, edit func(*profile.Profile)) {
	w := newWorld(t)
	w.profile("file", device.File, nil)
	w.profile("dynamic", device.CTKIP, nil)
	issued, pending := w.assigned(), w.assigned()
	out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: issued, Profile: "file", Password: "correct horse", Grace: -1})
	w.must(err)
	_, err = w.dist.Distribute(w.ctx, distribution.Request{Serial: pending, Profile: "dynamic", Grace: -1})
	w.must(err)
	before, waiting := w.token(issued), w.token(pending)
	offer, err := w.db.OpenOffer(w.ctx, pending)
	w.must(err)

	for _, name := range []string{"file", "dynamic"} {
		was, err := w.profiles.Get(w.ctx, name)
		w.must(err)
		is, err := w.profiles.Edit(w.ctx, name, 0, edit)
		w.must(err)
		if is.Version, is.CreatedAt = was.Version, was.CreatedAt; is == was {
			t.Errorf("profile %s is as it was", name)
		}
	}

	if after := w.token(issued); !reflect.DeepEqual(after, before) {
		t.Errorf("the token changed:\nfrom %+v\nto   %+v", before, after)
	}
	if after := w.token(pending); !reflect.DeepEqual(after, waiting) {
		t.Errorf("the token that waits changed:\nfrom %+v\nto   %+v", waiting, after)
	}
	if after, err := w.db.OpenOffer(w.ctx, pending); err != nil || !reflect.DeepEqual(after, offer) {
		t.Errorf("the activation code changed:\nfrom %+v\nto   %+v, %v", offer, after, err)
	}
	w.check(w.code(out.File, "correct horse"), authentication.Accepted)
}

// Each form of URL that a profile may ask for opens as it should.
func TestURLStyles(t *testing.T) {
	w := newWorld(t)
	for _, style := range []device.Link{device.LinkAndroid, device.LinkIPhone, device.LinkIOS} {
		w.profile("string "+string(style), device.CTF, func(p *profile.Profile) { p.URLStyle = style })
	}
	for _, style := range []device.Link{device.LinkSecurID, device.LinkAuthenticator, device.LinkLoopback, device.LinkAsk} {
		w.profile("link "+string(style), device.CTKIP, func(p *profile.Profile) { p.URLStyle = style })
	}
	serial := w.assigned()
	for name, start := range map[string]string{
		"string android": "http://127.0.0.1/securid/ctf?ctfData=", "string iphone": "com.rsa.securid.iphone://ctf?ctfData=", "string ios": "com.rsa.securid://ctf?ctfData=",
		"link securid": "com.rsa.securid://ctkip?scheme=https&url=", "link authenticator": "securidauthenticator://ctkip?scheme=https&url=",
		"link loopback": "http://127.0.0.1/securid/ctkip?scheme=https&url=", "link securid_ask": "com.rsa.securid://ctkip?scheme=https&url=",
	} {
		out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: name, Grace: -1})
		w.must(err)
		if text := out.CTFURL + out.Link; !strings.HasPrefix(text, start) || text != out.QR {
			t.Errorf("%s: %s, QR code %s", name, text, out.QR)
		}
		if out.Link == "" {
			_, err := ctf.Parse(out.CTFURL)
			w.must(err)
			continue
		}
		link, err := ctkip.ParseLink(out.Link)
		w.must(err)
		asks := name == "link securid_ask"
		if link.URL != w.dist.Endpoint || (string(link.Code) == out.ActivationCode) == asks || asks && link.Code != "" {
			t.Errorf("%s leads to %s", name, link.URL)
		}
	}
}

func TestAskedForDeviceID(t *testing.T) {
	w := newWorld(t)
	w.profile("ask", device.File, func(p *profile.Profile) { p.DeviceType, p.Binding = "android", profile.BindAsk })
	serial := w.assigned()
	class, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "ask", Grace: -1})
	w.must(err)
	if !strings.Contains(string(class.File), "a01c4380-fc01-4df0-b113-7fb98ec74694") || !strings.Contains(strings.Join(class.Warnings, ""), "no device ID was given") {
		t.Errorf("without a device ID: %v", class.Warnings)
	}
	one, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "ask", DeviceID: "d82c467c56fb2058edf8add6", Grace: -1})
	w.must(err)
	if !strings.Contains(string(one.File), "d82c467c56fb2058edf8add6") {
		t.Error("the device ID is not in the file")
	}
}
