package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

func outgoing(id, serial string) mail.Message {
	return mail.Message{
		ID: id, Event: mail.Distribution, UserID: "alice", Serial: serial, Recipient: "alice@example.com", Job: "j", State: mail.Waiting,
		Sealed: seed.Sealed{KeyID: 1, Blob: []byte("body of " + id)}, CreatedAt: start, NextAt: start, ExpiresAt: start.Add(time.Hour),
	}
}

// never is when no message's time comes.
var never = start.AddDate(1000, 0, 0)

func mails(t *testing.T, s fixture) {
	ctx := t.Context()
	a, b, c := outgoing("a", "1"), outgoing("b", "2"), outgoing("c", "")
	b.NextAt, c.UserID, c.Job = start.Add(time.Minute), "", ""
	ok(t, s.AddMessages(ctx, []mail.Message{a, b, c}))
	refused(t, s.AddMessages(ctx, []mail.Message{outgoing("d", ""), a}), fault.Conflict)
	got, err := s.Message(ctx, "a")
	same(t, must(t, got, err), a)
	_, err = s.Message(ctx, "d")
	refused(t, err, fault.NotFound)
	got, err = s.DueMessage(ctx, start, never)
	same(t, must(t, got, err), a)
	_, err = s.DueMessage(ctx, start.Add(-1*time.Second), never)
	refused(t, err, fault.NotFound)

	backlog, err := s.MailBacklog(ctx)
	same(t, must(t, backlog, err), mail.Backlog{Messages: map[mail.State]int{mail.Held: 0, mail.Waiting: 3, mail.Sending: 0, mail.Failed: 0, mail.Unknown: 0}, Oldest: start})

	a.State, a.Sealed, a.Tries, a.ClaimedBy, a.ClaimedAt, a.EndedAt, a.Code = mail.Sent, seed.Sealed{}, 2, "one", start, start.Add(time.Second), 250
	refused(t, s.SaveMessage(ctx, a, mail.Sending), fault.Conflict)
	ok(t, s.SaveMessage(ctx, a, mail.Waiting))
	for _, tt := range []struct {
		filter mail.Filter
		want   []mail.Message
	}{
		{mail.Filter{}, []mail.Message{c, b, a}}, {mail.Filter{Limit: 2}, []mail.Message{c, b}}, {mail.Filter{Before: "b"}, []mail.Message{a}},
		{mail.Filter{State: mail.Sent}, []mail.Message{a}}, {mail.Filter{UserID: "alice", Limit: 1}, []mail.Message{b}}, {mail.Filter{Serial: "2"}, []mail.Message{b}},
	} {
		all, err := s.Messages(ctx, tt.filter)
		same(t, must(t, all, err), tt.want)
	}
	for at, want := range map[time.Duration]int{-time.Hour: 0, -time.Minute: 1, 0: 1, time.Minute - time.Second: 1, time.Minute: 0} { // the clock was ahead by an hour, or another one is a little
		n, err := s.MessagesClaimed(ctx, start.Add(at))
		same(t, must(t, n, err), want)
	}

	ok(t, s.CancelMessages(ctx, []string{"1", "2"}, mail.Superseded, start))
	b.State, b.Trouble, b.EndedAt, b.Sealed = mail.Cancelled, mail.Superseded, start, seed.Sealed{}
	got, err = s.Message(ctx, "b")
	same(t, must(t, got, err), b)
	got, err = s.Message(ctx, "a")
	same(t, must(t, got, err), a)
	n, err := s.DropMessages(ctx, start.Add(time.Millisecond))
	same(t, must(t, n, err), 1)

	// Whoever is sending one ends it.
	sent := outgoing("f", "2")
	sent.State, sent.ClaimedBy, sent.ClaimedAt = mail.Sending, "three", start.Add(time.Hour)
	ok(t, s.AddMessages(ctx, []mail.Message{sent}))
	ok(t, s.CancelMessages(ctx, []string{"1", "2"}, mail.Superseded, start))
	sent.Trouble, sent.Sealed = mail.Superseded, seed.Sealed{}
	got, err = s.Message(ctx, "f")
	same(t, must(t, got, err), sent)

	c.State, c.ClaimedBy, c.ClaimedAt = mail.Sending, "one", start
	ok(t, s.SaveMessage(ctx, c, mail.Waiting))

	// A code that somebody waits for goes before what has waited for longer, and a code that is tried again after one that is not.
	code, again := outgoing("e", ""), outgoing("g", "")
	code.Event, code.NextAt = mail.OnDemandCode, start.Add(time.Minute)
	again.Event, again.NextAt, again.Tries = mail.OnDemandCode, start.Add(time.Second), 1
	ok(t, s.AddMessages(ctx, []mail.Message{outgoing("d", ""), code, again}))
	for at, want := range map[time.Duration]string{0: "d", time.Second: "g", time.Minute: "e", -2 * time.Hour: "d"} { // the last by a clock that was set back
		due, err := s.DueMessage(ctx, start.Add(at), start.Add(at+time.Hour))
		same(t, must(t, due, err).ID, want)
	}
	for _, tt := range []struct {
		server       string
		before, late time.Time
		want         int
	}{{"one", start, never, 1}, {"two", start, never, 0}, {"", start.Add(time.Second), never, 1}, {"two", start, start.Add(time.Hour), 0}, {"two", start, start, 1}} {
		claimed, err := s.ClaimedMessages(ctx, tt.server, tt.before, tt.late)
		same(t, len(must(t, claimed, err)), tt.want)
	}
}

