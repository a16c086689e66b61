package ctkip

import (
	"fmt"
	"io"
	"slices"
)

// A StandardClient is the client's side of one exchange in the standard form: Start, Answer and
// Finish, each once and in this order, as with [Client].
type StandardClient struct {
	Trigger Trigger // what the server has sent; zero for an exchange that nothing was sent for

	// SharedName and Shared choose the variant with a shared key; without them the server's RSA key
	// is used.
	SharedName string
	Shared     *Key

	// Auth authenticates the server: the seed of the key that Trigger.KeyID names and that this
	// exchange replaces, or a key dedicated to that purpose. To replace a key, the server has to
	// prove at once that it has it.
	Auth *Key

	Info []byte    // for the server to hand back; may be nil
	Rand io.Reader // nil is crypto/rand

	next        Step // whose answer is awaited
	session     Session
	helloNonce  *Nonce
	clientNonce Nonce
}

// Format hides keys and nonces, whatever the verb.
func (*StandardClient) Format(f fmt.State, _ rune) {
	io.WriteString(f, "ctkip.StandardClient(hidden)")
}

const standardClientHello = declaration + `<ct-kip:ClientHello` + standardRoot + `>%s` +
	`<SupportedKeyTypes><Algorithm>` + keySecurID + `</Algorithm></SupportedKeyTypes>` +
	`<SupportedEncryptionAlgorithms>%s</SupportedEncryptionAlgorithms>` +
	`<SupportedMACAlgorithms><Algorithm>` + string(PRFAES) + `</Algorithm><Algorithm>` + string(PRFSHA256) + `</Algorithm></SupportedMACAlgorithms>` +
	`%s</ct-kip:ClientHello>`

// Start is the first request.
func (c *StandardClient) Start() (Request, error) {
	if c.next != 0 {
		return Request{}, ErrTurn
	}
	identity := element64("TokenID", c.Trigger.TokenID) + element64("KeyID", c.Trigger.KeyID)
	if c.Auth != nil {
		r, err := NewNonce(c.Rand) // so that MAC 1 cannot be an old one
		if err != nil {
			return Request{}, err
		}
		c.helloNonce = &r
	}
	identity += nonceElement("ClientNonce", c.helloNonce) + nonceElement("TriggerNonce", c.Trigger.Nonce)
	algorithms := ""
	for _, e := range c.encryptions() {
		algorithms += element("Algorithm", string(e))
	}
	c.next = StepHello
	return standardRequest(fmt.Appendf(nil, standardClientHello, identity, algorithms, extensions(dataExtension("ClientInfoType", c.Info)))), nil
}

// encryptions are those this exchange may use.
func (c *StandardClient) encryptions() []Encryption {
	if c.Shared != nil {
		return []Encryption{SharedAES, SharedSHA256}
	}
	return []Encryption{OAEP, PKCS1}
}

// standardRequest adds the headers, which keep the message out of every cache on its way.
func standardRequest(body []byte) Request {
	return Request{
		Header: map[string]string{"Content-Type": StandardType, "Cache-Control": "no-cache, no-store", "Pragma": "no-cache"},
		Body:   body,
	}
}

const standardNonce = declaration + `<ct-kip:ClientNonce` + standardRoot + ` SessionID="%s"><EncryptedNonce>%s</EncryptedNonce>%s</ct-kip:ClientNonce>`

// Answer checks the server's hello, draws R_C and gives the second request. Its errors are those of
// [Client.Answer], without the faults, and ErrMAC where a server that is to replace a key does not
// know it: then nothing has been sent that matters.
func (c *StandardClient) Answer(body []byte) (Request, error) {
	if c.next != StepHello {
		return Request{}, ErrTurn
	}
	c.next = stepOver
	hello, _, err := openStandard(body)
	if err != nil {
		return Request{}, err
	}
	if err := checkAnswer(hello, "ServerHello", Continue); err != nil {
		return Request{}, err
	}
	if err := c.readHello(hello); err != nil {
		return Request{}, err
	}
	if c.clientNonce, err = NewNonce(c.Rand); err != nil {
		return Request{}, err
	}
	encrypted, err := c.session.encrypt(c.clientNonce, source(c.Rand))
	if err != nil {
		return Request{}, err
	}
	c.next = StepNonce
	echo := dataExtension("ServerInfoType", info(hello.child("", "Extensions"), "ServerInfoType"))
	return standardRequest(fmt.Appendf(nil, standardNonce, escape(c.session.ID), encode64(encrypted), extensions(echo))), nil
}

// readHello fills in the session.
func (c *StandardClient) readHello(m *node) (err error) {
	s := Session{
		PRF:        PRF(m.child("", "MacAlgorithm").value()),
		Encryption: Encryption(m.child("", "EncryptionAlgorithm").value()),
		SharedName: c.SharedName,
		Auth:       c.Auth,
	}
	if c.Shared != nil {
		s.Shared = *c.Shared
	}
	if s.ID, s.ServerNonce, err = readSession(m); err != nil {
		return err
	}
	if !slices.Contains(c.encryptions(), s.Encryption) || !s.PRF.known() {
		return protocolError("other algorithms than offered")
	}
	key := m.child("", "EncryptionKey")
	if c.Shared == nil {
		if s.PublicKey, err = readKey(key.child(nsDS, "KeyValue")); err != nil {
			return err
		}
	} else if key.child(nsDS, "KeyName").value() != c.SharedName {
		return protocolError("another shared key than ours")
	}
	c.session = s
	return c.checkMAC1(m.child("", "Mac"))
}

// checkMAC1 insists on the MAC where a key is replaced, and checks it wherever there is one.
func (c *StandardClient) checkMAC1(mac *node) error {
	switch {
	case mac == nil && len(c.Trigger.KeyID) == 0:
		return nil
	case c.Auth == nil:
		return protocolError("a key would be replaced, and none is here to check that with")
	}
	return checkMAC(mac, c.session.mac1(c.helloNonce), string(c.session.PRF))
}

// Finish checks the server's last message and gives the token; see [Client.Finish]. The standard
// knows no PIN mode, so "PIN" is always among what was assumed.
func (c *StandardClient) Finish(body []byte) (Token, error) {
	if c.next != StepNonce {
		return Token{}, ErrTurn
	}
	c.next = stepOver
	defer clear(c.clientNonce[:])
	m, _, err := openStandard(body)
	if err != nil {
		return Token{}, err
	}
	if err := checkAnswer(m, "ServerFinished", Success); err != nil {
		return Token{}, err
	}
	if m.attr("Version") == "" || m.attr("SessionID") != c.session.ID {
		return Token{}, protocolError("the answer is of another session, or without a version")
	}
	seed, mac := c.session.Derive(c.clientNonce)
	t, err := finish(m, seed, mac, string(c.session.PRF))
	if err != nil {
		return Token{}, err
	}
	if len(t.KeyID) == 0 || len(t.KeyID) > 64 {
		clear(seed)
		return Token{}, protocolError("a key identifier of %d octets", len(t.KeyID))
	}
	t.readPIN("")
	if c.session.PublicKey != nil {
		t.KeyBits = c.session.PublicKey.N.BitLen()
	}
	return t, nil
}
