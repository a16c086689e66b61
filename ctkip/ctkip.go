// Package ctkip agrees on a token seed with the other side without ever sending it: CT-KIP, the
// protocol behind "import from web" and the QR codes that carry an activation code. It builds and
// reads messages and does the cryptography, for both sides; posting them is left to its caller.
//
// Two dialects are here. RSA's is what SecurID servers and apps speak: two SOAP requests, whose
// sender is known by a one-time activation code. A [Client] walks through it:
//
//	client                                             server
//	Start    StartService(code)                  -->   ParseRequest, draw a session and R_S
//	         code, session, RSA key, R_S         <--   Message.ServerHello
//	Answer   ServerFinished(code, RSA(R_C), R_S) -->   ParseRequest, Message.Echoes, Decrypt, Derive
//	         serial, expiry, digits, ..., MAC    <--   Message.ServerFinished
//	Finish   seed, once the MAC is right
//
// Both nonces and the server's modulus go into the seed ([Derive]), so neither side can force one.
// The MAC proves that the answering party could read R_C; nothing in the protocol proves that the
// key was the right server's, nor protects serial, expiry and user. Both need TLS with a checked
// certificate, and no redirects: the code would go along.
//
// The standard, RFC 4758, has the same four passes in other octets: bare XML instead of SOAP, a
// trigger nonce instead of the code, two pseudorandom functions, a variant with a shared key, and a
// second MAC where a key is replaced. See [StandardClient], [ParseStandard] and [Session]. One
// dialect's cryptography is never tried on the other's messages.
//
// What is read is bounded (64 KiB a body, 16 KiB a message, 16 levels, no DTD, no entities) and
// read as XML; what is written is fixed text with escaped values, because RSA's apps are said to
// look for octets and not for elements.
package ctkip

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Media types. RSA's requests are of type RequestType and answered in AnswerType; the standard
// has StandardType in both directions, and wants its answers out of every cache: Cache-Control
// "no-cache, no-must-revalidate, private", Pragma "no-cache", and no validator.
const (
	RequestType  = "application/vnd.otps.ct-kip"
	AnswerType   = "text/xml; charset=utf-8"
	StandardType = "application/vnd.otps.ct-kip+xml"
)

// Limits on what is read.
const (
	MaxBody    = 64 << 10 // octets of an HTTP body
	MaxMessage = 16 << 10 // octets of the message inside it
	MaxSession = 128      // characters of a session identifier
)

// Kinds of refusal. Every error of this package is one of these, a [*Fault], a [*StatusError], or
// the failure of the random source.
var (
	ErrFormat   = errors.New("ctkip: not a readable message")
	ErrProtocol = errors.New("ctkip: the message breaks the protocol")
	ErrKey      = errors.New("ctkip: the server's public key is not acceptable")
	ErrMAC      = errors.New("ctkip: the MAC is wrong: the connection may have been tampered with, and the server may already regard the activation code as used")
	ErrDecrypt  = errors.New("ctkip: the client nonce does not decrypt")
	ErrCode     = errors.New("ctkip: the activation code is missing, malformed, or given in two ways that differ")
	ErrLink     = errors.New("ctkip: not a provisioning link")
	ErrInsecure = errors.New("ctkip: the link asks for plain http, which gives the activation code away")
	ErrTurn     = errors.New("ctkip: a step of the exchange was called out of turn")
)

// A Status is the outcome that a server's message announces (ct-kip.md, 4.5).
type Status string

// The values of Status. Continue is for the server's hello and Success for its finished message;
// the others are failures, and stand in a message without content.
const (
	Continue                        Status = "Continue"
	Success                         Status = "Success"
	Abort                           Status = "Abort"
	AccessDenied                    Status = "AccessDenied"
	MalformedRequest                Status = "MalformedRequest"
	UnknownRequest                  Status = "UnknownRequest"
	UnknownCriticalExtension        Status = "UnknownCriticalExtension"
	UnsupportedVersion              Status = "UnsupportedVersion"
	NoSupportedKeyTypes             Status = "NoSupportedKeyTypes"
	NoSupportedEncryptionAlgorithms Status = "NoSupportedEncryptionAlgorithms"
	NoSupportedMACAlgorithms        Status = "NoSupportedMACAlgorithms"
	InitializationFailed            Status = "InitializationFailed"
)

// A StatusError is the server's refusal inside a message.
type StatusError struct{ Status Status }

func (e *StatusError) Error() string {
	return fmt.Sprintf("ctkip: the server answered with status %q", string(e.Status))
}

// A Step says which of the two requests, or answers, a message is.
type Step int

// The two steps of an exchange.
const (
	StepHello Step = iota + 1 // ClientHello, answered by ServerHello
	StepNonce                 // ClientNonce, answered by ServerFinished
)

const stepOver Step = -1 // of a client that is done, or has given up

// A Code is an activation code: the only credential of the exchange, so fmt and the encoders of
// the standard library do not show it. Convert it to a string to send or to hash it.
type Code string

// Equal compares in constant time.
func (c Code) Equal(o Code) bool { return subtle.ConstantTimeCompare([]byte(c), []byte(o)) == 1 }

// Format hides the code, whatever the verb.
func (Code) Format(f fmt.State, _ rune) { io.WriteString(f, "code(hidden)") }

// MarshalText refuses: a code goes where it is meant to go by conversion only.
func (Code) MarshalText() ([]byte, error) { return nil, errors.New("ctkip: a code is not marshaled") }

// valid says whether the code can stand in a header and in XML as it is: 1 to 128 printable ASCII
// characters. Which alphabet a server uses is its own choice.
func (c Code) valid() bool {
	return len(c) > 0 && len(c) <= 128 && strings.IndexFunc(string(c), func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// A Nonce is R_C or R_S, 16 random octets. R_C is as secret as the seed; fmt shows neither.
type Nonce [16]byte

// Equal compares in constant time.
func (n Nonce) Equal(o Nonce) bool { return subtle.ConstantTimeCompare(n[:], o[:]) == 1 }

// Format hides the nonce, whatever the verb.
func (Nonce) Format(f fmt.State, _ rune) { io.WriteString(f, "nonce(hidden)") }

// MarshalText refuses, as a nonce may be R_C.
func (Nonce) MarshalText() ([]byte, error) { return nil, errors.New("ctkip: a nonce is not marshaled") }

// NewNonce draws a nonce from random; nil is crypto/rand.
func NewNonce(random io.Reader) (n Nonce, err error) {
	if _, err = io.ReadFull(source(random), n[:]); err != nil {
		return Nonce{}, fmt.Errorf("ctkip: drawing a nonce: %w", err)
	}
	return n, nil
}

// source is random, or crypto/rand for nil.
func source(random io.Reader) io.Reader {
	if random == nil {
		return rand.Reader
	}
	return random
}

// nonceOf is b as a nonce, if it has the length of one.
func nonceOf(b []byte) (n Nonce, ok bool) {
	return n, copy(n[:], b) == len(n) && len(b) == len(n)
}

// clean makes a text of the other side fit for a terminal and a log: at most limit characters,
// and no control characters or other invisible ones.
func clean(s string, limit int) string {
	s = strings.TrimSpace(s)
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit])
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
