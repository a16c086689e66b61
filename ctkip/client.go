package ctkip

import (
	"crypto/rsa"
	"crypto/sha1"
	"crypto/subtle"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"time"
)

// A Client is the client's side of one exchange in RSA's dialect: Start, Answer and Finish, each
// once and in this order. After an error the exchange is over; the code may still be good as long
// as Answer's request has not been sent.
type Client struct {
	Code   Code
	Device Device    // what to tell about the app; zero is "Tallystick", version 1.0
	Rand   io.Reader // nil is crypto/rand; R_C is the first that is read of it, so that who keeps it can take up the exchange later

	next        Step // whose answer is awaited
	sessionID   string
	key         *rsa.PublicKey
	serverNonce Nonce
	clientNonce Nonce // R_C: zero until it is drawn, and after Finish
}

// Format hides the code and the nonces, whatever the verb.
func (*Client) Format(f fmt.State, _ rune) { io.WriteString(f, "ctkip.Client(hidden)") }

// A Request is to be posted to the provisioning URL, over TLS, with redirects refused. Send each of
// the headers; Authorization among them holds the code, so a Request does not print itself.
type Request struct {
	Header map[string]string `json:"-"`
	Body   []byte            `json:"-"`
}

// Format hides headers and body, whatever the verb.
func (Request) Format(f fmt.State, _ rune) { io.WriteString(f, "ctkip.Request(hidden)") }

const (
	// Line feeds stand inside the two values of a ClientNonce because real servers have seen them there.
	clientHello = `<ClientHello xmlns="` + ns2005x11 + `" xmlns:xsd="` + nsSchema + `" xmlns:xsi="` + nsXSI + `" Version="1.0">` +
		`<SupportedKeyTypes xmlns=""><Algorithm xsi:type="xsd:anyURI">` + keySecurID + `</Algorithm></SupportedKeyTypes>` +
		`<SupportedEncryptionAlgorithms xmlns=""><Algorithm xsi:type="xsd:anyURI">` + encRSA15 + `</Algorithm></SupportedEncryptionAlgorithms>` +
		`<SupportedMACAlgorithms xmlns=""><Algorithm xsi:type="xsd:anyURI">` + macAES2005x11 + `</Algorithm></SupportedMACAlgorithms></ClientHello>`

	clientNonce = declaration + `<ClientNonce xmlns="` + ns2005x11 + `" Version="1.0" SessionID="%s"><EncryptedNonce xmlns="">%s
</EncryptedNonce><Extensions xmlns="" xmlns:ds="` + nsDS + `" xmlns:xsi="` + nsXSI + `"><Extension xmlns="" xmlns:ct-kip="` + ns2005x12 + `" xmlns:ds="` + nsDS + `" xmlns:xsi="` + nsXSI + `"><Data>%s
</Data></Extension></Extensions></ClientNonce>`
)

// Start is the first request. ErrCode is for a code that cannot be sent: empty, or not of up to 128
// printable ASCII characters.
func (c *Client) Start() (Request, error) {
	if c.next != 0 {
		return Request{}, ErrTurn
	}
	if !c.Code.valid() {
		return Request{}, ErrCode
	}
	if c.Device.Version == "" && c.Device.Manufacturer == "" {
		c.Device.Version, c.Device.Manufacturer = "1.0", "Tallystick"
	}
	c.next = StepHello
	return c.request("StartService", clientHello), nil
}

func (c *Client) request(action, message string) Request {
	return Request{
		Header: map[string]string{
			"Content-Type":  RequestType,
			"SOAPAction":    action,
			"Authorization": string(c.Code),
		},
		Body: seal(requestEnvelope, c.Code, c.Device.provisioningData(), message),
	}
}

