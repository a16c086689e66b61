package ctkip

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
)

// This file holds what both sides of the standard, RFC 4758, share: pseudorandom functions, the
// key derivation, and the trigger. ct-kip.md, 7 lists where it differs from RSA's dialect.

// A Key is a shared key (K_SHARED), or one that authenticates the server (K_AUTH): 16 octets, which
// fmt does not show.
type Key [16]byte

// Format hides the key, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { io.WriteString(f, "key(hidden)") }

// MarshalText refuses.
func (Key) MarshalText() ([]byte, error) { return nil, fmt.Errorf("ctkip: a key is not marshaled") }

// A PRF is one of the RFC's pseudorandom functions, by its identifier on the wire. It also names
// the MAC made with it.
type PRF string

// The two of the RFC: AES-CMAC and HMAC-SHA-256.
const (
	PRFAES    PRF = ns2005x12 + "ct-kip-prf-aes"
	PRFSHA256 PRF = ns2005x12 + "ct-kip-prf-sha256"
)

func (p PRF) known() bool { return p == PRFAES || p == PRFSHA256 }

// expand gives n octets: blocks over a counter and the data, cut to length.
func (p PRF) expand(key [16]byte, n int, data ...[]byte) []byte {
	var out []byte
	for i := uint32(1); len(out) < n; i++ {
		block := slices.Concat(binary.BigEndian.AppendUint32(nil, i), slices.Concat(data...))
		if p == PRFSHA256 {
			h := hmac.New(sha256.New, key[:])
			h.Write(block)
			out = h.Sum(out)
		} else {
			tag := cmac(key, block)
			out = append(out, tag[:]...)
		}
	}
	return out[:n]
}

// An Encryption is a way to send R_C, by its identifier on the wire: under the server's RSA key, or
// masked with a shared key.
type Encryption string

// The ways that are known here. OAEP is preferred; PKCS1 is what the RFC means by rsa-1_5,
// where RSA's dialect means OAEP.
const (
	OAEP         Encryption = encRSAOAEP
	PKCS1        Encryption = encRSA15
	SharedAES               = Encryption(PRFAES)
	SharedSHA256            = Encryption(PRFSHA256)
)

func (e Encryption) shared() bool { return e == SharedAES || e == SharedSHA256 }

// A Session is what the two sides of a standard exchange have agreed on. A server keeps it between
// the two requests, for ten minutes and one ClientNonce.
type Session struct {
	ID          string // at most MaxSession characters; see NewSessionID
	PRF         PRF
	Encryption  Encryption
	ServerNonce Nonce

	PublicKey  *rsa.PublicKey // of the server, with OAEP and PKCS1
	SharedName string         // which key both sides hold, with SharedAES and SharedSHA256
	Shared     Key            // that key

	// Auth proves the server to the client where they have a key already: a dedicated one, or the
	// seed that this exchange replaces. It makes MAC 1, and MAC 2 in place of the new seed.
	Auth *Key
}

// Derive computes the seed (K_TOKEN) and the MAC of the final message (MAC 2), 16 octets each.
func (s *Session) Derive(clientNonce Nonce) (seed, mac []byte) {
	// What of a public key goes in is left open by the RFC; here it is the modulus, as at RSA.
	k := s.Shared[:]
	if !s.Encryption.shared() {
		k = s.PublicKey.N.Bytes()
	}
	seed = s.PRF.expand(clientNonce, 16, []byte("Key generation"), k, s.ServerNonce[:])
	auth := Key(seed)
	if s.Auth != nil {
		auth = *s.Auth
	}
	return seed, s.PRF.expand(auth, len(clientNonce), []byte("MAC 2 computation"), clientNonce[:])
}

// mac1 is the MAC of a hello that replaces a key: proof, before R_C is sent, that the server holds
// the old one. helloNonce is R of the client's hello, nil if it sent none.
func (s *Session) mac1(helloNonce *Nonce) []byte {
	var r []byte
	if helloNonce != nil {
		r = helloNonce[:]
	}
	return s.PRF.expand(*s.Auth, len(s.ServerNonce), []byte("MAC 1 computation"), r, s.ServerNonce[:])
}

// mask encrypts and decrypts R_C under the shared key.
func (s *Session) mask(n Nonce) Nonce {
	xor((*[16]byte)(&n), PRF(s.Encryption).expand(s.Shared, len(n), []byte("Encryption"), s.ServerNonce[:]))
	return n
}

// encrypt is E(R_C).
func (s *Session) encrypt(clientNonce Nonce, random io.Reader) (encrypted []byte, err error) {
	switch s.Encryption {
	case OAEP:
		encrypted, err = rsa.EncryptOAEP(sha1.New(), random, s.PublicKey, clientNonce[:], nil)
	case PKCS1:
		encrypted, err = rsa.EncryptPKCS1v15(random, s.PublicKey, clientNonce[:]) //nolint:staticcheck // the padding that RFC 4758 names; OAEP is taken where the server knows it
	default:
		masked := s.mask(clientNonce)
		encrypted = masked[:]
	}
	if err != nil {
		return nil, fmt.Errorf("ctkip: encrypting the client nonce: %w", err)
	}
	return encrypted, nil
}

