package authentication

import (
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/tallystick/tallystick/internal/seed"
)

// A request that comes again gets the decision of the first time. An accepted tokencode is remembered by the generation of
// its token, whose row is written anyway. Every other decision is a row of its own. To look for that costs time, so it is done only
// in the second try (round.sure), after a refusal, or after a row of the same key was met when this decision was to be written. A request that was
// denied may be right when it comes again, and would write no such row: so the guard of its user, which is read anyway, has a mark of it too.

const (
	markedKey     = 8             // bytes of a key; two requests are taken for one with a chance of 2^-64
	requestMark   = 4 + markedKey // bytes: when, in seconds since 1970, and the beginning of the key
	requestsKept  = 8             // of a generation or a guard; each code counts once, so that a token needs minutes of nothing but sign-ins for more
	requestMemory = MaxLife

	// anyRequest is a mark's key that stands for all requests, until the time of the mark: blanketFor after it was made.
	anyRequest = "\x00\x00\x00\x00\x00\x00\x00\x00"
	blanketFor = time.Minute
)

// mark is that of a request, or of any, that came at a time.
func mark(key string, at time.Time) string {
	return string(append(binary.BigEndian.AppendUint32(make([]byte, 0, requestMark), uint32(at.Unix())), key...))
}

// with puts a mark before those of earlier requests, as far as they still count.
func with(mark, earlier string, now time.Time) string {
	marks := append(make([]byte, 0, requestsKept*requestMark), mark...)
	for ; len(earlier) >= requestMark && len(marks) < requestsKept*requestMark; earlier = earlier[requestMark:] {
		if recent(earlier, now) && earlier[4:requestMark] != anyRequest {
			marks = append(marks, earlier[:requestMark]...)
		}
	}
	return string(marks)
}

func keyMark(key []byte) string { return string(key[:markedKey]) }

// markedAt is when the first of marks was made, in seconds since 1970.
func markedAt(marks string) int64 { return int64(binary.BigEndian.Uint32([]byte(marks[:4]))) }

// recent tells whether the first of marks still counts.
func recent(marks string, now time.Time) bool {
	age := time.Duration(now.Unix()-markedAt(marks)) * time.Second
	return age.Abs() < requestMemory // one from far ahead is none: marks of earlier releases were longer
}

// hasMark tells whether a request is among marks that still count.
func hasMark(marks, key string, now time.Time) bool {
	for ; len(marks) >= requestMark; marks = marks[requestMark:] {
		if marks[4:requestMark] == key && recent(marks, now) {
			return true
		}
	}
	return false
}

// blanket is the latest mark that stands for any request and still counts, "" if there is none.
func blanket(marks string, now time.Time) (latest string) {
	for ; len(marks) >= requestMark; marks = marks[requestMark:] {
		if marks[4:requestMark] == anyRequest && recent(marks, now) && (latest == "" || markedAt(marks) > markedAt(latest)) {
			latest = marks[:requestMark]
		}
	}
	return latest
}

// before is the decision of an earlier time that this job's request came, if it did.
func (r *round) before(j *job) (Decision, bool) {
	if j.key == nil {
		return Decision{}, false
	}
	// Servers that were asked at the same moment may have denied it as well: that it was accepted counts.
	if j.attempt == "" {
		for _, s := range r.meant(j) {
			for _, t := range s.tokens {
				for _, number := range numbers(t.token) {
					if hasMark(t.generation(number).Accepted, keyMark(j.key), r.now) {
						return r.accepted(&Attempt{}, s, t), true
					}
				}
			}
		}
	}
	d, decided := r.decided[string(j.key)]
	return d, decided
}

// markDenied has the guard of a user remember a request that is denied. One that counts as a failure gets a mark of its own. One that does not count changes nothing
// else of the guard, and gets one mark with all others of the same minute: else servers that are asked about a disabled user again and again would change her guard under each other each time.
func (r *round) markDenied(j *job, s *subject, counts bool) {
	denied := string(s.Guard.Denied)
	all, one := blanket(denied, r.now), ""
	switch {
	case all != "" && markedAt(all) > r.now.Unix():
		return
	case counts:
		one = mark(keyMark(j.key), r.now)
	default:
		all = mark(anyRequest, r.now.Add(blanketFor))
	}
	s.Guard.Denied, s.guardChanged = []byte(all+with(one, denied, r.now)), true
}

// mayBeDenied tells whether a request may have been denied before, so that its decision is to be looked for.
func (r *round) mayBeDenied(j *job, s *subject) bool {
	if r.sure || j.key == nil || len(s.Guard.Denied) == 0 {
		return false
	}
	denied := string(s.Guard.Denied)
	return hasMark(denied, keyMark(j.key), r.now) || hasMark(denied, anyRequest, r.now)
}

// remember keeps the decision of a job for its request, unless its token does.
func (r *round) remember(j *job) error {
	if j.key == nil || j.err != nil {
		return nil //nolint:nilerr // one without an answer leaves nothing to remember
	}
	r.decided[string(j.key)] = j.decision
	if j.marked {
		return nil
	}
	raw, err := json.Marshal(j.decision)
	if err != nil {
		return err
	}
	sealed, err := r.engine.Keys.Seal(raw, seed.OfDecision(j.key))
	r.out.Decided = append(r.out.Decided, Kept{Key: j.key, Sealed: sealed, ExpiresAt: r.now.Add(requestMemory)})
	return err
}

// recall opens the decisions of requests that come again.
func (r *round) recall(kept []Kept) error {
	for _, k := range kept {
		raw, err := r.engine.Keys.Open(r.ctx, k.Sealed, seed.OfDecision(k.Key))
		if err != nil {
			return err
		}
		var d Decision
		if err := json.Unmarshal(raw, &d); err != nil {
			return err
		}
		r.decided[string(k.Key)] = d
	}
	return nil
}