// Answer checks the server's hello, draws R_C and gives the second request. From the moment that
// one is sent, the server may have used up the code. A refusal is a [*Fault] or [*StatusError];
// ErrFormat, ErrProtocol and ErrKey are for hellos that deviate (ct-kip.md, 6.1).
func (c *Client) Answer(body []byte) (Request, error) {
	if c.next != StepHello {
		return Request{}, ErrTurn
	}
	c.next = stepOver
	hello, _, err := c.open(body, "ServerHello", Continue)
	if err != nil {
		return Request{}, err
	}
	echo, err := c.readHello(hello)
	if err != nil {
		return Request{}, err
	}
	if c.clientNonce, err = NewNonce(c.Rand); err != nil {
		return Request{}, err
	}
	encrypted, err := rsa.EncryptOAEP(sha1.New(), source(c.Rand), c.key, c.clientNonce[:], nil)
	if err != nil {
		return Request{}, fmt.Errorf("ctkip: encrypting the client nonce: %w", err)
	}
	c.next = StepNonce
	return c.request("ServerFinished", fmt.Sprintf(clientNonce, escape(c.sessionID), encode64(encrypted), encode64(echo))), nil
}

// open takes the answer out of its envelope and checks what all answers have in common.
func (c *Client) open(body []byte, root string, want Status) (message *node, provisioningData string, err error) {
	answer, err := open(body)
	if err != nil {
		return nil, "", err
	}
	if answer.is(nsSOAP, "Fault") {
		return nil, "", readFault(answer, c.Code)
	}
	if !answer.is(nsService, "ServerResponse") {
		return nil, "", formatError("the envelope holds no server response")
	}
	// Octet for octet: white space around the code counts as another code.
	if code := answer.child(nsService, "AuthData"); code == nil || !Code(code.text).Equal(c.Code) {
		return nil, "", protocolError("the answer is to another code")
	}
	message, err = openMessage(answer.child(nsService, "Response"))
	if err != nil {
		return nil, "", err
	}
	if err := checkAnswer(message, root, want); err != nil {
		return nil, "", err
	}
	data, _ := answer.child(nsService, "ProvisioningData").base64()
	return message, string(data), nil
}

// checkAnswer refuses a message of another name and version, and turns a failure into its error.
func checkAnswer(message *node, root string, want Status) error {
	if !message.is(ns2005x12, root) {
		return protocolError("the answer is no %s", root)
	}
	switch status := Status(message.attr("Status")); status {
	case want:
	case "":
		return protocolError("the answer has no status")
	default:
		return &StatusError{Status(clean(string(status), 64))}
	}
	// RSA's finished message carries no version.
	if v := message.attr("Version"); v != "1.0" && (v != "" || root == "ServerHello") {
		return protocolError("the answer is of another version")
	}
	return nil
}

// readHello keeps session, key and R_S, and returns what is to be echoed.
func (c *Client) readHello(m *node) (echo []byte, err error) {
	if c.sessionID, c.serverNonce, err = readSession(m); err != nil {
		return nil, err
	}
	if m.child("", "EncryptionAlgorithm").value() != encRSA15 {
		return nil, protocolError("another encryption algorithm than asked for")
	}
	if mac := m.child("", "MacAlgorithm").value(); mac != macAES2005x11 && mac != macAES2005x12 {
		return nil, protocolError("another MAC algorithm than asked for")
	}
	if c.key, err = readKey(m.child("", "EncryptionKey").child(nsDS, "KeyValue")); err != nil {
		return nil, err
	}
	if echo = info(m.child("", "Extensions"), "ServerInfoType"); echo == nil {
		echo = c.serverNonce[:]
	}
	return echo, nil
}

// readSession reads what the hellos of both dialects have in common.
func readSession(m *node) (id string, serverNonce Nonce, err error) {
	id = m.attr("SessionID")
	nonce, _ := m.child("", "Payload").child("", "Nonce").base64()
	serverNonce, ok := nonceOf(nonce)
	switch {
	case id == "" || len(id) > MaxSession:
		err = protocolError("a session identifier of %d characters", len(id))
	case m.child("", "KeyType").value() != keySecurID:
		err = protocolError("another key type than asked for")
	case unknownCritical(m.child("", "Extensions")):
		err = protocolError("a critical extension that is not known here")
	case !ok:
		err = protocolError("a server nonce of %d octets", len(nonce))
	}
	return id, serverNonce, err
}

