package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/clock"
	"github.com/tallystick/tallystick/internal/fault"
)

const (
	// period is how often a server looks for messages.
	period = 2 * time.Second
	// abandoned is how long after its beginning a message must have ended. Sending one takes less, whatever goes wrong.
	abandoned = 5 * time.Minute
	// After a failure that will pass, doubled each time, and at most.
	firstPause, longestPause = time.Minute, time.Hour
	// codePause is the first one of a code on demand, for which somebody waits.
	codePause = 10 * time.Second
	// The same where the mail server itself cannot be reached.
	firstWait, longestWait = 10 * time.Second, 10 * time.Minute
)

// A Sender sends what is in the outbox, beside the senders of other servers.
type Sender struct {
	Outbox *Outbox
	Server string // names this server; the same after a restart
	Logger *slog.Logger
	// Tried is told what became of each message that the mail server was given: Waiting is to be tried again. Nil for nobody.
	Tried func(State)
	// Reliable tells whether this server's clock can be relied on now; nil for always.
	Reliable func() bool

	waits   int       // in a row, for a mail server that cannot be reached
	nextAt  time.Time // until then, or until there are other settings
	version int       // of the settings that it waits with
	allowed int       // messages that may be begun before those of the last minute are counted again
}

// Run sends until ctx ends, and finishes what it has begun.
func (s *Sender) Run(ctx context.Context) {
	s.note(ctx, "finding out what became of mail", s.Recover(ctx, true))
	tick := time.NewTicker(period)
	defer tick.Stop()
	for ctx.Err() == nil {
		s.note(ctx, "finding out what became of mail", s.Recover(ctx, false))
		s.note(ctx, "sending mail", s.Once(ctx))
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (s *Sender) note(ctx context.Context, doing string, err error) {
	if err != nil && ctx.Err() == nil {
		s.Logger.ErrorContext(ctx, doing, "error", err)
	}
}

// Recover makes messages unknown that somebody began to send and cannot be sending any more: this server before it started, or another
// one long ago.
func (s *Sender) Recover(ctx context.Context, starting bool) error {
	server := ""
	if starting {
		server = s.Server
	}
	o := s.Outbox
	return o.Store.Transact(ctx, func(ctx context.Context) error {
		lost, err := o.Store.ClaimedMessages(ctx, server, o.Now().Add(-abandoned), clock.Late(o.Now(), 0, s.Reliable))
		if err != nil {
			return err
		}
		for _, m := range lost {
			m.conclude(Unknown, Interrupted, o.Now())
			if err := o.Store.SaveMessage(ctx, m, Sending); err != nil {
				return err
			}
			if err := o.Store.Record(ctx, m.event(ctx, o.Now(), "mail.unknown").Failed(string(m.Trouble))); err != nil {
				return err
			}
			if m.State == Cancelled {
				continue
			}
			s.Logger.WarnContext(ctx, "nobody knows whether a message arrived: an administrator has to decide", "mail", m.ID, "event", m.Event)
		}
		return nil
	})
}

// Once sends what waits and whose time has come. Where a connection breaks, or the mail server has had enough of it, that goes on over another one at once, but
// not if it took no message at all: it may not be able to.
func (s *Sender) Once(ctx context.Context) error {
	for ctx.Err() == nil {
		if more, err := s.visit(ctx); err != nil || !more {
			return err
		}
	}
	return nil
}

// visit is Once over one connection, and tells whether there may be more for another one. The mail server is asked first, so that a message is only begun when it
// can be sent.
func (s *Sender) visit(ctx context.Context) (more bool, err error) {
	o := s.Outbox
	settings, err := o.Settings(ctx)
	if err != nil || !settings.Enabled {
		return false, err
	}
	if settings.Version != s.version {
		s.version, s.waits, s.nextAt = settings.Version, 0, time.Time{}
	}
	if wait := s.nextAt.Sub(o.Now()); wait > 0 && wait <= longestWait { // longer where the clock was set back
		return false, nil
	}
	if due, err := s.due(ctx); err != nil || !due {
		return false, err
	}
	c, _, err := s.dial(ctx, settings)
	if err != nil || c == nil {
		return false, err
	}
	defer c.close()
	var last *ended
	for {
		m, err := s.next(ctx, last, settings)
		if err != nil && last != nil {
			// What is known of the last one shall not be lost with the next. It may have been kept all the same.
			if kept := s.keep(ctx, *last); !errors.Is(kept, fault.Conflict) {
				err = errors.Join(err, kept)
			}
		}
		if err != nil || m == nil {
			return false, err
		}
		out, err := s.send(ctx, c, *m)
		if s.Tried != nil {
			s.Tried(out.state)
		}
		answered := last != nil
		last = &ended{*m, out}
		if err != nil || out.lost || ctx.Err() != nil {
			return answered, errors.Join(err, s.keep(ctx, *last))
		}
	}
}

// keep is finish also when the server ends: what a database that hangs does not keep then, nobody knows.
func (s *Sender) keep(ctx context.Context, e ended) error {
	last, cancel := clock.Ending(ctx)
	defer cancel()
	return s.finish(last, e)
}

// due tells whether there is something to send.
func (s *Sender) due(ctx context.Context) (bool, error) {
	now := s.Outbox.Now().UTC()
	_, err := s.Outbox.Store.DueMessage(ctx, now, s.late(now))
	if errors.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// late is that of [clock.Late] for messages.
func (s *Sender) late(now time.Time) time.Time { return clock.Late(now, longestPause, s.Reliable) }

// dial connects to the mail server; nil, and a trouble, if that does not work now.
func (s *Sender) dial(ctx context.Context, settings Settings) (*connection, Trouble, error) {
	o := s.Outbox
	var password []byte
	if settings.Password {
		var err error
		if password, err = o.Keys.Secret(ctx, passwordName, func() ([]byte, error) { return nil, errors.New("the password of the mail server is gone") }); err != nil {
			return nil, "", err
		}
		defer clear(password)
	}
	c, trouble, err := connect(ctx, settings, password)
	if ctx.Err() != nil {
		c.close()
		return nil, "", ctx.Err()
	}
	if err != nil {
		s.nextAt = o.Now().Add(min(firstWait<<min(s.waits, 16), longestWait))
		s.waits++
		// The words of a mail server may quote what it was sent.
		s.Logger.WarnContext(ctx, "the mail server cannot be used", "trouble", trouble, "host", settings.Host, "port", settings.Port, "next", s.nextAt)
	} else {
		s.waits, s.nextAt = 0, time.Time{}
	}
	if trouble != settings.Trouble {
		if err := o.Store.NoteMailTrouble(ctx, trouble, o.Now().UTC()); err != nil {
			c.close()
			return nil, "", err
		}
	}
	return c, trouble, nil
}

// An ended message is one that the mail server has had.
type ended struct {
	message Message
	result
}

// next finishes the last message and begins another, in one transaction: nil if none is due, or this minute's are sent.
func (s *Sender) next(ctx context.Context, last *ended, settings Settings) (*Message, error) {
	o := s.Outbox
	var begun *Message
	err := o.Store.Transact(ctx, func(ctx context.Context) error {
		begun = nil
		if last != nil {
			if err := s.finish(ctx, *last); err != nil {
				return err
			}
		}
		now := o.Now().UTC()
		if s.allowed <= 0 {
			sent, err := o.Store.MessagesClaimed(ctx, now)
			if err != nil {
				return err
			}
			// Counting takes longer than sending where many were sent: it is done for some at once, fewer and fewer near the limit, which
			// other servers come near too.
			if s.allowed = 0; sent < settings.PerMinute {
				s.allowed = max((settings.PerMinute-sent)/20, 1)
			}
		}
		for {
			m, err := o.Store.DueMessage(ctx, now, s.late(now))
			if errors.Is(err, fault.NotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			if s.allowed == 0 && m.Event != OnDemandCode { // for which somebody waits; each user has few
				return nil
			}
			if !now.Before(m.ExpiresAt) {
				if err := s.tooLate(ctx, m); err != nil {
					return err
				}
				continue
			}
			m.State, m.ClaimedBy, m.ClaimedAt = Sending, s.Server, now
			m.Tries++
			begun = &m
			return o.Store.SaveMessage(ctx, m, Waiting)
		}
	})
	if begun != nil {
		s.allowed = max(s.allowed-1, 0)
	}
	return begun, err
}

// tooLate gives a message up that would tell what is over.
func (s *Sender) tooLate(ctx context.Context, m Message) error {
	m.end(Failed, TooLate, s.Outbox.Now())
	return errors.Join(s.Outbox.Store.SaveMessage(ctx, m, Waiting), s.Outbox.Store.Record(ctx, m.event(ctx, s.Outbox.Now(), "mail.fail").Failed(string(TooLate))))
}

// send opens and sends a message that was begun.
func (s *Sender) send(ctx context.Context, c *connection, m Message) (result, error) {
	b, err := open(ctx, s.Outbox.Keys, m)
	if err != nil {
		return result{state: Failed, trouble: BadMessage}, fmt.Errorf("message %s: %w", m.ID, err)
	}
	defer func() { clear(b.File) }()
	if b.Report != "" {
		if b.File, err = s.Outbox.Report(ctx, b.Report); errors.Is(err, fault.NotFound) {
			return result{state: Failed, trouble: TooLate}, nil
		}
		if err != nil { // of the database: nothing was sent
			return result{state: Waiting, trouble: NotNow, lost: true}, err
		}
	}
	return c.send(m, b), nil
}

// finish keeps what the mail server made of a message, with an event unless it is tried again. The message is read anew: the seed in it may have been destroyed
// while it was being sent, and its body with it. [fault.Conflict] if another server sends it by now: this one was held up for so long that it was given up, and an
// administrator had it sent again.
func (s *Sender) finish(ctx context.Context, e ended) error {
	o := s.Outbox
	return o.Store.Transact(ctx, func(ctx context.Context) error {
		m, err := o.Store.Message(ctx, e.message.ID)
		if err != nil {
			return err
		}
		if m.ClaimedBy != e.message.ClaimedBy {
			return fault.New(fault.Conflict, "message %s is sent by another server by now", m.ID)
		}
		was := Sending
		if m.State == Unknown && e.state != Unknown { // another server gave this one up, as the database hung for so long
			was, m.EndedAt = Unknown, time.Time{}
		}
		now := o.Now().UTC()
		m.Code = e.code
		if e.state == Waiting && m.Sealed.KeyID != 0 {
			first := firstPause
			if m.Event == OnDemandCode {
				first = codePause
			}
			m.State, m.Trouble, m.NextAt = Waiting, e.trouble, now.Add(min(first<<min(m.Tries-1, 16), longestPause))
			return o.Store.SaveMessage(ctx, m, was)
		}
		m.conclude(e.state, e.trouble, now)
		var event audit.Event
		switch e.state {
		case Sent:
			event = m.event(ctx, now, "mail.sent")
		case Unknown:
			event = m.event(ctx, now, "mail.unknown").Failed(string(m.Trouble))
		default:
			event = m.event(ctx, now, "mail.fail").Failed(string(m.Trouble))
		}
		return errors.Join(o.Store.SaveMessage(ctx, m, was), o.Store.Record(ctx, event))
	})
}

// Test sends a message to an address now, past the outbox, and tells what came of it.
func (s *Sender) Test(ctx context.Context, to string) (Trouble, int, error) {
	o := s.Outbox
	settings, err := o.Settings(ctx)
	if err != nil {
		return "", 0, err
	}
	if settings.Host == "" || settings.From == "" {
		return "", 0, fault.New(fault.MailOff, "mail takes a mail server and an address that it comes from: 'tallystick mail settings edit --host HOST --from ADDRESS' says which")
	}
	if err := checkAddress("to be written to", to); err != nil {
		return "", 0, fault.New(fault.Invalid, "a mail address looks like name@example.com")
	}
	t, err := o.Template(ctx, Test, "")
	if err != nil {
		return "", 0, err
	}
	p, err := compile(t)
	if err != nil {
		return "", 0, err
	}
	m, err := o.message(letter{event: Test, recipient: to}, p)
	if err != nil {
		return "", 0, err
	}
	probe := Sender{Outbox: o, Server: s.Server, Logger: s.Logger}
	c, trouble, err := probe.dial(ctx, settings)
	if err != nil {
		return "", 0, err
	}
	defer c.close()
	out := result{state: Waiting, trouble: trouble}
	if c != nil {
		if out, err = s.send(ctx, c, m); err != nil {
			return "", 0, err
		}
	}
	event := audit.New(ctx, o.Now(), "mail.test", "mail:settings", nil)
	if out.state != Sent {
		event = event.Failed(string(out.trouble))
	}
	return out.trouble, out.code, o.Store.Record(ctx, event)
}
