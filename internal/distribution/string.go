package distribution

import (
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
)

// carriers are the URL forms of the device definitions.
var carriers = map[device.Link]ctf.Carrier{
	device.LinkAndroid: ctf.Android, device.LinkIPhone: ctf.IPhone, device.LinkIOS: ctf.IOS,
}

// writeString makes the compressed token string (section 7.4): the URL, and
// for version 2 the bare digits as well. The two are not the same digits where
// the string is bound to a device, because each form reads the device ID in its own way.
func (i *issue) writeString() error {
	raw := i.seed.Reveal()
	defer clear(raw)
	s := i.settings()
	t := ctf.Token{
		Serial: i.Serial, Seed: raw, Birth: i.token.Birth, Expiry: i.token.Expiry, Issued: i.now,
		Digits: s.Digits, Interval: s.Interval, AddPIN: s.PINType == device.PINPad, TimeDerived: true,
	}
	o := ctf.Options{Version: i.profile.CTFVersion, Carrier: carriers[i.link()], Password: i.lock, DeviceID: i.binding}
	var err error
	if i.out.CTFURL, err = ctf.Encode(t, o); err != nil {
		return unwritable(err)
	}
	if i.device.QR {
		i.out.QR = i.out.CTFURL
	}
	if o.Version == 2 {
		o.Carrier = ctf.Plain
		if i.out.CTF, err = ctf.Encode(t, o); err != nil {
			return unwritable(err)
		}
	}
	return nil
}

// unwritable is the refusal of a token that the format cannot carry.
func unwritable(err error) error {
	if errors.Is(err, ctf.ErrExpiry) {
		return fault.New(fault.Invalid, "a string of version 2 cannot carry an expiry after 2044-11-08: take a profile with version 3 or 4")
	}
	return fmt.Errorf("writing the string: %w", err)
}
