package ctf

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Offsets in versions 3 and 4 (section 6.2), and in their payload (section
// 6.4). The payload before the padding ends with zeros.
const (
	binaryLength = 291
	base64Length = 388

	atVersion      = 0
	atPasswordLock = 1
	atDeviceLock   = 2
	atDeviceHash   = 3
	atPasswordHash = 35
	atNonce        = 67
	atPayload      = 83
	atMAC          = 259

	payloadLength = atMAC - atPayload
	atSeed        = 16
	atUnknown     = 32 // two bytes, always 1
	atMode        = 34
	atDigits      = 35
	atAddPIN      = 36
	atInterval    = 37
	atBirth       = 38
	atDeath       = 46
	atIssued      = 54
	atPadding     = 160

	noPIN  = 0x1f // any other value of AddPIN is read as PINPad
	pinPad = 0x21
)

// Constants that tell the purposes of a key apart (section 6.3).
var (
	purposeMAC     = []byte{0xd0, 0x14, 0x43, 0x3c, 0x6d, 0x17, 0x9f, 0xeb, 0xda, 0x09, 0xab, 0xfc, 0x32, 0x49, 0x63, 0x4c}
	purposeEncrypt = []byte{0x3b, 0xaf, 0xff, 0x4d, 0x91, 0x8d, 0x89, 0xb6, 0x81, 0x60, 0xde, 0x44, 0x4e, 0x05, 0xc0, 0xdd}
)

// startV3 and startV4 are a version and a lock flag in base64.
const (
	startV3 = "Aw"
	startV4 = "BA"
)

// parseBinary reads base64 that starts like version 3 or 4, percent-encoded or
// not.
func parseBinary(word string) ([]byte, error) {
	text, err := url.PathUnescape(word) // which leaves a plus sign what it is
	if err != nil {
		return nil, fmt.Errorf("%w: a percent sign without two hexadecimal digits", ErrLength)
	}
	text = strings.TrimSpace(text)
	if len(text) != base64Length {
		return nil, fmt.Errorf("%w: %d characters instead of %d", ErrLength, len(text), base64Length)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != binaryLength {
		return nil, fmt.Errorf("%w: not base64", ErrFormat)
	}
	return b, nil
}

// key derives one of the two keys (section 6.3) of string b. Version 3 throws
// away every other byte of what goes in.
func key(b []byte, password string, device, purpose []byte) ([]byte, error) {
	nonce := b[atNonce:atPayload]
	w := slices.Concat([]byte(password), device, purpose, nonce)
	defer clear(w)
	if b[atVersion] == 3 {
		n := len(w) / 2
		for i := range n {
			w[i] = w[2*i+1]
		}
		return pbkdf2.Key(sha256.New, string(w[:n]), nonce, iterations, 32)
	}
	return pbkdf2.Key(sha256.New, string(w), nonce, iterations, 32)
}

// iterations slow a guess down no more than the hashes for the locks let them.
const iterations = 1000

// lockHash is what a device ID, or both secrets together, are checked by.
func lockHash(b, device []byte, password string) []byte {
	h := sha256.New()
	h.Write(b[atNonce:atPayload])
	h.Write(device)
	io.WriteString(h, password)
	return h.Sum(nil)
}

// mac authenticates all that comes before it.
func mac(b []byte, password string, device []byte) ([]byte, error) {
	k, err := key(b, password, device, purposeMAC)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, k)
	h.Write(b[:atMAC])
	return h.Sum(nil), nil
}

// payloadCipher encrypts the payload, in CBC mode with the nonce to start from.
func payloadCipher(b []byte, password string, device []byte) (cipher.Block, error) {
	k, err := key(b, password, device, purposeEncrypt)
	if err != nil {
		return nil, err
	}
	return aes.NewCipher(k)
}

// openBinary checks and decrypts in the order of section 6.5, so that a wrong
// device ID, a wrong password and damage can be told apart.
func openBinary(b []byte, password, deviceID string) (Token, error) {
	device := field(deviceV3(deviceID), lengthBinary)
	if subtle.ConstantTimeCompare(lockHash(b, device, ""), b[atDeviceHash:atPasswordHash]) != 1 {
		return Token{}, ErrWrongDevice
	}
	if subtle.ConstantTimeCompare(lockHash(b, device, password), b[atPasswordHash:atNonce]) != 1 {
		return Token{}, ErrWrongPassword
	}
	sum, err := mac(b, password, device)
	if err != nil {
		return Token{}, err
	}
	if !hmac.Equal(sum, b[atMAC:]) {
		return Token{}, ErrChecksum
	}
	block, err := payloadCipher(b, password, device)
	if err != nil {
		return Token{}, err
	}
	p := make([]byte, payloadLength)
	defer clear(p)
	cipher.NewCBCDecrypter(block, b[atNonce:atPayload]).CryptBlocks(p, b[atPayload:atMAC])
	return parsePayload(p)
}

// parsePayload reads a payload that was proven to be whole, but not to have
// been written by someone who means well.
func parsePayload(p []byte) (Token, error) {
	serial, _, _ := strings.Cut(string(p[:atSeed]), "\x00")
	t := Token{
		Serial:      serial,
		Seed:        slices.Clone(p[atSeed:atUnknown]),
		Birth:       date(instant(p[atBirth:])),
		Expiry:      date(instant(p[atDeath:])),
		Issued:      instant(p[atIssued:]),
		Digits:      int(p[atDigits]),
		Interval:    30,
		AddPIN:      p[atAddPIN] != noPIN,
		Mode:        p[atMode] != 0,
		TimeDerived: true,
	}
	if p[atInterval] == 60 {
		t.Interval = 60
	}
	switch {
	case !isSerial(serial):
		return Token{}, fmt.Errorf("%w: it holds no serial number", ErrFormat)
	case t.Digits < 1 || t.Digits > 8:
		return Token{}, fmt.Errorf("%w: codes of %d digits", ErrFormat, t.Digits)
	case !representable(t.Birth) || !representable(t.Expiry) || !representable(t.Issued):
		return Token{}, fmt.Errorf("%w: a date after the year 9999", ErrFormat)
	}
	return t, nil
}

// instant reads milliseconds since 1970, of which zero is no time at all.
func instant(b []byte) time.Time {
	ms := int64(binary.BigEndian.Uint64(b))
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// putInstant is the inverse of instant.
func putInstant(b []byte, t time.Time) {
	if !t.IsZero() {
		binary.BigEndian.PutUint64(b, uint64(t.UnixMilli()))
	}
}

// encodeBinary writes version 3 or 4 as percent-encoded base64.
func encodeBinary(t Token, o Options) (string, error) {
	b := make([]byte, binaryLength)
	b[atVersion] = byte(o.Version)
	if o.Password != "" {
		b[atPasswordLock] = 1
	}
	if o.DeviceID != "" {
		b[atDeviceLock] = 1
	}
	random := o.Rand
	if random == nil {
		random = rand.Reader
	}
	nonce := b[atNonce:atPayload]
	if _, err := io.ReadFull(random, nonce); err != nil {
		return "", fmt.Errorf("ctf: drawing a nonce: %w", err)
	}
	device := field(deviceV3(o.DeviceID), lengthBinary)
	copy(b[atDeviceHash:], lockHash(b, device, ""))
	copy(b[atPasswordHash:], lockHash(b, device, o.Password))

	block, err := payloadCipher(b, o.Password, device)
	if err != nil {
		return "", err
	}
	p := payload(t)
	defer clear(p)
	cipher.NewCBCEncrypter(block, nonce).CryptBlocks(b[atPayload:atMAC], p)

	sum, err := mac(b, o.Password, device)
	if err != nil {
		return "", err
	}
	copy(b[atMAC:], sum)
	return url.QueryEscape(base64.StdEncoding.EncodeToString(b)), nil
}

// payload is the inverse of parsePayload.
func payload(t Token) []byte {
	p := make([]byte, payloadLength)
	copy(p, t.Serial)
	copy(p[atSeed:], t.Seed)
	p[atUnknown], p[atUnknown+1] = 1, 1
	if t.Mode {
		p[atMode] = 1
	}
	p[atDigits], p[atAddPIN], p[atInterval] = byte(t.Digits), noPIN, byte(t.Interval)
	if t.AddPIN {
		p[atAddPIN] = pinPad
	}
	putInstant(p[atBirth:], date(t.Birth))
	putInstant(p[atDeath:], date(t.Expiry))
	putInstant(p[atIssued:], t.Issued)
	for i := atPadding; i < len(p); i++ {
		p[i] = payloadLength - atPadding
	}
	return p
}
