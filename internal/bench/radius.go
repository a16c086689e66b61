package bench

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"net"
	"slices"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// A radiusLine is a socket from which a gateway asks. It has one packet under way at a time, so identifiers never meet.
type radiusLine struct {
	conn       net.Conn
	secret     []byte
	hash       hash.Hash        // HMAC-MD5 under the secret
	state      radius.Attribute // of the last challenge
	identifier byte             // of the next request
	packet     [512]byte        // the last request
	block      [256]byte
	buffer     [radius.MaxPacketLength]byte
}

// How a gateway waits: it sends the same packet again, and gives up in the end.
const (
	radiusWait  = 2 * time.Second
	radiusTries = 4
)

func newRADIUSLine(address, secret string) (*radiusLine, error) {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return nil, err
	}
	return &radiusLine{conn: conn, secret: []byte(secret), hash: hmac.New(md5.New, []byte(secret))}, nil
}

func (l *radiusLine) close() error { return l.conn.Close() }

func (l *radiusLine) ask(user, passcode string) outcome { return l.send(user, passcode, nil) }

func (l *radiusLine) answer(user, code string) outcome { return l.send(user, code, l.state) }

// send asks and waits for the answer.
func (l *radiusLine) send(user, password string, state radius.Attribute) outcome {
	packet := l.request(user, password, state)
	for range radiusTries {
		if _, err := l.conn.Write(packet); err != nil {
			return lost
		}
		deadline := time.Now().Add(radiusWait)
		for time.Now().Before(deadline) {
			if err := l.conn.SetReadDeadline(deadline); err != nil {
				return lost
			}
			n, err := l.conn.Read(l.buffer[:])
			if err != nil {
				break // nobody answered, or nobody is there (yet)
			}
			if got, ours := l.read(l.buffer[:n], packet); ours {
				return got
			}
		}
	}
	return lost
}

// request writes an Access-Request by hand: what is measured shares the machine. Its texts are short.
func (l *radiusLine) request(user, password string, state radius.Attribute) []byte {
	b := append(l.packet[:0], byte(radius.CodeAccessRequest), l.identifier, 0, 0)
	l.identifier++
	b = b[:20]
	rand.Read(b[4:20])
	add := func(t radius.Type, value []byte) {
		b = append(append(b, byte(t), byte(2+len(value))), value...)
	}
	add(rfc2869.MessageAuthenticator_Type, make([]byte, md5.Size))
	add(rfc2865.UserName_Type, []byte(user))
	hidden := make([]byte, (len(password)+md5.Size-1)/md5.Size*md5.Size)
	copy(hidden, password)
	before := b[4:20]
	for block := range slices.Chunk(hidden, md5.Size) {
		sum := md5.Sum(append(append(l.block[:0], l.secret...), before...))
		subtle.XORBytes(block, block, sum[:])
		before = block
	}
	add(rfc2865.UserPassword_Type, hidden)
	add(rfc2865.NASIdentifier_Type, []byte(name))
	if state != nil {
		add(rfc2865.State_Type, state)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	l.sign(b, b[4:20])
	return b
}

// mac is where a packet has its Message-Authenticator: we put it first, and so does the server.
const mac = 20 + 2

// sign writes the Message-Authenticator of a packet, whose authenticator is or was the given one.
func (l *radiusLine) sign(packet, authenticator []byte) {
	var zeros [md5.Size]byte
	l.hash.Reset()
	for _, part := range [][]byte{packet[:4], authenticator, packet[20:mac], zeros[:], packet[mac+md5.Size:]} {
		l.hash.Write(part)
	}
	l.hash.Sum(packet[mac : mac : mac+md5.Size])
}

// read reads an answer. One that is not to this request is a late copy of an earlier one, or forged.
func (l *radiusLine) read(packet, request []byte) (got outcome, ours bool) {
	if len(packet) < mac+md5.Size || packet[1] != request[1] || radius.Type(packet[20]) != rfc2869.MessageAuthenticator_Type ||
		!radius.IsAuthenticResponse(packet, request, l.secret) {
		return lost, false
	}
	sent := [md5.Size]byte(packet[mac:])
	l.sign(packet, request[4:20])
	if !hmac.Equal(sent[:], packet[mac:mac+md5.Size]) {
		return lost, false
	}
	switch radius.Code(packet[0]) {
	case radius.CodeAccessAccept:
		return accepted, true
	case radius.CodeAccessReject:
		return denied, true
	case radius.CodeAccessChallenge:
		if p, err := radius.Parse(packet, l.secret); err == nil {
			if state := p.Get(rfc2865.State_Type); state != nil {
				l.state = append(radius.Attribute(nil), state...)
				return challenged, true
			}
		}
	}
	return lost, true
}
