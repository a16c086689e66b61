package radius

import (
	"bytes"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
)

// An oneTimer is an engine with one attempt, which waits for a next tokencode of alice, once, for three minutes.
func oneTimer(h func() *house) *script {
	var mu sync.Mutex
	open := true
	e := &script{}
	var expires time.Time
	e.begin = func(authentication.Request) (authentication.Decision, error) {
		mu.Lock()
		defer mu.Unlock()
		expires = h().Now().Add(3 * time.Minute)
		return authentication.Decision{Result: authentication.NextTokencode, Step: authentication.StepNextTokencode, Attempt: attempt(0), Turn: 1, Expires: expires}, nil
	}
	e.answer = func(a authentication.Answer) (authentication.Decision, error) {
		mu.Lock()
		defer mu.Unlock()
		if !open || a.Attempt != attempt(0) || a.UserID != "" && a.UserID != "alice" || a.Source.Agent != "radius:vpn1" || !h().Now().Before(expires) {
			return authentication.Decision{}, fault.New(fault.AttemptNotFound, "there is no such attempt")
		}
		if a.Turn != 1 {
			return authentication.Decision{}, fault.New(fault.OutOfSequence, "another turn")
		}
		open = false
		return accept, nil
	}
	return e
}

func TestStates(t *testing.T) {
	right := stateFor("SECURID_NEXT", "vpn1", "127.0.0.1", attempt(0), "1")
	for name, try := range map[string]struct {
		from, user, state string
		wait              time.Duration
		code              byte
		asked             bool // the engine; what is forged does not get that far
	}{
		"right":                        {"127.0.0.1", "alice", right, 0, 2, true},
		"without a name":               {"127.0.0.1", "", right, 0, 2, true},
		"another user":                 {"127.0.0.1", "bob", right, 0, 3, true},
		"expired":                      {"127.0.0.1", "alice", right, 3 * time.Minute, 3, true},
		"another address":              {"127.0.0.2", "alice", right, 0, 3, false},
		"another client":               {"127.0.1.1", "alice", right, 0, 3, false},
		"another client, made for it":  {"127.0.1.1", "alice", stateFor("SECURID_NEXT", "vpn2", "127.0.1.1", attempt(0), "1"), 0, 3, true},
		"another attempt":              {"127.0.0.1", "alice", stateFor("SECURID_NEXT", "vpn1", "127.0.0.1", attempt(1), "1"), 0, 3, true},
		"another turn":                 {"127.0.0.1", "alice", stateFor("SECURID_NEXT", "vpn1", "127.0.0.1", attempt(0), "2"), 0, 3, true},
		"a forged turn":                {"127.0.0.1", "alice", strings.Replace(right, "|1-", "|2-", 1), 0, 3, false},
		"a forged binding":             {"127.0.0.1", "alice", right[:len(right)-12] + "AAAAAAAAAAAA", 0, 3, false},
		"a choice that was not one":    {"127.0.0.1", "alice", strings.Replace(right, "|1-", "|1c-", 1), 0, 3, false},
		"garbage is a first request":   {"127.0.0.1", "alice", "SECURID_NEXT|1234567|1", 0, 11, true},
		"another's is a first request": {"127.0.0.1", "alice", "RSA|12|34|SECURID_NEWPIN", 0, 11, true},
	} {
		t.Run(name, func(t *testing.T) {
			var h *house
			engine := oneTimer(func() *house { return h })
			h = build(t, engine, vpn("vpn1", "127.0.0.0/24"), vpn("vpn2", "127.0.1.0/24"))
			h.run()
			first := h.gateway("127.0.0.1").ask(login(1, "alice", "123456"))
			if !bytes.Contains(first, []byte(right)) {
				t.Fatalf("another State: %q", first)
			}
			h.Pass(try.wait)
			attributes := [][]byte{attr(2, hidden(2, "654321")), attr(24, try.state)}
			if try.user != "" {
				attributes = append(attributes, attr(1, try.user))
			}
			before := engine.asked()
			got := h.gateway(try.from).ask(request1(2, attributes...))
			if got[0] != try.code {
				t.Errorf("code %d, not %d", got[0], try.code)
			}
			if try.code == 3 && !bytes.Equal(got, answerTo(3, 2, attr(18, "Access denied."))) {
				t.Errorf("%q", got)
			}
			h.outcome() // of the first
			h.outcome() // it is told after the answer, and after the log
			if told := strings.Contains(h.said.String(), elsewhere); told != (try.code == 3 && !try.asked) {
				t.Errorf("the log says that the answer comes from elsewhere: %v", told)
			}
			if asked := engine.asked() > before; asked != try.asked {
				t.Errorf("the engine was asked: %v", asked)
			}
		})
	}
}

