package mail_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime/quotedprintable"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/user"
)

func decoded(t testing.TB, encoding string, body io.Reader) []byte {
	switch strings.ToLower(encoding) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		t.Error(err)
	}
	return content
}

// actions counts the events of mail.
func (s *site) actions() map[string]int {
	s.Helper()
	page, err := s.db.Events(s.Context(), audit.Filter{Action: "mail.*", Limit: 1000})
	s.ok(err)
	count := map[string]int{}
	for _, e := range page.Entries {
		event, err := audit.ParseRecord(e.Record)
		s.ok(err)
		count[strings.TrimRight(event.Action+" "+event.Reason, " ")]++
	}
	return count
}

// A file goes over STARTTLS, after a login, as it is; its body is erased then, and it is not sent again.
func TestFileByMail(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		o := open(t, true)
		s.uses(o)
		ids := s.delivers(func(*parcel) {})
		s.sends("one")
		s.Pass(time.Hour)
		s.sends("one")
		got := o.mails()
		if len(got) != 1 || len(ids) != 1 {
			t.Fatalf("%d messages, %d sent", len(ids), len(got))
		}
		m := got[0]
		if m.to != "alice@example.com" || m.from != `"Tokens" <tokens@example.com>` || m.id != "<"+ids[0]+"@tallystick>" || m.subject != "Your token 000123456789" ||
			m.fileName != "alice_000123456789.sdtid" || string(m.file) != "<TKNBatch>the file</TKNBatch>" {
			t.Errorf("got %+v", m)
		}
		if !strings.Contains(m.text, "Hello Alice <Example> & Söhne,") || !strings.Contains(m.html, "Hello Alice &lt;Example&gt; &amp; Söhne,") ||
			!strings.Contains(m.text, "You get the password from your administrator.") || strings.Contains(m.text+m.html, "file password") || strings.Contains(m.text, "\n\n\n") {
			t.Errorf("it says %s\n%s", m.text, m.html)
		}
		if sent := s.is(ids[0], mail.Sent, ""); sent.Sealed.KeyID != 0 || sent.Tries != 1 || sent.Code != 250 || sent.EndedAt.IsZero() {
			t.Errorf("kept %+v", sent)
		}
		if n := s.actions(); n["mail.sent"] != 1 {
			t.Errorf("%v", n)
		}
	})
}

// knows adds a user.
func (s *site) knows(id, address string) {
	s.Helper()
	s.ok(s.db.AddUser(s.Context(), user.User{ID: id, Mail: address, Enabled: true, CreatedAt: s.Now(), Version: 1}))
}

// moves gives a user another address.
func (s *site) moves(id, address string) {
	s.Helper()
	u, err := s.db.User(s.Context(), id)
	s.ok(err)
	u.Mail = address
	s.ok(s.db.SaveUser(s.Context(), u))
}

// addressed is the address in the last event of an action.
func (s *site) addressed(action string) string {
	s.Helper()
	page, err := s.db.Events(s.Context(), audit.Filter{Action: action, Limit: 100})
	s.ok(err)
	event, err := audit.ParseRecord(page.Entries[len(page.Entries)-1].Record)
	s.ok(err)
	to, _ := event.Details["to"].(string)
	return to
}

// What the mail server refuses for good fails, what it refuses for a while is tried again, and neither holds up the others.
func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		o := open(t, true)
		s.uses(o)
		to := func(n int, name string) string {
			return s.delivers(func(d *parcel) { d.Serial, d.User.Mail = fmt.Sprintf("00000000000%d", n), name+"@example.com" })[0]
		}
		o.says(func(to string) error {
			switch name, _, _ := strings.Cut(to, "@"); name {
			case "never":
				return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
			case "later":
				return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "try later"}
			}
			return nil
		}, nil)
		never, later, now := to(1, "never"), to(2, "later"), to(3, "now")
		for range 3 {
			s.sends("one")
		}
		if m := s.is(never, mail.Failed, mail.Refused); m.Code != 550 || m.Sealed.KeyID == 0 {
			t.Errorf("never: %+v", m)
		}
		if m := s.is(later, mail.Waiting, mail.NotNow); m.Code != 451 || m.Tries != 1 || !m.NextAt.Equal(s.Now().Add(time.Minute)) {
			t.Errorf("later: %+v", m)
		}
		s.is(now, mail.Sent, "")
		s.Pass(time.Minute)
		s.sends("two")
		if m := s.message(later); m.Tries != 2 || !m.NextAt.Equal(s.Now().Add(2*time.Minute)) {
			t.Errorf("later: %+v", m)
		}
		o.says(nil, nil)
		s.knows("alice", "")
		_, err := s.outbox.Resend(t.Context(), never)
		refused(t, err, fault.MailMissing)
		s.is(never, mail.Failed, mail.Refused)
		s.moves("alice", "alice@new.example.com")
		again, err := s.outbox.Resend(t.Context(), never)
		s.ok(err)
		if to := s.addressed("mail.resend"); again.Recipient != "alice@new.example.com" || to != "alice@new.example.com" {
			t.Errorf("it goes to %s, and the log says to %s", again.Recipient, to)
		}
		s.Pass(2 * time.Minute)
		s.sends("one")
		s.is(never, mail.Sent, "")
		s.is(later, mail.Sent, "")
		if got := o.mails(); len(got) != 3 || !slices.ContainsFunc(got, func(m received) bool { return m.to == "alice@new.example.com" }) {
			t.Errorf("%d arrived", len(got))
		}
		if n := s.actions(); n["mail.sent"] != 3 || n["mail.fail REFUSED"] != 1 || n["mail.resend"] != 1 {
			t.Errorf("%v", n)
		}
	})
}