// What is held for a user is there for her while it is of use and she is enabled, and is cancelled with the rest.
func heldMails(t *testing.T, s fixture) {
	ctx := t.Context()
	ok(t, s.AddUser(ctx, user.User{ID: "alice", Enabled: true, CreatedAt: start, Version: 1}))
	a, b, c := outgoing("a", "1"), outgoing("b", "2"), outgoing("c", "3")
	a.State, b.State, c.UserID, c.State = mail.Held, mail.Held, "bob", mail.Held
	b.ExpiresAt = start.Add(2 * time.Hour)
	ok(t, s.AddMessages(ctx, []mail.Message{a, b, c, outgoing("d", "4")}))
	for at, want := range map[time.Duration][]mail.Message{0: {a, b}, time.Hour: {b}, 2 * time.Hour: nil} {
		held, err := s.HeldMessages(ctx, "alice", start.Add(at))
		same(t, must(t, held, err), want)
	}
	nobody, err := s.HeldMessages(ctx, "bob", start) // of whom there is no record
	same(t, must(t, nobody, err), []mail.Message(nil))
	due, err := s.DueMessage(ctx, start, never)
	same(t, must(t, due, err).ID, "d")
	for limit, want := range map[int][]mail.Message{1: {a}, 9: {a, c}} {
		over, err := s.OverdueMessages(ctx, start.Add(time.Hour), limit)
		same(t, must(t, over, err), want)
	}
	ok(t, s.CancelMessages(ctx, []string{"2"}, mail.Superseded, start))
	got, err := s.Message(ctx, "b")
	same(t, must(t, got, err).State, mail.Cancelled)
	u, err := s.User(ctx, "alice")
	ok(t, err)
	u.Enabled = false
	ok(t, s.SaveUser(ctx, u))
	held, err := s.HeldMessages(ctx, "alice", start)
	same(t, must(t, held, err), []mail.Message(nil))
}

