package radius

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
)

// A move is one request of a dialogue, what the engine decides of it, and the answer that must come.
type move struct {
	typed  string
	answer authentication.Answer // what the engine must be asked; without Attempt it is the first request
	engine authentication.Decision
	code   byte
	text   string
	tag    string
	echo   bool
}

// The dialogues of spec/radius.md section 3, octet by octet.
func TestDialogues(t *testing.T) {
	expires := time.Date(2026, 11, 24, 9, 3, 0, 0, time.UTC)
	asks := func(result authentication.Result, step authentication.Step, turn int) authentication.Decision {
		return authentication.Decision{Result: result, Step: step, Attempt: attempt(0), Turn: turn, Expires: expires,
			PIN: authentication.PINRules{Min: 4, Max: 8}}
	}
	turn := func(n int, text string) authentication.Answer {
		return authentication.Answer{Attempt: attempt(0), Turn: n, UserID: "alice", Text: text}
	}
	choice := turn(1, "y")
	choice.Step = authentication.StepChoose
	newPIN := func(n int) authentication.Decision {
		return asks(authentication.NewPIN, authentication.StepNewPIN, n)
	}
	bad, differ, shown := newPIN(2), newPIN(3), asks(authentication.NewPIN, authentication.StepSystemPIN, 2)
	bad.Rejected, differ.Rejected, shown.SystemPIN = "it was used before", authentication.PINMismatch, "2846"
	const ask = "Enter a new PIN having from 4 to 8 digits: "
	const wait = "PIN Accepted.\r\nWait for the token code to change,\r\nthen enter the new passcode: "
	for name, moves := range map[string][]move{
		"1 accepted": {{typed: "1234567890", engine: accept, code: 2}},
		"1 denied":   {{typed: "0000", engine: deny, code: 3, text: "Access denied."}},
		"2 next tokencode": {
			{typed: "123456", engine: asks(authentication.NextTokencode, authentication.StepNextTokencode, 1), code: 11, text: "Wait for token to change,\r\nthen enter the next tokencode: ", tag: "SECURID_NEXT"},
			{typed: "654321", answer: turn(1, "654321"), engine: accept, code: 2},
		},
		"2 wrong next tokencode": {
			{typed: "123456", engine: asks(authentication.NextTokencode, authentication.StepNextTokencode, 1), code: 11, text: "Wait for token to change,\r\nthen enter the next tokencode: ", tag: "SECURID_NEXT"},
			{typed: "654322", answer: turn(1, "654322"), engine: deny, code: 3, text: "Access denied."},
		},
		"3 new PIN": {
			{typed: "123456", engine: newPIN(1), code: 11, text: ask, tag: "SECURID_NPIN"},
			{typed: "1111", answer: turn(1, "1111"), engine: bad, code: 11, text: "PIN Rejected. it was used before\r\n" + ask, tag: "SECURID_NPIN"},
			{typed: "2846", answer: turn(2, "2846"), engine: differ, code: 11, text: "PINs do not match. Please try again.\r\n" + ask, tag: "SECURID_NPIN"},
			{typed: "2846", answer: turn(3, "2846"), engine: asks(authentication.NewPIN, authentication.StepRepeatPIN, 4), code: 11, text: "Please re-enter new PIN: ", tag: "SECURID_NPIN"},
			{typed: "2846", answer: turn(4, "2846"), engine: asks(authentication.NewPIN, authentication.StepReauthenticate, 5), code: 11, text: wait, tag: "SECURID_WAIT"},
			{typed: "2846123456", answer: turn(5, "2846123456"), engine: accept, code: 2},
		},
		"4 PIN of the system": {
			{typed: "123456", engine: asks(authentication.NewPIN, authentication.StepSystemAsk, 1), code: 11, text: "Are you prepared to accept a system-generated PIN [y/n]? ", tag: "SECURID_NPIN"},
			{typed: "y", answer: turn(1, "y"), engine: shown, code: 11, text: "Your new PIN is: 2846\r\nDo you accept this [y/n]? ", tag: "SECURID_NPIN", echo: true},
			{typed: "", answer: turn(2, ""), engine: asks(authentication.NewPIN, authentication.StepReauthenticate, 3), code: 11, text: wait, tag: "SECURID_WAIT"},
			{typed: "2846123456", answer: turn(3, "2846123456"), engine: accept, code: 2},
		},
		"5 the user chooses": {
			{typed: "123456", engine: asks(authentication.NewPIN, authentication.StepChoose, 1), code: 11, text: "Do you want the system to generate your new PIN? (y/n) [n] ", tag: "SECURID_NPIN"},
			{typed: "y", answer: choice, engine: shown, code: 11, text: "Your new PIN is: 2846\r\nDo you accept this [y/n]? ", tag: "SECURID_NPIN", echo: true},
		},
		"not ASCII": {{typed: "größe日本123456", engine: accept, code: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			engine := &script{}
			h := build(t, engine, vpn("vpn1", "127.0.0.0/8")).run()
			gw := h.gateway("127.0.0.1")
			var state [][]byte
			for i, m := range moves {
				engine.decides(m.engine)
				id := byte(i + 1)
				extra := append([][]byte{attr(31, "203.0.113.9"), attr(33, "proxy 1"), attr(33, "proxy 2")}, state...)
				got := gw.ask(login(id, "alice", m.typed, extra...))
				var want [][]byte
				if m.text != "" {
					want = append(want, attr(18, m.text))
				}
				state = nil
				if m.tag != "" {
					digits := decimal(m.engine.Turn)
					if m.engine.Step == authentication.StepChoose {
						digits += "c"
					}
					state = [][]byte{attr(24, stateFor(m.tag, "vpn1", "127.0.0.1", attempt(0), digits))}
					prompt := attr(76, number(0))
					if m.echo {
						prompt = attr(76, number(1))
					}
					want = append(append(want, state...), prompt, attr(27, number(180)))
				}
				want = append(want, attr(33, "proxy 1"), attr(33, "proxy 2"))
				if !bytes.Equal(got, answerTo(m.code, id, want...)) {
					t.Fatalf("move %d:\ngot  %q\nwant %q", i+1, got, answerTo(m.code, id, want...))
				}
				source := authentication.Source{Agent: "radius:vpn1", Station: "203.0.113.9"}
				if m.answer.Attempt == "" {
					last := engine.lastBegun()
					first := authentication.Request{UserID: "alice", Passcode: m.typed, Source: source, Dialogue: true, Confirm: true}
					if len(last.Key) != 32 || last.UserID != first.UserID || last.Passcode != first.Passcode || last.Source != source || !last.Dialogue || !last.Confirm || last.Retry {
						t.Errorf("move %d: the engine was asked %+v", i+1, last)
					}
					continue
				}
				last := engine.lastGone()
				m.answer.Source = source
				if len(last.Key) != 32 || last.Attempt != m.answer.Attempt || last.Turn != m.answer.Turn || last.Step != m.answer.Step ||
					last.UserID != "alice" || last.Text != m.answer.Text || last.Source != source {
					t.Errorf("move %d: the engine was answered %+v", i+1, last)
				}
			}
		})
	}
}

