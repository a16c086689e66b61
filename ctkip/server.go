package ctkip

import (
	"crypto/rsa"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"
)

// A Message is a client's request in RSA's dialect. Its text says what the client said and nothing
// is checked against a record: the code may be unknown, the session expired, the device invented.
//
// Where Refusal is set, the request was readable but cannot be served: answer with [Message.Failure].
// For StepHello that takes no look at the code and consumes nothing. For StepNonce the code is
// looked at first, and a session that belongs to it has to be destroyed.
type Message struct {
	Step    Step
	Code    Code
	Device  Device // as far as it was understood; for the record, and for codes bound to a device
	Refusal Status // empty, or how to answer

	SessionID      string // StepNonce: which session; at most MaxSession characters
	EncryptedNonce []byte // StepNonce: for Decrypt

	serverNonce      []byte // the echo
	provisioningData string // returned as it came
}

// ParseRequest reads the body of a request and its Authorization header, "" where there is none.
//
// ErrFormat is for what is not a request at all: HTTP status 400. ErrCode is for a code that is
// missing, malformed, or not the same in header and body: answer as any wrong code, with
// [InvalidCode], and count it as one. There is no other error; see Message.Refusal for requests
// that can be read but not served.
func ParseRequest(body []byte, authorization string) (*Message, error) {
	request, err := open(body)
	if err != nil {
		return nil, err
	}
	if !request.is(nsService, "ClientRequest") {
		return nil, formatError("the envelope holds no client request")
	}
	inner, err := openMessage(request.child(nsService, "Request"))
	if err != nil {
		return nil, err
	}
	m := &Message{Code: Code(request.child(nsService, "AuthData").value())}
	if header := Code(trim(authorization)); !m.Code.valid() || header != "" && !header.Equal(m.Code) {
		return nil, ErrCode
	}
	// Free text, which no server may trip over.
	data, _ := request.child(nsService, "ProvisioningData").base64()
	m.provisioningData = string(data)
	m.Device = parseDevice(m.provisioningData)
	m.read(inner)
	return m, nil
}

// read fills in what the inner message says.
func (m *Message) read(root *node) {
	named := func(local string) bool { return root.is(ns2005x11, local) || root.is(ns2005x12, local) }
	switch {
	case named("ClientHello"):
		m.Step = StepHello
		m.Refusal = refuseHello(root)
	case named("ClientNonce"):
		m.Step = StepNonce
		m.readNonce(root)
	default:
		m.Step = StepHello
		m.Refusal = UnknownRequest
	}
}

// refuseHello is the status that answers a hello which asks for something else than RSA's apps do.
func refuseHello(root *node) Status {
	switch {
	case root.attr("Version") != "1.0":
		return UnsupportedVersion
	case unknownCritical(root.child("", "Extensions")):
		return UnknownCriticalExtension
	case !slices.Contains(algorithms(root, "SupportedKeyTypes"), keySecurID):
		return NoSupportedKeyTypes
	case !slices.Contains(algorithms(root, "SupportedEncryptionAlgorithms"), encRSA15):
		return NoSupportedEncryptionAlgorithms
	case !slices.ContainsFunc(algorithms(root, "SupportedMACAlgorithms"), func(uri string) bool { return strings.HasSuffix(uri, "#ct-kip-prf-aes") }):
		return NoSupportedMACAlgorithms
	}
	return ""
}

// algorithms are the entries of one of the hello's lists.
func algorithms(hello *node, list string) (uris []string) {
	if l := hello.child("", list); l != nil {
		for _, a := range l.children {
			uris = append(uris, a.value())
		}
	}
	return uris
}

func (m *Message) readNonce(root *node) {
	m.SessionID, m.EncryptedNonce, m.Refusal = readNonce(root)
	m.serverNonce = info(root.child("", "Extensions"), "ServerInfoType")
}

// readNonce reads what the second requests of both dialects have in common.
func readNonce(root *node) (sessionID string, encrypted []byte, refusal Status) {
	sessionID = root.attr("SessionID")
	encrypted, ok := root.child("", "EncryptedNonce").base64()
	switch {
	case len(sessionID) > MaxSession:
		return "", nil, Abort // of no session
	case root.attr("Version") != "1.0":
		refusal = UnsupportedVersion
	case unknownCritical(root.child("", "Extensions")):
		refusal = UnknownCriticalExtension
	case !ok:
		refusal = MalformedRequest
	}
	return sessionID, encrypted, refusal
}

