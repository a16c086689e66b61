package storetest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

func users(t *testing.T, s fixture) {
	ctx := t.Context()
	alice := user.User{ID: "alice", Name: "Alice A.", Mail: "alice@example.com", Enabled: true, CreatedAt: start, Version: 1}
	bob := user.User{ID: "Bob", CreatedAt: start, Version: 1}
	ok(t, s.AddUser(ctx, alice))
	ok(t, s.AddUser(ctx, bob))
	refused(t, s.AddUser(ctx, alice), fault.UserExists)
	got, err := s.User(ctx, "alice")
	same(t, must(t, got, err), alice)
	_, err = s.User(ctx, "ALICE")
	refused(t, err, fault.UserNotFound)

	alice.Name, alice.Enabled = "Alice B.", false
	ok(t, s.SaveUser(ctx, alice))
	refused(t, s.SaveUser(ctx, alice), fault.Conflict)
	alice.Version++
	got, err = s.User(ctx, "alice")
	same(t, must(t, got, err), alice)

	all, err := s.Users(ctx, user.Filter{})
	same(t, must(t, all, err), []user.User{bob, alice}) // by bytes, whatever the language of the database
	page, err := s.Users(ctx, user.Filter{After: "Bob", Limit: 1})
	same(t, must(t, page, err), []user.User{alice})

	r := made(1)
	r.UserID = "alice"
	s.add(t, r)
	refused(t, s.DeleteUser(ctx, "alice"), fault.UserInUse)
	s.change(t, r.Serial, func(r *token.Token) { r.UserID = "" })
	ok(t, s.DeleteUser(ctx, "alice"))
	refused(t, s.DeleteUser(ctx, "alice"), fault.UserNotFound)
}