// Over TLS the address may change with the connection; what comes over UDP goes on from where it began.
func TestTheAddressOfAState(t *testing.T) {
	h := build(t, always(accept), vpn("vpn1", "127.0.0.0/8"))
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := h.table.Load().byName["vpn1"]
	for port, same := range map[uint16]bool{0: true, 1812: false} {
		here, there := source{netip.MustParseAddr("127.0.0.1"), port}, source{netip.MustParseAddr("127.0.0.2"), port}
		st := state{attempt: attempt(0), turn: 1, bind: h.binding(c, here, attempt(0), "1")}
		if !h.ours(st, c, here) || h.ours(st, c, there) != same {
			t.Errorf("port %d: another address is the same: %t", port, !same)
		}
		key := func(from source) copyKey {
			transport := RadSec
			if port != 0 {
				transport = Authentication
			}
			return (&request{port: transport, from: from, client: c, data: []byte("the same")}).key()
		}
		if (key(here) == key(there)) != same {
			t.Errorf("port %d: a packet from another address is a copy: %t", port, !same)
		}
	}
}

// A State works once; the same packet again gets the same answer, another packet with it none but a reject.
func TestAStateIsReplayed(t *testing.T) {
	var h *house
	engine := oneTimer(func() *house { return h })
	h = build(t, engine, vpn("vpn1", "127.0.0.0/24"))
	h.run()
	gw := h.gateway("127.0.0.1")
	gw.ask(login(1, "alice", "123456"))
	right := attr(24, stateFor("SECURID_NEXT", "vpn1", "127.0.0.1", attempt(0), "1"))
	answer := login(2, "alice", "654321", right)
	first := gw.ask(answer)
	if first[0] != 2 || !bytes.Equal(gw.ask(answer), first) {
		t.Errorf("% x", first)
	}
	if again := gw.ask(login(3, "alice", "654321", right)); again[0] != 3 {
		t.Errorf("a used State: % x", again)
	}
}

func TestTheFormOfAState(t *testing.T) {
	s := build(t, always(accept)).Server
	c := &client{RADIUSClient: vpn("a-name-of-sixty-four-characters-as-long-as-there-may-be-in-this", "::/0")}
	for _, step := range []authentication.Step{authentication.StepNextTokencode, authentication.StepChoose, authentication.StepNewPIN, authentication.StepReauthenticate} {
		text := s.stateOf(c, source{}, authentication.Decision{Attempt: attempt(0), Turn: maxTurn, Step: step})
		st, ours := parseState(text)
		if !ours || len(text) > 64 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q", text)
		}
		if st.attempt != attempt(0) || st.turn != maxTurn || (st.choice == systemMark) != (step == authentication.StepChoose) || !s.ours(st, c, source{}) {
			t.Errorf("%q became %+v", text, st)
		}
	}
	const bind = "|1-AAAAAAAAAAAA"
	for _, text := range []string{"SECURID_NEXT|" + attempt(0)[1:] + bind, "SECURID_NEXT|0" + attempt(0)[1:] + bind, "SECURID_NEXT|8" + attempt(0)[1:] + bind,
		"SECURID_NEXT|" + attempt(0) + bind[:len(bind)-1], "SECURID_NEXT|" + attempt(0) + "|99999999999999999999-AAAAAAAAAAAA", "", "|", "||", "SECURID_NEXT", "SECURID_NEXT||", "SECURID_NEXT|" + attempt(0) + "|01-AAAAAAAAAAAA", "SECURID_NEXT|" + attempt(0) + "|0-AAAAAAAAAAAA",
		"SECURID_NEXT|" + attempt(0) + "|-1-AAAAAAAAAAAA", "SECURID_NEXT|" + attempt(0) + "|1-aaaaaaaaaaaa", "SECURID_NEXT|" + attempt(0) + "|1000-AAAAAAAAAAAA",
		"SECURID_PREV|" + attempt(0) + "|1-AAAAAAAAAAAA", "SECURID_NEXT|" + strings.ToLower(attempt(0)) + "|1-AAAAAAAAAAAA", "SECURID_NEXT|" + attempt(0) + "|1-AAAAAAAAAAAA|",
		"SECURID_NPIN|" + attempt(0) + "|1co-AAAAAAAAAAAA", "SECURID_NPIN|" + attempt(0) + "|1cc-AAAAAAAAAAAA", "SECURID_NPIN|" + attempt(0) + "|o-AAAAAAAAAAAA"} {
		if st, ours := parseState(text); ours {
			t.Errorf("%q was taken for %+v", text, st)
		}
	}
}