// A client that cannot ask again says so to the engine, and gets the same reject as for any other reason.
func TestChallengesSwitchedOff(t *testing.T) {
	engine := always(deny)
	c := vpn("vpn1", "127.0.0.1/32")
	c.Challenges = false
	h := build(t, engine, c).run()
	if got := h.gateway("127.0.0.1").ask(login(1, "alice", "123456")); !bytes.Equal(got, answerTo(3, 1, attr(18, "Access denied."))) {
		t.Errorf("%q", got)
	}
	h.becomes(Rejected)
	if engine.first()[0].Dialogue {
		t.Error("the engine was told that there can be a dialogue")
	}
}

func TestCiscoAsksTheOtherWayRound(t *testing.T) {
	choose := authentication.Decision{Result: authentication.NewPIN, Step: authentication.StepChoose, Attempt: attempt(0), Turn: 1}
	engine := always(choose)
	c := vpn("asa", "127.0.0.1/32")
	c.Prompts = access.PromptsCiscoASA
	gw := build(t, engine, c).run().gateway("127.0.0.1")
	for i, typed := range []string{"y", " Yes", "n", ""} {
		first := gw.ask(login(byte(2*i), "alice", "123456"))
		if !bytes.Contains(first, []byte("Do you want to enter your own pin")) {
			t.Fatalf("%q", first)
		}
		gw.ask(login(byte(2*i+1), "alice", typed, attr(24, stateFor("SECURID_NPIN", "asa", "127.0.0.1", attempt(0), "1o"))))
		want := "n" // the user does
		if i >= 2 {
			want = "y" // the system does
		}
		if last := engine.lastGone(); last.Text != want || last.Step != authentication.StepChoose {
			t.Errorf("%q became %+v", typed, last)
		}
	}
}

