package radius_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"net"
	"sync"
	"testing"
	"time"

	codec "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// A wire is a socket of a gateway at one server.
type wire struct {
	d    *deployment
	conn net.Conn
}

func (d *deployment) wire(to string) wire {
	d.Helper()
	conn, err := net.Dial("udp", to)
	d.must(err)
	d.Cleanup(func() { conn.Close() })
	return wire{d, conn}
}

// request is an Access-Request with an authenticator of its own; state may be nil.
func request(d *deployment, user, passcode string, state []byte) []byte {
	p := codec.New(codec.CodeAccessRequest, []byte(secret))
	p.Add(rfc2869.MessageAuthenticator_Type, make(codec.Attribute, md5.Size))
	d.must(rfc2865.UserName_AddString(p, user))
	d.must(rfc2865.UserPassword_AddString(p, passcode))
	if state != nil {
		p.Add(rfc2865.State_Type, state)
	}
	b, err := p.Encode()
	d.must(err)
	h := hmac.New(md5.New, []byte(secret))
	h.Write(b)
	copy(b[22:], h.Sum(nil))
	return b
}

// ask sends a request and returns its answer, once it is known to be one.
func (w wire) ask(b []byte) *codec.Packet {
	w.d.Helper()
	answer := make([]byte, codec.MaxPacketLength)
	n := 0
	for tries := 1; n == 0; tries++ { // as clients do: the server may not have heard of this one yet
		_, err := w.conn.Write(b)
		w.d.must(err)
		w.d.must(w.conn.SetReadDeadline(time.Now().Add(10 * time.Second)))
		if n, err = w.conn.Read(answer); tries == 6 {
			w.d.must(err)
		}
	}
	if !codec.IsAuthenticResponse(answer[:n], b, []byte(secret)) {
		w.d.Errorf("the answer is not authentic: % x", answer[:n])
	}
	p, err := codec.Parse(answer[:n], []byte(secret))
	w.d.must(err)
	return p
}

// A code that is sent to two servers on one database at the same time, again and again in packets of their own, is
// accepted once.
func TestOneCodeAtTwoServers(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := newDeployment(t, url)
		d.add(client("gateway"))
		servers := []string{d.serve(d.db, nil), d.serve(deploytest.Open(t, url), nil)}
		alice := d.holder("alice", plain)
		for range 5 {
			d.Pass(time.Minute)
			code := alice.code(0)
			codes := make(chan codec.Code, 20)
			var all sync.WaitGroup
			for i := range cap(codes) {
				w := d.wire(servers[i%2])
				b := request(d, "alice", code, nil)
				all.Go(func() { codes <- w.ask(b).Code })
			}
			all.Wait()
			close(codes)
			got := map[codec.Code]int{}
			for c := range codes {
				got[c]++
			}
			if got[codec.CodeAccessAccept] != 1 || got[codec.CodeAccessReject] != 19 {
				t.Errorf("got %v", got)
			}
		}
		// None of the copies counts against alice: they came from where her code was accepted.
		d.Pass(time.Minute)
		if p := d.wire(servers[0]).ask(request(d, "alice", alice.code(0), nil)); p.Code != codec.CodeAccessAccept {
			t.Errorf("after all that: %v", p.Code)
		}
	})
}

// A packet that comes again at a second server, or after a restart, has the answer of the first time and counts once: one that was
// accepted, one that was rejected, and one that a challenge answered.
func TestAPacketComesAgainElsewhere(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := newDeployment(t, url)
		d.add(client("gateway"))
		servers := []string{d.serve(d.db, nil), d.serve(deploytest.Open(t, url), nil)}
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		d.must(err)
		defer conn.Close()
		ask := func(server string, b []byte) *codec.Packet {
			to, err := net.ResolveUDPAddr("udp", server)
			d.must(err)
			_, err = conn.WriteTo(b, to)
			d.must(err)
			answer := make([]byte, codec.MaxPacketLength)
			d.must(conn.SetReadDeadline(time.Now().Add(time.Minute)))
			n, _, err := conn.ReadFrom(answer)
			d.must(err)
			p, err := codec.Parse(answer[:n], []byte(secret))
			d.must(err)
			return p
		}
		both := func(b []byte, want codec.Code) *codec.Packet {
			t.Helper()
			first, again := ask(servers[0], b), ask(servers[1], b)
			if first.Code != want || again.Code != want || !bytes.Equal(first.Get(rfc2865.State_Type), again.Get(rfc2865.State_Type)) {
				t.Errorf("answered %v and %v, want %v twice", first, again, want)
			}
			return first
		}
		alice, carol := d.holder("alice", plain), d.holder("carol", fob)
		first := request(d, "alice", alice.code(0), nil)
		both(first, codec.CodeAccessAccept)
		for range 4 { // of 5 that lock her
			both(request(d, "alice", "00000000", nil), codec.CodeAccessReject)
		}
		d.Pass(time.Minute)
		challenge := both(request(d, "alice", alice.code(0), nil), codec.CodeAccessChallenge) // the wrong ones ask for a next tokencode
		both(request(d, "alice", alice.code(1), challenge.Get(rfc2865.State_Type)), codec.CodeAccessAccept)
		both(first, codec.CodeAccessAccept)
		challenge = both(request(d, "carol", carol.code(0), nil), codec.CodeAccessChallenge)
		both(request(d, "carol", "2846", challenge.Get(rfc2865.State_Type)), codec.CodeAccessChallenge)

		// Nobody can use a packet that was seen once its time is over.
		d.Pass(10 * time.Minute)
		if p := ask(servers[1], first); p.Code != codec.CodeAccessReject {
			t.Errorf("after its time: %v", p.Code)
		}
	})
}

