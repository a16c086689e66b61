package radius

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"
)

// An Outcome is what became of a packet, for counting.
type Outcome string

// Outcomes of requests that were understood.
const (
	Accepted    Outcome = "accepted"
	Rejected    Outcome = "rejected"
	Challenged  Outcome = "challenged"
	Status      Outcome = "status"      // Status-Server answered
	Accounted   Outcome = "accounted"   // accounting answered, and nothing more
	Unavailable Outcome = "unavailable" // it could not be decided: no answer, so that the client asks another server
	Repeated    Outcome = "repeated"    // the answer to a copy, sent again
	Undecided   Outcome = "undecided"   // a copy of what is being decided: dropped
)

// Outcomes of packets that nobody looked into: dropped.
const (
	Stranger Outcome = "stranger" // not from a client; over TLS, a connection that is none's, or not any more
	Limited  Outcome = "limited"  // over the client's limit
	Lost     Outcome = "lost"     // the system had no room for it until it was read
	Overload Outcome = "overload" // the oldest in a full queue, one too many of a connection, or nobody waits for it any more
	Broken   Outcome = "broken"   // a defect of this server
)

// Outcomes of malformed or forged packets: dropped.
const (
	TooShort         Outcome = "too_short"         // less than a header
	BadLength        Outcome = "bad_length"        // the length in it is below 20, above 4096, or more than there is
	BadCode          Outcome = "bad_code"          // no request, or none for this port
	BadAttributes    Outcome = "bad_attributes"    // their lengths do not fit
	NoAuthenticator  Outcome = "no_authenticator"  // Message-Authenticator is missing and required
	BadAuthenticator Outcome = "bad_authenticator" // Message-Authenticator or accounting authenticator is wrong: another secret, or forged
)

// Outcomes of requests that are rejected without asking the engine.
const (
	BadMethod     Outcome = "bad_method"       // CHAP, MS-CHAP, EAP: a one-time code cannot be checked that way
	NoCredentials Outcome = "no_credentials"   // no password
	BadPassword   Outcome = "bad_password"     // its length is wrong, or it is no text: often another shared secret
	BadUserName   Outcome = "bad_user_name"    // missing or no text
	TwiceTheSame  Outcome = "twice_the_same"   // two of an attribute that may be there once
	UnknownState  Outcome = "unknown_state"    // no challenge of ours for this client, or an answered one
	NoWayToAnswer Outcome = "no_way_to_answer" // the answer does not fit into a packet: a bare reject, or nothing if not even that does
)

// notes say, for outcomes that an administrator should know of, what they mean and what to do.
var notes = map[Outcome]string{
	Stranger:         "a packet from an address that no RADIUS client has: add the client with 'tallystick radius add'",
	Limited:          "more requests a second than the client may send",
	Lost:             "packets come faster than they are read, and the system drops some: where 'sysctl net.core.rmem_max' says less than 4194304, raise it and start the server again",
	Overload:         "requests wait too long for the database: some are dropped",
	Unavailable:      "requests cannot be decided now; clients that have a second server will ask it",
	NoAuthenticator:  "a request without Message-Authenticator is dropped (CVE-2024-3596): update the client, or set it to warn",
	BadAuthenticator: "a request with a wrong Message-Authenticator is dropped: is the shared secret the same on both sides?",
	BadMethod:        "a request by CHAP, MS-CHAP or EAP is rejected: a one-time code can be checked only by PAP; set the client to PAP",
	BadPassword:      "a request whose password is no text is rejected: is the shared secret the same on both sides?",
	NoCredentials:    "a request without User-Password, in which a passcode comes, is rejected: set the client to PAP, and see what a proxy in front of it takes out",
	BadUserName:      "a request without a user name, or with one that is no text in UTF-8, is rejected: set the client to UTF-8",
	TwiceTheSame:     "a request with two user names, passwords, States or calling stations is rejected: see what the client, or a proxy in front of it, adds",
	NoWayToAnswer:    "an answer does not fit into a packet with the request's Proxy-States, so that it is a bare reject, or none: give the client, or its users, fewer attributes",
}