// info is the data of the first extension that has data and nothing else, or nil: what one side
// hands out for the other to hand back. RSA's dialect has no types on its extensions.
func info(extensions *node, kind string) []byte {
	if extensions == nil {
		return nil
	}
	for _, e := range extensions.children {
		data, ok := e.child("", "Data").base64()
		if k := e.kind(); ok && len(e.children) == 1 && (k == "" || k == kind) {
			return data
		}
	}
	return nil
}

// unknownCritical says whether an extension that must be understood is neither information to hand
// back nor made of the elements that are named.
func unknownCritical(extensions *node, known ...string) bool {
	if extensions == nil {
		return false
	}
	known = append(known, "Data")
	kinds := []string{"", "ClientInfoType", "ServerInfoType", "OTPKeyConfigurationDataType"}
	return slices.ContainsFunc(extensions.children, func(e *node) bool {
		if c := trim(e.attr("Critical")); c != "true" && c != "1" {
			return false
		}
		return len(e.children) == 0 || !slices.Contains(kinds, e.kind()) ||
			slices.ContainsFunc(e.children, func(c *node) bool { return !slices.Contains(known, c.name.Local) })
	})
}

// Echoes says, in constant time, whether the client handed back the R_S of its session.
func (m *Message) Echoes(serverNonce Nonce) bool {
	return subtle.ConstantTimeCompare(m.serverNonce, serverNonce[:]) == 1
}

// NewSessionID draws an identifier in the form that RSA's servers use and their apps know: 34 hex
// digits, a hyphen and 76 base64 characters; 592 random bits. Nil is crypto/rand.
func NewSessionID(random io.Reader) (string, error) {
	var b [17 + 57]byte
	if _, err := io.ReadFull(source(random), b[:]); err != nil {
		return "", fmt.Errorf("ctkip: drawing a session identifier: %w", err)
	}
	return hex.EncodeToString(b[:17]) + "-" + base64.StdEncoding.EncodeToString(b[17:]), nil
}

// dsXSI are the declarations that RSA's servers repeat at nearly every element.
const dsXSI = `xmlns:ds="` + nsDS + `" xmlns:xsi="` + nsXSI + `"`

// RSA's apps are not known to parse XML: these are the octets they have seen, attribute by
// attribute and line feed by line feed (ct-kip.md, 4.2 and 4.4).
const (
	serverHello = declaration + `<ServerHello xmlns="` + ns2005x12 + `" ` + dsXSI + ` SessionID="%s" Status="Continue" Version="1.0"><KeyType xmlns="">` + keySecurID + `</KeyType>
<EncryptionAlgorithm xmlns="">` + encRSA15 + `</EncryptionAlgorithm>
<EncryptionKey xmlns="" ` + dsXSI + `><ds:KeyValue xmlns="` + ns2005x12 + `" ` + dsXSI + `><ds:RSAKeyValue xmlns="` + ns2005x12 + `" ` + dsXSI + `><ds:Modulus>%s</ds:Modulus>
<ds:Exponent>%s</ds:Exponent>
</ds:RSAKeyValue>
</ds:KeyValue>
</EncryptionKey>
<Payload xmlns="" ` + dsXSI + `><Nonce xmlns="">%[4]s</Nonce>
</Payload>
<Extensions xmlns="" ` + dsXSI + `><Extension xmlns:ct-kip="` + ns2005x12 + `" xmlns="" ` + dsXSI + `><Data>%[4]s</Data>
</Extension>
</Extensions>
<MacAlgorithm xmlns="">` + macAES2005x11 + `</MacAlgorithm>
</ServerHello>`

	serverFinished = declaration + `<ServerFinished xmlns="` + ns2005x12 + `" ` + dsXSI + ` SessionID="%s" Status="Success"><TokenID xmlns="">%[2]s</TokenID>
<KeyID xmlns="">%[2]s</KeyID>
<KeyExpiryDate xmlns="">%s</KeyExpiryDate>
<ServiceID xmlns="">%s</ServiceID>
%s
<Extensions xmlns="" ` + dsXSI + `><Extension Critical="true" xmlns="" ` + dsXSI + `><OTPFormat>Decimal</OTPFormat>
<OTPLength>%d</OTPLength>
<OTPMode xmlns="` + ns2005x12 + `" ` + dsXSI + `><Time TimeInterval="%d" xmlns="` + ns2005x12 + `" ` + dsXSI + `/>
</OTPMode>
</Extension>
</Extensions>
<Mac xmlns="" MacAlgorithm="` + macAES2005x12 + `" ` + dsXSI + `>%s</Mac>
</ServerFinished>`

	finishedData = `<?xml version="1.0"?>
<ProvisioningData>
<PinType>%d</PinType><AddPIN>%d</AddPIN></ProvisioningData>
`
)