// A dialogue that began at one server goes on at another.
func TestADialogueOverTwoServers(t *testing.T) {
	deploytest.Each(t, func(t *testing.T, url string) {
		d := newDeployment(t, url)
		d.add(client("gateway"))
		first, second := d.wire(d.serve(d.db, nil)), d.wire(d.serve(deploytest.Open(t, url), nil))
		carol := d.holder("carol", fob)
		p := first.ask(request(d, "carol", carol.code(0), nil))
		for i, typed := range []string{"2846", "2846", "2846" + carol.code(1)} {
			if p.Code != codec.CodeAccessChallenge {
				t.Fatalf("move %d: %v", i, p.Code)
			}
			w := first
			if i%2 == 0 {
				w = second
			}
			p = w.ask(request(d, "carol", typed, p.Get(rfc2865.State_Type)))
		}
		if p.Code != codec.CodeAccessAccept {
			t.Errorf("in the end: %v", p.Code)
		}
	})
}

// The same packet again gets the same answer and changes nothing, whatever was decided.
func TestThePacketAgain(t *testing.T) {
	d := newDeployment(t, sqlite(t)).start()
	d.add(client("gateway"))
	w := d.wire(d.at)
	bob := d.holder("bob", plain)
	again := func(b []byte, want codec.Code) *codec.Packet {
		t.Helper()
		var first *codec.Packet
		for range 3 {
			p := w.ask(b)
			if p.Code != want {
				t.Errorf("got %v, want %v", p.Code, want)
			}
			if first == nil {
				first = p
			} else if p.Authenticator != first.Authenticator {
				t.Error("another answer")
			}
		}
		return first
	}
	challenge := again(request(d, "bob", bob.code(3), nil), codec.CodeAccessChallenge)
	again(request(d, "bob", bob.code(4), challenge.Get(rfc2865.State_Type)), codec.CodeAccessAccept)
	// Wrong codes count once each, however often they come: five would lock bob.
	for range 2 {
		again(request(d, "bob", "00000000", nil), codec.CodeAccessReject)
	}
	d.Pass(10 * time.Minute)
	again(request(d, "bob", bob.code(3), nil), codec.CodeAccessAccept)
	page, err := d.db.Events(t.Context(), audit.Filter{})
	d.must(err)
	for _, e := range page.Entries {
		if who := `"actor":"radius:gateway","role":"agent","client":"127.0.0.1"`; bytes.Contains(e.Record, []byte("authn.")) && !bytes.Contains(e.Record, []byte(who)) {
			t.Errorf("%s is not in %s", who, e.Record)
		}
	}
}

// A State that nobody answered in time is over, and that of one user is none for another; neither counts against anybody.
func TestStatesOfTheEngine(t *testing.T) {
	d := newDeployment(t, sqlite(t)).start()
	d.add(client("gateway"))
	w := d.wire(d.at)
	bob, carol := d.holder("bob", plain), d.holder("carol", plain)
	p := w.ask(request(d, "bob", bob.code(3), nil))
	if p.Code != codec.CodeAccessChallenge {
		t.Fatal(p.Code)
	}
	state := p.Get(rfc2865.State_Type)
	for range 20 {
		if p := w.ask(request(d, "carol", carol.code(0), state)); p.Code != codec.CodeAccessReject {
			t.Fatal(p.Code)
		}
	}
	if p := w.ask(request(d, "carol", carol.code(0), nil)); p.Code != codec.CodeAccessAccept {
		t.Errorf("carol: %v", p.Code)
	}
	d.Pass(181 * time.Second)
	if p := w.ask(request(d, "bob", bob.code(1), state)); p.Code != codec.CodeAccessReject {
		t.Errorf("an expired State: %v", p.Code)
	}
}
