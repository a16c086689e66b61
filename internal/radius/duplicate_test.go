package radius

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"layeh.com/radius"

	"github.com/tallystick/tallystick/internal/authentication"
)

// A gate is an engine that decides only when it is told to.
func gate() (e *script, deciding chan string, release chan bool) {
	deciding, release = make(chan string, 100), make(chan bool)
	e = always(accept)
	e.begin = func(r authentication.Request) (authentication.Decision, error) {
		deciding <- r.Passcode
		<-release
		return accept, nil
	}
	return e, deciding, release
}

func TestARetransmissionIsDecidedOnce(t *testing.T) {
	engine, deciding, release := gate()
	h := build(t, engine, vpn("vpn1", "127.0.0.0/8")).run()
	gw := h.gateway("127.0.0.1")
	request := login(1, "alice", "123456")
	gw.send(request)
	<-deciding
	for range 3 {
		gw.send(request)
		h.becomes(Undecided)
	}
	close(release)
	first := gw.receive()
	h.becomes(Accepted)
	h.Pass(29 * time.Second)
	for range 3 {
		if again := gw.ask(request); !bytes.Equal(again, first) {
			t.Errorf("another answer: % x", again)
		}
		h.becomes(Repeated)
	}
	if n := engine.asked(); n != 1 {
		t.Errorf("decided %d times", n)
	}

	// Another identifier, authenticator, port or address is another request; so is one half a minute later.
	gw.ask(login(2, "alice", "123456"))
	h.becomes(Accepted)
	gw.ask(sealed(1, 1, authenticatorOf(9), attr(1, "alice"), attr(2, hidden(9, "123456"))))
	h.becomes(Accepted)
	h.gateway("127.0.0.1").ask(request)
	h.becomes(Accepted)
	h.gateway("127.0.0.2").ask(request)
	h.becomes(Accepted)
	h.Pass(2 * time.Second)
	gw.ask(request)
	h.becomes(Accepted)
}

// Another question under the identifier and authenticator of an earlier one does not get the answer to that.
func TestAnotherQuestionUnderTheSameAuthenticator(t *testing.T) {
	engine := always(accept)
	h := build(t, engine, vpn("vpn1", "127.0.0.1/32")).run()
	gw := h.gateway("127.0.0.1")
	gw.ask(sealed(1, 7, authenticatorOf(9), attr(1, "alice"), attr(2, hidden(9, "123456"))))
	engine.decides(deny)
	if got := gw.ask(sealed(1, 7, authenticatorOf(9), attr(1, "mallory"), attr(2, hidden(9, "wrong")))); got[0] != 3 {
		t.Errorf("answered % x", got)
	}
	if n := engine.asked(); n != 2 {
		t.Errorf("the engine was asked %d times", n)
	}
}

// keyNumber is one key of many.
func keyNumber(n int) (k copyKey) {
	binary.BigEndian.PutUint64(k[:], uint64(n))
	return k
}

func TestCopiesAreBounded(t *testing.T) {
	c := newCopies(3, 30*time.Second)
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	const fresh Outcome = ""
	is := func(n int, want Outcome) {
		t.Helper()
		if _, got := c.begin(keyNumber(n), at); got != want {
			t.Errorf("%d is %q, not %q", n, got, want)
		}
	}
	for n := range 3 {
		is(n, fresh)
		c.end(keyNumber(n), []byte{byte(n)})
	}
	is(2, Repeated)
	for n := 3; n < 1000; n++ {
		is(n, fresh)
		is(n, Undecided)
		if n%3 != 0 {
			c.end(keyNumber(n), []byte{1})
			is(n, Repeated)
		}
		if n%5 == 0 { // nothing came of it
			c.end(keyNumber(n), nil)
			is(n, fresh)
			c.end(keyNumber(n), []byte{2})
		}
		if len(c.known) > 3 || len(c.ring[0]) > 3 || c.next-c.first > 3 {
			t.Fatalf("%d are known, %d kept, %d to %d", len(c.known), len(c.ring[0]), c.first, c.next)
		}
		if n%100 == 0 {
			at = at.Add(time.Minute)
			is(n+1, fresh)
			if len(c.known) != 1 {
				t.Fatalf("%d are known after their time", len(c.known))
			}
			c.end(keyNumber(n+1), nil)
		}
	}
}