// However many servers begin messages at once, each is begun by one.
func mailsAreBegunOnce(t *testing.T, s fixture) {
	ctx := t.Context()
	const n = 20
	for i := range n {
		ok(t, s.AddMessages(ctx, []mail.Message{outgoing(fmt.Sprintf("%02d", i), "")}))
	}
	var mu sync.Mutex
	var begun []string
	var servers sync.WaitGroup
	for server := range 4 {
		servers.Go(func() {
			for {
				var m mail.Message
				err := s.Transact(ctx, func(ctx context.Context) (err error) {
					if m, err = s.DueMessage(ctx, start, never); err != nil {
						return err
					}
					m.State, m.ClaimedBy, m.ClaimedAt = mail.Sending, fmt.Sprint(server), start
					return s.SaveMessage(ctx, m, mail.Waiting)
				})
				if fault.CodeOf(err) == fault.NotFound {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				begun = append(begun, m.ID)
				mu.Unlock()
			}
		})
	}
	servers.Wait()
	if slices.Sort(begun); len(begun) != n || len(slices.Compact(begun)) != n {
		t.Errorf("begun %v", begun)
	}
}

func mailSettings(t *testing.T, s fixture) {
	ctx := t.Context()
	_, err := s.MailSettings(ctx)
	refused(t, err, fault.NotFound)
	m := mail.Settings{
		Enabled: true, Host: "mail.example.com", Port: 587, Security: mail.STARTTLS, CA: "pem", UserName: "tokens", Password: true, From: "a@example.com",
		ReplyTo: "b@example.com", PerMinute: 60, Notify: []string{"c@example.com"}, ExpiryDays: []int{30, 7},
	}
	ok(t, s.SaveMailSettings(ctx, m))
	refused(t, s.SaveMailSettings(ctx, m), fault.Conflict)
	m.Version = 1
	got, err := s.MailSettings(ctx)
	same(t, must(t, got, err), m)
	ok(t, s.NoteMailTrouble(ctx, mail.Unreachable, start))
	m.Trouble, m.TroubleAt, m.Port = mail.Unreachable, start, 25
	ok(t, s.SaveMailSettings(ctx, m))
	m.Version = 2
	got, err = s.MailSettings(ctx)
	same(t, must(t, got, err), m)

	one := mail.Template{Event: mail.Expiry, Subject: "s", Text: "t", HTML: "h"}
	own := mail.Template{Event: mail.Expiry, Profile: "phone", Subject: "s", Text: "t"}
	ok(t, s.SaveMailTemplate(ctx, own))
	ok(t, s.SaveMailTemplate(ctx, one))
	own.Text = "other"
	ok(t, s.SaveMailTemplate(ctx, own))
	all, err := s.MailTemplates(ctx)
	same(t, must(t, all, err), []mail.Template{one, own})
	ok(t, s.DeleteMailTemplate(ctx, mail.Expiry, "phone"))
	refused(t, s.DeleteMailTemplate(ctx, mail.Expiry, "phone"), fault.NotFound)
}

// A user can sign in whom a directory has brought, who has a passcode without a token, or a token that works.
func usersUnableToSignIn(t *testing.T, s fixture) {
	ctx := t.Context()
	want, all := []string{}, []string{"nobody"}
	add := func(id string, unable bool) {
		t.Helper()
		s.addUser(t, id)
		if all = append(all, id); unable {
			want = append(want, id)
		}
	}
	add("a bare", true)
	n := 0
	for id, tt := range map[string]struct {
		unable bool
		change func(*token.Token)
	}{
		"b confirmed":    {false, func(r *token.Token) { r.Distribution, r.DistributedAt = token.Confirmed, start }},
		"c used":         {false, func(r *token.Token) { r.DistributedAt, r.Current.LastUsedAt = start, start.Add(time.Hour) }},
		"d by another":   {true, func(r *token.Token) { r.DistributedAt, r.Current.LastUsedAt = start, start.Add(-time.Hour) }},
		"e issued":       {true, func(r *token.Token) { r.Distribution, r.DistributedAt = token.Issued, start }},
		"f imported":     {false, func(r *token.Token) { r.Origin = token.Imported }},
		"g hardware":     {false, func(r *token.Token) { r.Hardware = true }},
		"h made here":    {true, func(*token.Token) {}},
		"i disabled":     {true, func(r *token.Token) { r.Hardware, r.Enabled = true, false }},
		"j expired":      {true, func(r *token.Token) { r.Hardware, r.EffectiveExpiry = true, day(-1) }},
		"k last day":     {false, func(r *token.Token) { r.Hardware, r.EffectiveExpiry = true, day(0) }},
		"l lost":         {true, func(r *token.Token) { r.Hardware, r.LostAt = true, start }},
		"m has a code":   {false, func(r *token.Token) { r.LostAt, r.Emergency = start, &token.Emergency{} }},
		"n imported was": {true, func(r *token.Token) { r.Origin, r.DistributedAt = token.Imported, start }},
	} {
		add(id, tt.unable)
		n++
		r := made(n)
		r.UserID, r.AssignedAt, r.Enabled, r.EffectiveExpiry = id, start, true, day(9)
		tt.change(&r)
		s.add(t, r)
	}
	add("x passcode", true) // the page takes a passcode of a token
	add("y codes by mail", true)
	ok(t, s.Settle(ctx, authentication.Settlement{Guards: []authentication.Guard{{UserID: "x passcode", Fixed: []byte("hash")}, {UserID: "y codes by mail", OnDemand: &authentication.OnDemandPIN{Hash: []byte("a PIN")}}}}))
	add("z brought", false)
	ok(t, s.AddDirectory(ctx, directory.Directory{Name: "staff", Kind: directory.OpenLDAP, CreatedAt: start, Version: 1}))
	ok(t, s.SavePeople(ctx, "staff", []directory.Person{{UserID: "z brought", DN: "uid=z"}}))
	unable, err := s.UnableToSignIn(ctx, all, day(0))
	slices.Sort(want)
	same(t, must(t, unable, err), want)
	ok(t, s.DeleteDirectory(ctx, "staff"))
	unable, err = s.UnableToSignIn(ctx, all, day(0))
	want = append(want, "z brought")
	slices.Sort(want)
	same(t, must(t, unable, err), want)
}

func expiryNotices(t *testing.T, s fixture) {
	ctx := t.Context()
	s.addUser(t, "alice")
	u, err := s.User(ctx, "alice")
	ok(t, err)
	u.Mail = "alice@example.com"
	ok(t, s.SaveUser(ctx, u))
	s.addUser(t, "bob") // has no address
	hold := func(n int, user string, ends time.Time, state token.Distribution) {
		r := made(n)
		r.UserID, r.Enabled, r.EffectiveExpiry, r.Distribution = user, true, ends, state
		s.add(t, r)
	}
	elsewhere := made(7) // in use though nobody distributed it here
	elsewhere.UserID, elsewhere.Enabled, elsewhere.EffectiveExpiry, elsewhere.Origin = "alice", true, day(6), token.Imported
	s.add(t, elsewhere)
	hold(1, "alice", day(5), token.Confirmed)
	hold(2, "alice", day(3), token.Issued)
	hold(3, "alice", day(40), token.Confirmed) // later
	hold(4, "alice", day(-1), token.Confirmed) // over
	hold(5, "alice", day(5), token.NotDistributed)
	hold(6, "bob", day(5), token.Confirmed)
	hold(8, "alice", day(0), token.Confirmed) // its last day
	hold(9, "alice", day(7), token.Confirmed)
	hold(10, "alice", day(8), token.Confirmed)
	expiring := func(days int) []string {
		t.Helper()
		var serials []string
		for after := (mail.Holder{}); ; { // page by page
			found, err := s.ExpiringHolders(ctx, day(0), days, after, 2)
			for _, h := range must(t, found, err) {
				serials, after = append(serials, h.Serial), h
			}
			if len(found) < 2 {
				return serials
			}
		}
	}
	const today, third, fifth, seventh, eighth = "000000000008", "000000000002", "000000000001", "000000000009", "000000000010"
	same(t, expiring(7), []string{today, third, fifth, elsewhere.Serial, seventh})
	same(t, expiring(0), []string{today})
	for last, want := range map[time.Time]int{day(-1): 0, day(0): 5} { // nobody is told of a token who may not use it any more
		u, err = s.User(ctx, "alice")
		ok(t, err)
		u.Expiry = last
		ok(t, s.SaveUser(ctx, u))
		same(t, len(expiring(7)), want)
	}
	u, err = s.User(ctx, "alice")
	ok(t, err)
	u.Expiry = time.Time{}
	ok(t, s.SaveUser(ctx, u))
	held, err := s.Holders(ctx, []string{"000000000001", "000000000002", "000000000099"})
	if len(must(t, held, err)) != 2 || held[0].Waiting || !held[1].Waiting || held[0].Mail != "alice@example.com" || held[0].UserID != "alice" || !held[0].Expiry.Equal(day(5)) {
		t.Errorf("held %+v", held)
	}
	ok(t, s.AddNotices(ctx, held[:1], 7))
	ok(t, s.AddNotices(ctx, []mail.Holder{{Serial: elsewhere.Serial, UserID: "alice", Expiry: day(6)}, {Serial: today, UserID: "alice", Expiry: day(0)}, {Serial: seventh, UserID: "alice", Expiry: day(7)}}, 7))
	refused(t, s.AddNotices(ctx, held, 7), fault.Conflict)
	same(t, expiring(7), []string{third})
	same(t, expiring(30), []string{third, eighth}) // who was told of 7 days is not told of 30
	ok(t, s.AddNotices(ctx, held[1:], 30))
	same(t, expiring(30), []string{eighth})
	same(t, expiring(7), []string{third}) // but the other way round
	s.addUser(t, "carol")
	u, err = s.User(ctx, "carol")
	ok(t, err)
	u.Mail, u.Enabled, u.Expiry = "carol@example.com", true, day(20)
	ok(t, s.SaveUser(ctx, u))
	s.change(t, fifth, func(r *token.Token) { r.UserID = "carol" })
	same(t, expiring(7), []string{third, fifth}) // nobody told her of it
	held, err = s.Holders(ctx, []string{fifth})
	if len(must(t, held, err)) != 1 || !held[0].Enabled || !held[0].LastDay.Equal(day(20)) {
		t.Errorf("held %+v", held)
	}

	reminder := outgoing("r", "000000000002")
	reminder.Event = mail.Reminder
	ok(t, s.AddMessages(ctx, []mail.Message{reminder}))
	reminded, err := s.RemindedSince(ctx, []string{"000000000001", "000000000002"}, start.Add(-time.Second))
	same(t, must(t, reminded, err), []string{"000000000002"})
}

func passcodeTries(t *testing.T, s fixture) { tries(t, s, s.TryPasscode, s.ForgetPasscodes) }

func passwordTries(t *testing.T, s fixture) { tries(t, s, s.TryDirectory, s.ForgetTries) }

func tries(t *testing.T, s fixture, count func(ctx context.Context, userID string, now, from time.Time, most int) (bool, error), forget func(ctx context.Context, userID string, all bool) error) {
	ctx := t.Context()
	s.addUser(t, "alice")
	try := func(at time.Duration, most int) bool {
		now := start.Add(at)
		may, err := count(ctx, "alice", now, now.Add(-24*time.Hour), most)
		return must(t, may, err)
	}
	if try(0, 0) {
		t.Error("a try where none may be made")
	}
	var made atomic.Int32
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if try(0, 2) {
				made.Add(1)
			}
		})
	}
	all.Wait()
	same(t, int(made.Load()), 2)
	same(t, []bool{try(23*time.Hour, 3), try(46*time.Hour, 3)}, []bool{true, false}) // no more than three in any 24 hours
	same(t, try(47*time.Hour, 3), true)
	same(t, []bool{try(48*time.Hour, 2), try(48*time.Hour, 2)}, []bool{true, false})
	ok(t, forget(ctx, "alice", true))
	same(t, []bool{try(48*time.Hour, 1), try(48*time.Hour, 2)}, []bool{true, true})
	ok(t, forget(ctx, "alice", false)) // one of two
	same(t, []bool{try(48*time.Hour, 1), try(48*time.Hour, 2)}, []bool{false, true})
	for range 3 {
		ok(t, forget(ctx, "alice", false))
	}
	same(t, []bool{try(48*time.Hour, 1), try(48*time.Hour, 1)}, []bool{true, false})
}
