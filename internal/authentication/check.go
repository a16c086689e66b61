package authentication

import (
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/securid"
)

// begin decides the first request of a dialogue, in the order of section 10.1.
func (r *round) begin(j *job, q Request) error {
	a := &Attempt{
		Agent: q.Source.caller(), UserID: j.user,
		state: attemptState{Confirm: q.Confirm, Retry: q.Retry, TokenOnly: q.TokenOnly, Life: q.Life, Station: q.Source.Station},
	}
	if !j.admits(q) {
		return r.deny(j, a, r.subject(j, j.user), q.Source, verdict{reason: Throttled, uncounted: true})
	}
	if q.Ask {
		j.decision = r.next(a, Waiting, StepPasscode)
		return nil
	}
	return r.passcode(j, a, q.Source, q.Passcode, q.Dialogue)
}

// passcode decides a passcode, as the first answer of an attempt.
func (r *round) passcode(j *job, a *Attempt, from Source, passcode string, dialogue bool) error {
	s, v, err := r.check(j, a.UserID, from, passcode, "", a.state.TokenOnly)
	if err != nil {
		return err
	}
	if v.reason != "" {
		return r.deny(j, a, s, from, v)
	}
	if v.method == onDemandPIN {
		return r.sendCode(j, a, s, from, v, dialogue)
	}
	need := r.need(s, v)
	if need == Accepted {
		return r.accept(j, a, s, from, v)
	}
	if !dialogue {
		v.reason = NextRequired
		if need == NewPIN {
			v.reason = NewPINRequired
		}
		v.uncounted = true
		return r.deny(j, a, s, from, v)
	}
	r.claim(j, s, from, v)
	if v.token != nil {
		a.state.Serial, a.state.Generation, a.state.Interval = v.token.token.Serial, v.number, v.interval
		offset := v.offset
		a.state.Offset = &offset
	}
	if a.state.Emergency = v.emergency != nil; a.state.Emergency {
		a.state.EmergencyUntil = v.token.token.Emergency.Until
	}
	a.state.OnDemand = v.method == onDemandCode
	if need == NextTokencode {
		a.state.Former, a.state.HasFormer = v.token.as(v.number).PIN.Hash, true
		r.record(j, "ntc.enter", "user:"+s.UserID, "", r.details(from, v))
		r.asked(j, s, from, v, NextAsked)
		j.decision = r.next(a, NextTokencode, StepNextTokencode)
		return nil
	}
	return r.beginPIN(j, a, s, from, v)
}

// asked records that a right passcode was not enough. Agents may drop the question and refuse the user, which nothing else would tell of.
func (r *round) asked(j *job, s *subject, from Source, v verdict, what string) {
	r.events = append(r.events, audit.New(j.ctx, r.now, "authn.challenge", "user:"+s.UserID, r.details(from, v)).Because(what))
}

// A verdict is what a passcode was found to be.
type verdict struct {
	reason    string // "" if it is right
	uncounted bool   // a failure that is none of the user's
	// unguarded is a failure that does not lock the user, since the code was right, of a token whose codes do not count. Her other tokens
	// count it: it may have been meant as a guess at them.
	unguarded bool

	method   method
	token    *tokenState // nil for a right passcode that is none of a token
	number   int         // of the generation
	interval int64       // of the code
	// emergency is the code that was given in place of a tokencode, whether or not it counts; nil if none was.
	emergency *token.EmergencyCode
	offset    int64 // intervals that the token is ahead of the server
	far       bool  // outside the small window
	tried     []*tokenState
}

// A method is what a passcode was made with where that is no token.
type method string

// The methods, as the audit log has them.
const (
	byToken       method = ""
	fixedPasscode method = "fixed_passcode"
	onDemandPIN   method = "on_demand_pin"  // it asks for a code
	onDemandCode  method = "on_demand_code" // that was sent
)