// Long answers, such as those to requests that are full of Proxy-States, are kept up to a size: the oldest go before their time.
func TestLongCopiesAreBounded(t *testing.T) {
	const many = maxLong/radius.MaxPacketLength + 1000
	c := newCopies(2*many, 30*time.Second)
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	longest := make([]byte, radius.MaxPacketLength)
	for n := range many {
		c.begin(keyNumber(n), at)
		c.end(keyNumber(n), longest)
		c.end(keyNumber(n), longest) // counts once
	}
	if size := len(c.long) * len(longest); size > maxLong || size != c.size || size < maxLong/2 {
		t.Errorf("%d bytes are kept, and %d counted", size, c.size)
	}
	if _, o := c.begin(keyNumber(many-1), at); o != Repeated {
		t.Errorf("the newest is %q", o)
	}
	if _, o := c.begin(keyNumber(0), at); o != "" {
		t.Errorf("the oldest is %q", o)
	}
	c.end(keyNumber(0), []byte{1})
	if c.begin(keyNumber(many), at.Add(time.Minute)); c.size != 0 || len(c.long) != 0 {
		t.Errorf("%d bytes are counted after their time", c.size)
	}
}

// A request that came to nothing and comes again is another one: it does not go with the first.
func TestCopyBegunAgainLivesOn(t *testing.T) {
	c := newCopies(3, 25*time.Second)
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	k := keyNumber(1)
	c.begin(k, at)
	c.end(k, nil)
	at = at.Add(20 * time.Second)
	c.begin(k, at)
	c.end(k, bytes.Repeat([]byte{1}, 300))
	c.end(k, []byte{2}) // what the first one came to after all
	at = at.Add(20 * time.Second)
	if answer, o := c.begin(k, at); o != Repeated || !bytes.Equal(answer, []byte{2}) || c.size != 0 || len(c.long) != 0 {
		t.Errorf("%q with %v, %d bytes of long ones", o, answer, c.size)
	}
	if _, o := c.begin(k, at.Add(10*time.Second)); o != "" || len(c.known) != 1 {
		t.Errorf("%q after its time, %d are known", o, len(c.known))
	}
}

// What a request came to that was forgotten meanwhile is nobody else's answer.
func TestAnAnswerThatComesTooLate(t *testing.T) {
	c := newCopies(3, 30*time.Second)
	for n := range 4 {
		c.begin(keyNumber(n), time.Time{})
	}
	c.end(keyNumber(0), []byte{1})
	for n := 1; n < 4; n++ {
		if answer, o := c.begin(keyNumber(n), time.Time{}); o != Undecided {
			t.Errorf("%d is %q with %v", n, o, answer)
		}
	}
}

// Whatever its length, an answer is what was answered, and is forgotten with its request.
func TestCopiesOfAllLengths(t *testing.T) {
	const most = 2*ringPart + 7
	c := newCopies(most, 30*time.Second)
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	answer := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 20+n%300) }
	for n := range 3 * most {
		k := keyNumber(n)
		if _, o := c.begin(k, at); o != "" {
			t.Fatalf("%d is %q", n, o)
		}
		c.end(k, answer(n))
		for _, earlier := range []int{n, n - ringPart, n - most + 1} {
			if earlier < 0 {
				continue
			}
			if got, o := c.begin(keyNumber(earlier), at); o != Repeated || !bytes.Equal(got, answer(earlier)) {
				t.Fatalf("after %d, %d is %q with an answer of %d bytes", n, earlier, o, len(got))
			}
		}
	}
	if len(c.known) != most || len(c.long) == 0 || len(c.long) >= most {
		t.Errorf("%d of %d are known, with %d long answers", len(c.known), most, len(c.long))
	}
	if _, o := c.begin(keyNumber(-1), at.Add(time.Minute)); o != "" || len(c.known) != 1 || len(c.long) != 0 {
		t.Errorf("%q; %d are known after their time, with %d long answers", o, len(c.known), len(c.long))
	}
}