func userTexts(t *testing.T, s fixture) {
	ctx := t.Context()
	for _, id := range []string{"a%b", "a_b", `a\b`, "O'Hara; DROP TABLE token", "Ünal", "日本"} {
		ok(t, s.AddUser(ctx, user.User{ID: id, Name: "ŁUKASZ " + id, Mail: "x@Example.COM", CreatedAt: start, Version: 1}))
	}
	for query, want := range map[string]int{"%": 1, "_": 1, `\`: 1, "o'h": 1, "ünAL": 1, "本": 1, "łukasz": 6, "example.com": 6, "c": 6, "nobody": 0, "\x00": 0, "\xff": 0} {
		found, err := s.Users(ctx, user.Filter{Query: query})
		if len(must(t, found, err)) != want {
			t.Errorf("%q: found %d users, want %d", query, len(found), want)
		}
	}
	for _, id := range []string{"", "nul\x00", "not utf-8 \xff", strings.Repeat("x", 10_000)} {
		_, err := s.User(ctx, id)
		refused(t, err, fault.UserNotFound)
	}
	refused(t, s.AddUser(ctx, user.User{ID: "nul\x00", CreatedAt: start}), fault.Invalid)
}

func profiles(t *testing.T, s fixture) {
	ctx := t.Context()
	p := s.addProfile(t, "phones")
	refused(t, s.AddProfile(ctx, p), fault.ProfileNameTaken)
	got, err := s.Profile(ctx, "phones")
	same(t, must(t, got, err), p)
	_, err = s.Profile(ctx, "Phones")
	refused(t, err, fault.ProfileNotFound)
	p.Digits, p.Grace = 6, 0
	ok(t, s.SaveProfile(ctx, p))
	refused(t, s.SaveProfile(ctx, p), fault.Conflict)
	p.Version++
	other := s.addProfile(t, "desks")
	all, err := s.Profiles(ctx)
	same(t, must(t, all, err), []profile.Profile{other, p})
	its, others := mail.Template{Event: mail.Expiry, Profile: "phones", Subject: "s", Text: "t"}, mail.Template{Event: mail.Expiry, Profile: "desks", Subject: "s", Text: "t"}
	for _, m := range []mail.Template{its, others, {Event: mail.Expiry, Subject: "s", Text: "t"}} {
		ok(t, s.SaveMailTemplate(ctx, m))
	}
	ok(t, s.DeleteProfile(ctx, "phones"))
	refused(t, s.DeleteProfile(ctx, "phones"), fault.ProfileNotFound)
	templates, err := s.MailTemplates(ctx)
	if len(must(t, templates, err)) != 2 || slices.Contains(templates, its) {
		t.Errorf("templates that a new profile of the name would get: %+v", templates)
	}
}

func profilesInUse(t *testing.T, s fixture) {
	ctx := t.Context()
	s.addProfile(t, "phones")
	r := made(1)
	r.Profile = "phones"
	s.add(t, r)
	refused(t, s.DeleteProfile(ctx, "phones"), fault.ProfileInUse)
	s.change(t, r.Serial, func(r *token.Token) { r.Profile = "" })
	ok(t, s.AddOffer(ctx, offer("o", r.Serial)))
	refused(t, s.DeleteProfile(ctx, "phones"), fault.ProfileInUse)
	_, err := s.RevokeOffers(ctx, r.Serial)
	ok(t, err)
	// A new profile of the name would have its tokens accepted with the attributes that were for those of this one.
	vpn := radiusClient("vpn", "192.0.2.0/24")
	vpn.Attributes = append(vpn.Attributes, access.ReplyAttribute{Name: "Class", Value: "admins", Profile: "phones"})
	ok(t, s.AddRADIUSClient(ctx, vpn))
	refused(t, s.DeleteProfile(ctx, "phones"), fault.ProfileInUse)
	ok(t, s.DeleteRADIUSClient(ctx, "vpn"))
	ok(t, s.DeleteProfile(ctx, "phones"))
	kept, err := s.Offer(ctx, "o")
	if must(t, kept, err); kept.Profile != "phones" {
		t.Errorf("an offer that is over lost the name of its profile: %+v", kept)
	}
}

func profilesMove(t *testing.T, s fixture) {
	ctx := t.Context()
	s.addProfile(t, "phones")
	s.addProfile(t, "desks")
	r := s.assigned(t, 1)
	s.change(t, r.Serial, func(r *token.Token) { r.Profile = "phones" })
	before := s.change(t, s.add(t, made(2)).Serial, func(r *token.Token) { r.Profile = "desks" })
	ok(t, s.AddOffer(ctx, offer("o", r.Serial)))
	ok(t, s.MoveProfile(ctx, "phones", "desks"))
	moved := s.get(t, r.Serial)
	if moved.Profile != "desks" || moved.Version != 3 {
		t.Errorf("moved token: %+v", moved)
	}
	same(t, s.get(t, before.Serial), before)
	if o, err := s.Offer(ctx, "o"); must(t, o, err).Profile != "desks" {
		t.Errorf("moved offer: %+v", o)
	}
	ok(t, s.DeleteProfile(ctx, "phones"))
	if accepted, err := s.Accept(ctx, acceptance(moved, 7)); !must(t, accepted, err) {
		t.Error("a moved token is not accepted")
	}
}

func policies(t *testing.T, s fixture) {
	ctx := t.Context()
	want := policy.Default()
	want.Token.Version, want.Lockout.Version, want.Settings.Version = 1, 1, 1
	holds := func() policy.Set {
		got, err := s.Policies(ctx)
		ok(t, err)
		return policy.Set{Token: got.Token(domain.Root), Lockout: got.Lockout(domain.Root), Settings: got.Settings}
	}
	same(t, holds(), want)

	want.Token = policy.Token{
		IncorrectBeforeNTC: 7, NextCodeFailure: policy.NextCodeLocks, PINCreation: policy.ByEither, PINMin: 6, PINMax: 12,
		PINCharacters: policy.Alphanumeric, PINMinLetters: 1, PINMinDigits: 2, ExcludedWords: []string{"acme", "x'); DROP TABLE policy"},
		PINMaxLife: 90 * 24 * time.Hour, PINMinLife: 24 * time.Hour, PINHistory: 20, EmergencyLength: 10, EmergencyCharacters: policy.Digits,
		EmergencyLife: time.Hour, EmergencyMaxLife: 2 * time.Hour, EmergencyIfFound: policy.Deny,
		FixedPasscode: policy.FixedByOwnRules, FixedPasscodeMin: 20, OnDemand: true, OnDemandLife: time.Hour,
		WindowSmall: 2, WindowMedium: 20 * time.Minute, WindowLarge: 6 * time.Hour, Version: 1,
	}
	ok(t, s.SaveTokenPolicy(ctx, want.Token))
	refused(t, s.SaveTokenPolicy(ctx, want.Token), fault.Conflict)
	want.Token.Version++
	want.Lockout = policy.Lockout{Failures: 0, Within: time.Hour, UnlockAfter: 15 * time.Minute, Version: 1}
	ok(t, s.SaveLockoutPolicy(ctx, want.Lockout))
	refused(t, s.SaveLockoutPolicy(ctx, want.Lockout), fault.Conflict)
	want.Lockout.Version++
	want.Settings = policy.Settings{
		MaxTokensPerUser: 5, MinDaysLeft: 7, WarnDays: 30, IssueLimit: 3, ActivationCodeDigits: 30, NoPINs: true, AllowUnprotectedCTF: true, ResultLife: time.Hour, BulkApproval: true, AuditAuthenticationDays: 400, AuditAdministrationDays: 3650, AuditSystemDays: 30, Version: 1,
	}
	ok(t, s.SaveSettings(ctx, want.Settings))
	refused(t, s.SaveSettings(ctx, want.Settings), fault.Conflict)
	want.Settings.Version++
	same(t, holds(), want)
	settings, err := s.Settings(ctx)
	same(t, must(t, settings, err), want.Settings)
}

func apiKeys(t *testing.T, s fixture) {
	ctx := t.Context()
	b := access.Key{ID: "00000000000000ab", Name: "b", Role: access.AgentRole, Origin: "00000000000000ab", Hash: []byte{1, 0, 2}, CreatedAt: start, ExpiresAt: day(3)}
	a := access.Key{ID: "00000000000000cd", Name: "a", Role: access.SuperAdmin, Origin: "00000000000000ab", Hash: []byte{3}, CreatedAt: start}
	ok(t, s.AddAPIKey(ctx, b))
	ok(t, s.AddAPIKey(ctx, a))
	taken := a
	taken.ID = "00000000000000ef"
	refused(t, s.AddAPIKey(ctx, taken), fault.Conflict)
	got, err := s.APIKey(ctx, b.ID)
	same(t, must(t, got, err), b)
	all, err := s.APIKeys(ctx)
	same(t, must(t, all, err), []access.Key{a, b})
	gone, err := s.DeleteAPIKey(ctx, "b")
	same(t, must(t, gone, err), b)
	_, err = s.DeleteAPIKey(ctx, "b")
	refused(t, err, fault.NotFound)
	_, err = s.APIKey(ctx, b.ID)
	refused(t, err, fault.NotFound)
}

// radiusClient is one with everything that there can be.
func radiusClient(name, address string) access.RADIUSClient {
	return access.RADIUSClient{
		Name: name, Address: netip.MustParsePrefix(address), Certificate: name + ".example.com", Secret: seed.Sealed{KeyID: 1, Blob: []byte("sealed " + name)},
		Prompts: access.PromptsCiscoASA, Challenges: true, MessageAuthenticator: access.Warn, Attributes: []access.ReplyAttribute{{Name: "Class", Value: `a "b" ü`}},
		StripRealm: access.RealmSuffix, MaxQPS: 9, CreatedAt: start, Version: 1,
		Restriction: access.Restriction{Users: []string{"ada"}, Groups: []string{"g", "h"}, UserDomain: "north"},
	}
}

func radiusClients(t *testing.T, s fixture) {
	ctx := t.Context()
	b, a := radiusClient("b", "192.0.2.0/24"), access.RADIUSClient{Name: "a", Certificate: "only.example.com", Prompts: access.PromptsSecurID, CreatedAt: start, Version: 1}
	ok(t, s.AddRADIUSClient(ctx, b))
	ok(t, s.AddRADIUSClient(ctx, a))
	for _, taken := range []access.RADIUSClient{radiusClient("b", "10.0.0.0/8"), radiusClient("c", "192.0.2.0/24"), {Name: "d", Certificate: "only.example.com", CreatedAt: start}} {
		refused(t, s.AddRADIUSClient(ctx, taken), fault.Conflict)
	}
	got, err := s.RADIUSClient(ctx, "b")
	same(t, must(t, got, err), b)
	_, err = s.RADIUSClient(ctx, "B")
	refused(t, err, fault.NotFound)

	taken := b
	taken.Certificate = a.Certificate
	err = s.SaveRADIUSClient(ctx, taken)
	refused(t, err, fault.Conflict)
	if strings.Contains(err.Error(), "client a") {
		t.Errorf("whoever may not see the other client is told its name: %v", err)
	}
	b.Address, b.Certificate, b.Attributes, b.Secret.KeyID, b.Restriction = netip.MustParsePrefix("2001:db8::/32"), "", nil, 2, access.Restriction{}
	ok(t, s.SaveRADIUSClient(ctx, b))
	refused(t, s.SaveRADIUSClient(ctx, b), fault.Conflict)
	b.Version++
	all, err := s.RADIUSClients(ctx)
	same(t, must(t, all, err), []access.RADIUSClient{a, b})
	refused(t, s.DropDataKey(ctx, 2), fault.Conflict)
	ok(t, s.DeleteRADIUSClient(ctx, "b"))
	refused(t, s.DeleteRADIUSClient(ctx, "b"), fault.NotFound)
	ok(t, s.DropDataKey(ctx, 2))
}

func dataKeys(t *testing.T, s fixture) {
	ctx := t.Context()
	third := seed.DataKey{ID: 3, MasterID: "m2", Wrapped: []byte{0, 1}, CreatedAt: start}
	ok(t, s.AddDataKey(ctx, third))
	refused(t, s.AddDataKey(ctx, third), fault.Conflict)
	all, err := s.DataKeys(ctx)
	if len(must(t, all, err)) != 3 || all[0].ID != 1 || all[1].ID != 2 {
		t.Errorf("keys %+v", all)
	}
	same(t, all[2], third)
	ok(t, s.AddSecret(ctx, "x", seed.Sealed{KeyID: 3, Blob: []byte("x")}))
	refused(t, s.DropDataKey(ctx, 3), fault.Conflict)
	ok(t, s.DropSecret(ctx, "x"))
	ok(t, s.DropDataKey(ctx, 3))
	ok(t, s.DropDataKey(ctx, 3))
	refused(t, s.AddSecret(ctx, "y", seed.Sealed{KeyID: 3, Blob: []byte("y")}), fault.Conflict)
	r := made(1)
	r.Current.Sealed.KeyID = 3
	refused(t, s.AddToken(ctx, r), fault.Conflict)
}

func secrets(t *testing.T, s fixture) {
	ctx := t.Context()
	x := seed.Sealed{KeyID: 2, Blob: []byte{0, 255, 1}}
	_, err := s.Secret(ctx, "x")
	refused(t, err, fault.NotFound)
	ok(t, s.AddSecret(ctx, "x", x))
	refused(t, s.AddSecret(ctx, "x", x), fault.Conflict)
	got, err := s.Secret(ctx, "x")
	same(t, must(t, got, err), x)
	ok(t, s.DropSecret(ctx, "x"))
	ok(t, s.DropSecret(ctx, "x"))
}

// everySecret stores one secret of each kind under data key 1, and tells their bindings.
func (s fixture) everySecret(t *testing.T) []seed.Binding {
	t.Helper()
	ctx := t.Context()
	r := made(1)
	g := generation(r.Serial, 2)
	r.Pending, r.LastNumber, r.PendingUntil = &g, 2, day(2)
	s.add(t, r)
	under := func(name string) seed.Sealed { return seed.Sealed{KeyID: 1, Blob: []byte(name)} }
	ok(t, s.AddSecret(ctx, "a/b", under("a secret")))
	ok(t, s.KeepReply(ctx, "key:a/b", "c/d", []byte("request"), "", 0, under("a reply"), start))
	ok(t, s.AddOffer(ctx, offer("o", r.Serial)))
	x := exchange("\x00x/\xff", "o", 0)
	_, err := s.AddExchange(ctx, x, 3)
	ok(t, err)
	x.Reply, x.UsedAt, x.RepliedAt = under("an answer"), start, start
	ok(t, s.SaveExchange(ctx, x))
	ok(t, s.AddRADIUSClient(ctx, radiusClient("vpn", "192.0.2.0/24")))
	ok(t, s.AddWebhook(ctx, subscription("hook", 1)))
	ok(t, s.AddDirectory(ctx, directory.Directory{Name: "hq", Kind: directory.OpenLDAP, Password: under("a password"), CreatedAt: start, Version: 1}))
	m := outgoing("m", "")
	m.Sealed = under("a message")
	ok(t, s.AddMessages(ctx, []mail.Message{m}))
	ok(t, s.AddAgent(ctx, agent("vpn1")))
	c := credential("vpn1", "id")
	c.Sealed = under("an access key")
	ok(t, s.AddCredential(ctx, c))
	rows := waiting(2)
	rows[1].Input = under("an input")
	s.addJob(t, newJob("j", 2), rows)
	ok(t, s.FinishJobItems(ctx, "j", nil, []job.Result{{Number: 1, Key: "k", Sealed: under("a result")}}))
	return []seed.Binding{seed.OfDirectory("hq"), seed.OfJob("j"), seed.OfJobItem("j", 2), seed.OfJobResult("j", 1), seed.Of(r.Serial, 1), seed.Of(r.Serial, 2), seed.Named("a/b"), seed.ReplyTo("key:a/b/c/d"), seed.OfExchange(x.ID), seed.OfCredential(c.ID), seed.OfRADIUSClient("vpn"), seed.OfWebhook("hook"), seed.OfMail("m")}
}

func resealing(t *testing.T, s fixture) {
	ctx := t.Context()
	bindings := s.everySecret(t)
	ok(t, s.AddSecret(ctx, "new", seed.Sealed{KeyID: 2, Blob: []byte("new")}))
	two, err := s.SealedBefore(ctx, 2, 2)
	if len(must(t, two, err)) != 2 {
		t.Errorf("%d secrets, want the 2 asked for", len(two))
	}
	kept, err := s.SealedBefore(ctx, 2, 100)
	ok(t, err)
	var found []seed.Binding
	for _, k := range kept {
		found = append(found, k.Binding)
		anew := seed.Sealed{KeyID: 2, Blob: append([]byte("again "), k.Sealed.Blob...)}
		if moved, err := s.Reseal(ctx, k, anew); !must(t, moved, err) {
			t.Errorf("%s was not resealed", k.Binding)
		}
		if moved, err := s.Reseal(ctx, k, anew); must(t, moved, err) {
			t.Errorf("%s was resealed though it had changed", k.Binding)
		}
	}
	slices.Sort(bindings)
	slices.Sort(found)
	same(t, found, bindings)
	gone := seed.Kept{Binding: seed.Of("000000000009", 1), Sealed: seed.Sealed{KeyID: 1, Blob: []byte{1}}}
	if moved, err := s.Reseal(ctx, gone, seed.Sealed{KeyID: 2, Blob: []byte{2}}); must(t, moved, err) {
		t.Error("a secret that is gone was resealed")
	}
	rest, err := s.SealedBefore(ctx, 2, 100)
	if len(must(t, rest, err)) != 0 {
		t.Errorf("left under the old key: %v", rest)
	}
	ok(t, s.DropDataKey(ctx, 1))
	if r := s.get(t, "000000000001"); string(r.Current.Sealed.Blob) != "again sealed 000000000001/1" || r.Pending.Sealed.KeyID != 2 {
		t.Errorf("resealed token: %+v", r)
	}
}

func offers(t *testing.T, s fixture) {
	ctx := t.Context()
	s.addUser(t, "alice")
	one, two := s.add(t, made(1)), s.add(t, made(2))
	o := offer("o", one.Serial)
	ok(t, s.AddOffer(ctx, o))
	again := offer("p", two.Serial)
	again.CodeHash = o.CodeHash
	refused(t, s.AddOffer(ctx, again), fault.Conflict)
	refused(t, s.AddOffer(ctx, offer("q", one.Serial)), fault.Conflict) // one is open

	for name, find := range map[string]func() (distribution.Offer, error){
		"ID":    func() (distribution.Offer, error) { return s.Offer(ctx, "o") },
		"code":  func() (distribution.Offer, error) { return s.OfferByCode(ctx, o.CodeHash) },
		"token": func() (distribution.Offer, error) { return s.OpenOffer(ctx, one.Serial) },
	} {
		got, err := find()
		if err != nil {
			t.Errorf("by %s: %v", name, err)
		}
		same(t, got, o)
	}
	open, err := s.OpenOffers(ctx, []string{one.Serial, two.Serial})
	same(t, must(t, open, err), map[string]time.Time{one.Serial: o.ExpiresAt})

	o.State, o.Failures, o.Abandoned = distribution.Locked, 5, 7
	ok(t, s.SaveOffer(ctx, o))
	got, err := s.OfferByCode(ctx, o.CodeHash) // whatever its state
	same(t, must(t, got, err), o)
	_, err = s.OpenOffer(ctx, one.Serial)
	refused(t, err, fault.ActivationUnknown)
	_, err = s.Offer(ctx, "nope")
	refused(t, err, fault.ActivationUnknown)
	_, err = s.OfferByCode(ctx, []byte("nope"))
	refused(t, err, fault.ActivationUnknown)
	refused(t, s.SaveOffer(ctx, offer("nope", one.Serial)), fault.ActivationUnknown)
	ok(t, s.AddOffer(ctx, offer("q", one.Serial)))
}

func offersAreRevoked(t *testing.T, s fixture) {
	ctx := t.Context()
	s.addUser(t, "alice")
	r := s.add(t, made(1))
	n, err := s.RevokeOffers(ctx, r.Serial)
	same(t, must(t, n, err), 0)
	ok(t, s.AddOffer(ctx, offer("o", r.Serial)))
	begun, answered := exchange("begun", "o", 0), exchange("answered", "o", 1)
	for _, x := range []distribution.Exchange{begun, answered} {
		_, err := s.AddExchange(ctx, x, 3)
		ok(t, err)
	}
	answered.UsedAt, answered.Reply, answered.RepliedAt = start, seed.Sealed{KeyID: 1, Blob: []byte("answer")}, start
	ok(t, s.SaveExchange(ctx, answered))
	code, password := outgoing("code", r.Serial), outgoing("password", r.Serial)
	code.Event, code.State, password.Event, password.State = mail.ActivationCode, mail.Held, mail.Password, mail.Held
	both, older := outgoing("both", r.Serial), outgoing("older", r.Serial) // the link and its code, and what brought a seed that stays
	both.Generation, older.Generation = 2, 1
	ok(t, s.AddMessages(ctx, []mail.Message{code, password, both, older}))
	n, err = s.RevokeOffers(ctx, r.Serial)
	same(t, must(t, n, err), 1)
	o, err := s.Offer(ctx, "o")
	same(t, must(t, o, err).State, distribution.Revoked)
	_, err = s.Exchange(ctx, begun.ID)
	refused(t, err, fault.NotFound)
	kept, err := s.Exchange(ctx, answered.ID) // its answer may have to be repeated
	same(t, must(t, kept, err), answered)
	for _, dead := range []*mail.Message{&code, &both} { // they would bring a dead code
		dead.State, dead.Trouble, dead.EndedAt, dead.Sealed = mail.Cancelled, mail.Superseded, dead.CreatedAt, seed.Sealed{}
	}
	for _, m := range []mail.Message{code, password, both, older} {
		got, err := s.Message(ctx, m.ID)
		same(t, must(t, got, err), m)
	}
}

func exchanges(t *testing.T, s fixture) {
	ctx := t.Context()
	s.addUser(t, "alice")
	r := s.add(t, made(1))
	ok(t, s.AddOffer(ctx, offer("o", r.Serial)))
	add := func(x distribution.Exchange) int {
		n, err := s.AddExchange(ctx, x, 2)
		return must(t, n, err)
	}
	x := exchange("x", "o", 0)
	same(t, add(x), 0)
	got, err := s.Exchange(ctx, x.ID)
	same(t, must(t, got, err), x)
	_, err = s.AddExchange(ctx, x, 2)
	refused(t, err, fault.Conflict)

	x.UsedAt, x.Request = start.Add(time.Second), fingerprint("request")
	ok(t, s.SaveExchange(ctx, x))
	x.Reply, x.RepliedAt = seed.Sealed{KeyID: 2, Blob: []byte("reply")}, start.Add(2*time.Second)
	ok(t, s.SaveExchange(ctx, x))
	got, err = s.Exchange(ctx, x.ID)
	same(t, must(t, got, err), x)
	refused(t, s.SaveExchange(ctx, exchange("nope", "o", 0)), fault.NotFound)

	// The used one does not count; of the unused ones the oldest go.
	same(t, add(exchange("b", "o", 2)), 0)
	same(t, add(exchange("a", "o", 1)), 0)
	same(t, add(exchange("c", "o", 3)), 1)
	_, err = s.Exchange(ctx, []byte("a"))
	refused(t, err, fault.NotFound)

	n, err := s.DropExchanges(ctx, start.Add(2*time.Minute))
	same(t, must(t, n, err), 1)
	_, err = s.Exchange(ctx, x.ID)
	refused(t, err, fault.NotFound)
	_, err = s.Exchange(ctx, []byte("b"))
	ok(t, err)
}

func serials(t *testing.T, s fixture) {
	ctx := t.Context()
	_, err := s.ReserveSerials(ctx, 1)
	refused(t, err, fault.SerialsExhausted)
	ok(t, s.BeginSerials(ctx, 100, 109))
	ok(t, s.BeginSerials(ctx, 500, 509)) // it has one
	for _, c := range []struct{ count, first int64 }{{3, 100}, {6, 103}} {
		first, err := s.ReserveSerials(ctx, int(c.count))
		same(t, must(t, first, err), c.first)
	}
	_, err = s.ReserveSerials(ctx, 2)
	refused(t, err, fault.SerialsExhausted)
	first, err := s.ReserveSerials(ctx, 1)
	same(t, must(t, first, err), int64(109))
	_, err = s.ReserveSerials(ctx, 1)
	refused(t, err, fault.SerialsExhausted)
}

func replies(t *testing.T, s fixture) {
	ctx := t.Context()
	_, _, err := s.KeptReply(ctx, "key:a", "k")
	refused(t, err, fault.NotFound)
	sealed := seed.Sealed{KeyID: 1, Blob: []byte("reply")}
	ok(t, s.KeepReply(ctx, "key:a", "k", []byte("request"), "", 0, sealed, start))
	refused(t, s.KeepReply(ctx, "key:a", "k", []byte("request"), "", 0, sealed, start), fault.Conflict)
	ok(t, s.KeepReply(ctx, "key:b", "k", []byte{}, "", 0, sealed, start.Add(time.Hour)))
	request, reply, err := s.KeptReply(ctx, "key:a", "k")
	same(t, must(t, reply, err), sealed)
	same(t, string(request), "request")
	n, err := s.DropReplies(ctx, start.Add(time.Hour))
	same(t, must(t, n, err), 1)
	_, _, err = s.KeptReply(ctx, "key:a", "k")
	refused(t, err, fault.NotFound)
	_, _, err = s.KeptReply(ctx, "key:b", "k")
	ok(t, err)
}

// An answer that holds a seed goes with the seed, and its key stays used.
func repliesWithSeeds(t *testing.T, s fixture) {
	ctx := t.Context()
	replaced, deleted := s.add(t, made(1)), s.add(t, made(2))
	sealed := seed.Sealed{KeyID: 1, Blob: []byte("a delivery")}
	for _, serial := range []string{replaced.Serial, deleted.Serial, ""} {
		ok(t, s.KeepReply(ctx, "key:a", "of "+serial, []byte("request"), serial, 0, sealed, start))
	}
	replaced.Enabled = true
	ok(t, s.SaveToken(ctx, replaced)) // with the seed that it has
	_, reply, err := s.KeptReply(ctx, "key:a", "of "+replaced.Serial)
	same(t, must(t, reply, err), sealed)

	replaced.Version++
	replaced.Replace(generation(replaced.Serial, 2))
	ok(t, s.SaveToken(ctx, replaced))
	ok(t, s.DeleteToken(ctx, deleted.Serial))
	for _, serial := range []string{replaced.Serial, deleted.Serial} {
		request, reply, err := s.KeptReply(ctx, "key:a", "of "+serial)
		same(t, len(must(t, reply, err).Blob), 0)
		same(t, string(request), "request")
		refused(t, s.KeepReply(ctx, "key:a", "of "+serial, []byte("request"), "", 0, sealed, start), fault.Conflict)
	}
	kept, err := s.SealedBefore(ctx, 1000, 1000)
	replies := 0
	for _, k := range must(t, kept, err) {
		if strings.HasPrefix(string(k.Binding), "reply/") {
			replies++
		}
	}
	same(t, replies, 1) // the one without a token
}

// What is kept of a seed goes with that one: it outlives an older one that gives way, and not the next one that is replaced. What is kept of no generation that
// is known goes with any.
func whatIsKeptOfSeeds(t *testing.T, s fixture) {
	ctx := t.Context()
	r := s.assigned(t, 1)
	s.addJob(t, newJob("1", 3), waiting(3))
	keep := func(n int) {
		t.Helper()
		m := outgoing(fmt.Sprint(n), r.Serial)
		m.Generation, m.State = n, []mail.State{mail.Held, mail.Sending, mail.Held, mail.Failed, mail.Unknown}[n]
		ok(t, s.AddMessages(ctx, []mail.Message{m}))
		got, err := s.Message(ctx, m.ID)
		same(t, must(t, got, err), m)
		ok(t, s.FinishJobItems(ctx, "1", nil, []job.Result{{Number: n, Key: r.Serial, Generation: n, Sealed: m.Sealed}}))
		ok(t, s.KeepReply(ctx, "key:a", m.ID, []byte("request"), r.Serial, n, m.Sealed, start))
	}
	kept := func(when string, want ...int) {
		t.Helper()
		results, err := s.JobResults(ctx, "1", -1, 10)
		ok(t, err)
		n, err := s.JobResultsLeft(ctx, "1")
		same(t, must(t, n, err), len(results))
		for n := range 5 {
			_, reply, err := s.KeptReply(ctx, "key:a", fmt.Sprint(n))
			if errors.Is(err, fault.NotFound) {
				continue // not made yet
			}
			ok(t, err)
			m, err := s.Message(ctx, fmt.Sprint(n))
			ok(t, err)
			result := slices.ContainsFunc(results, func(x job.Result) bool { return x.Number == n && x.Generation == n })
			is := slices.Contains(want, n)
			if len(reply.Blob) > 0 != is || result != is || (m.Trouble != mail.Superseded) != is || len(m.Sealed.Blob) > 0 != is {
				t.Errorf("%s, of generation %d: reply %q, result %v, mail %s %q", when, n, reply.Blob, result, m.State, m.Sealed.Blob)
			}
		}
	}
	keep(0)
	keep(1)
	s.change(t, r.Serial, func(r *token.Token) { r.Await(generation(r.Serial, 2), day(7)) })
	keep(2)
	kept("while the next one waits", 0, 1, 2)
	s.change(t, r.Serial, func(r *token.Token) { r.SwitchOver() })
	kept("when the old one has given way", 2)
	s.change(t, r.Serial, func(r *token.Token) { r.Await(generation(r.Serial, 3), day(7)) })
	keep(3)
	s.change(t, r.Serial, func(r *token.Token) { r.Await(generation(r.Serial, 4), day(7)) })
	keep(4)
	kept("when the next one is replaced", 2, 4)
	s.change(t, r.Serial, func(r *token.Token) { r.Pending = nil })
	kept("when the next one is given up", 2)
	anew := generation(r.Serial, 2)
	anew.Fingerprint = fingerprint("another seed")
	s.change(t, r.Serial, func(r *token.Token) { r.Replace(anew) })
	kept("when another seed takes the number")
}

func health(t *testing.T, s fixture) { ok(t, s.Ping(t.Context())) }