// check finds out whether a passcode is right. serial, if it is not "", names the only token that may have made it; with tokenOnly some token must.
func (r *round) check(j *job, userID string, from Source, passcode, serial string, tokenOnly bool) (*subject, verdict, error) {
	s := r.subject(j, userID)
	v := verdict{reason: r.barred(s, from, passcode)}
	if v.reason != "" {
		v.uncounted = true
		if s != nil {
			v.tried = s.tokens // the history of each shows it
		}
		return s, v, r.decoy(passcode)
	}
	v.reason = NoToken
	var stopped []*tokenState // whose codes do not count
	for _, t := range s.tokens {
		if serial != "" && t.token.Serial != serial {
			continue
		}
		r.endGrace(j, t)
		if state := unusable(t.token, r.now); state != "" {
			if v.reason == NoToken {
				v.reason = state
			}
			stopped = append(stopped, t)
			continue
		}
		if len(v.tried) == 0 {
			v.reason = BadPasscode
		}
		v.tried = append(v.tried, t)
		found, err := r.tryToken(t, passcode)
		if err != nil {
			return s, v, err
		}
		if found.knows() > v.knows() {
			found.tried = v.tried
			v = found
		}
		if v.knows() == everything {
			break
		}
	}
	if v.reason == "" {
		return s, v, nil
	}
	others := !tokenOnly && serial == "" && (s.mayFixed() || s.mayOnDemand())
	if others {
		if len(v.tried) == 0 {
			v.reason = BadPasscode // the state of a token says nothing of the passcode
		}
		if found := r.withoutToken(s, from, passcode); found.knows() > v.knows() {
			return s, found, nil
		}
	}
	if found, is := r.tryStopped(stopped, passcode); is {
		found.tried = v.tried
		return s, found, nil
	}
	if len(v.tried) == 0 && !others {
		v.uncounted, v.tried = true, stopped
		if len(stopped) > 0 { // a search for each of them was made already
			return s, v, nil
		}
		return s, v, r.decoy(passcode)
	}
	if v.reason == TokenLost {
		v.unguarded = true // or who found the token would lock its owner out of emergency access
	}
	if v.reason == AlreadyUsed && retransmitted(v, from, r.now) || v.reason == EmergencyUsed && askedAgain(v.emergency.UsedAt, v.emergency.UsedBy, from, r.now) {
		v.reason, v.uncounted = Retransmitted, true
	}
	return s, v, nil
}

// barred is why a user's passcode is not looked at; "" if it is.
func (r *round) barred(s *subject, from Source, passcode string) string {
	switch {
	case s == nil:
		return UnknownUser
	case !from.Only.admits(s):
		return AgentRestricted
	case !s.Enabled:
		return UserDisabled
	case user.Over(s.Expiry, r.now):
		return UserExpired
	case s.Guard.Own.Locked(s.policy.Lockout, r.now):
		return UserLocked
	case r.engine.failuresOf(s, from).Locked(s.policy.Lockout, r.now):
		return SourceLocked
	case passcode == "": // which is no guess
		return PasscodeMissing
	}
	return ""
}

// tryStopped finds out whether a passcode is a right one of a token whose codes do not count.
func (r *round) tryStopped(stopped []*tokenState, passcode string) (v verdict, is bool) {
	for _, t := range stopped {
		found, err := r.tryToken(t, passcode)
		if err != nil {
			continue // a seed that cannot be opened and is not needed must not keep the failure from being counted
		}
		if found.knows() >= itsWhole {
			found.reason, found.unguarded = unusable(t.token, r.now), true
			return found, true
		}
	}
	return verdict{}, false
}

// withoutToken finds out whether a passcode is right that is none of the user's tokens.
func (r *round) withoutToken(s *subject, from Source, passcode string) verdict {
	if s.mayFixed() && r.isFixed(s, passcode) {
		return verdict{method: fixedPasscode}
	}
	return r.matchOnDemand(s, from, passcode)
}

// unusable is why codes of a token do not count at now, "" if they do.
func unusable(t *token.Token, now time.Time) string {
	switch {
	case t.ExpiredAt(now):
		return TokenExpired
	case !t.ValidAt(now):
		return TokenNotYet
	case !t.Enabled:
		return TokenDisabled
	case t.Tainted:
		return TokenTainted
	case t.Emergency == nil && t.LostWith(&t.Current) && (t.Pending == nil || t.LostWith(t.Pending)):
		return TokenLost
	}
	return ""
}

// tryToken finds out what a passcode is to one token: made with an emergency code or with a tokencode of one of its seeds.
func (r *round) tryToken(t *tokenState, passcode string) (verdict, error) {
	v := r.matchEmergency(t, passcode)
	for _, number := range numbers(t.token) {
		if v.knows() == everything {
			break
		}
		m, err := r.match(t, number, passcode)
		if err != nil {
			return v, err
		}
		if m.reason == "" && r.lost(t, t.generation(number)) {
			m.reason = TokenLost
		}
		if m.knows() > v.knows() {
			v = m
		}
	}
	return v, nil
}

// How much a seed, or what stands in for a token, knows of a passcode.
const (
	nothing = iota
	itsPIN
	itsCode
	itsWhole   // and that it does not count
	elsewhen   // it is right, by a clock that may be off
	everything // it is right
)