// When packets come faster than they are decided, the oldest go: nobody waits for them any more.
func TestOverloadDropsTheOldest(t *testing.T) {
	engine, deciding, release := gate()
	h := build(t, engine, vpn("vpn1", "127.0.0.1/32"))
	h.with(func(c *Config) { c.AtOnce, c.Queue = 1, 3 })
	h.run()
	gw := h.gateway("127.0.0.1")
	gw.send(login(0, "alice", "0"))
	<-deciding // there is room for one
	for id := byte(1); id <= 5; id++ {
		gw.send(login(id, "alice", decimal(int(id))))
	}
	h.becomes(Overload) // 1
	h.becomes(Overload) // 2
	// What anybody can send takes no place from these.
	for id := byte(6); id <= 9; id++ {
		forged := login(id, "alice", decimal(int(id)))
		gw.send(changed(forged, 30, forged[30]+1))
		h.becomes(BadAuthenticator)
	}
	close(release)
	var ids []byte
	for range 4 {
		ids = append(ids, gw.receive()[1])
		h.becomes(Accepted)
	}
	if !bytes.Equal(ids, []byte{0, 3, 4, 5}) {
		t.Errorf("answered %v", ids)
	}
}

func TestNobodyWaitsForAnOldPacket(t *testing.T) {
	engine, deciding, release := gate()
	h := build(t, engine, vpn("vpn1", "127.0.0.1/32"))
	h.with(func(c *Config) { c.AtOnce = 1 })
	h.run()
	gw := h.gateway("127.0.0.1")
	gw.send(login(0, "alice", "0"))
	<-deciding
	// One waits now. What comes behind it has been read when it is counted.
	gw.send(login(1, "alice", "1"))
	gw.send(changed(login(2, "alice", "2"), 0, 99))
	h.becomes(BadCode)
	h.Pass(patience)
	close(release)
	if got := gw.receive(); got[1] != 0 {
		t.Errorf("answered %d", got[1])
	}
	h.becomes(Accepted)
	h.becomes(Overload)
	h.silent(gw)
	if n := engine.asked(); n != 1 {
		t.Errorf("the engine was asked %d times", n)
	}
}

func TestAClientHasALimit(t *testing.T) {
	c := vpn("vpn1", "127.0.0.1/32")
	c.MaxQPS = 2
	h := build(t, always(accept), c, vpn("vpn2", "127.0.0.2/32")).run()
	gw, other := h.gateway("127.0.0.1"), h.gateway("127.0.0.2")
	for id := range byte(3) { // what anybody can send uses up nothing of it
		forged := login(100+id, "alice", "123456")
		gw.send(changed(forged, 30, forged[30]+1))
		h.becomes(BadAuthenticator)
	}
	for id, want := range []Outcome{Accepted, Accepted, Limited, Limited} {
		gw.send(login(byte(id), "alice", "123456"))
		h.becomes(want)
	}
	other.ask(login(1, "alice", "123456"))
	h.becomes(Accepted)
	if err := h.Refresh(t.Context()); err != nil { // gives nobody a new allowance
		t.Fatal(err)
	}
	gw.send(login(9, "alice", "123456"))
	h.becomes(Limited)
	h.Pass(time.Second)
	gw.send(login(10, "alice", "123456"))
	h.becomes(Accepted)
	c.MaxQPS, c.Version = 3, 2
	h.clients.set(c)
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, want := range []Outcome{Accepted, Accepted, Accepted, Limited} {
		gw.send(login(20+byte(id), "alice", "123456"))
		h.becomes(want)
	}
}
