package ctkip

import (
	"fmt"
	"slices"
	"strings"
)

// A StandardMessage is a client's request in the standard form. As with [Message], nothing in it is
// checked against a record; where Refusal is set, answer with Failure.
type StandardMessage struct {
	Step    Step
	Refusal Status // empty, or how to answer

	TokenID      []byte // StepHello: the token the client has; nil if it did not say
	KeyID        []byte // StepHello: the key to be replaced; nil for a first one
	TriggerNonce *Nonce // StepHello: in place of a code; nil if the client has none

	SessionID      string // StepNonce: which session; at most MaxSession characters
	EncryptedNonce []byte // StepNonce: for Session.Decrypt
	ServerInfo     []byte // StepNonce: what the hello handed out; nil if the client hands back nothing

	helloNonce  *Nonce // R of the hello
	clientInfo  []byte // to be handed back
	encryptions []Encryption
	prfs        []PRF
}

// ParseStandard reads the body of a request of type StandardType. ErrFormat, its only error, is for
// what is no such request: HTTP status 400.
func ParseStandard(body []byte) (*StandardMessage, error) {
	root, name, err := openStandard(body)
	if err != nil {
		return nil, err
	}
	m := &StandardMessage{clientInfo: info(root.child("", "Extensions"), "ClientInfoType")}
	switch name {
	case "ClientHello":
		m.Step = StepHello
		m.readHello(root)
	case "ClientNonce":
		m.Step = StepNonce
		m.SessionID, m.EncryptedNonce, m.Refusal = readNonce(root)
		m.ServerInfo = info(root.child("", "Extensions"), "ServerInfoType")
	default:
		return nil, formatError("not a client's message")
	}
	return m, nil
}

func (m *StandardMessage) readHello(root *node) {
	for _, uri := range algorithms(root, "SupportedEncryptionAlgorithms") {
		if e := Encryption(uri); e == OAEP || e == PKCS1 || e.shared() {
			m.encryptions = append(m.encryptions, e)
		}
	}
	for _, uri := range algorithms(root, "SupportedMACAlgorithms") {
		if p := PRF(uri); p.known() {
			m.prfs = append(m.prfs, p)
		}
	}
	switch {
	case root.attr("Version") != "1.0":
		m.Refusal = UnsupportedVersion
	case !m.readIdentity(root):
		m.Refusal = MalformedRequest
	case unknownCritical(root.child("", "Extensions")):
		m.Refusal = UnknownCriticalExtension
	case !slices.Contains(algorithms(root, "SupportedKeyTypes"), keySecurID):
		m.Refusal = NoSupportedKeyTypes
	case len(m.encryptions) == 0:
		m.Refusal = NoSupportedEncryptionAlgorithms
	case len(m.prfs) == 0:
		m.Refusal = NoSupportedMACAlgorithms
	}
}

// readIdentity reads who asks: false if one of the values is not what it should be.
func (m *StandardMessage) readIdentity(root *node) bool {
	var ok, okHello, okTrigger bool
	m.TokenID, m.KeyID, ok = identifiers(root)
	m.helloNonce, okHello = nonceChild(root, "ClientNonce")
	m.TriggerNonce, okTrigger = nonceChild(root, "TriggerNonce")
	return ok && okHello && okTrigger
}

// Agree picks what the client and this server both know, for a Session: a shared key where the
// server has one for this client, else OAEP before PKCS #1 v1.5; AES before SHA-256. It fails with
// NoSupportedEncryptionAlgorithms, or returns "".
func (m *StandardMessage) Agree(shared bool) (Encryption, PRF, Status) {
	wanted := []Encryption{OAEP, PKCS1}
	if shared {
		wanted = []Encryption{SharedAES, SharedSHA256}
	}
	for _, e := range wanted {
		for _, p := range []PRF{PRFAES, PRFSHA256} {
			if slices.Contains(m.encryptions, e) && slices.Contains(m.prfs, p) {
				return e, p, ""
			}
		}
	}
	return "", "", NoSupportedEncryptionAlgorithms
}

const standardHello = declaration + `<ct-kip:ServerHello` + standardRoot + ` SessionID="%s" Status="Continue">` +
	`<KeyType>` + keySecurID + `</KeyType><EncryptionAlgorithm>%s</EncryptionAlgorithm><MacAlgorithm>%s</MacAlgorithm>` +
	`<EncryptionKey>%s</EncryptionKey><Payload><Nonce>%s</Nonce></Payload>%s%s</ct-kip:ServerHello>`

// ServerHello is the body that answers a StepHello. serverInfo, unless nil, is for the client to
// hand back. With Session.Auth the hello carries MAC 1.
func (m *StandardMessage) ServerHello(s *Session, serverInfo []byte) []byte {
	mac := ""
	if s.Auth != nil {
		mac = macElement(s.PRF, s.mac1(m.helloNonce))
	}
	return fmt.Appendf(nil, standardHello, escape(s.ID), s.Encryption, s.PRF, s.keyInfo(), encode64(s.ServerNonce[:]),
		extensions(dataExtension("ClientInfoType", m.clientInfo), dataExtension("ServerInfoType", serverInfo)), mac)
}

func macElement(p PRF, mac []byte) string {
	return `<Mac MacAlgorithm="` + string(p) + `">` + encode64(mac) + `</Mac>`
}

const standardFinished = declaration + `<ct-kip:ServerFinished` + standardRoot + ` SessionID="%s" Status="Success">%s` +
	`<Extensions>%s<Extension xsi:type="ct-kip:OTPKeyConfigurationDataType" Critical="true"><OTPFormat>Decimal</OTPFormat>` +
	`<OTPLength>%d</OTPLength><OTPMode><Time TimeInterval="%d"/></OTPMode></Extension></Extensions>%s</ct-kip:ServerFinished>`

// ServerFinished is the body that answers a StepNonce. keyID names the key for good, in at most 64
// octets: no other key may ever have it. The standard has no PIN mode, and the session is s whatever
// f says. ErrProtocol is for values that no client could take.
func (m *StandardMessage) ServerFinished(s *Session, keyID []byte, f Finished) ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if len(keyID) == 0 || len(keyID) > 64 {
		return nil, protocolError("a key identifier of %d octets", len(keyID))
	}
	token := strings.Join([]string{
		element64("TokenID", []byte(f.Serial)), element64("KeyID", keyID), element("KeyExpiryDate", f.expiry()),
		element("ServiceID", f.Service), element("UserID", f.UserID),
	}, "")
	return fmt.Appendf(nil, standardFinished, escape(s.ID), token, dataExtension("ClientInfoType", m.clientInfo),
		f.Digits, f.Interval, macElement(s.PRF, f.MAC)), nil
}

// Failure is the body that answers with a failure status instead.
func (m *StandardMessage) Failure(status Status) []byte {
	return []byte(failure(m.Step, m.SessionID, status))
}
