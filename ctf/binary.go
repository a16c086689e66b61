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
	"strings"
	"time"
)

// Layout of versions 3 and 4 (section 6.2), and of their payload (section 6.4).
const (
	binaryLength = 291
	atDevHash    = 3
	atPassHash   = 35
	atNonce      = 67
	atPayload    = 83
	atMAC        = 259

	payloadLength = atMAC - atPayload
	atSeed        = 16
	atUnknown     = 32
	atMode        = 34
	atDigits      = 35
	atAddPIN      = 36
	atInterval    = 37
	atBirth       = 38
	atDeath       = 46
	atIssued      = 54
	atPadding     = 160

	noPIN  = 0x1f
	pinPad = 0x21
)

// Constants that tell the purposes of a key apart (section 6.3).
var (
	purposeMAC     = []byte{0xd0, 0x14, 0x43, 0x3c, 0x6d, 0x17, 0x9f, 0xeb, 0xda, 0x09, 0xab, 0xfc, 0x32, 0x49, 0x63, 0x4c}
	purposeEncrypt = []byte{0x3b, 0xaf, 0xff, 0x4d, 0x91, 0x8d, 0x89, 0xb6, 0x81, 0x60, 0xde, 0x44, 0x4e, 0x05, 0xc0, 0xdd}
)

// parseBinary reads the base64 text of version 3 or 4.
func parseBinary(text string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: not base64", ErrFormat)
	}
	if len(b) != binaryLength {
		return nil, fmt.Errorf("%w: %d bytes instead of %d", ErrLength, len(b), binaryLength)
	}
	if b[0] != 3 && b[0] != 4 {
		return nil, fmt.Errorf("%w: version %d", ErrVersion, b[0])
	}
	return b, nil
}

// binaryKey derives a key; version 3 drops every other byte of what goes in.
func binaryKey(version byte, password string, device, purpose, nonce []byte) ([]byte, error) {
	w := append([]byte(password), device...)
	w = append(append(w, purpose...), nonce...)
	defer clear(w)
	if version == 3 {
		half := w[:0]
		for i := 1; i < len(w); i += 2 {
			half = append(half, w[i])
		}
		w = half
	}
	return pbkdf2.Key(sha256.New, string(w), nonce, 1000, 32)
}

// lockHash is the SHA-256 that a device ID, or both secrets, are checked by.
func lockHash(nonce, device []byte, password string) []byte {
	h := sha256.New()
	h.Write(nonce)
	h.Write(device)
	io.WriteString(h, password)
	return h.Sum(nil)
}

func binaryMAC(b []byte, password string, device []byte) ([]byte, error) {
	key, err := binaryKey(b[0], password, device, purposeMAC, b[atNonce:atPayload])
	if err != nil {
		return nil, err
	}
	m := hmac.New(sha256.New, key)
	m.Write(b[:atMAC])
	return m.Sum(nil), nil
}

// crypt gives the CBC cipher of the payload.
func payloadCipher(b []byte, password string, device []byte) (cipher.Block, error) {
	key, err := binaryKey(b[0], password, device, purposeEncrypt, b[atNonce:atPayload])
	if err != nil {
		return nil, err
	}
	return aes.NewCipher(key)
}

// openBinary checks and decrypts, in the order of section 6.5.
func openBinary(b []byte, password, deviceID string) (Token, error) {
	device, nonce := field(deviceV3(deviceID), 48), b[atNonce:atPayload]
	if subtle.ConstantTimeCompare(lockHash(nonce, device, ""), b[atDevHash:atPassHash]) != 1 {
		return Token{}, ErrWrongDevice
	}
	if subtle.ConstantTimeCompare(lockHash(nonce, device, password), b[atPassHash:atNonce]) != 1 {
		return Token{}, ErrWrongPassword
	}
	mac, err := binaryMAC(b, password, device)
	if err != nil {
		return Token{}, err
	}
	if !hmac.Equal(mac, b[atMAC:]) {
		return Token{}, ErrChecksum
	}
	block, err := payloadCipher(b, password, device)
	if err != nil {
		return Token{}, err
	}
	p := make([]byte, payloadLength)
	defer clear(p)
	cipher.NewCBCDecrypter(block, nonce).CryptBlocks(p, b[atPayload:atMAC])
	return parsePayload(p)
}

func parsePayload(p []byte) (Token, error) {
	serial, _, _ := strings.Cut(string(p[:atSeed]), "\x00")
	t := Token{
		Serial: serial, Seed: append([]byte(nil), p[atSeed:atUnknown]...),
		Birth: instant(p[atBirth:]), Expiry: day(instant(p[atDeath:])), Issued: instant(p[atIssued:]),
		Digits: int(p[atDigits]), Interval: 30, AddPIN: p[atAddPIN] != noPIN, Mode: p[atMode] != 0, TimeDerived: true,
	}
	if p[atInterval] == 60 {
		t.Interval = 60
	}
	switch {
	case len(serial) != 12 || strings.Trim(serial, "0123456789") != "":
		return Token{}, fmt.Errorf("%w: it holds no serial number", ErrFormat)
	case t.Digits < 1 || t.Digits > 8:
		return Token{}, fmt.Errorf("%w: codes of %d digits", ErrFormat, t.Digits)
	}
	return t, nil
}

// instant reads a time in milliseconds; zero means that none was said.
func instant(b []byte) time.Time {
	ms := int64(binary.BigEndian.Uint64(b))
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// milliseconds is the reverse.
func milliseconds(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMilli())
}

// day cuts a time to 00:00 UTC.
func day(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// encodeBinary writes version 3 or 4 as percent-encoded base64.
func encodeBinary(t Token, o Options) (string, error) {
	b := make([]byte, binaryLength)
	b[0] = byte(o.Version)
	if o.Password != "" {
		b[1] = 1
	}
	if o.DeviceID != "" {
		b[2] = 1
	}
	random := o.Rand
	if random == nil {
		random = rand.Reader
	}
	nonce := b[atNonce:atPayload]
	if _, err := io.ReadFull(random, nonce); err != nil {
		return "", fmt.Errorf("drawing a nonce: %w", err)
	}
	device := field(deviceV3(o.DeviceID), 48)
	copy(b[atDevHash:], lockHash(nonce, device, ""))
	copy(b[atPassHash:], lockHash(nonce, device, o.Password))

	block, err := payloadCipher(b, o.Password, device)
	if err != nil {
		return "", err
	}
	p := payload(t)
	defer clear(p)
	cipher.NewCBCEncrypter(block, nonce).CryptBlocks(b[atPayload:atMAC], p)
	mac, err := binaryMAC(b, o.Password, device)
	if err != nil {
		return "", err
	}
	copy(b[atMAC:], mac)
	return strings.NewReplacer("+", "%2B", "/", "%2F").Replace(base64.StdEncoding.EncodeToString(b)), nil
}

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
	binary.BigEndian.PutUint64(p[atBirth:], milliseconds(t.Birth))
	binary.BigEndian.PutUint64(p[atDeath:], milliseconds(day(t.Expiry)))
	binary.BigEndian.PutUint64(p[atIssued:], milliseconds(t.Issued))
	for i := atPadding; i < len(p); i++ {
		p[i] = 16
	}
	return p
}
