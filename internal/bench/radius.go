package bench

import (
	"crypto/hmac"
	"crypto/md5"
	"net"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// A radiusLine is a socket from which a gateway asks. It has one packet under way at a time, so identifiers never meet.
type radiusLine struct {
	conn   net.Conn
	secret []byte
	state  radius.Attribute // of the last challenge
	buffer [radius.MaxPacketLength]byte
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
	return &radiusLine{conn: conn, secret: []byte(secret)}, nil
}

func (l *radiusLine) close() error { return l.conn.Close() }

func (l *radiusLine) ask(user, passcode string) outcome { return l.send(user, passcode, nil) }

func (l *radiusLine) answer(user, code string) outcome { return l.send(user, code, l.state) }

// send asks and waits for the answer.
func (l *radiusLine) send(user, password string, state radius.Attribute) outcome {
	q := radius.New(radius.CodeAccessRequest, l.secret)
	q.Add(rfc2869.MessageAuthenticator_Type, make(radius.Attribute, md5.Size))
	// These cannot fail: the texts are short.
	_ = rfc2865.UserName_SetString(q, user)
	_ = rfc2865.UserPassword_SetString(q, password)
	_ = rfc2865.NASIdentifier_SetString(q, name)
	if state != nil {
		q.Add(rfc2865.State_Type, state)
	}
	packet, err := q.Encode()
	if err != nil {
		return lost
	}
	sign(packet, l.secret, packet[4:20])
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

// mac is where a packet has its Message-Authenticator: we put it first, and so does the server.
const mac = 20 + 2

// sign writes the Message-Authenticator of a packet, whose authenticator is or was the given one.
func sign(packet, secret, authenticator []byte) {
	h := hmac.New(md5.New, secret)
	h.Write(packet[:4])
	h.Write(authenticator)
	h.Write(packet[20:mac])
	h.Write(make([]byte, md5.Size))
	h.Write(packet[mac+md5.Size:])
	h.Sum(packet[mac : mac : mac+md5.Size])
}

// read reads an answer. One that is not to this request is a late copy of an earlier one, or forged.
func (l *radiusLine) read(packet, request []byte) (got outcome, ours bool) {
	if len(packet) < mac+md5.Size || packet[1] != request[1] || radius.Type(packet[20]) != rfc2869.MessageAuthenticator_Type ||
		!radius.IsAuthenticResponse(packet, request, l.secret) {
		return lost, false
	}
	signed := append([]byte(nil), packet...)
	sign(signed, l.secret, request[4:20])
	if !hmac.Equal(signed, packet) {
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
