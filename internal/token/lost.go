package token

import "time"

// An EmergencyKind says how often an emergency code works.
type EmergencyKind string

// The kinds of emergency access.
const (
	FixedCode EmergencyKind = "fixed" // one code, again and again until it expires
	CodeSet   EmergencyKind = "set"   // several codes, each once
)

// Emergency is access without the token: codes that stand in for the tokencode while it is lost (section 11.1).
// The store keeps it as JSON.
type Emergency struct {
	Kind       EmergencyKind   `json:"kind"`
	Length     int             `json:"length"` // of a code, in characters
	Until      time.Time       `json:"until"`
	LastUsedAt time.Time       `json:"last_used_at,omitzero"`
	Codes      []EmergencyCode `json:"codes"`
}

// An EmergencyCode is what the server keeps of one.
type EmergencyCode struct {
	Hash []byte `json:"hash"` // keyed
	Used bool   `json:"used,omitempty"`
	// UsedAt is when it was accepted last, zero for one that began a new PIN, or that an earlier release used; UsedBy is the agent.
	UsedAt time.Time `json:"used_at,omitzero"`
	UsedBy string    `json:"used_by,omitempty"`
}

// OverAt tells whether the codes have expired at now.
func (e *Emergency) OverAt(now time.Time) bool { return !now.Before(e.Until) }

// Left is how many codes may still be used.
func (e *Emergency) Left() int {
	n := 0
	for _, c := range e.Codes {
		if !c.Used {
			n++
		}
	}
	return n
}

// Lost tells whether the token is marked lost.
func (t *Token) Lost() bool { return !t.LostAt.IsZero() }

// LostWith tells whether a generation was lost with the token: a seed that was made later is on another device.
func (t *Token) LostWith(g *Generation) bool { return t.Lost() && !g.MadeAt.After(t.LostAt) }

// Lose marks the token lost, if it was not, and ends the emergency access that there was. again marks it lost once more if it has a seed
// that was made since. newly tells whether anything was lost that was not before.
func (t *Token) Lose(now time.Time, again bool) (newly bool) {
	newest := &t.Current
	if t.Pending != nil {
		newest = t.Pending
	}
	if newly = !t.LostWith(newest) && (again || !t.Lost()); newly {
		t.LostAt = now.UTC()
		// All seeds that there are were made before: also by a server whose clock is ahead of ours, or by our own one before it was set back.
		t.eachSeed(func(g *Generation) {
			if g.MadeAt.After(t.LostAt) {
				t.LostAt = g.MadeAt
			}
		})
	}
	t.Emergency = nil
	return newly
}

// sinceLoss is a new seed that was made after the token was lost, whatever clock that was told by.
func (t *Token) sinceLoss(g Generation) Generation {
	if t.Lost() && !g.MadeAt.After(t.LostAt) {
		g.MadeAt = t.LostAt.Add(time.Microsecond) // what databases tell apart
	}
	return g
}

// Find takes the mark and emergency access away.
func (t *Token) Find() { t.LostAt, t.Emergency = time.Time{}, nil }
