package distribution

import (
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/sdtid"
)

// prove opens a delivery again, as an app would, and compares it with what was asked for. A delivery
// that does not import costs its owner a working day; one that differs, costs more.
func (d *Distributor) prove(i *issue) error {
	var err error
	switch {
	case i.out.File != nil:
		err = i.proveFile()
	case i.out.Link != "":
		err = i.proveLink()
	default:
		for _, text := range []string{i.out.CTF, i.out.CTFURL} {
			if text != "" && err == nil {
				err = i.proveString(text)
			}
		}
	}
	if err != nil {
		return fault.New(fault.DeliveryProofFailed, "what was made for token %s does not open as it should (%v): nothing was changed; this is a defect, please report it", i.Serial, err)
	}
	return nil
}

func (i *issue) proveFile() error {
	f, err := sdtid.Parse(i.out.File)
	if err != nil {
		return err
	}
	if f.Locked() != (i.lock != "") {
		return fmt.Errorf("password protection is %t", f.Locked())
	}
	tokens, err := f.Open(i.lock)
	if err != nil {
		return err
	}
	if len(tokens) != 1 {
		return fmt.Errorf("it holds %d tokens", len(tokens))
	}
	t := tokens[0]
	defer clear(t.Seed)
	want := i.fileToken(nil)
	switch {
	case t.DeviceSerialNumber != want.DeviceSerialNumber:
		return fmt.Errorf("the device binding differs")
	case t.Nickname != want.Nickname || t.Login != want.Login || t.LastName != want.LastName:
		return fmt.Errorf("a name differs")
	}
	return i.proveToken(t.Serial, t.Seed, t.Expiry, t.Digits, t.Interval, t.AddPIN)
}

func (i *issue) proveString(text string) error {
	s, err := ctf.Parse(text)
	if err != nil {
		return err
	}
	if s.PasswordProtected != (i.lock != "") || s.DeviceBound != (i.binding != "") {
		return fmt.Errorf("its locks differ")
	}
	t, err := s.Open(i.lock, i.binding)
	if err != nil {
		return err
	}
	defer clear(t.Seed)
	return i.proveToken(t.Serial, t.Seed, t.Expiry, t.Digits, t.Interval, t.AddPIN)
}

func (i *issue) proveToken(serial string, seed []byte, expiry time.Time, digits, interval int, addPIN bool) error {
	want := i.settings()
	raw := i.seed.Reveal()
	defer clear(raw)
	switch {
	case subtle.ConstantTimeCompare(seed, raw) != 1:
		return fmt.Errorf("the seed differs")
	case serial != i.Serial:
		return fmt.Errorf("the serial is %s", serial)
	case !expiry.Equal(i.token.Expiry):
		return fmt.Errorf("the expiry is %s", expiry.Format(time.DateOnly))
	case digits != want.Digits || interval != want.Interval || addPIN != (want.PINType == device.PINPad):
		return fmt.Errorf("digits, interval or PIN type differ")
	}
	return nil
}

func (i *issue) proveLink() error {
	l, err := ctkip.ParseLink(i.out.Link)
	if err != nil {
		return err
	}
	code := ctkip.Code(i.out.ActivationCode)
	if i.link() == device.LinkAsk {
		code = ""
	}
	if l.URL != i.out.CTKIPURL || !l.Code.Equal(code) {
		return fmt.Errorf("the link reads differently")
	}
	return nil
}