// knows ranks what seeds say of a passcode. Several of them may share a PIN. The one that knows most decides: most likely it made the code, and its
// reason says whether a failure counts. A code that one seed shows now goes before the same code of another seed at another time.
func (v verdict) knows() int {
	switch v.reason {
	case "":
		if v.far {
			return elsewhen
		}
		return everything
	case AlreadyUsed, TokenLost, EmergencyUsed, EmergencyOver, OnDemandUsed, OnDemandOver, Retransmitted:
		return itsWhole
	case BadPIN, PINMissing, PINUnexpected:
		return itsCode
	case BadTokencode, OnDemandWrong:
		return itsPIN
	}
	return nothing
}

// against tells whether a failure counts against a token that was tried: only against the one whose code it is, or against all where the code does not
// tell. A PINPad code behind a wrong PIN does not tell, since any two codes may differ by what could be a PIN.
func (v verdict) against(t *tokenState) bool {
	switch known := v.knows(); {
	case v.unguarded:
		return t != v.token
	case known == itsWhole, known == itsCode && v.token.generation(v.number).Settings.PINType != device.PINPad:
		return t == v.token
	}
	return true
}

// final tells whether the same passcode cannot be right later on.
func (v verdict) final() bool {
	switch v.reason {
	case AlreadyUsed, Retransmitted, EmergencyUsed, EmergencyOver, OnDemandUsed, OnDemandOver:
		return true
	}
	return false
}

// numbers are the generations that a passcode may belong to: that of the token and, while a redistribution waits for its
// first good code, the new one.
func numbers(t *token.Token) []int {
	if t.Pending != nil {
		return []int{t.Current.Number, t.Pending.Number}
	}
	return []int{t.Current.Number}
}

// retransmitted tells whether a used code is the one that the same agent was told is accepted less than an interval ago (section 10.2).
func retransmitted(v verdict, from Source, now time.Time) bool {
	g := v.token.generation(v.number)
	// A later one may have begun a dialogue; and a next tokencode may have come long after it was shown.
	accepted := min(securid.Interval(g.LastUsedAt, g.Settings.Interval)+g.Offset, g.LastInterval)
	return v.interval == accepted && g.LastAgent == from.Agent && now.Sub(g.LastUsedAt) < time.Duration(g.Settings.Interval)*time.Second
}

// codeAgain is how long an agent may ask again, in other words, with a code that stands in for a tokencode and that it was just told is accepted.
const codeAgain = time.Minute

// askedAgain tells whether the agent that a code was accepted from asks again so soon.
func askedAgain(at time.Time, agent string, from Source, now time.Time) bool {
	return !at.IsZero() && agent == from.Agent && now.Sub(at) < codeAgain
}

// need is what a right passcode leads to: Accepted, NextTokencode or NewPIN.
func (r *round) need(s *subject, v verdict) Result {
	switch {
	case v.method == fixedPasscode:
		return Accepted
	case v.method == onDemandCode:
		if r.onDemandDue(s) {
			return NewPIN
		}
		return Accepted
	case v.emergency != nil && r.needsPIN(v):
		return NewPIN
	case v.emergency != nil: // there is no next tokencode to ask for
		return Accepted
	case v.far, NextTokencodeDue(v.token.as(v.number), v.token.policy.Token): // a new seed begins anew
		return NextTokencode
	case r.needsPIN(v):
		return NewPIN
	}
	return Accepted
}

// needsPIN tells whether the token is in new-PIN mode.
func (r *round) needsPIN(v verdict) bool {
	return PINStateOf(v.token.as(v.number), v.token.policy.Token, r.now).NewPINDue()
}

// claim uses the code up: whoever comes with it again is refused, whatever becomes of the dialogue.
func (r *round) claim(j *job, s *subject, from Source, v verdict) {
	switch {
	case v.method == onDemandCode:
		r.useMailed(s, from)
	case v.method == fixedPasscode: // it stays; the outcome rests on the guard being what was read
		s.guardChanged = true
	case v.emergency != nil:
		r.useEmergency(j, v)
	default:
		v.token.generation(v.number).LastInterval = v.interval
	}
}

// accept claims the code and ends the attempt well.
func (r *round) accept(j *job, a *Attempt, s *subject, from Source, v verdict) error {
	if r.mayBeDenied(j, s) {
		return errChanged
	}
	switch {
	case v.method != byToken:
		r.claim(j, s, from, v)
	case v.emergency != nil:
		v.emergency.UsedAt, v.emergency.UsedBy = r.now, from.Agent
		r.useEmergency(j, v)
		r.endNext(j, s, v.token, from)
	default:
		clock := &v.token.generation(v.number).Clock
		*clock = token.Clock{LastInterval: v.interval, Offset: v.offset, LastUsedAt: r.now, LastAgent: from.Agent, Accepted: clock.Accepted}
		if j.key != nil && a.ID == "" {
			clock.Accepted, j.marked = with(mark(keyMark(j.key), r.now), clock.Accepted, r.now), true
		}
		v.token.token.Forgive()
		r.prove(j, v)
		r.turnUp(j, v)
		r.takeOver(j, s, v)
	}
	for _, other := range s.tokens { // the user is who she says, so none of them is being guessed
		if other != v.token && r.endNext(j, s, other, from) {
			s.guardChanged = true // guards are written first, in order: two that do this at once do not wait for each other in a ring
		}
	}
	if s.Guard.succeed(SourceMark(r.engine.Keys, s.UserID, from)) {
		s.guardChanged = true
	}
	r.record(j, "authn.success", "user:"+s.UserID, "", r.details(from, v))
	r.end(a)
	j.decision = r.accepted(a, s, v.token)
	return nil
}

