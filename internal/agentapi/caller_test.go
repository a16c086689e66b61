package agentapi

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// unauthorized fails the test unless a request is refused as every stranger is.
func (h *house) unauthorized(name string, r *http.Request) {
	h.t.Helper()
	status, text := h.send(r)
	const want = `{"context":{"authnAttemptId":"","messageId":"","inResponseTo":""},"credentialValidationResults":[],"attemptResponseCode":"ERROR",` +
		`"attemptReasonCode":"AGENT_NOT_AUTHENTICATED","challengeMethods":{"challenges":[]}}`
	if status != http.StatusUnauthorized || text != want {
		h.t.Errorf("%s: %d %s", name, status, text)
	}
}

// authorized fails the test unless a request is decided.
func (h *house) authorized(name string, r *http.Request) {
	h.t.Helper()
	if status, text := h.send(r); status != http.StatusOK || !strings.Contains(text, `"attemptResponseCode":"SUCCESS"`) {
		h.t.Errorf("%s: %d %s", name, status, text)
	}
}

func (h *house) initialize(headers ...string) *http.Request {
	return h.request("POST", Base+"initialize", first("m-1"), headers...)
}

func TestStrangersLookAlike(t *testing.T) {
	h := newHouse(t, atOnce)
	for name, key := range map[string]string{
		"none": "", "short": h.key[1:], "long": h.key + "x", "wrong": strings.Repeat("a", 64), "upper case": strings.ToUpper(h.key), "access ID": h.id,
	} {
		h.unauthorized(name, h.initialize("Client-Key", key))
	}
	for _, endpoint := range []string{"verify", "cancel"} {
		h.unauthorized(endpoint, h.request("POST", Base+endpoint, `{`, "Client-Key", ""))
	}
	h.unauthorized("resources", h.request("GET", Base+"resources", "", "Client-Key", ""))
	h.authorized("right", h.initialize())
	h.authorized("another case", h.initialize("CLIENT-KEY", h.key))

	h.edit(func(a *access.Agent) { a.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	h.authorized("from its network", h.initialize())
	h.from = "198.51.100.1:4000"
	h.unauthorized("from another network", h.initialize())
	h.from = "192.0.2.9:4000"
	h.edit(func(a *access.Agent) { a.HMAC = access.HMACRequired })
	h.unauthorized("unsigned", h.initialize())
	h.edit(func(a *access.Agent) { a.HMAC = access.HMACAllowed })
	h.authorized("unsigned where both are allowed", h.initialize())
	h.RequireHMAC = true
	h.unauthorized("unsigned where the server requires it", h.initialize())
	if strings.Contains(h.logged.String(), h.key) {
		t.Error("the access key is in the log")
	}
	if len(h.engine.begun) != 4 {
		t.Errorf("the engine was asked %d times", len(h.engine.begun))
	}
}

func TestCredentialsEnd(t *testing.T) {
	h := newHouse(t, atOnce)
	_, h.key, _ = h.Agents.AddCredential(t.Context(), "vpn1", "", time.Minute)
	h.authorized("new", h.initialize())
	h.Pass(time.Minute - 1)
	h.authorized("its last moment", h.initialize())
	h.Pass(1)
	h.unauthorized("expired", h.initialize())

	var id string
	id, h.key = h.credential("vpn1")
	h.authorized("another", h.initialize())
	must(t, h.Agents.DeleteCredential(t.Context(), id))
	h.Pass(remembered)
	h.unauthorized("deleted", h.initialize())
	_, h.key = h.credential("vpn1")
	h.authorized("a third", h.initialize())
	must(t, h.Agents.Delete(t.Context(), "VPN1"))
	h.Pass(remembered)
	h.unauthorized("the agent is gone", h.initialize())
}

// Conformance 10.
func TestDeprecatedCredentialsWork(t *testing.T) {
	h := newHouse(t, atOnce)
	try(h.Agents.EditCredential(t.Context(), h.id, func(c *access.Credential) { c.Deprecated = true }))(t)
	for range 2 {
		h.authorized("deprecated", h.request("POST", Base+"initialize", strings.Replace(first("m-1"), "{", `{"clientDetails":{"hostname":"gate-1"},`, 1)))
	}
	if log := events(t, h.db); !strings.Contains(log, `"actor":"agent:vpn1","role":"agent, with a deprecated credential"`) {
		t.Error(log)
	}
	if n := strings.Count(h.logged.String(), "deprecated credential"); n != 2 {
		t.Errorf("logged %d times, used twice", n)
	}
}

// counting is a store that counts the credentials which are looked up.
type counting struct {
	access.AgentStore
	looks int
}

func (c *counting) CredentialByHash(ctx context.Context, hash []byte) (access.Credential, error) {
	c.looks++
	return c.AgentStore.CredentialByHash(ctx, hash)
}

func (c *counting) Credential(ctx context.Context, id string) (access.Credential, error) {
	c.looks++
	return c.AgentStore.Credential(ctx, id)
}

// counted has the looks of a house into its database counted.
func (h *house) counted() *counting {
	c := &counting{AgentStore: h.Agents.Store}
	h.Agents.Store = c
	return c
}

// wrongKey is one of many keys that nobody has.
func wrongKey(i int) string { return fmt.Sprintf("%064d", i) }

func TestASourceOfWrongKeysIsNotLookedUp(t *testing.T) {
	h := newHouse(t, atOnce)
	deleted, old := h.credential("vpn1")
	h.authorized("right", h.initialize())
	h.authorized("one that will be deleted", h.initialize("Client-Key", old))
	must(t, h.Agents.DeleteCredential(t.Context(), deleted))
	_, unseen := h.credential("vpn1")
	h.Pass(remembered)
	looked := h.counted()
	for i := range 10 * strangerBurst {
		h.unauthorized("wrong", h.initialize("Client-Key", wrongKey(i)))
	}
	if looked.looks != strangerBurst || strings.Count(h.logged.String(), "too many wrong access keys") != 1 {
		t.Errorf("%d wrong keys were looked up, %s", looked.looks, h.logged)
	}
	h.unauthorized("deleted", h.initialize("Client-Key", old))
	h.authorized("right, from a source of wrong ones", h.initialize())
	h.unauthorized("right, but not seen here before", h.initialize("Client-Key", unseen))
	h.from = "192.0.2.8:4000"
	h.authorized("from another address", h.initialize("Client-Key", unseen))
	h.from = "192.0.2.7:4000"
	h.Pass(remembered)
	h.authorized("seen since", h.initialize("Client-Key", unseen))
	h.unauthorized("still deleted", h.initialize("Client-Key", old))
}

// A node that goes on with a deleted key exhausts nothing for those beside it.
func TestADeletedKeyIsNoFlood(t *testing.T) {
	h := newHouse(t, atOnce)
	deleted, old := h.credential("vpn1")
	h.authorized("one that will be deleted", h.initialize("Client-Key", old))
	must(t, h.Agents.DeleteCredential(t.Context(), deleted))
	h.Pass(remembered)
	for range 1000 {
		h.Pass(100 * time.Millisecond)
		h.unauthorized("wrong", h.initialize("Client-Key", wrongKey(1)))
		h.unauthorized("deleted", h.initialize("Client-Key", old))
	}
	h.authorized("right", h.initialize())
	if strings.Contains(h.logged.String(), "too many") {
		t.Error(h.logged)
	}
}

// However many credentials there are, and wrong ones, what is remembered of them is bounded; so are the instances of agents.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	c, now, seen := newCredentialCache(), time.Now(), instances{}
	for i := range uint32(3 * mostRemembered) {
		var name [32]byte
		binary.BigEndian.PutUint32(name[:], i)
		c.put(name, identity{}, now)
		binary.BigEndian.PutUint32(name[4:], 1)
		c.refuse(name, now)
		seen.add(instance{agent: string(name[:])})
		if len(c.entries) > mostRemembered || len(c.wrong) > mostRemembered || len(seen.seen) > mostInstances {
			t.Fatal(len(c.entries), len(c.wrong), len(seen.seen))
		}
		if _, is := c.get(name, now); is != wrongLately {
			t.Fatalf("wrong credential %d is forgotten at once", i)
		}
	}
}

// estate are domains that cannot be read now.
type estate struct{ domain.Store }

func (estate) Domains(context.Context) ([]domain.Domain, error) {
	return nil, fault.New(fault.Unavailable, "away")
}

// While it is not known whom an agent may ask about, it may ask about nobody.
func TestAnUnknownDomainAdmitsNobody(t *testing.T) {
	h := newHouse(t, atOnce)
	h.edit(func(a *access.Agent) { a.Restriction.Users = []string{"ada"} })
	h.Domains = &domain.Registry{Store: h.db, Now: h.Now}
	try(h.Domains.Add(t.Context(), "north", domain.Root, ""))(t)
	h.edit(func(a *access.Agent) { a.Restriction.UserDomain = "north" })
	h.Domains = &domain.Registry{Store: estate{}, Now: h.Now}
	if status, text := h.send(h.initialize()); status != http.StatusServiceUnavailable || len(h.engine.begun) > 0 {
		t.Errorf("%d %s", status, text)
	}
}

// What else is in the headers takes no agent's key from it, and lets in none that has to sign.
func TestKeysBesideOtherHeaders(t *testing.T) {
	h := newHouse(t, atOnce)
	_, unseen := h.credential("vpn1")
	others := [][]string{{"Authorization", "Basic dnBuOnNlY3JldA=="}, {"X-Access-ID", h.id}, {"X-Access-ID", h.id, "Authorization", "HMAC " + h.id + ":x"}}
	for range strangerBurst {
		for _, o := range others {
			h.authorized(o[0], h.initialize(o...))
		}
	}
	h.authorized("nothing was counted", h.initialize("Client-Key", unseen))
	h.edit(func(a *access.Agent) { a.HMAC = access.HMACAllowed })
	for _, o := range others {
		h.authorized("may sign: "+o[0], h.initialize(o...))
	}
	h.edit(func(a *access.Agent) { a.HMAC = access.HMACRequired })
	id, key := h.credential("vpn1")
	for _, o := range others {
		h.unauthorized("must sign: "+o[0], h.initialize(o...))
		h.unauthorized("must sign: "+o[0], h.initialize(append(o, "Client-Key", key)...))
	}
	sum := sha512.Sum512([]byte(first("m-1")))
	now := h.Now().Format(http.TimeFormat)
	h.authorized("signs, and sends its key as well", h.initialize("Client-Key", key, "Date", now,
		"Authorization", "HMAC "+id+":"+sign(h.initialize(), key, id, now, hex.EncodeToString(sum[:]), "")))
}

// A flood of wrong signatures, or of access IDs that nobody has, takes nothing from an agent that signs rightly.
func TestAFloodOfWrongSignatures(t *testing.T) {
	h := newHouse(t, atOnce)
	h.edit(func(a *access.Agent) { a.HMAC = access.HMACRequired })
	id, key := h.credential("vpn1")
	sum := sha512.Sum512([]byte(first("m-1")))
	request := func(id, key string) *http.Request {
		h.Pass(time.Second) // another date, so another signature
		now := h.Now().Format(http.TimeFormat)
		return h.initialize("X-Access-ID", id, "Date", now, "Client-Key", sign(h.initialize(), key, id, now, hex.EncodeToString(sum[:]), ""))
	}
	wrong, right := request(id, wrongKey(1)), request(id, key)
	h.authorized("right", request(id, key))
	looked := h.counted()
	for i := range 10 * strangerBurst {
		again := wrong.Clone(t.Context())
		again.Body = h.initialize().Body
		h.unauthorized("a wrong signature", again)
		again = wrong.Clone(t.Context())
		again.Body = h.initialize().Body
		again.Header.Set("X-Access-ID", wrongKey(i))
		h.unauthorized("a wrong ID", again)
	}
	if refused := strings.Count(h.logged.String(), "agent refused"); looked.looks > strangerBurst || refused > strangerBurst {
		t.Errorf("%d looks into the database, %d lines in the log", looked.looks, refused)
	}
	h.authorized("right, from a source of wrong ones", right)
	h.Pass(remembered)
	for i := range 10 * strangerBurst {
		h.unauthorized("a wrong key", h.initialize("Client-Key", wrongKey(-i-1)))
	}
	h.authorized("right, some time later", request(id, key))
}

// sign signs a request in one of the ways that agents may.
func sign(r *http.Request, key, id, date, hash, end string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(r.Method + "\n" + hash + "\n" + r.URL.Path + "\n" + date + "\n" + id + end))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestSignedRequests(t *testing.T) {
	h := newHouse(t, atOnce)
	h.edit(func(a *access.Agent) { a.HMAC = access.HMACRequired })
	id, key := h.credential("vpn1")
	sum := sha512.Sum512([]byte(first("m-1")))
	lower := hex.EncodeToString(sum[:])
	date := func(layout string) string { return h.Now().Format(layout) }
	signed := func(signature, when, dateHeader string, carry func(http.Header)) *http.Request {
		r := h.initialize("Client-Key", "")
		r.Header.Set(dateHeader, when)
		carry(r.Header)
		return r
	}
	ours := h.initialize()

	for name, c := range map[string]struct{ layout, dateHeader, hash, end, carry string }{
		"hexadecimal":                 {http.TimeFormat, "Date", lower, "", "client-key"},
		"upper case":                  {http.TimeFormat, "X-Date", strings.ToUpper(lower), "", "client-key"},
		"Base64, and a line feed":     {time.RFC3339, "X-Authorization-Date", base64.StdEncoding.EncodeToString(sum[:]), "\n", "client-key"},
		"Authorization with both":     {http.TimeFormat, "Date", lower, "", "both"},
		"Authorization and an ID":     {http.TimeFormat, "Date", lower, "", "signature"},
		"Authorization, no scheme":    {http.TimeFormat, "Date", lower, "", "bare"},
		"a proxy's Authorization":     {http.TimeFormat, "Date", lower, "", "beside"},
		"an ID only in Authorization": {http.TimeFormat, "Date", lower, "", "id"},
	} {
		h.Pass(time.Second) // another date, so another signature
		when := date(c.layout)
		signature := sign(ours, key, id, when, c.hash, c.end)
		r := signed(signature, when, c.dateHeader, func(header http.Header) {
			switch c.carry {
			case "client-key":
				header.Set("X-Access-ID", id)
				header.Set("Client-Key", signature)
			case "both":
				header.Set("Authorization", "HMAC "+id+":"+signature)
			case "signature":
				header.Set("X-Access-ID", id)
				header.Set("Authorization", "HMAC "+signature)
			case "bare":
				header.Set("X-Access-ID", id)
				header.Set("Authorization", signature)
			case "beside":
				header.Set("X-Access-ID", id)
				header.Set("Client-Key", signature)
				header.Set("Authorization", "Basic dnBuOnNlY3JldA==")
			case "id":
				header.Set("Authorization", "HMAC "+id)
				header.Set("Client-Key", signature)
			}
		})
		again := r.Clone(t.Context())
		again.Body = h.initialize().Body
		unseen, real := r.Clone(t.Context()), h.Store
		unseen.Body, h.Store = h.initialize().Body, away{}
		if status, text := h.send(unseen); status != http.StatusServiceUnavailable {
			t.Errorf("%s, while it is not known whether it was seen: %d %s", name, status, text)
		}
		h.Store = real
		h.authorized(name, r)
		h.unauthorized(name+", replayed", again)
		other := New(h.Config)
		again = again.Clone(t.Context())
		again.Body = h.initialize().Body
		h.Server, other = other, h.Server
		h.unauthorized(name+", replayed to another server", again)
		h.Server = other
	}
}

// A signature is taken once also where another server, whose clock is ahead, forgets what is too old.
func TestSignaturesAreNotForgottenTooSoon(t *testing.T) {
	h := newHouse(t, atOnce)
	h.edit(func(a *access.Agent) { a.HMAC = access.HMACRequired })
	id, key := h.credential("vpn1")
	sum := sha512.Sum512([]byte(first("m-1")))
	when := h.Now().Add(300 * time.Second).Format(http.TimeFormat) // by an agent whose clock is ahead
	signature := sign(h.initialize(), key, id, when, hex.EncodeToString(sum[:]), "")
	signed := func() *http.Request {
		return h.initialize("X-Access-ID", id, "Date", when, "Client-Key", signature)
	}
	h.authorized("the first one", signed())
	h.Pass(595 * time.Second)
	ahead := h.Now().Add(10 * time.Second)
	try(h.db.DropSignatures(t.Context(), ahead.Add(-SignatureLife)))(t)
	h.unauthorized("its copy", signed())
	h.Pass(7 * time.Minute)
	if n := try(h.db.DropSignatures(t.Context(), h.Now().Add(-SignatureLife)))(t); n != 1 {
		t.Errorf("%d were forgotten in the end", n)
	}
}

// Conformance 9, and what else must not be taken.
func TestBadSignatures(t *testing.T) {
	h := newHouse(t, atOnce)
	h.edit(func(a *access.Agent) { a.HMAC = access.HMACAllowed })
	plainID := h.id // made while HMAC was off
	id, key := h.credential("vpn1")
	sum := sha512.Sum512([]byte(first("m-1")))
	hash := hex.EncodeToString(sum[:])
	now := h.Now().Format(http.TimeFormat)
	request := func(signID, when, signature string) *http.Request {
		return h.initialize("X-Access-ID", signID, "Date", when, "Client-Key", signature)
	}
	right := sign(h.initialize(), key, id, now, hash, "")
	const (
		unlike  = "its signature is not one that its access key makes of this request"
		undated = "the date of its request is not understood"
	)
	off := func(by time.Duration) *http.Request {
		when := h.Now().Add(by).Format(http.TimeFormat)
		return request(id, when, sign(h.initialize(), key, id, when, hash, ""))
	}
	for name, c := range map[string]struct {
		r *http.Request
		// why is what the log says to whoever set the agent up.
		why string
	}{
		"another date":       {request(id, h.Now().Add(time.Second).Format(http.TimeFormat), right), unlike},
		"no date":            {request(id, "", right), undated},
		"a date in prose":    {request(id, "today", sign(h.initialize(), key, id, "today", hash, "")), undated},
		"a clock behind":     {off(-301 * time.Second), "more than 5m0s off"},
		"a clock ahead":      {off(330 * time.Second), "more than 5m0s off"},
		"another ID":         {request(strings.Repeat("a", 64), now, right), ""},
		"another key":        {request(id, now, sign(h.initialize(), h.key, id, now, hash, "")), unlike},
		"another path":       {request(id, now, sign(h.request("POST", Base+"verify", ""), key, id, now, hash, "")), unlike},
		"another method":     {request(id, now, sign(h.request("PUT", Base+"initialize", ""), key, id, now, hash, "")), unlike},
		"not Base64":         {request(id, now, "%%%"), unlike},
		"cut off":            {request(id, now, right[:20]), unlike},
		"bits after the end": {request(id, now, right[:42]+string(right[42]+1)+"="), unlike},
		"no HMAC":            {request(plainID, now, sign(h.initialize(), h.key, plainID, now, hash, "")), "made while HMAC was off"},
	} {
		before := h.logged.Len()
		h.unauthorized(name, c.r)
		if said := h.logged.String()[before:]; (c.why == "") == strings.Contains(said, "agent refused") || !strings.Contains(said, c.why) || strings.Contains(said, key) {
			t.Errorf("%s: the log says %q, want %q", name, said, c.why)
		}
		h.Pass(time.Second)
	}
	changed := request(id, now, right)
	changed.Body = h.request("POST", "/", first("m-2")).Body
	h.unauthorized("another body", changed)
	h.from = "198.51.100.7:1" // the others have made the first one wait
	for _, skew := range []time.Duration{maxSkew + time.Second, -maxSkew - time.Second} {
		when := h.Now().Add(skew).Format(http.TimeFormat)
		h.unauthorized("a date too far off", request(id, when, sign(h.initialize(), key, id, when, hash, "")))
		when = h.Now().Add(skew / 2).Format(http.TimeFormat)
		h.authorized("a date near enough", request(id, when, sign(h.initialize(), key, id, when, hash, "")))
	}
	h.authorized("right", request(id, now, right))
	if strings.Contains(h.logged.String(), key) || strings.Contains(h.logged.String(), right) {
		t.Error("key or signature is in the log")
	}
	h.edit(func(a *access.Agent) { a.HMAC = access.HMACOff })
	later := h.Now().Format(http.TimeFormat)
	h.unauthorized("HMAC is off", request(id, later, sign(h.initialize(), key, id, later, hash, "")))
}

func TestAgentsAreKeptApart(t *testing.T) {
	h := newHouse(t, authentication.Decision{Result: authentication.Waiting, Step: authentication.StepPasscode, Attempt: attempt, Turn: 1})
	try(h.Agents.Add(t.Context(), access.Agent{Name: "other"}))(t)
	begun := h.post("initialize", `{"subjectName":"ada","context":{"messageId":"m"}}`)
	_, h.key = h.credential("other")
	h.post("verify", next(begun, "SECURID", "1"))
	if a := h.engine.answered[0]; a.Source.Agent != "agent:other" {
		t.Errorf("%+v", a.Source)
	}
	h.post("initialize", `{"subjectName":"ada","context":{"messageId":"m"}}`)
	if string(h.engine.begun[0].Key) == string(h.engine.begun[1].Key) {
		t.Error("two agents' messages have the same key")
	}
}