// Mailboxes that take nothing for now hold nobody up: not the codes that others wait for, though theirs are tried again, nor the rest of the mail.
func TestMailboxesThatAnswerNotNow(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		o := open(t, true)
		s.uses(o)
		codes := func(name string, n int) (ids []string) {
			for i := range n {
				id := fmt.Sprintf("%s%d", name, i)
				s.knows(id, id+"@example.com")
				s.ok(s.outbox.SendCode(t.Context(), id, "12345678", s.Now().Add(time.Hour)))
				all, err := s.outbox.List(t.Context(), mail.Filter{UserID: id})
				s.ok(err)
				ids = append(ids, all[0].ID)
			}
			return ids
		}
		var asked []string
		fills := func() {
			asked = nil
			o.says(func(to string) error {
				asked = append(asked, to)
				if strings.HasPrefix(to, "full") {
					return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "mailbox full"}
				}
				return nil
			}, nil)
		}
		fills()
		full := codes("full", 3)
		s.sends("one")
		s.Pass(10 * time.Second)
		fresh, other := codes("fresh", 1)[0], s.delivers(func(*parcel) {})[0]
		fills()
		s.sends("one")
		for _, id := range full {
			if m := s.is(id, mail.Waiting, mail.NotNow); m.Tries != 2 {
				t.Errorf("tried %d times", m.Tries)
			}
		}
		s.is(fresh, mail.Sent, "")
		s.is(other, mail.Sent, "")
		if visits := o.visits(); visits != 2 || len(asked) != 5 || asked[0] != "fresh0@example.com" {
			t.Errorf("asked for %v, over %d connections", asked, visits)
		}
	})
}

// A mail server that takes so many messages over one connection gets the others over another one, but is not pressed while it takes none.
func TestConnectionsThatEnd(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		o := open(t, true)
		s.uses(o)
		enough := &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "too many messages over this connection"}
		n := 0
		o.says(func(string) error {
			if n++; n%3 == 0 {
				return enough
			}
			return nil
		}, nil)
		for i := range 7 {
			s.delivers(func(p *parcel) { p.Serial = fmt.Sprintf("%012d", i) })
		}
		s.sends("one")
		if got := len(o.mails()); got != 5 || o.visits() != 3 {
			t.Errorf("%d of 7 arrived over %d connections", got, o.visits())
		}
		n = 0
		o.says(func(string) error { n++; return enough }, nil)
		s.Pass(time.Minute)
		s.sends("one")
		if got := len(o.mails()); got != 5 || n != 1 {
			t.Errorf("asked %d times while it takes nothing, and %d arrived", n, got)
		}
	})
}