// endNext forgets the wrong passcodes of a token otherwise than by its next tokencode, and tells whether there were any.
func (r *round) endNext(j *job, s *subject, t *tokenState, from Source) bool {
	if NextTokencodeDue(t.token, t.policy.Token) {
		r.record(j, "ntc.leave", "user:"+s.UserID, "", r.details(from, verdict{tried: []*tokenState{t}}))
	}
	return t.token.Forgive()
}

// accepted is the decision for a code of a token, nil for none.
func (r *round) accepted(a *Attempt, s *subject, t *tokenState) Decision {
	d := Decision{Result: Accepted, Attempt: a.ID, Turn: a.Turn + 1, Reply: s.Reply}
	if t != nil {
		d.Serial, d.Profile = t.token.Serial, t.token.Profile
	}
	return d
}

// prove notes that the user holds the seed of a generation: a delivery is confirmed, and a pending generation
// becomes the current one.
func (r *round) prove(j *job, v verdict) {
	t := v.token.token
	switched := t.Current.Number != v.number && t.SwitchOver()
	if t.Current.Number == t.LastNumber && t.Distribution == token.Issued {
		t.Distribution, t.ConfirmedAt = token.Confirmed, r.now
		r.change(v.token)
	}
	if switched {
		r.change(v.token)
		r.record(j, "redist.complete", "token:"+t.Serial, "", audit.Details{"user": t.UserID, "generation": t.Current.Number, "because": "first good code"})
	}
}

// deny counts the failure and ends the attempt, or leaves it open for another passcode.
func (r *round) deny(j *job, a *Attempt, s *subject, from Source, v verdict) error {
	object := "user:" // what was typed as a user ID may be a passcode in the wrong field: it is not recorded
	if s != nil {
		object += s.UserID
	}
	r.record(j, "authn.fail", object, v.reason, r.details(from, v))
	if !v.uncounted {
		for _, t := range v.tried {
			if v.against(t) {
				t.token.Missed()
			}
		}
		if !v.unguarded {
			r.count(j, s, from)
		}
	}
	if j.key != nil && a.ID == "" && !v.final() {
		for _, u := range r.deniedAs(j) {
			r.markDenied(j, u, !v.uncounted && !v.unguarded)
		}
	}
	if a.state.Retry && (a.state.Step == "" || a.state.Step == StepPasscode) {
		j.decision = r.next(a, Waiting, StepPasscode)
		j.decision.Rejected = "the passcode is not right"
		return nil
	}
	r.end(a)
	j.decision = Decision{Result: Denied, Attempt: a.ID, Turn: a.Turn + 1}
	return nil
}

// count counts a failure of a user, which may lock her.
func (r *round) count(j *job, s *subject, from Source) {
	s.guardChanged = true
	f := r.engine.failuresOf(s, from)
	if f.add(s.policy.Lockout, r.now) {
		r.locked(j, s, f, "failures")
	}
}

// locked records that a user was locked.
func (r *round) locked(j *job, s *subject, f *Failures, because string) {
	details := audit.Details{"failures": f.Count, "because": because}
	if f == &s.Guard.Strange {
		details["only"] = "sources that the user never succeeded from"
	}
	r.record(j, "lockout.lock", "user:"+s.UserID, "", details)
}

// details are what the record of an answer says, beside its reason.
func (r *round) details(from Source, v verdict) audit.Details {
	d := audit.Details{}
	if from.Agent != "" {
		d["agent"] = from.Agent
	}
	if from.Station != "" {
		d["station"] = from.Station
	}
	if v.method != byToken {
		d["method"] = v.method
	}
	if v.token != nil {
		d["token"], d["generation"] = v.token.token.Serial, v.number
		if v.emergency != nil {
			d["emergency"] = v.token.token.Emergency.Kind
		} else if v.reason == "" {
			d["offset"] = v.offset
		}
		return d
	}
	var tried []string
	for _, t := range v.tried {
		tried = append(tried, t.token.Serial)
	}
	if tried != nil {
		d["tokens"] = tried
	}
	return d
}