// What "y" stands for is what was asked, though the client has another set of texts by the time of the answer.
func TestAChoiceIsReadAsItWasAsked(t *testing.T) {
	choose := authentication.Decision{Result: authentication.NewPIN, Step: authentication.StepChoose, Attempt: attempt(0), Turn: 1}
	engine := always(choose)
	c := vpn("vpn1", "127.0.0.1/32")
	h := build(t, engine, c).run()
	gw := h.gateway("127.0.0.1")
	for id, test := range []struct {
		asked, then access.PromptSet
		mark, want  string
	}{{access.PromptsSecurID, access.PromptsCiscoASA, "1c", "y"}, {access.PromptsCiscoASA, access.PromptsSecurID, "1o", "n"}} {
		put := func(set access.PromptSet) {
			c.Prompts = set
			c.Version++
			h.clients.set(c)
			if err := h.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		put(test.asked)
		state := stateFor("SECURID_NPIN", "vpn1", "127.0.0.1", attempt(0), test.mark)
		if got := gw.ask(login(byte(2*id), "alice", "123456")); !bytes.Contains(got, []byte(state)) {
			t.Fatalf("%q", got)
		}
		put(test.then)
		gw.ask(login(byte(2*id+1), "alice", "y", attr(24, state)))
		if last := engine.lastGone(); last.Text != test.want || last.Step != authentication.StepChoose {
			t.Errorf("%s, then %s: %+v", test.asked, test.then, last)
		}
	}
}

func TestAcceptsCarryTheClientsAttributes(t *testing.T) {
	c := vpn("vpn1", "127.0.0.1/32")
	c.Attributes = []access.ReplyAttribute{{Name: "Class", Value: "OU=staff;"}, {Name: "Session-Timeout", Value: "3600"}, {Name: "Class", Value: "ü"},
		{Name: "Framed-IP-Address", Value: "192.0.2.9"}, {Name: "Cisco-AVPair", Value: "shell:priv-lvl=15"}}
	engine := always(accept)
	gw := build(t, engine, c).run().gateway("127.0.0.1")
	got := gw.ask(login(1, "alice", "123456", attr(33, "p")))
	want := answerTo(2, 1, attr(25, "OU=staff;"), attr(27, number(3600)), attr(25, "ü"), attr(8, "\xc0\x00\x02\x09"),
		attr(26, "\x00\x00\x00\x09\x01\x13shell:priv-lvl=15"), attr(33, "p"))
	if !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	engine.decides(deny)
	if got := gw.ask(login(2, "alice", "123456")); !bytes.Equal(got, answerTo(3, 2, attr(18, "Access denied."))) {
		t.Errorf("a reject carries more than its text: %q", got)
	}
}

// What a profile has of its own takes the place of what everybody gets.
func TestAcceptsCarryTheAttributesOfTheProfile(t *testing.T) {
	c := vpn("vpn1", "127.0.0.1/32")
	c.Attributes = []access.ReplyAttribute{{Name: "Class", Value: "everybody"}, {Name: "Class", Value: "administrators", Profile: "admin phones"},
		{Name: "Session-Timeout", Value: "600", Profile: "admin phones"}}
	engine := always(accept)
	gw := build(t, engine, c).run().gateway("127.0.0.1")
	for id, of := range map[byte]struct {
		profile string
		want    [][]byte
	}{
		1: {"", [][]byte{attr(25, "everybody")}},
		2: {"phones", [][]byte{attr(25, "everybody")}},
		3: {"admin phones", [][]byte{attr(25, "administrators"), attr(27, number(600))}},
	} {
		d := accept
		d.Profile = of.profile
		engine.decides(d)
		if got := gw.ask(login(id, "alice", "123456")); !bytes.Equal(got, answerTo(2, id, of.want...)) {
			t.Errorf("%q: %q", of.profile, got)
		}
	}
}

// What this release does not know, as a newer one left it in the database, is rejected and in the log. A user's attributes are not left out of an accept: they
// may be what restricts her.
func TestDecisionsThatAreUnknown(t *testing.T) {
	for said, d := range map[string]authentication.Decision{
		"Attribute-Of-A-Later-Release": {Result: authentication.Accepted, Reply: `[{"name":"Class","value":"x"},{"name":"Attribute-Of-A-Later-Release","value":"x"}]`},
		"the attributes of a user":     {Result: authentication.Accepted, Reply: "no JSON"},
		"step-of-a-later-release":      {Result: authentication.Waiting, Step: "step-of-a-later-release", Attempt: attempt(0), Turn: 1},
	} {
		h := build(t, always(d), vpn("vpn1", "127.0.0.1/32")).run()
		if got := h.gateway("127.0.0.1").ask(login(1, "alice", "123456")); !bytes.Equal(got, answerTo(3, 1, attr(18, "Access denied."))) {
			t.Errorf("%s: %q", said, got)
		}
		h.becomes(Broken)
		if !strings.Contains(h.said.String(), said) {
			t.Errorf("%s: the log says %s", said, h.said)
		}
	}
}

// A challenge tells how long it waits, in whole seconds: nothing where none is left.
func TestHowLongAChallengeWaits(t *testing.T) {
	d := authentication.Decision{Result: authentication.NextTokencode, Step: authentication.StepNextTokencode, Attempt: attempt(0), Turn: 1}
	engine := always(d)
	h := build(t, engine, vpn("vpn1", "127.0.0.1/32")).with(func(c *Config) { c.Life = MinLife }).run()
	gw := h.gateway("127.0.0.1")
	for id, left := range []time.Duration{-time.Second, 0, 999 * time.Millisecond, time.Second, 90*time.Second + 1} {
		d.Expires = h.Now().Add(left)
		engine.decides(d)
		want := [][]byte{attr(18, securID.Next), attr(24, stateFor("SECURID_NEXT", "vpn1", "127.0.0.1", attempt(0), "1")), attr(76, number(0))}
		if seconds := uint32(max(left, 0) / time.Second); seconds > 0 {
			want = append(want, attr(27, number(seconds)))
		}
		if got := gw.ask(login(byte(id), "alice", "123456")); !bytes.Equal(got, answerTo(11, byte(id), want...)) {
			t.Errorf("%s are left: %q", left, got)
		}
		h.becomes(Challenged)
	}
	if life := engine.lastBegun().Life; life != MinLife {
		t.Errorf("the engine was told of %s", life)
	}
}

func TestRealmsAreTakenOff(t *testing.T) {
	engine := always(accept)
	at := map[access.Realm]string{access.RealmNone: "127.0.0.2", access.RealmPrefix: "127.0.0.3", access.RealmSuffix: "127.0.0.4"}
	var all []access.RADIUSClient
	for realm, address := range at {
		c := vpn(string(realm), address+"/32")
		c.StripRealm = realm
		all = append(all, c)
	}
	h := build(t, engine, all...).run()
	id := byte(0)
	for _, try := range []struct {
		realm    access.Realm
		name, is string
	}{
		{access.RealmNone, `CORP\alice@example.com`, `CORP\alice@example.com`}, {access.RealmPrefix, `CORP\alice`, "alice"}, {access.RealmPrefix, "alice", "alice"},
		{access.RealmPrefix, "alice@example.com", "alice@example.com"}, {access.RealmSuffix, "alice@example.com", "alice"}, {access.RealmSuffix, "a@b@c", "a@b"},
		{access.RealmSuffix, `CORP\alice`, `CORP\alice`},
	} {
		id++
		h.gateway(at[try.realm]).ask(login(id, try.name, "123456"))
		if got := engine.lastBegun().UserID; got != try.is {
			t.Errorf("%s: %s became %s", try.realm, try.name, got)
		}
	}
}

// Without a Calling-Station-Id, the user's station is the client.
func TestTheStationIsTheClientUnlessItTells(t *testing.T) {
	engine := always(accept)
	gw := build(t, engine, vpn("vpn1", "127.0.0.1/32")).run().gateway("127.0.0.1")
	gw.ask(login(1, "alice", "123456"))
	gw.ask(login(2, "alice", "123456", attr(31, "a\x00b")))
	for _, r := range engine.first() {
		if r.Source.Station != "127.0.0.1" {
			t.Errorf("station %q", r.Source.Station)
		}
	}
}

// An outage is answered by nothing, so that the client asks another server; the same packet may come again.
func TestNoAnswerWhileNothingCanBeDecided(t *testing.T) {
	engine := always(accept)
	engine.begin = func(authentication.Request) (authentication.Decision, error) {
		return authentication.Decision{}, fault.New(fault.Unavailable, "the database is away")
	}
	h := build(t, engine, vpn("vpn1", "127.0.0.1/32")).run()
	gw := h.gateway("127.0.0.1")
	gw.send(login(1, "alice", "123456"))
	h.becomes(Unavailable)
	h.silent(gw)
	engine.decides(accept)
	if got := gw.ask(login(1, "alice", "123456")); got[0] != 2 {
		t.Errorf("after the outage: % x", got)
	}
	h.becomes(Accepted)
}

// What the engine refuses is rejected; what it cannot decide gets no answer, and the log tells of it unless it is an outage, of which others tell.
func TestWhatTheEngineDoesNotDecide(t *testing.T) {
	engine := always(accept)
	h := build(t, engine, vpn("vpn1", "127.0.0.1/32")).run()
	gw := h.gateway("127.0.0.1")
	state := attr(24, stateFor("SECURID_NEXT", "vpn1", "127.0.0.1", attempt(0), "1"))
	for id, test := range []struct {
		err  error
		is   Outcome
		told bool
	}{
		{fault.New(fault.AttemptNotFound, "no"), UnknownState, false}, {fault.New(fault.OutOfSequence, "no"), UnknownState, false},
		{fault.New(fault.StepNotRequested, "no"), UnknownState, false}, {fault.New(fault.Unavailable, "no"), Unavailable, false},
		{fmt.Errorf("no: %w", context.DeadlineExceeded), Unavailable, false}, {errors.New("a defect"), Unavailable, true},
	} {
		engine.mu.Lock()
		engine.answer = func(authentication.Answer) (authentication.Decision, error) {
			return authentication.Decision{}, test.err
		}
		engine.mu.Unlock()
		gw.send(login(byte(id), "alice", "123456", state))
		h.becomes(test.is)
		if test.is == UnknownState {
			if got := gw.receive(); !bytes.Equal(got, answerTo(3, byte(id), attr(18, "Access denied."))) {
				t.Errorf("%v: %q", test.err, got)
			}
		}
		h.silent(gw)
		if told := strings.Contains(h.said.String(), "could not be decided"); told != test.told {
			t.Errorf("%v is in the log: %v", test.err, told)
		}
	}
}

// An answer that a client over TLS does not take keeps nobody waiting who has something decided.
func TestAnAnswerThatIsNotTaken(t *testing.T) {
	engine := always(accept)
	engine.atOnce = true
	h := build(t, engine, over("vpn1", "vpn1.example.com"))
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := h.table.Load().byCertificate["vpn1.example.com"]
	p, err := tlsLogin(t, 1, true).Encode()
	if err != nil {
		t.Fatal(err)
	}
	taker, decided, ended := make(stuck), make(chan bool), make(chan bool)
	go func() {
		h.serve(t.Context(), &request{data: p, port: RadSec, client: c, received: h.Now(), respond: taker}, func() { close(ended) })
		close(decided)
	}()
	select {
	case <-decided:
	case <-time.After(patienceOfTests):
		t.Error("it waits for the answer to be taken")
	}
	close(taker)
	<-ended
}

// A stuck client takes no answer until it is closed.
type stuck chan bool

func (c stuck) respond(*request, []byte) { <-c }

// A gateway that asks whether the server is alive gets no answer either where nothing can be decided: the database refuses or is frozen, or the clock went back.
func TestNoStatusWhileNothingCanBeDecided(t *testing.T) {
	h := build(t, always(accept), vpn("vpn1", "127.0.0.1/32"))
	status := func(want Outcome) {
		t.Helper()
		from, box := source{netip.MustParseAddr("127.0.0.1"), 1}, &mailbox{}
		h.take(t.Context(), t.Context(), &request{data: request12(1), port: Authentication, from: from, received: h.Now(), respond: box})
		h.becomes(want)
		if answered := box.answer != nil; answered != (want == Status) {
			t.Errorf("%s is answered % x", want, box.answer)
		}
	}
	for _, test := range []struct {
		name string
		list func(context.Context) error
		want fault.Code
		is   Outcome
	}{
		{"there", nil, "", Status},
		{"away", func(context.Context) error { return fault.New(fault.Unavailable, "the database is away") }, fault.Unavailable, Unavailable},
		{"frozen", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, fault.Unavailable, Unavailable},
		{"there again", nil, "", Status},
		{"a defect", func(context.Context) error { return fault.New(fault.Invalid, "a defect") }, fault.Invalid, Status},
	} {
		h.clients.broken = test.list
		synctest.Test(t, func(t *testing.T) {
			if err := h.Refresh(t.Context()); fault.CodeOf(err) != test.want {
				t.Errorf("%s: %v", test.name, err)
			}
		})
		status(test.is)
	}

	// One that can only be read from decides nothing, as a standby that a server was left on.
	h.clients.broken, h.Ping = nil, func(context.Context) error { return fault.New(fault.Unavailable, "it is read-only") }
	if err := h.Refresh(t.Context()); fault.CodeOf(err) != fault.Unavailable || strings.Contains(err.Error(), "clients") {
		t.Errorf("a ping that fails is told as %v", err) // and not as what was done before it
	}
	status(Unavailable)

	// Nor does one that is damaged, or has taken the server's rights, also where the clients cannot be read for another reason.
	h.Ping = func(context.Context) error { return errors.New("the disk image is malformed") }
	for _, broken := range []func(context.Context) error{nil, func(context.Context) error { return fault.New(fault.Invalid, "a defect") }} {
		h.clients.broken = broken
		if err := h.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("a ping that fails is told as %v", err)
		}
		status(Unavailable)
	}
	h.Ping, h.clients.broken = func(context.Context) error { return nil }, nil
	if err := h.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	status(Status)

	// One whose clock went back decides nothing either.
	h.Trust = func(time.Time) error { return nil }
	status(Status)
	h.Trust = func(now time.Time) error {
		if !now.Equal(h.Now()) {
			t.Errorf("asked about %s", now)
		}
		return fault.New(fault.Unavailable, "the clock went back")
	}
	status(Unavailable)
}

func TestADefectIsNoAnswer(t *testing.T) {
	engine := always(accept)
	engine.atOnce, engine.begin = true, func(r authentication.Request) (authentication.Decision, error) { panic("passcode " + r.Passcode) }
	h := build(t, engine, vpn("vpn1", "127.0.0.1/32")).run()
	gw := h.gateway("127.0.0.1")
	gw.send(login(1, "alice", "493817"))
	h.becomes(Broken)
	h.silent(gw)
	if said := h.said.String(); strings.Contains(said, "493817") || !strings.Contains(said, "broke something") {
		t.Errorf("the log says %s", said)
	}
}

func TestEndingFinishesWhatIsUnderWay(t *testing.T) {
	deciding, release := make(chan bool, 1), make(chan bool)
	engine := always(accept)
	engine.begin = func(authentication.Request) (authentication.Decision, error) {
		deciding <- true
		<-release
		return accept, nil
	}
	h := build(t, engine, vpn("vpn1", "127.0.0.1/32")).run()
	gw := h.gateway("127.0.0.1")
	gw.send(login(1, "alice", "123456"))
	<-deciding
	h.end()
	close(release)
	h.stop()
	if got := gw.receive(); got[0] != 2 {
		t.Errorf("% x", got)
	}
}
