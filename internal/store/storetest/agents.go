package storetest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

func agent(name string) access.Agent {
	return access.Agent{Name: name, Retry: true, DisplayName: "SecurID", HMAC: access.HMACAllowed, Note: "in the\ncellar", CreatedAt: start, Version: 1,
		Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		Methods:  []string{"TOKEN", "SECURID"}, AlsoNamedBy: []string{"mail"}, Restriction: access.Restriction{Users: []string{"ada", "b o b"}, Groups: []string{"g"}, UserDomain: "north"}}
}

func credential(agent, id string) access.Credential {
	return access.Credential{ID: id, Agent: agent, Hash: fingerprint("key " + id), Deprecated: true, Note: "new", CreatedAt: start, ExpiresAt: day(9)}
}

func agents(t *testing.T, s fixture) {
	ctx := t.Context()
	a, plain := agent("VPN1"), access.Agent{Name: "api", HMAC: access.HMACOff, Methods: []string{"SECURID"}, CreatedAt: start, Version: 1}
	ok(t, s.AddAgent(ctx, a))
	ok(t, s.AddAgent(ctx, plain))
	refused(t, s.AddAgent(ctx, agent("vpn1")), fault.Conflict)
	got, err := s.Agent(ctx, "vPn1")
	same(t, must(t, got, err), a)
	got, err = s.Agent(ctx, "api")
	same(t, must(t, got, err), plain)
	_, err = s.Agent(ctx, "vpn2")
	refused(t, err, fault.NotFound)
	a.Retry, a.Networks, a.HMAC, a.Methods, a.Restriction, a.AlsoNamedBy = false, nil, access.HMACRequired, []string{"SECURID"}, access.Restriction{}, nil
	ok(t, s.SaveAgent(ctx, a))
	refused(t, s.SaveAgent(ctx, a), fault.Conflict)
	a.Version++
	all, err := s.Agents(ctx)
	same(t, must(t, all, err), []access.Agent{plain, a})
	// Older releases kept networks of IPv4 as ones of IPv6.
	a.Networks = []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104"), netip.MustParsePrefix("::ffff:192.0.2.7/128"), netip.MustParsePrefix("2001:db8::/32")}
	ok(t, s.SaveAgent(ctx, a))
	a.Version++
	a.Networks[0], a.Networks[1] = netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")
	got, err = s.Agent(ctx, "vpn1")
	same(t, must(t, got, err), a)
	ok(t, s.AddCredential(ctx, credential("vpn1", "id")))
	ok(t, s.DeleteAgent(ctx, "Vpn1"))
	refused(t, s.DeleteAgent(ctx, "vpn1"), fault.NotFound)
	_, err = s.Credential(ctx, "id")
	refused(t, err, fault.NotFound)
}

func credentials(t *testing.T, s fixture) {
	ctx := t.Context()
	ok(t, s.AddAgent(ctx, agent("VPN1")))
	ok(t, s.AddAgent(ctx, agent("other")))
	first, second := credential("VPN1", "z"), credential("VPN1", "a")
	first.Sealed = seed.Sealed{KeyID: 1, Blob: []byte("sealed")}
	second.CreatedAt, second.ExpiresAt, second.Deprecated = start.Add(time.Second), time.Time{}, false
	ok(t, s.AddCredential(ctx, first))
	ok(t, s.AddCredential(ctx, second))
	ok(t, s.AddCredential(ctx, credential("other", "b")))
	refused(t, s.AddCredential(ctx, first), fault.Conflict)
	again := credential("VPN1", "c")
	again.Hash = first.Hash
	refused(t, s.AddCredential(ctx, again), fault.Conflict)
	refused(t, s.AddCredential(ctx, credential("nobody", "d")), fault.Conflict)

	got, err := s.Credential(ctx, "z")
	same(t, must(t, got, err), first)
	got, err = s.CredentialByHash(ctx, second.Hash)
	same(t, must(t, got, err), second)
	_, err = s.CredentialByHash(ctx, fingerprint("another"))
	refused(t, err, fault.NotFound)
	all, err := s.Credentials(ctx, "vpn1")
	same(t, must(t, all, err), []access.Credential{first, second})

	second.Deprecated, second.Note = true, "old"
	ok(t, s.SaveCredential(ctx, second))
	ok(t, s.DropAccessKeys(ctx, "vpn1"))
	first.Sealed = seed.Sealed{}
	all, err = s.Credentials(ctx, "vpn1")
	same(t, must(t, all, err), []access.Credential{first, second})
	refused(t, s.SaveCredential(ctx, credential("VPN1", "nope")), fault.NotFound)
	ok(t, s.DeleteCredential(ctx, "z"))
	refused(t, s.DeleteCredential(ctx, "z"), fault.NotFound)
}

func keptAttempts(t *testing.T, s fixture) {
	ctx := t.Context()
	k := access.KeptAttempt{ID: "a", Credential: "id", UserID: "alice", Attributes: []access.NameValue{{Name: "ip", Value: "192.0.2.1", DataType: "STRING"}},
		Methods: []string{"SECURID", "SECURID_NEWPIN"}, Code: "IN_PROCESS", Reason: "AUTHENTICATION_REQUIRED", Life: 3 * time.Minute, ExpiresAt: start, Turn: 2}
	ok(t, s.KeepAttempt(ctx, k))
	other := k
	other.UserID = "bob"
	ok(t, s.KeepAttempt(ctx, other)) // the first stays
	got, err := s.KeptAttempt(ctx, "a")
	same(t, must(t, got, err), k)
	bare := access.KeptAttempt{ID: "b", Credential: "id", UserID: "bob", Code: "FAIL", Reason: "VERIFY_ERROR", ExpiresAt: start.Add(time.Second)}
	ok(t, s.KeepAttempt(ctx, bare))
	got, err = s.KeptAttempt(ctx, "b")
	same(t, must(t, got, err), bare)
	bare.Methods, bare.Code, bare.ExpiresAt = []string{"SECURID"}, "SUCCESS", start.Add(2*time.Second)
	ok(t, s.SaveKeptAttempt(ctx, bare))
	got, err = s.KeptAttempt(ctx, "b")
	same(t, must(t, got, err), bare)
	refused(t, s.SaveKeptAttempt(ctx, access.KeptAttempt{ID: "c", ExpiresAt: start}), fault.AttemptNotFound)

	n, err := s.DropKeptAttempts(ctx, start.Add(2*time.Second))
	same(t, must(t, n, err), 1)
	_, err = s.KeptAttempt(ctx, "a")
	refused(t, err, fault.AttemptNotFound)
	ok(t, s.DropKeptAttempt(ctx, "b"))
	refused(t, s.DropKeptAttempt(ctx, "b"), fault.AttemptNotFound)
}

func signatures(t *testing.T, s fixture) {
	ctx := t.Context()
	for i, want := range []bool{true, false, false} {
		fresh, err := s.UseSignature(ctx, []byte("one"), start.Add(time.Duration(i)*time.Second))
		same(t, must(t, fresh, err), want)
	}
	fresh, err := s.UseSignature(ctx, []byte("two"), start.Add(time.Second))
	same(t, must(t, fresh, err), true)
	n, err := s.DropSignatures(ctx, start.Add(time.Second))
	same(t, must(t, n, err), 1)
	fresh, err = s.UseSignature(ctx, []byte("one"), start)
	same(t, must(t, fresh, err), true)
}
