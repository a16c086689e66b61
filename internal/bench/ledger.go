package bench

import "fmt"

// An outcome is what a server said, or that it did not.
type outcome int

const (
	lost outcome = iota // no answer, or none that can be understood
	accepted
	denied
	challenged // the next tokencode, please
	outcomes   // how many there are
)

func (o outcome) String() string {
	return [...]string{"lost", "accepted", "denied", "challenged"}[o]
}

// A kind is one sort of request.
type kind int

const (
	good   kind = iota // a code of the next interval
	wrong              // a code of no interval near
	replay             // a code that was accepted before
	next               // a code that is accepted with the one after it, which follows
	kinds              // how many there are
)

var kindNames = [kinds]string{"good", "wrong", "replay", "next"}

// A tokenState is what the load knows of a token. One caller at a time has it.
type tokenState struct {
	seed     [16]byte
	sent     int64 // highest interval whose code was sent as a good one
	at       int64 // interval that it was then
	accepted int64 // highest interval whose code was accepted; 0 for none
	failed   bool  // the last answer was a denial: the next request is a good one, so that nobody gets locked
	retired  bool  // an answer was not what it had to be: what the server knows of the token is not certain any more
}

// A ledger counts what was answered by what had to be. Each caller has one of its own.
type ledger struct {
	asked        [kinds]int64
	got          [kinds][outcomes]int64
	unexpected   [kinds]int64 // exchanges in which an answer was not the one that it had to be
	doubleAccept int64        // accepts of a code that was accepted before
	first        string       // the first unexpected one, in words
}

// accept enters that the code of an interval was accepted, and tells whether that was the first time. Codes are sent in the order
// of their intervals, so one that is not later than the last accepted one was accepted before, or has no right to be.
func (l *ledger) accept(t *tokenState, interval int64) bool {
	if interval <= t.accepted {
		l.doubleAccept++
		return false
	}
	t.accepted = interval
	return true
}

// enter counts the answers to one request, which was sent to several servers at once, of which one had to answer want and the
// others denied. It tells whether they did, and retires the token if not.
func (l *ledger) enter(k kind, t *tokenState, interval int64, want outcome, answers []outcome) bool {
	l.asked[k] += int64(len(answers))
	hits, right := 0, true
	for _, got := range answers {
		l.got[k][got]++
		if got == accepted {
			right = l.accept(t, interval) && right
		}
		switch {
		case got == want && want != denied:
			hits++
		case got != denied:
			right = false
		}
	}
	if want != denied && hits != 1 {
		right = false
	}
	t.failed = want == denied
	if !right {
		l.unexpected[k]++
		t.retired = true
		if l.first == "" {
			l.first = fmt.Sprintf("a %s code was answered with %v where %v was right", kindNames[k], answers, want)
		}
	}
	return right
}

// add adds up ledgers.
func (l *ledger) add(o *ledger) {
	for k := range kinds {
		l.asked[k] += o.asked[k]
		l.unexpected[k] += o.unexpected[k]
		for i := range outcomes {
			l.got[k][i] += o.got[k][i]
		}
	}
	l.doubleAccept += o.doubleAccept
	if l.first == "" {
		l.first = o.first
	}
}
