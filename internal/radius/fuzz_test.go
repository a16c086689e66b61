package radius

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"testing"

	"layeh.com/radius"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
)

// A mailbox keeps the answer to a request.
type mailbox struct{ answer []byte }

func (m *mailbox) respond(_ *request, answer []byte) { m.answer = answer }

// FuzzPacket gives octets to the server as they are, and again with a right Message-Authenticator in front of their
// attributes. Whatever they are: it does not break, and an answer is one.
func FuzzPacket(f *testing.F) {
	for _, m := range malformed() {
		f.Add(m.octets)
	}
	for _, state := range []string{"", "SBR-CH 3|1", stateFor("SECURID_NPIN", "vpn1", "127.0.0.1", attempt(0), "1c")} {
		f.Add(login(1, "alice", "123456", attr(24, state), attr(33, "proxy"), attr(31, "station")))
	}
	f.Add(request12(1))
	engine := always(authentication.Decision{Result: authentication.NewPIN, Step: authentication.StepSystemPIN, Attempt: attempt(0), Turn: 2, SystemPIN: "2846"})
	engine.atOnce = true
	off := vpn("vpn1", "127.0.0.1/32")
	off.MessageAuthenticator, off.StripRealm = access.Off, access.RealmSuffix
	h := build(f, engine, off)
	h.with(func(c *Config) {
		c.Copies = 1 // every request is decided anew
		c.Count = nil
	})
	if err := h.Refresh(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		try(t, h, octets)
		if data, wrong := sized(octets); wrong == "" && len(data)+18 <= maxSize {
			try(t, h, sealed(data[0], data[1], data[4:20], data[20:]))
		}
	})
}

func try(t *testing.T, h *house, octets []byte) {
	for _, port := range []Port{Authentication, Accounting} {
		box := &mailbox{}
		h.take(context.Background(), context.Background(), &request{data: octets, port: port, from: source{h.table.Load().byName["vpn1"].Address.Addr(), 1}, received: h.Now(), respond: box})
		if box.answer == nil {
			continue
		}
		if octets, _ := sized(octets); !radius.IsAuthenticResponse(box.answer, octets, []byte(secret)) {
			t.Errorf("the answer to % x is not authentic: % x", octets, box.answer)
		}
		p, err := radius.Parse(box.answer, []byte(secret))
		if err != nil || len(box.answer) > maxSize {
			t.Fatalf("the answer to % x is malformed: % x", octets, box.answer)
		}
		switch {
		case p.Code == radius.CodeAccountingResponse:
		case len(p.Attributes) == 0 || p.Attributes[0].Type != 80:
			t.Errorf("the answer to % x does not begin with Message-Authenticator: % x", octets, box.answer)
		default:
			mac := bytes.Clone(box.answer[22:38])
			b := bytes.Clone(box.answer)
			copy(b[4:20], octets[4:20])
			clear(b[22:38])
			sum := hmac.New(md5.New, []byte(secret))
			sum.Write(b)
			if !hmac.Equal(mac, sum.Sum(nil)) {
				t.Errorf("the answer to % x has a wrong Message-Authenticator: % x", octets, box.answer)
			}
		}
	}
}
