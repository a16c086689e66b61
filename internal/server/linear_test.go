package server_test

import (
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/securid"
)

// TestLinearizable records what clients of two servers on one database are told, while the servers are killed and the
// database breaks its connections, and asks of each user's history whether one server that decides one request after
// the other could have answered so: no code accepted twice, no answer taken back, no lock got around.
func TestLinearizable(t *testing.T) {
	rounds := 6
	database := storetest.Postgres(t)
	first, second := pair(t, database)
	s := newSite(t, first, second)
	ask[client.Profile](s, "/v1/profiles", client.NewProfile{Profile: "string", DeviceType: "generic", DeliveryMethod: "ctf", PINType: "none"})
	never := 0
	_, err := s.any().admin().EditTokenPolicy(t.Context(), 0, client.TokenPolicyEdit{IncorrectBeforeNTC: &never})
	must(t, 0, err)
	<-time.After(policyAge) // until both servers have heard of it
	var mu sync.Mutex
	var all []history
	s.work(3, func(worker, life int) {
		h := s.record(fmt.Sprintf("user-%d-%d", worker, life))
		mu.Lock()
		defer mu.Unlock()
		all = append(all, h)
	})
	for n := range rounds {
		if n%3 == 1 {
			s.moment()
			storetest.Crash(t, database)
			s.verify() // waits until the database is back
		}
		s.suffer()
	}
	s.finish()
	told := map[outcome]int{}
	for _, h := range all {
		for _, op := range h.operations {
			told[op.Output.(outcome)]++
		}
		if result := porcupine.CheckOperationsTimeout(oneServer.ToModel(), h.operations, patience); result != porcupine.Ok {
			t.Errorf("%s: %s: %v", h.userID, result, h.operations)
		}
	}
	t.Logf("%d users: %v", len(all), told)
	if told[accepted] == 0 || told[denied] == 0 {
		t.Error("nothing was tried")
	}
}

// policyAge is how long a server may go on by a policy that another one has changed.
const policyAge = 1500 * time.Millisecond

// An outcome is what a client was told of a code.
type outcome string

const (
	accepted outcome = "accepted"
	denied   outcome = "denied"
	next     outcome = "next_tokencode" // the code is used up, and nothing is decided
	unknown  outcome = "unknown"        // the answer was lost
)

// A try is a code that was given: that of an interval, or none of any.
type try struct {
	interval int64
	wrong    bool
}

// A history is what was told of one user.
type history struct {
	userID     string
	operations []porcupine.Operation
}

// A guess is what may be known of a user after some of the operations.
type guess struct {
	last     int64
	failures int
}

const lockedAt = 5 // failures

// oneServer decides one request after the other.
var oneServer = porcupine.NondeterministicModel{
	Init: func() []any { return []any{guess{last: -1}} },
	Step: func(state, input, output any) []any {
		g, in := state.(guess), input.(try)
		var possible []any
		add := func(told outcome, then ...guess) {
			if told == output.(outcome) || output.(outcome) == unknown {
				for _, g := range then {
					possible = append(possible, g)
				}
			}
		}
		failed := guess{g.last, g.failures + 1}
		switch {
		case g.failures >= lockedAt:
			add(denied, g)
		case in.wrong:
			add(denied, failed)
		case in.interval > g.last:
			add(accepted, guess{last: in.interval})
			add(next, guess{in.interval, g.failures})
		case in.interval == g.last:
			add(denied, failed, g) // it may be taken for a retransmission, which does not count
		default:
			add(denied, failed)
		}
		if output.(outcome) == unknown {
			possible = append(possible, g)
		}
		return possible
	},
	Equal: func(a, b any) bool { return a == b },
}

// record has clients use the codes of a new user all at once, some of them again and again.
func (s *site) record(userID string) history {
	ask[client.User](s, "/v1/users", client.NewUser{UserID: userID})
	serial := ask[client.CreatedTokens](s, "/v1/tokens", client.NewTokens{Count: 1}).Serials[0]
	ask[client.Token](s, "/v1/tokens/"+serial+"/assign", client.Assignment{UserID: userID})
	issue := ask[client.Issue](s, "/v1/tokens/"+serial+"/distribute", client.Distribution{Profile: "string"})
	text, err := ctf.Parse(issue.Delivery.CTF)
	if err != nil {
		s.abandon("%v", err)
	}
	held, err := text.Open("", "")
	if err != nil {
		s.abandon("%v", err)
	}
	start := securid.Interval(time.Now(), held.Interval)
	h := history{userID: userID}
	wrongs := []int{1, 6}[mathrand.IntN(2)] // of ten; many lock
	var mu sync.Mutex
	newest := start - 1 // interval that somebody was told is accepted
	var all sync.WaitGroup
	for clientID := range 5 {
		all.Go(func() {
			// What is lost may have taken effect at any time after: with dozens of those, a history is not checked in minutes.
			for tries, lost := 0, 0; tries < 7 && lost < 2; tries++ {
				mu.Lock()
				in := try{interval: newest + 1}
				mu.Unlock()
				switch n := mathrand.IntN(10); {
				case n < wrongs:
					in.wrong = true
				case n < wrongs+3:
					in.interval = start + mathrand.Int64N(in.interval-start+1)
				}
				code := "00000000"
				if !in.wrong {
					code, _ = securid.Code(held.Seed, serial, held.Digits, held.Interval, time.Unix(in.interval*int64(held.Interval), 0))
				}
				op := porcupine.Operation{ClientId: clientID, Input: in, Call: time.Now().UnixNano()}
				op.Output = s.tell(userID, code)
				op.Return = time.Now().UnixNano()
				if op.Output == unknown {
					lost++
				}
				mu.Lock()
				if op.Output == accepted {
					newest = max(newest, in.interval)
				}
				h.operations = append(h.operations, op)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	// What was not answered may still take effect: it has no end before that of the history, and its client calls on as another.
	end := time.Now().UnixNano()
	for i := range h.operations {
		if op := &h.operations[i]; op.Output == unknown {
			op.Return, op.ClientId = end, 100+i
		}
	}
	slices.SortFunc(h.operations, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	return h
}

// tell gives a code once and returns what is told of it.
func (s *site) tell(userID, code string) outcome {
	status, answer, err := s.any().post(s.Context(), "/v1/authenticate", "", client.Check{UserID: userID, Passcode: client.Secret(code)})
	s.mu.Lock()
	s.answers++
	s.changed.Broadcast()
	s.mu.Unlock()
	var d client.Decision
	if err != nil || status != http.StatusOK || json.Unmarshal(answer, &d) != nil {
		return unknown
	}
	return outcome(d.Result)
}