// A message whose end nobody knows is not sent again until an administrator says so: the connection breaks after it was sent, or the
// server dies in the middle.
func TestUnknown(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		o := open(t, true)
		s.uses(o)
		broken := s.delivers(func(*parcel) {})[0]
		o.says(nil, func() error {
			o.server.Close() // with all its connections, before the answer
			return nil
		})
		s.ok(s.sender("one").Once(t.Context()))
		s.is(broken, mail.Unknown, mail.Interrupted)

		o = open(t, true)
		s.uses(o)
		died := s.delivers(func(d *parcel) { d.Serial = "000000000002" })[0]
		claim(s, died, "one")
		for range 3 {
			s.Pass(time.Minute)
			s.sends("two")
			s.ok(s.sender("two").Recover(t.Context(), true))
		}
		s.is(died, mail.Sending, "") // the other one may still be at it
		s.ok(s.sender("one").Recover(t.Context(), true))
		s.is(died, mail.Unknown, mail.Interrupted)
		abandoned := s.delivers(func(d *parcel) { d.Serial = "000000000003" })[0]
		claim(s, abandoned, "one")
		s.Pass(6 * time.Minute)
		s.ok(s.sender("two").Recover(t.Context(), false))
		s.is(abandoned, mail.Unknown, mail.Interrupted)
		s.sends("two")
		if got := o.mails(); len(got) != 0 {
			t.Errorf("sent again without being asked: %+v", got)
		}
		s.knows("alice", "alice@example.com")
		for _, id := range []string{broken, died} {
			_, err := s.outbox.Resend(t.Context(), id)
			s.ok(err)
		}
		_, err := s.outbox.Cancel(t.Context(), abandoned)
		s.ok(err)
		s.sends("two")
		if got := o.mails(); len(got) != 2 {
			t.Errorf("%d arrived after resending", len(got))
		}
		if m := s.is(abandoned, mail.Cancelled, mail.Withdrawn); m.Sealed.KeyID != 0 {
			t.Error("the body of a cancelled message is still there")
		}
		if n := s.actions(); n["mail.unknown INTERRUPTED"] != 3 || n["mail.resend"] != 2 || n["mail.cancel"] != 1 {
			t.Errorf("%v", n)
		}
	})
}

// What a server was sending by a clock that was ahead, when it was killed, does not stay so until the time that the clock had shown.
func TestUnknownOfOneWhoseClockWasAhead(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		s.uses(open(t, true))
		died := s.delivers(func(*parcel) {})[0]
		s.Pass(365 * 24 * time.Hour)
		claim(s, died, "one")
		s.Pass(-365 * 24 * time.Hour)
		behind := s.sender("two")
		behind.Reliable = func() bool { return false }
		s.ok(behind.Recover(t.Context(), false))
		s.is(died, mail.Sending, "")
		s.ok(s.sender("two").Recover(t.Context(), false))
		s.is(died, mail.Unknown, mail.Interrupted)
	})
}

// A server that was held up for longer than a message may take says nothing of it once another one sends it.
func TestHeldUpWhileAnotherOneSends(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		o := open(t, true)
		s.uses(o)
		s.knows("alice", "alice@example.com")
		id := s.delivers(func(*parcel) {})[0]
		o.says(nil, func() error {
			s.Pass(6 * time.Minute)
			s.ok(s.sender("two").Recover(t.Context(), false))
			_, err := s.outbox.Resend(t.Context(), id)
			s.ok(err)
			claim(s, id, "two")
			return nil
		})
		refused(t, s.sender("one").Once(t.Context()), fault.Conflict)
		if m := s.is(id, mail.Sending, ""); m.ClaimedBy != "two" || m.Sealed.KeyID == 0 {
			t.Errorf("kept: %+v", m)
		}
		if n := s.actions(); n["mail.sent"] != 0 {
			t.Errorf("%v", n)
		}
	})
}

// A server that was held up for as long, and knows what became of a message that is unknown by now, says so.
func TestHeldUpAndKnowsBetter(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		o := open(t, true)
		s.uses(o)
		heldUp := func(answer error) string {
			id := s.delivers(func(*parcel) {})[0]
			o.says(nil, func() error {
				s.Pass(6 * time.Minute)
				s.ok(s.sender("two").Recover(t.Context(), false))
				s.is(id, mail.Unknown, mail.Interrupted)
				return answer
			})
			s.ok(s.sender("one").Once(t.Context()))
			return id
		}
		s.is(heldUp(nil), mail.Sent, "")
		if m := s.message(heldUp(&smtp.SMTPError{Code: 451, Message: "later"})); m.State != mail.Waiting || !m.EndedAt.IsZero() {
			t.Errorf("%+v", m)
		}
	})
}