// Decrypt opens the client nonce in the way the session has agreed on; private may be nil where a
// key is shared. ErrDecrypt is its only failure.
//
// A wrong PKCS #1 v1.5 padding is no failure but gives a random nonce, so that nobody can use the
// server as a padding oracle: the exchange then ends with a MAC that the client refuses.
func (s *Session) Decrypt(private *rsa.PrivateKey, ciphertext []byte) (Nonce, error) {
	if s.Encryption.shared() {
		masked, ok := nonceOf(ciphertext)
		if !ok {
			return Nonce{}, ErrDecrypt
		}
		return s.mask(masked), nil
	}
	if private == nil {
		return Nonce{}, ErrDecrypt
	}
	if s.Encryption == OAEP {
		return Decrypt(private, ciphertext)
	}
	n, err := NewNonce(nil)
	if err != nil || len(ciphertext) != private.Size() {
		return Nonce{}, ErrDecrypt
	}
	if err := rsa.DecryptPKCS1v15SessionKey(rand.Reader, private, ciphertext, n[:]); err != nil { //nolint:staticcheck // the padding that RFC 4758 names, in the form without an oracle
		return Nonce{}, ErrDecrypt
	}
	return n, nil
}

// TriggerNonce is what stands for an activation code in the standard, which has no place for one:
// as secret as the code.
func TriggerNonce(c Code) Nonce {
	h := sha256.Sum256([]byte("ct-kip trigger" + c))
	return Nonce(h[:16])
}

// A Trigger asks an app to start a standard exchange. A server gives it to a user who has logged in.
type Trigger struct {
	TokenID []byte // which token to put a key on; empty: any
	KeyID   []byte // which key to replace; empty: none
	Nonce   *Nonce // see TriggerNonce; a trigger always has one
	URL     string // of the service; empty: where the trigger came from
}

// root of the standard's own messages: prefixed, which leaves what is inside in no namespace.
const standardRoot = ` xmlns:ct-kip="` + ns2005x12 + `" xmlns:ds="` + nsDS + `" xmlns:xsi="` + nsXSI + `" Version="1.0"`

// Body is the trigger as a message of type StandardType.
func (t Trigger) Body() []byte {
	return []byte(declaration + `<ct-kip:CT-KIPTrigger` + standardRoot + `><InitializationTrigger>` +
		element64("TokenID", t.TokenID) + element64("KeyID", t.KeyID) + nonceElement("TriggerNonce", t.Nonce) + element("CT-KIPURL", t.URL) +
		`</InitializationTrigger></ct-kip:CT-KIPTrigger>`)
}

// ParseTrigger reads one. ErrFormat is for what is no trigger, ErrProtocol for one that cannot be
// followed.
func ParseTrigger(body []byte) (Trigger, error) {
	root, name, err := openStandard(body)
	if err != nil {
		return Trigger{}, err
	}
	if name != "CT-KIPTrigger" {
		return Trigger{}, formatError("not a trigger")
	}
	if root.attr("Version") != "1.0" {
		return Trigger{}, protocolError("the trigger is of another version")
	}
	init := root.child("", "InitializationTrigger")
	t := Trigger{URL: init.child("", "CT-KIPURL").value()}
	var ok bool
	if t.Nonce, ok = nonceChild(init, "TriggerNonce"); !ok || t.Nonce == nil {
		return Trigger{}, protocolError("the trigger has no nonce of %d octets", len(Nonce{}))
	}
	if t.URL != "" {
		if _, err := check(Link{URL: t.URL}); err != nil {
			return Trigger{}, err
		}
	}
	if t.TokenID, t.KeyID, ok = identifiers(init); !ok {
		return Trigger{}, protocolError("the trigger has a garbled identifier")
	}
	return t, nil
}

// identifiers are those of a token and its key, each at most 64 octets, nil where missing.
func identifiers(n *node) (tokenID, keyID []byte, ok bool) {
	for _, id := range []struct {
		name string
		to   *[]byte
	}{{"TokenID", &tokenID}, {"KeyID", &keyID}} {
		if c := n.child("", id.name); c != nil {
			if *id.to, ok = c.base64(); !ok || len(*id.to) > 64 {
				return nil, nil, false
			}
		}
	}
	return tokenID, keyID, true
}

// nonceChild is the nonce in an element that may be missing: then it is nil.
func nonceChild(n *node, name string) (nonce *Nonce, ok bool) {
	c := n.child("", name)
	if c == nil {
		return nil, true
	}
	b, _ := c.base64()
	value, ok := nonceOf(b)
	return &value, ok
}

// openStandard reads a body of the standard's, with its elements in no namespace, and gives the
// name of its root.
func openStandard(body []byte) (root *node, name string, err error) {
	root, err = parseXML(body, MaxBody)
	if err != nil {
		return nil, "", err
	}
	if root.name.Space != ns2005x12 {
		return nil, "", formatError("not one of the standard's messages")
	}
	return root, root.name.Local, root.unqualify()
}

// element is empty for an empty value.
func element(name, value string) string {
	if value == "" {
		return ""
	}
	return "<" + name + ">" + escape(value) + "</" + name + ">"
}

func element64(name string, value []byte) string { return element(name, encode64(value)) }

func nonceElement(name string, n *Nonce) string {
	if n == nil {
		return ""
	}
	return element64(name, n[:])
}

// extensions wraps what there is of them.
func extensions(inside ...string) string {
	if all := strings.Join(inside, ""); all != "" {
		return "<Extensions>" + all + "</Extensions>"
	}
	return ""
}

// dataExtension is empty without data.
func dataExtension(kind string, data []byte) string {
	if data == nil {
		return ""
	}
	return `<Extension xsi:type="ct-kip:` + kind + `"><Data>` + encode64(data) + `</Data></Extension>`
}

// keyInfo is the content of EncryptionKey.
func (s *Session) keyInfo() string {
	if s.Encryption.shared() {
		return element("ds:KeyName", s.SharedName)
	}
	return `<ds:KeyValue><ds:RSAKeyValue>` + element64("ds:Modulus", s.PublicKey.N.Bytes()) +
		element64("ds:Exponent", big.NewInt(int64(s.PublicKey.E)).Bytes()) + `</ds:RSAKeyValue></ds:KeyValue>`
}
