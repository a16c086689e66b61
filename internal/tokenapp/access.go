package tokenapp

import (
	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/internal/fault"
)

// Access is what opens a locked source.
type Access struct {
	Password string // empty is none
	// DeviceID is the one that the user names: then no other is tried. Empty: none.
	DeviceID string
	// Own is the device ID of this installation, where tokens are to stay:
	// a token bound to another device is refused. Empty: they are only looked at,
	// which a binding that is no key does not prevent.
	Own string
}

// admits refuses a token of another device. In a token file the binding is no
// key, so that keeping it is up to the app (spec/sdtid.md section 8): the device
// ID that the user names must be the token's, and a token that is to stay must be bound
// to this installation or to a class of devices. Any class will do, as its
// value is public and there is none for terminals.
func (a Access) admits(t Token) error {
	switch {
	case t.DeviceID == "":
		return nil
	case a.DeviceID != "":
		if sameID(t.DeviceID, a.DeviceID) {
			return nil
		}
		return fault.New(fault.WrongDevice, "token %s is bound to another device than %s", t.Serial, a.DeviceID)
	case a.Own == "" || sameID(t.DeviceID, a.Own):
		return nil
	}
	for _, class := range ctf.Classes {
		if sameID(t.DeviceID, class.GUID) {
			return nil
		}
	}
	return a.wrongDevice()
}

// wrongDevice refuses what is bound to a device that is not this one.
func (a Access) wrongDevice() error {
	return fault.New(fault.WrongDevice, "the token is bound to another device: this one is %s, which the administrator needs to know before the token is made", a.Own)
}