// A token that gets another seed while the old one is being sent: unless the mail server took that message, it is over, also for whoever would send it again.
func TestSupersededWhileSending(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		o := open(t, true)
		s.uses(o)
		s.knows("alice", "alice@example.com")
		over := func(id, what string) {
			t.Helper()
			if m := s.is(id, mail.Cancelled, mail.Superseded); m.Sealed.KeyID != 0 || m.EndedAt.IsZero() {
				t.Errorf("%s: kept %+v", what, m)
			}
			_, err := s.outbox.Resend(t.Context(), id)
			refused(t, err, fault.Conflict)
		}
		for i, answer := range []error{&smtp.SMTPError{Code: 451, Message: "try later"}, &smtp.SMTPError{Code: 550, Message: "no"}, nil} {
			serial := fmt.Sprintf("%012d", i)
			old := s.delivers(func(p *parcel) { p.Serial = serial })[0]
			var again []string
			o.says(nil, func() error {
				if again == nil {
					p := delivery()
					p.Serial, p.Again = serial, true
					var err error
					if again, err = s.deliver(p); err != nil {
						t.Error(err)
					}
					return answer
				}
				return nil
			})
			for range 2 {
				s.sends("one")
				s.Pass(time.Hour)
			}
			if answer == nil {
				s.is(old, mail.Sent, "")
			} else {
				over(old, answer.Error())
			}
			s.is(again[0], mail.Sent, "")
		}
		killed := s.delivers(func(p *parcel) { p.Serial = "000000000009" })[0]
		claim(s, killed, "one")
		s.delivers(func(p *parcel) { p.Serial = "000000000009" })
		s.ok(s.sender("one").Recover(t.Context(), true))
		over(killed, "killed")
		if strings.Contains(s.logged.String(), killed) {
			t.Error("an administrator is asked to decide about what is over")
		}
		kept := s.delivers(func(p *parcel) { p.Generation = 1 })[0] // as releases before kept it: the token has no such seed any more
		claim(s, kept, "one")
		s.ok(s.sender("one").Recover(t.Context(), true))
		s.is(kept, mail.Unknown, mail.Interrupted)
		_, err := s.outbox.Resend(t.Context(), kept)
		refused(t, err, fault.Conflict)
		if n := s.actions(); n["mail.fail SUPERSEDED"] != 2 || n["mail.unknown SUPERSEDED"] != 1 || n["mail.resend"] != 0 {
			t.Errorf("%v", n)
		}
	})
}

// claim begins a message as a server does, and goes no further: that server was killed.
func claim(s *site, id, server string) {
	s.Helper()
	m := s.message(id)
	m.State, m.ClaimedBy, m.ClaimedAt = mail.Sending, server, s.Now()
	s.ok(s.db.SaveMessage(s.Context(), m, mail.Waiting))
}