// Notes of some packets in place of those of their outcomes.
const (
	// unknownCertificate is for a stranger over TLS.
	unknownCertificate = "a TLS connection with a certificate that no RADIUS client has: add the client with 'tallystick radius add --certificate'"
	// endedCertificate is for one that was a client's.
	endedCertificate = "a TLS connection is ended, as the certificate that it was made with has come to its end: renew the certificate"
	// severalDomains is for another one, with the names of those who have it.
	severalDomains = "a TLS connection with a certificate that clients of several security domains have, so that it is nobody's: delete those that it is not of, or change their certificates, as somebody of all domains: %s"
	// elsewhere is for the answer to a challenge that did not go there.
	elsewhere = "an answer to a challenge comes from another address, or as another client, than the challenge went to, and is rejected: have the client ask from one address"
	// alwaysNeeded is for what is dropped whatever the client is set to.
	alwaysNeeded = "an EAP or Status-Server request without Message-Authenticator is dropped, as each must have one: update the client"
)

// missed is what is noted of a request that was taken without Message-Authenticator.
const missed = "a request came without Message-Authenticator (CVE-2024-3596): update the client, then require it"

// noteEvery is how often the same is noted of the same client.
const noteEvery = time.Minute

// maxStrangers is how many addresses that are no client's have notes of their own at a time, so that who sets a gateway up finds it although others
// are turned away, too. More share theirs: addresses are easily made up, and are to fill neither the log nor the memory.
const maxStrangers = 16

// notices keeps the log readable: what happens a thousand times a second is said once a minute.
type notices struct {
	mu        sync.Mutex
	said      map[notice]*saying
	strangers map[notice]*saying // those of an address alone
	looked    time.Time          // for places of strangers that are free again
}

// A notice is words about a client, or about an address that is none's.
type notice struct {
	client   string
	stranger netip.Addr
	words    string
}

type saying struct {
	at    time.Time
	since int // how often it has happened since it was said
}

func newNotices() notices {
	return notices{said: map[notice]*saying{}, strangers: map[notice]*saying{}}
}

// due counts and tells whether to say it now, and how often it happened unsaid.
func (n *notices) due(what notice, now time.Time) (bool, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	among := n.said
	if what.stranger.IsValid() && n.place(what, now) {
		among = n.strangers
	} else {
		what.stranger = netip.Addr{}
	}
	last := among[what]
	if last == nil {
		among[what] = &saying{at: now}
		return true, 0
	}
	if now.Sub(last.at) < noteEvery {
		last.since++
		return false, 0
	}
	unsaid := last.since
	last.at, last.since = now, 0
	return true, unsaid
}

// place tells whether a stranger has a place, or finds that of one of whom nothing was said for as long as it is said once. It looks for one once a
// second: it would be most of what a packet from an address that is made up costs.
func (n *notices) place(what notice, now time.Time) bool {
	if n.strangers[what] != nil || len(n.strangers) < maxStrangers {
		return true
	}
	if now.Sub(n.looked) < time.Second {
		return false
	}
	n.looked = now
	maps.DeleteFunc(n.strangers, func(_ notice, s *saying) bool { return now.Sub(s.at) >= noteEvery })
	return len(n.strangers) < maxStrangers
}

// note logs words about a client, or where c is nil about an address, once a minute, with what more there is to say.
func (s *Server) note(ctx context.Context, c *client, from source, words string, more ...slog.Attr) {
	what := notice{words: words}
	if c != nil {
		what.client = c.Name
	} else {
		what.stranger = from.address
	}
	due, unsaid := s.notices.due(what, s.Now())
	if !due {
		return
	}
	attributes := more
	if from.address.IsValid() {
		attributes = append([]slog.Attr{slog.String("address", from.address.String())}, more...)
	}
	if c != nil {
		attributes = append(attributes, slog.String("client", c.Name))
	}
	if unsaid > 0 {
		attributes = append(attributes, slog.Int("unsaid", unsaid))
	}
	s.Log.LogAttrs(ctx, slog.LevelWarn, "radius: "+words, attributes...)
}

// over notes and counts what became of a packet: what the metrics have is in the log already.
func (s *Server) over(ctx context.Context, r *request, o Outcome) {
	took := s.Now().Sub(r.received)
	words := notes[o]
	if r.note != "" {
		words = r.note
	}
	if words != "" {
		s.note(ctx, r.client, r.from, words, r.shown...)
	}
	s.Count(r.port, o, took)
}