// ServerHello is the body that answers a StepHello: the session, the key to encrypt R_C under, and
// R_S. The client's provisioning data goes back with it.
func (m *Message) ServerHello(sessionID string, key *rsa.PublicKey, serverNonce Nonce) []byte {
	return seal(answerEnvelope, m.Code, m.provisioningData, fmt.Sprintf(serverHello, escape(sessionID),
		encode64(key.N.Bytes()), encode64(big.NewInt(int64(key.E)).Bytes()), encode64(serverNonce[:])))
}

// Finished is what a server tells about the token whose seed has just been agreed on.
type Finished struct {
	Serial    string    // 12 decimal digits
	Expiry    time.Time // the last valid day; its UTC date is sent
	Service   string    // whose token it is; at most 128 characters
	UserID    string    // may be empty
	Digits    int       // of a code: 6 or 8
	Interval  int       // seconds that a code is shown: 30 or 60
	PINType   int       // 0 or 1, DefPinType of a token file
	AddPIN    bool      // the PIN goes into the code, so the app asks for it
	MAC       []byte    // from Derive
	SessionID string
}

// ServerFinished is the body that answers a StepNonce. ErrProtocol is for values that no client
// could take, which is a defect of the caller, found before anything is sent.
func (m *Message) ServerFinished(f Finished) ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	user := `<UserID xmlns=""/>`
	if f.UserID != "" {
		user = `<UserID xmlns="">` + escape(f.UserID) + `</UserID>`
	}
	addPIN := 0
	if f.AddPIN {
		addPIN = 1
	}
	return seal(answerEnvelope, m.Code, fmt.Sprintf(finishedData, f.PINType, addPIN),
		fmt.Sprintf(serverFinished, escape(f.SessionID), encode64([]byte(f.Serial)),
			f.expiry(), escape(f.Service), user,
			f.Digits, f.Interval, encode64(f.MAC))), nil
}

func (f Finished) expiry() string {
	return f.Expiry.UTC().Format(time.DateOnly) + "T00:00:00+00:00"
}

func (f Finished) check() error {
	switch {
	case !isSerial(f.Serial):
		return protocolError("the serial number is not 12 digits")
	case f.Digits != 6 && f.Digits != 8 || f.Interval != 30 && f.Interval != 60:
		return protocolError("codes of %d digits every %d seconds", f.Digits, f.Interval)
	case f.PINType != 0 && f.PINType != 1:
		return protocolError("PIN type %d", f.PINType)
	case len(f.MAC) != 16:
		return protocolError("a MAC of %d octets", len(f.MAC))
	case f.Expiry.IsZero() || f.Expiry.Year() < 1 || f.Expiry.Year() > 9999:
		return protocolError("an expiry date that cannot be written")
	}
	return nil
}

func isSerial(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

// Failure is the body that answers with a failure status instead: the hello or finished message of
// the step, without content.
func (m *Message) Failure(status Status) []byte {
	return seal(answerEnvelope, m.Code, m.provisioningData, failure(m.Step, m.SessionID, status))
}

// failure is the message of both dialects.
func failure(step Step, sessionID string, status Status) string {
	root := "ServerHello"
	if step == StepNonce {
		root = "ServerFinished"
	}
	session := ""
	if sessionID != "" {
		session = ` SessionID="` + escape(sessionID) + `"`
	}
	return declaration + `<` + root + ` xmlns="` + ns2005x12 + `"` + session + ` Status="` + string(status) + `" Version="1.0"/>`
}
