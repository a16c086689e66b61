package tokenapp

import (
	"errors"
	"regexp"

	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

// ctfString is a compressed token string as an envelope.
type ctfString struct{ *ctf.String }

func parseCTF(text string) (envelope, error) {
	s, err := ctf.Parse(text)
	if errors.Is(err, ctf.ErrVersion) && !digitString.MatchString(text) {
		// The version of digits stands apart from the rest. That of base64 is part of
		// it, and an unknown one nearly always means text that is cut, changed or no token.
		return nil, fault.New(fault.BadFormat, "this is no readable token string: it may have lost a part on the way")
	}
	if err != nil {
		return nil, ctfFault(err)
	}
	return ctfString{s}, nil
}

// digitString finds a token string of digits, whatever its version.
var digitString = regexp.MustCompile(`(?i)(^|ctfdata=(3d)?)[0-9]`)

// outline gives the public part that versions 1 and 2 have; of a later version
// nothing can be read while it is locked.
func (s ctfString) outline() ([]Token, bool) {
	t, readable := s.Public()
	if !readable {
		return nil, false
	}
	return []Token{s.token(t)}, true
}

func (s ctfString) open(a Access) ([]Token, error) {
	t, err := s.tryDevices(a)
	if err != nil {
		return nil, err
	}
	defer clear(t.Seed)
	return []Token{s.token(t)}, nil
}

// tryDevices opens the string with the device ID that the user names, else
// with this installation's and with those of the device classes. Their values
// are public, so that a string bound to a class is not safer for being asked
// about (spec/ctf.md sections 5.1 and 9).
func (s ctfString) tryDevices(a Access) (ctf.Token, error) {
	if !s.DeviceBound || a.DeviceID != "" {
		t, err := s.Open(a.Password, a.DeviceID)
		return t, ctfFault(err)
	}
	ids := []string{a.Own}
	for _, class := range ctf.Classes {
		ids = append(ids, class.GUID)
	}
	var wrong error // what a device ID says that fits while the password does not
	for _, id := range ids {
		t, err := s.Open(a.Password, id)
		switch {
		case err == nil:
			return t, nil
		case errors.Is(err, ctf.ErrWrongDevice) || errors.Is(err, ctf.ErrDeviceRequired):
		case wrong == nil:
			wrong = ctfFault(err)
		}
	}
	if wrong != nil {
		return ctf.Token{}, wrong
	}
	if a.Own != "" {
		return ctf.Token{}, a.wrongDevice()
	}
	return ctf.Token{}, fault.New(fault.DeviceIDRequired, "it is locked to a device")
}

// token converts.
func (s ctfString) token(from ctf.Token) Token {
	t := Token{
		Serial: from.Serial, Digits: from.Digits, Interval: from.Interval, AddPIN: from.AddPIN,
		Birth: from.Birth, Expiry: from.Expiry,
		Format:            [...]Format{1: FormatCTF1, 2: FormatCTF2, 3: FormatCTF3, 4: FormatCTF4}[s.Version],
		PasswordProtected: s.PasswordProtected, DeviceBound: s.DeviceBound,
	}
	if from.Seed != nil {
		t.Seed = seed.New(from.Seed)
	}
	return t
}

// ctfFault gives the refusal for an error of package ctf, nil for none.
func ctfFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ctf.ErrChecksum):
		return fault.New(fault.ChecksumFailed, "its checksum is wrong")
	case errors.Is(err, ctf.ErrPasswordRequired):
		return fault.New(fault.PasswordRequired, "it is locked with a password")
	case errors.Is(err, ctf.ErrWrongPassword):
		return fault.New(fault.WrongPassword, "the password is wrong")
	case errors.Is(err, ctf.ErrDeviceRequired):
		return fault.New(fault.DeviceIDRequired, "it is locked to a device")
	case errors.Is(err, ctf.ErrWrongDevice):
		return fault.New(fault.WrongDevice, "it is locked to another device than the one named")
	case errors.Is(err, ctf.ErrTooLarge):
		return fault.New(fault.TooLarge, "this is larger than a token string can be")
	case errors.Is(err, ctf.ErrVersion):
		return fault.New(fault.UnsupportedVersion, "it is of a version that is not known here")
	case errors.Is(err, ctf.ErrAlgorithm):
		return fault.New(fault.UnsupportedAlgorithm, "it holds a token of the old 64-bit kind, which has no codes here")
	}
	return fault.New(fault.BadFormat, "this is no readable token string (%v)", err)
}
