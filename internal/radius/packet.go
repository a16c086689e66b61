package radius

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// Sizes of packets (RFC 2865 section 3).
const (
	headerSize = 20
	maxSize    = radius.MaxPacketLength
	authAt     = 4  // the authenticator
	attrsAt    = 20 // the attributes
)

// sized checks the header of a packet and cuts off what comes after its end, which is padding.
func sized(data []byte) ([]byte, Outcome) {
	if len(data) < headerSize {
		return nil, TooShort
	}
	n := int(binary.BigEndian.Uint16(data[2:4]))
	if n < headerSize || n > maxSize || n > len(data) {
		return nil, BadLength
	}
	return data[:n], ""
}

// takes tells whether a port takes packets of a code.
func (p Port) takes(code radius.Code) bool {
	switch code {
	case radius.CodeStatusServer:
		return true
	case radius.CodeAccessRequest:
		return p != Accounting
	case radius.CodeAccountingRequest:
		return p != Authentication
	}
	return false
}

// fits tells whether the attributes of a packet end where it does.
func fits(data []byte) bool {
	at := attrsAt
	for at+1 < len(data) && data[at+1] >= 2 {
		at += int(data[at+1])
	}
	return at == len(data)
}

// holds tells whether a packet whose attributes fit has one of a type.
func holds(data []byte, t radius.Type) bool {
	for i := attrsAt; i < len(data); i += int(data[i+1]) {
		if radius.Type(data[i]) == t {
			return true
		}
	}
	return false
}

// hmacSize is the length of a Message-Authenticator's value.
const hmacSize = md5.Size

// authenticity looks for the Message-Authenticator of a packet whose attributes fit, and checks it (RFC 3579 section 3.2).
// there is false if there is none; two of them, or one of a wrong length, are as wrong as a wrong value.
func (c *client) authenticity(data []byte) (there, right bool) {
	at := 0
	for i := attrsAt; i < len(data); i += int(data[i+1]) {
		if radius.Type(data[i]) != rfc2869.MessageAuthenticator_Type {
			continue
		}
		if at != 0 || data[i+1] != 2+hmacSize {
			return true, false
		}
		at = i + 2
	}
	if at == 0 {
		return false, false
	}
	var zeros [hmacSize]byte
	sum := c.mac(data[:at], zeros[:], data[at+hmacSize:])
	return true, hmac.Equal(sum[:], data[at:at+hmacSize])
}

// accountable checks the authenticator of an Accounting-Request (RFC 2866 section 3).
func (c *client) accountable(data []byte) bool {
	var zeros [16]byte
	h := md5.New()
	h.Write(data[:authAt])
	h.Write(zeros[:])
	h.Write(data[attrsAt:])
	h.Write(c.secret)
	return hmac.Equal(h.Sum(nil), data[authAt:attrsAt])
}

// answer writes an answer to a request: Message-Authenticator first, then the attributes, then the request's
// Proxy-States in their order. nil means that it does not fit.
func (c *client) answer(code radius.Code, to *radius.Packet, attributes radius.Attributes) []byte {
	p := to.Response(code)
	p.Attributes = make(radius.Attributes, 0, 1+len(attributes)+1)
	if code != radius.CodeAccountingResponse {
		p.Add(rfc2869.MessageAuthenticator_Type, make(radius.Attribute, hmacSize))
	}
	p.Attributes = append(p.Attributes, attributes...)
	for _, a := range to.Attributes {
		if a.Type == rfc2865.ProxyState_Type {
			p.Attributes = append(p.Attributes, a)
		}
	}
	b, err := p.MarshalBinary()
	if err != nil {
		return nil
	}
	if code != radius.CodeAccountingResponse {
		sum := c.mac(b) // over the request's authenticator, which is still in it
		copy(b[attrsAt+2:], sum[:])
	}
	h := md5.New()
	h.Write(b)
	h.Write(c.secret)
	h.Sum(b[authAt:authAt:attrsAt])
	return b
}

// Limits of User-Password (RFC 2865 section 5.2).
const (
	passwordBlock = 16
	maxPassword   = 128
)

// password takes the obfuscation off a User-Password; false if its length is wrong or if it is no text. Another shared
// secret gives noise, which is hardly ever text: so it does not count against the user.
func password(hidden, secret, authenticator []byte) (string, bool) {
	if len(hidden) == 0 || len(hidden) > maxPassword || len(hidden)%passwordBlock != 0 {
		return "", false
	}
	clearText := make([]byte, 0, maxPassword)
	defer func() { clear(clearText[:cap(clearText)]) }()
	before := authenticator
	h := md5.New()
	for block := range slices.Chunk(hidden, passwordBlock) {
		h.Reset()
		h.Write(secret)
		h.Write(before)
		n := len(clearText)
		clearText = h.Sum(clearText)
		for i, b := range block {
			clearText[n+i] ^= b
		}
		before = block
	}
	text := bytes.TrimRight(clearText, "\x00")
	return string(text), isText(string(text))
}

// isText tells whether s is UTF-8 without control characters.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

// split adds a text as one attribute, or as several where it is longer than one holds; no character is torn apart.
func split(attributes radius.Attributes, t radius.Type, text string) radius.Attributes {
	const most = 253
	for len(text) > 0 {
		n := min(len(text), most)
		for n < len(text) && !utf8.RuneStart(text[n]) {
			n--
		}
		attributes.Add(t, radius.Attribute(text[:n]))
		text = text[n:]
	}
	return attributes
}
