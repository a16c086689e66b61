package ctf

import (
	"crypto/aes"
	"encoding/binary"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Lengths in the text of versions 1 and 2 (section 3).
const (
	serialLength   = 12
	bitsLength     = 63 // octal digits
	checksumLength = 5  // octal digits
	headLength     = 1 + serialLength + bitsLength
	textLength     = headLength + checksumLength
	maxTextLength  = 85 // some readers take strings with digits between the bits and the checksum
)

// Bits of the flags word (securid-tokencode.md section 8).
const (
	flagAES128      = 1 << 14
	flagPassword    = 1 << 13
	flagDevice      = 1 << 12
	flagAppDerived  = 1 << 11
	flagMode        = 1 << 10
	flagTimeDerived = 1 << 9
	flagAddPIN      = 1 << 4
	flagLocalPIN    = 1 << 3
	flag60Seconds   = 1
	maskInterval    = 3 // only 0 is 30 seconds
	shiftDigits     = 6
	maskDigits      = 7
)

// leadingDigits are what counts of a word.
var leadingDigits = regexp.MustCompile(`^[0-9-]+`)

// digits is what a string of version 1 or 2 holds.
type digits struct {
	version   byte // '1' or '2'
	serial    string
	sealed    [SeedSize]byte // the encrypted seed
	flags     uint16
	expiry    uint16 // days since 2000-01-01, 14 bits
	seedCheck uint16 // 15 bits
	devCheck  uint16 // 15 bits
}

// parseDigits reads digits with or without dashes, up to anything else.
func parseDigits(word string) (*digits, error) {
	text := strings.ReplaceAll(leadingDigits.FindString(word), "-", "")
	if text[0] != '1' && text[0] != '2' {
		return nil, fmt.Errorf("%w: it starts with %c", ErrVersion, text[0])
	}
	if len(text) < textLength || len(text) > maxTextLength {
		return nil, fmt.Errorf("%w: %d digits instead of %d", ErrLength, len(text), textLength)
	}
	checked := text[:len(text)-checksumLength]
	sum, err := strconv.ParseUint(text[len(checked):], 8, 16)
	if err != nil || uint16(sum) != short([]byte(checked)) {
		return nil, ErrChecksum
	}
	d := &digits{version: text[0], serial: text[1 : 1+serialLength]}
	if !d.setBits(text[1+serialLength : headLength]) {
		return nil, fmt.Errorf("%w: 8 or 9 among the octal digits", ErrFormat)
	}
	if d.flags&flagAES128 == 0 {
		return nil, ErrAlgorithm
	}
	return d, nil
}

// encode is the inverse of parseDigits.
func (d *digits) encode() string {
	head := string(d.version) + d.serial + d.bits()
	return head + fmt.Sprintf("%0*o", checksumLength, short([]byte(head)))
}

// The 189 bits are handled as 24 bytes, for which a zero digit is added at the
// end: the seed, and one word with the flags (16 bits), the expiry (14), a bit
// without meaning, and the two check values (15 each).
const (
	bytesLength    = 24
	shiftFlags     = 48
	shiftExpiry    = 34
	shiftSeedCheck = 18
	shiftDevCheck  = 3
	maskExpiry     = 1<<14 - 1
	maskCheck      = 1<<15 - 1
)

// setBits reads octal digits; false if one is 8 or 9.
func (d *digits) setBits(octal string) bool {
	n, ok := new(big.Int).SetString(octal+"0", 8)
	if !ok {
		return false
	}
	b := n.FillBytes(make([]byte, bytesLength))
	copy(d.sealed[:], b)
	word := binary.BigEndian.Uint64(b[SeedSize:])
	d.flags = uint16(word >> shiftFlags)
	d.expiry = uint16(word >> shiftExpiry & maskExpiry)
	d.seedCheck = uint16(word >> shiftSeedCheck & maskCheck)
	d.devCheck = uint16(word >> shiftDevCheck & maskCheck)
	return true
}

// bits writes octal digits.
func (d *digits) bits() string {
	b := binary.BigEndian.AppendUint64(d.sealed[:SeedSize:SeedSize], uint64(d.flags)<<shiftFlags|
		uint64(d.expiry)<<shiftExpiry|uint64(d.seedCheck)<<shiftSeedCheck|uint64(d.devCheck)<<shiftDevCheck)
	return fmt.Sprintf("%0*o", bitsLength+1, new(big.Int).SetBytes(b))[:bitsLength]
}

// flagsOf gives the flags that say something about a token.
func flagsOf(t *Token) uint16 {
	flags := uint16(flagAES128 | (t.Digits-1)<<shiftDigits)
	for _, f := range []struct {
		set  bool
		flag uint16
	}{
		{t.AddPIN, flagAddPIN}, {t.LocalPIN, flagLocalPIN}, {t.Interval == 60, flag60Seconds},
		{t.Mode, flagMode}, {t.TimeDerived, flagTimeDerived}, {t.AppDerived, flagAppDerived},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	return flags
}

// token is what can be read without a secret.
func (d *digits) token() Token {
	t := Token{
		Serial:      d.serial,
		Expiry:      epoch.AddDate(0, 0, int(d.expiry)),
		Digits:      int(d.flags>>shiftDigits&maskDigits) + 1,
		Interval:    60,
		AddPIN:      d.flags&flagAddPIN != 0,
		LocalPIN:    d.flags&flagLocalPIN != 0,
		Mode:        d.flags&flagMode != 0,
		TimeDerived: d.flags&flagTimeDerived != 0,
		AppDerived:  d.flags&flagAppDerived != 0,
	}
	if d.flags&maskInterval == 0 {
		t.Interval = 30
	}
	return t
}

// open decrypts the seed (section 4). Of the readings of a device ID, the
// first that fits both check values is right.
func (d *digits) open(password, deviceID string, smartphone bool) (Token, error) {
	protected, bound := d.flags&flagPassword != 0, d.flags&flagDevice != 0
	rightDevice := !bound
	for _, r := range d.readings(deviceID, smartphone) {
		if bound && r.check() != d.devCheck {
			continue
		}
		rightDevice = true
		t := d.token()
		if t.Seed = unsealSeed(d.sealed, password, r.device); short(t.Seed) == d.seedCheck {
			return t, nil
		}
		clear(t.Seed)
	}
	switch {
	case protected && rightDevice:
		return Token{}, ErrWrongPassword
	case bound: // or one whose check value, of 15 bits, is the same by chance
		return Token{}, ErrWrongDevice
	}
	return Token{}, fmt.Errorf("%w: the seed differs from its check value", ErrChecksum)
}

// A reading is one way to understand a device ID.
type reading struct {
	device string
	length int
}

func (r reading) check() uint16 { return short(field(r.device, r.length)) }

// readings are the ways to understand a device ID, the likeliest first: the
// carrier may have been changed on the way and with it the length class, and
// the ID may be written with other separators than those it was bound with.
func (d *digits) readings(deviceID string, smartphone bool) []reading {
	normalise := deviceV2
	if d.version == '1' {
		normalise = deviceV1
	}
	var all []reading
	for _, length := range []int{lengthClass(smartphone), lengthClass(!smartphone)} {
		for _, id := range []string{deviceID, unseparated.Replace(deviceID)} {
			if r := (reading{normalise(id, length), length}); !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	return all
}

// encodeDigits writes version 2.
func encodeDigits(t Token, o Options) string {
	length := lengthClass(o.Carrier.url() != "")
	device := deviceV2(o.DeviceID, length)
	d := &digits{
		version: '2', serial: t.Serial, flags: flagsOf(&t), expiry: uint16(date(t.Expiry).Sub(epoch) / (24 * time.Hour)),
		sealed: sealSeed(t.Seed, o.Password, device), seedCheck: short(t.Seed), devCheck: reading{device, length}.check(),
	}
	if o.Password != "" {
		d.flags |= flagPassword
	}
	if o.DeviceID != "" {
		d.flags |= flagDevice
	}
	return d.encode()
}

func sealSeed(seed []byte, password, device string) (sealed [SeedSize]byte) {
	key := seedKey(password, device)
	newAES(key[:]).Encrypt(sealed[:], seed)
	return sealed
}

func unsealSeed(sealed [SeedSize]byte, password, device string) []byte {
	key := seedKey(password, device)
	seed := make([]byte, SeedSize)
	newAES(key[:]).Decrypt(seed, sealed[:])
	return seed
}

// keySuffix ends the text that the key of the seed is made from.
var keySuffix = []byte{0xd8, 0xf5, 0x32, 0x53, 0x82, 0x89}

// seedKey is the key of the seed; without password and device ID the same for
// every token.
func seedKey(password, device string) [aes.BlockSize]byte {
	input := slices.Concat([]byte(password), []byte(device), keySuffix)
	defer clear(input)
	return mac128(input)
}