// readKey reads and judges an RSA key. A modulus with a leading zero is refused rather than
// trimmed, since the modulus goes into the seed and the two sides might trim differently.
func readKey(value *node) (*rsa.PublicKey, error) {
	key := value.child(nsDS, "RSAKeyValue")
	modulus, okN := key.child(nsDS, "Modulus").base64()
	exponent, okE := key.child(nsDS, "Exponent").base64()
	if !okN || !okE || len(modulus) == 0 {
		return nil, protocolError("no RSA key")
	}
	n, e := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(exponent)
	switch {
	case modulus[0] == 0:
		return nil, fmt.Errorf("%w: its modulus has a leading zero", ErrKey)
	case n.BitLen() < 1024 || n.BitLen() > 8192:
		return nil, fmt.Errorf("%w: it has %d bits", ErrKey, n.BitLen())
	case n.Bit(0) == 0:
		return nil, fmt.Errorf("%w: its modulus is even", ErrKey)
	case e.Cmp(big.NewInt(3)) < 0 || e.Bit(0) == 0 || e.Cmp(big.NewInt(math.MaxInt32)) > 0:
		return nil, fmt.Errorf("%w: its exponent is even, 1 or too large", ErrKey)
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

// A Token is what an exchange ends with. Printing or encoding it leaves out the seed.
type Token struct {
	Serial    string    // 12 decimal digits
	Seed      []byte    `json:"-"` // 16 octets
	KeyID     []byte    // names the key; RSA's dialect repeats the serial
	Expiry    time.Time // the last valid day, at midnight UTC; zero if the server named none
	Digits    int       // 6 or 8
	Interval  int       // 30 or 60 seconds
	PINType   int       // 0 or 1
	AddPIN    bool      // the app asks for a PIN, which goes into the code
	ServiceID string    // whose token it is; may be empty
	UserID    string    // may be empty

	Assumed []string // what the server left out, of "digits", "interval" and "PIN", and "expiry" if it cannot be read: tell the user
	KeyBits int      // size of the server's key: warn below 2048
}

// Format names the token and hides its seed, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, "token "+t.Serial) }

// Finish checks the server's last message and gives the token. Only with a nil error is it to be
// stored, and then it must be: the server has done its part. ErrMAC means that the other side did
// not know R_C or that something was changed; nothing is kept.
//
// Serial, expiry, digits, interval, PIN mode, service and user are not under the MAC. A serial that
// is not 12 digits and codes that no token shows are ErrProtocol; a missing length or interval is
// taken as 8 digits or 60 seconds, a missing PIN mode as one with a PIN, an unreadable expiry as none,
// and named in Token.Assumed.
func (c *Client) Finish(body []byte) (Token, error) {
	if c.next != StepNonce {
		return Token{}, ErrTurn
	}
	c.next = stepOver
	defer clear(c.clientNonce[:])
	m, data, err := c.open(body, "ServerFinished", Success)
	if err != nil {
		return Token{}, err
	}
	if m.attr("SessionID") != c.sessionID {
		return Token{}, protocolError("the answer is of another session")
	}
	seed, mac := Derive(c.key, c.clientNonce, c.serverNonce)
	t, err := finish(m, seed, mac, macAES2005x11, macAES2005x12)
	if err != nil {
		return Token{}, err
	}
	if t.KeyID != nil && string(t.KeyID) != t.Serial {
		clear(seed)
		return Token{}, protocolError("two serial numbers")
	}
	t.KeyBits = c.key.N.BitLen()
	t.readPIN(data)
	return t, nil
}

// finish checks the MAC and then reads the token; where that fails, the seed is gone.
func finish(m *node, seed, mac []byte, algorithms ...string) (Token, error) {
	t := Token{Seed: seed}
	err := checkMAC(m.child("", "Mac"), mac, algorithms...)
	if err == nil {
		err = t.read(m)
	}
	if err != nil {
		clear(seed)
		return Token{}, err
	}
	return t, nil
}

// checkMAC compares in constant time. The attribute with the algorithm is optional, as the hello
// has named it; naming another one is not allowed.
func checkMAC(n *node, want []byte, algorithms ...string) error {
	got, ok := n.base64()
	if !ok {
		return fmt.Errorf("%w (there is none)", ErrMAC)
	}
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return ErrMAC
	}
	algorithm := n.attr("MacAlgorithm")
	for _, a := range algorithms {
		if algorithm == "" || algorithm == a {
			return nil
		}
	}
	return protocolError("another MAC algorithm than agreed on")
}

// read takes what a finished message says about the token.
func (t *Token) read(m *node) error {
	serial, ok := m.child("", "TokenID").base64()
	t.Serial = string(serial)
	if !ok || !isSerial(t.Serial) {
		t.Serial = ""
		return protocolError("the serial number is missing or not 12 digits")
	}
	if expiry := m.child("", "KeyExpiryDate").value(); expiry != "" {
		if t.Expiry, ok = parseDate(expiry); !ok { // no reason to lose a seed that the server has committed to
			t.Assumed = append(t.Assumed, "expiry")
		}
	}
	t.KeyID, _ = m.child("", "KeyID").base64()
	t.ServiceID = clean(m.child("", "ServiceID").value(), 128)
	t.UserID = clean(m.child("", "UserID").value(), 256)
	return t.readOTP(m.child("", "Extensions"))
}

// readOTP reads how codes look.
func (t *Token) readOTP(extensions *node) error {
	if unknownCritical(extensions, "OTPFormat", "OTPLength", "OTPMode") {
		return protocolError("a critical extension that is not known here")
	}
	format, length, mode := otpConfiguration(extensions)
	if f := format.value(); format != nil && f != "Decimal" {
		return protocolError("codes that are not decimal")
	}
	if mode != nil && len(mode.children) > 0 && either(mode, "Time") == nil {
		return protocolError("codes that do not depend on the time")
	}
	t.Digits, t.Interval = 8, 60
	if length == nil {
		t.Assumed = append(t.Assumed, "digits")
	} else if t.Digits = number(length.value()); t.Digits != 6 && t.Digits != 8 {
		return protocolError("codes of another length than 6 or 8 digits")
	}
	interval := ""
	if mode := either(mode, "Time"); mode != nil {
		interval = mode.attr("TimeInterval")
	}
	if interval == "" {
		t.Assumed = append(t.Assumed, "interval")
	} else if t.Interval = number(interval); t.Interval != 30 && t.Interval != 60 {
		return protocolError("codes of another interval than 30 or 60 seconds")
	}
	return nil
}

// otpConfiguration finds the extension that describes the codes; what is missing is nil.
func otpConfiguration(extensions *node) (format, length, mode *node) {
	if extensions == nil {
		return nil, nil, nil
	}
	for _, e := range extensions.children {
		format, length, mode = either(e, "OTPFormat"), either(e, "OTPLength"), either(e, "OTPMode")
		if format != nil || length != nil || mode != nil {
			break
		}
	}
	return format, length, mode
}

// either is the child of that name in no namespace or in the messages': inside extensions the
// dialects differ, and so do servers.
func either(n *node, local string) *node {
	if c := n.child("", local); c != nil {
		return c
	}
	return n.child(ns2005x12, local)
}

// number is a small decimal number, or -1.
func number(s string) int {
	n, err := strconv.ParseUint(trim(s), 10, 16)
	if err != nil {
		return -1
	}
	return int(n)
}

// parseDate takes the date part of an XML Schema dateTime, or a date.
func parseDate(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
		if _, err := time.Parse(layout, s); err == nil {
			t, err := time.Parse(time.DateOnly, s[:len(time.DateOnly)])
			return t, err == nil
		}
	}
	return time.Time{}, false
}

// readPIN reads the PIN mode, which RSA's dialect has in the provisioning data. Without it a PIN is
// assumed: an app that asks for one shows the bare code if none is given.
func (t *Token) readPIN(data string) {
	add, pinType := number(pick(data, "AddPIN")), number(pick(data, "PinType"))
	t.AddPIN = add != 0
	if pinType == 1 {
		t.PINType = 1
	}
	if add < 0 || add > 1 || pinType < 0 || pinType > 1 {
		t.Assumed = append(t.Assumed, "PIN")
	}
}