// However many servers send at once, each message arrives once.
func TestTwoServersSend(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		o := open(t, true)
		s.uses(o)
		const n = 40
		for i := range n {
			s.delivers(func(d *parcel) { d.Serial = fmt.Sprintf("%012d", i) })
		}
		var servers sync.WaitGroup
		for _, name := range []string{"one", "two", "three"} {
			servers.Go(func() {
				if err := s.sender(name).Once(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		servers.Wait()
		var ids []string
		for _, m := range o.mails() {
			ids = append(ids, m.id)
		}
		if slices.Sort(ids); len(ids) != n || len(slices.Compact(ids)) != n {
			t.Errorf("%d messages arrived, want %d", len(ids), n)
		}
		if n := s.actions(); n["mail.sent"] != 40 {
			t.Errorf("%v", n)
		}
	})
}

// A mail server that cannot be used costs no message a try, is asked more and more seldom, and its trouble is told.
func TestNoMailServer(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	o, plain := open(t, true), open(t, false)
	s.uses(o)
	id := s.delivers(func(*parcel) {})[0]
	wrong := "another password"
	for _, tt := range []struct {
		want   mail.Trouble
		change func(*mail.Settings)
	}{
		{mail.Unreachable, func(m *mail.Settings) { m.Port = 1 }},
		{mail.Untrusted, func(m *mail.Settings) { m.Port, m.CA = o.port, "" }},
		{mail.NoTLS, func(m *mail.Settings) { m.Port, m.CA = plain.port, o.authority }},
		{mail.BadLogin, func(m *mail.Settings) { m.Port = o.port }},
	} {
		password := loginPassword
		if tt.want == mail.BadLogin {
			password = wrong
		}
		_, err := s.outbox.EditSettings(t.Context(), 0, &password, tt.change)
		s.ok(err)
		sender := s.sender("one")
		s.ok(sender.Once(t.Context()))
		s.ok(sender.Once(t.Context())) // too early
		if got, err := s.outbox.Settings(t.Context()); got.Trouble != tt.want || !got.TroubleAt.Equal(s.Now()) || err != nil {
			t.Errorf("trouble %s %v, want %s", got.Trouble, err, tt.want)
		}
		if m := s.is(id, mail.Waiting, ""); m.Tries != 0 {
			t.Errorf("after %s: %+v", tt.want, m)
		}
		if trouble, _, err := sender.Test(t.Context(), "admin@example.com"); trouble != tt.want || err != nil {
			t.Errorf("the test says %s %v, want %s", trouble, err, tt.want)
		}
	}
	if strings.Contains(s.logged.String(), wrong) || !strings.Contains(s.logged.String(), string(mail.BadLogin)) {
		t.Errorf("logged %s", s.logged.String())
	}
	s.uses(o)
	if trouble, code, err := s.sender("one").Test(t.Context(), "admin@example.com"); trouble != "" || code != 250 || err != nil {
		t.Errorf("the test says %s %d %v", trouble, code, err)
	}
	s.sends("one")
	s.is(id, mail.Sent, "")
	if got, err := s.outbox.Settings(t.Context()); got.Trouble != "" || err != nil {
		t.Errorf("trouble %s %v", got.Trouble, err)
	}
}

// Mail that is off or limited waits; what nobody could use any more is not sent.
func TestWaiting(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	o := open(t, true)
	s.uses(o)
	s.sets(func(m *mail.Settings) { m.PerMinute = 2 })
	var ids []string
	for i := range 5 {
		ids = append(ids, s.delivers(func(d *parcel) { d.Serial = fmt.Sprintf("%012d", i) })...)
	}
	late := s.delivers(func(d *parcel) {
		d.Method, d.CTKIPURL, d.ActivationCode, d.ActivationExpires, d.Secret = "ctkip", "https://tokens.example.com/ctkip", "123456789012", s.Now().Add(time.Minute), mail.ByMail
	})
	if len(late) != 2 {
		t.Fatalf("%d messages", len(late))
	}
	for n := range 3 {
		s.sends("one")
		s.sends("two")
		if got := len(o.mails()); got != min(5, 2*(n+1)) {
			t.Errorf("%d sent in minute %d", got, n+1)
		}
		s.Pass(61 * time.Second)
	}
	for _, id := range late {
		if m := s.is(id, mail.Failed, mail.TooLate); m.Sealed.KeyID != 0 {
			t.Error("the body of a message that is too late is still there")
		}
	}
	_, err := s.outbox.Resend(t.Context(), late[0])
	refused(t, err, "CONFLICT")
	s.sets(func(m *mail.Settings) { m.Enabled = false })
	_, err = s.deliver(delivery())
	refused(t, err, "MAIL_OFF")
	s.Pass(mail.Kept + time.Hour)
	s.ok(s.outbox.Forget(t.Context()))
	if _, err := s.outbox.Get(t.Context(), ids[0]); err == nil {
		t.Error("what ended long ago is still there")
	}
}

// Mail goes on where the clock was ahead and is set back: by the time that it showed, this minute's messages are sent, the mail server is left alone, and
// messages are put off, for a day.
func TestSendingAfterTheClockWasSetBack(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	o := open(t, true)
	s.uses(o)
	s.sets(func(m *mail.Settings) { m.PerMinute = 1 })
	sender := s.sender("one")
	s.delivers(func(d *parcel) { d.Serial = "000000000001" })
	s.ok(sender.Once(t.Context()))
	s.delivers(func(d *parcel) { d.Serial = "000000000002" }) // beyond the limit of this minute
	s.ok(sender.Once(t.Context()))
	s.Pass(-24 * time.Hour)
	sender.Reliable = func() bool { return false }
	s.ok(sender.Once(t.Context())) // or it is behind: the time comes by another server's clock
	if got := len(o.mails()); got != 1 {
		t.Errorf("%d messages sent, and not 1, by a clock that may be behind", got)
	}
	sender.Reliable = nil
	s.ok(sender.Once(t.Context()))
	if got := len(o.mails()); got != 2 {
		t.Errorf("%d messages sent, and not 2, after the clock was set back", got)
	}
	s.delivers(func(d *parcel) { d.Serial = "000000000003" })
	s.Pass(time.Hour)
	o.shuts(true)
	s.ok(sender.Once(t.Context()))
	o.shuts(false)
	s.Pass(-24 * time.Hour)
	s.ok(sender.Once(t.Context()))
	if got := len(o.mails()); got != 3 {
		t.Errorf("%d messages sent, and not 3, after the clock was set back while the mail server was left alone", got)
	}
}

// A server that stops finishes the message that it has begun.
func TestStopping(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	o := open(t, true)
	s.uses(o)
	ids := append(s.delivers(func(*parcel) {}), s.delivers(func(d *parcel) { d.Serial = "000000000002" })...)
	ctx, stop := context.WithCancel(t.Context())
	o.says(nil, func() error { stop(); return nil })
	s.sender("one").Run(ctx)
	s.is(ids[0], mail.Sent, "")
	s.is(ids[1], mail.Waiting, "")
}
