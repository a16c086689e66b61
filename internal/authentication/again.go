package authentication

import (
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/tallystick/tallystick/internal/seed"
)

// A request that comes again gets the decision of the first time. That a tokencode was accepted, the generation of its
// token remembers in the row that is written anyway; all other decisions are rows of their own, which are looked
// for only once one of the same key is found to be there. One that was denied may be right when it comes again: the guard of its user
// says so, which is read anyway.

const (
	requestMark   = 4 + 8 // bytes: when, in seconds since 1970, and the beginning of the key; two requests are taken for one with a chance of 2^-64
	requestsKept  = 8     // of a generation or a guard; each code counts once, so that a token needs minutes of nothing but sign-ins for more
	requestMemory = MaxLife
)

// marked puts the mark of a request before those of earlier ones, as far as they still count.
func marked(earlier string, key []byte, now time.Time) string {
	marks := binary.BigEndian.AppendUint32(make([]byte, 0, requestsKept*requestMark), uint32(now.Unix()))
	marks = append(marks, keyMark(key)...)
	for n := 1; n < requestsKept && len(earlier) >= requestMark && recent(earlier, now); n++ {
		marks, earlier = append(marks, earlier[:requestMark]...), earlier[requestMark:]
	}
	return string(marks)
}

func keyMark(key []byte) []byte { return key[:requestMark-4] }

// recent tells whether the first of marks still counts.
func recent(marks string, now time.Time) bool {
	age := time.Duration(now.Unix()-int64(binary.BigEndian.Uint32([]byte(marks[:4])))) * time.Second
	return age.Abs() < requestMemory // one from far ahead is none: marks of earlier releases were longer
}

// hasMark tells whether a request is among marks that still count.
func hasMark(marks string, key []byte, now time.Time) bool {
	for ; len(marks) >= requestMark; marks = marks[requestMark:] {
		if marks[4:requestMark] == string(keyMark(key)) && recent(marks, now) {
			return true
		}
	}
	return false
}

// before is the decision of an earlier time that this job's request came, if it did.
func (r *round) before(j *job) (Decision, bool) {
	if j.key == nil {
		return Decision{}, false
	}
	if d, decided := r.decided[string(j.key)]; decided {
		return d, true
	}
	s := r.subjects[j.user]
	if s == nil || j.attempt != "" {
		return Decision{}, false
	}
	for _, t := range s.tokens {
		for _, number := range numbers(t.token) {
			if hasMark(t.generation(number).Accepted, j.key, r.now) {
				return r.accepted(&Attempt{}, s, t), true
			}
		}
	}
	return Decision{}, false
}

// wasDenied tells whether a request has been denied before, and its decision is still to be looked for.
func (r *round) wasDenied(j *job, s *subject) bool {
	return !r.sure && j.key != nil && len(s.Guard.Denied) > 0 && hasMark(string(s.Guard.Denied), j.key, r.now)
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
