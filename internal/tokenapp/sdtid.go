package tokenapp

import (
	"errors"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/sdtid"
)

// sdtidFile is a token file as an envelope.
type sdtidFile struct{ *sdtid.File }

func parseSDTID(data []byte) (envelope, error) {
	f, err := sdtid.Parse(data)
	if err != nil {
		return nil, sdtidFault(err)
	}
	return sdtidFile{f}, nil
}

func (f sdtidFile) outline() ([]Token, bool) {
	return f.tokens(f.Outline()), true
}

func (f sdtidFile) open(a Access) ([]Token, error) {
	opened, err := f.Open(a.Password)
	if err != nil {
		return nil, sdtidFault(err)
	}
	tokens := f.tokens(opened)
	for i := range opened {
		clear(opened[i].Seed)
	}
	return tokens, nil
}

// tokens converts.
func (f sdtidFile) tokens(from []sdtid.Token) []Token {
	var tokens []Token
	for _, t := range from {
		token := Token{
			Serial: t.Serial, Digits: t.Digits, Interval: t.Interval, AddPIN: t.AddPIN, Birth: t.Birth, Expiry: t.Expiry,
			Nickname: cleanText(t.Nickname, MaxNickname), Issuer: cleanText(f.Origin(), maxIssuer), Format: FormatSDTID,
			PasswordProtected: f.Locked(), DeviceID: cleanText(t.DeviceSerialNumber, maxDeviceID),
		}
		token.DeviceBound = token.DeviceID != ""
		if t.Seed != nil {
			token.Seed = seed.New(t.Seed)
		}
		tokens = append(tokens, token)
	}
	return tokens
}

// What is kept of texts that somebody else chose.
const (
	maxIssuer   = 128
	maxDeviceID = 128
)

// sdtidFault gives the refusal for an error of package sdtid.
func sdtidFault(err error) error {
	switch {
	case errors.Is(err, sdtid.ErrPasswordRequired):
		return fault.New(fault.PasswordRequired, "it is locked with a password")
	case errors.Is(err, sdtid.ErrWrongPassword):
		return fault.New(fault.WrongPassword, "the password is wrong")
	case errors.Is(err, sdtid.ErrModified):
		return fault.New(fault.Modified, "the file was changed after it was made: ask for it again")
	case errors.Is(err, sdtid.ErrAlgorithm):
		return fault.New(fault.UnsupportedAlgorithm, "the file holds a token of the old 64-bit kind, which has no codes here")
	case errors.Is(err, sdtid.ErrTooLarge):
		return fault.New(fault.TooLarge, "this is larger than a token file can be")
	}
	return fault.New(fault.BadFormat, "this is no readable token file (%v)", err)
}
