package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/clock"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/records"
	"github.com/tallystick/tallystick/internal/report"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/internal/webhook"
)

// Store is everything that the server asks of a store: what each package
// asks, the answers kept for the API's idempotency keys, and what is kept for agents.
type Store interface {
	seed.KeyStore
	user.Store
	user.GroupStore
	domain.Store
	directory.Store
	profile.Store
	device.Store
	policy.Store
	token.Store
	access.Store
	access.AgentStore
	access.RADIUSStore
	audit.Store
	records.Store
	distribution.Store
	authentication.Store
	clock.Store
	report.Store
	report.RunStore
	job.Store
	webhook.Store
	mail.Store

	AddToken(ctx context.Context, t token.Token) error
	OpenOffer(ctx context.Context, serial string) (distribution.Offer, error)
	MailBacklog(ctx context.Context) (mail.Backlog, error)
	DropRuns(ctx context.Context, now time.Time) (int, error)
	KeptReply(ctx context.Context, actor, key string) (request []byte, reply seed.Sealed, err error)
	KeepReply(ctx context.Context, actor, key string, request []byte, serial string, generation int, reply seed.Sealed, at time.Time) error
	DropReplies(ctx context.Context, before time.Time) (int, error)
	KeepAttempt(ctx context.Context, k access.KeptAttempt) error
	KeptAttempt(ctx context.Context, id string) (access.KeptAttempt, error)
	SaveKeptAttempt(ctx context.Context, k access.KeptAttempt) error
	DropKeptAttempt(ctx context.Context, id string) error
	DropKeptAttempts(ctx context.Context, before time.Time) (int, error)
	UseSignature(ctx context.Context, signature []byte, at time.Time) (bool, error)
	DropSignatures(ctx context.Context, before time.Time) (int, error)
	Ping(ctx context.Context) error
	FoldTallies(ctx context.Context) error
}

// Run tests what a store promises to one caller at a time. open returns an empty store.
func Run(t *testing.T, open func(*testing.T) Store) {
	for _, part := range []struct {
		name string
		test func(*testing.T, fixture)
	}{
		{"users", users}, {"user texts", userTexts},
		{"groups", groups}, {"domains are a tree", domainTree}, {"domains limit what is seen", scopes}, {"objects move between domains", moves}, {"domains limit what was done", works}, {"a domain is deleted after its work", aDomainOfWorks}, {"a domain claims no certificates", certificateClaims}, {"users are applied", applying}, {"users that cannot be applied", applyingWhatCannotBe}, {"many are assigned", assignAll}, {"many are refused", assignRefusals}, {"the next ones are assigned", assignNextOnes}, {"the next one is of the domain or above", nextOfDomains}, {"many get the next ones of their domains", manyOfDomains}, {"replacements and donors are of the domain or above", sparesOfDomains}, {"the limit counts what is elsewhere", limitCountsAll},
		{"profiles", profiles}, {"profiles in use", profilesInUse}, {"profiles move", profilesMove},
		{"device definitions", deviceDefinitions},
		{"policies", policies}, {"policies of domains", policiesOfDomains}, {"policies in a scope", policiesInScope}, {"tokens keep every field", tokensKeepEveryField}, {"tokens are selected", tokensAreSelected},
		{"the next token expires first", nextToken}, {"a stale token is not saved", staleToken},
		{"seeds are unique for ever", seedsAreUnique}, {"many records are stored at once", manyAtOnce}, {"many records are saved at once", manySaved}, {"generations follow the token", generationsFollow},
		{"deleted tokens leave nothing", deletedTokens}, {"due switch-overs", switchOvers}, {"what is on devices", holdings},
		{"many tokens are changed as one is", manyTokens}, {"extensions", extensions}, {"extensions without donors", extensionsWithoutDonors},
		{"corrections", corrections}, {"labels", labels}, {"wrong passcodes are cleared", wrongPasscodesCleared}, {"many replacements", manyReplacements},
		{"codes are accepted once", acceptsOnce}, {"settlements", settlements}, {"settlements that come too late", lateSettlements}, {"attempts", attempts}, {"what agents are limited to", limits}, {"names that others' agents are limited to", claimedNames}, {"addresses", addresses}, {"addresses elsewhere", addressesElsewhere}, {"IDs alike", alikeIDs}, {"clocks", clocks},
		{"data keys", dataKeys}, {"secrets", secrets}, {"resealing", resealing},
		{"offers", offers}, {"offers are revoked", offersAreRevoked}, {"exchanges", exchanges},
		{"serials", serials}, {"API keys", apiKeys}, {"agents", agents}, {"agents' credentials", credentials},
		{"kept attempts", keptAttempts}, {"signatures", signatures}, {"RADIUS clients", radiusClients}, {"webhooks", webhooks}, {"one server delivers", webhookLeases},
		{"mail", mails}, {"mail is held", heldMails}, {"mail is begun once", mailsAreBegunOnce}, {"mail settings", mailSettings}, {"tries of passcodes", passcodeTries}, {"tries of passwords", passwordTries}, {"expiry notices", expiryNotices}, {"who cannot sign in", usersUnableToSignIn},
		{"kept replies", replies}, {"kept replies with seeds", repliesWithSeeds}, {"what is kept of seeds", whatIsKeptOfSeeds},
		{"jobs", jobs}, {"jobs are loaded", loading}, {"items of jobs", jobItems}, {"results of jobs end", jobResultsEnd}, {"campaigns", campaigns}, {"claimed items are passed over", claimedItemsAreFree},
		{"tokens in reports", reportedTokens}, {"runs of reports", reportRuns}, {"schedules of reports", reportSchedules}, {"schedules after a wrong clock", schedulesAfterAWrongClock},
		{"health", health},
		{"an error undoes everything", errorUndoes}, {"a panic undoes everything", panicUndoes},
		{"the end of the context undoes everything", cancelUndoes}, {"transactions join", transactionsJoin}, {"after a commit", afterCommit},
	} {
		t.Run(part.name, func(t *testing.T) {
			part.test(t, withKeys(t, open(t)))
		})
	}
}

func withKeys(t *testing.T, store Store) fixture {
	s := fixture{store}
	for id := int64(1); id <= 2; id++ {
		ok(t, s.AddDataKey(t.Context(), seed.DataKey{ID: id, MasterID: "m", Wrapped: []byte{byte(id)}, CreatedAt: start}))
	}
	return s
}

// start is when the tests take place.
var start = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

// now is a clock that stands there.
func now() time.Time { return start }

// day is a day so many days after start's.
func day(n int) time.Time { return time.Date(2026, 1, 2+n, 0, 0, 0, 0, time.UTC) }

// A fixture is a store with two data keys, 1 and 2.
type fixture struct{ Store }

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must returns v if there was no error.
func must[T any](t testing.TB, v T, err error) T {
	t.Helper()
	ok(t, err)
	return v
}

// refused tests that err is of a kind.
func refused(t testing.TB, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got %v, want %v", err, kind)
	}
}

func same(t testing.TB, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// fingerprint is that of a seed that goes by a name.
func fingerprint(name string) []byte {
	h := sha256.Sum256([]byte(name))
	return h[:]
}

// generation is a generation of a token, with a seed of its own for each serial and number.
func generation(serial string, number int) token.Generation {
	name := fmt.Sprintf("%s/%d", serial, number)
	return token.Generation{
		Number: number, Sealed: seed.Sealed{KeyID: 1, Blob: []byte("sealed " + name)}, Fingerprint: fingerprint(name),
		Settings: token.Factory, MadeAt: start, Clock: token.Clock{LastInterval: token.Unused},
	}
}

// made is a token as it is made: assigned to nobody, disabled.
func made(n int) token.Token {
	serial := fmt.Sprintf("%012d", n)
	return token.Token{
		Serial: serial, Origin: token.Generated, Birth: day(-1), Expiry: day(365), EffectiveExpiry: day(365),
		Current: generation(serial, 1), LastNumber: 1, Distribution: token.NotDistributed, CreatedAt: start, Version: 1,
	}
}

// add stores a token.
func (s fixture) add(t testing.TB, r token.Token) token.Token {
	t.Helper()
	ok(t, s.AddToken(t.Context(), r))
	return r
}

// addUser stores a user of that ID.
func (s fixture) addUser(t testing.TB, id string) {
	t.Helper()
	ok(t, s.AddUser(t.Context(), user.User{ID: id, Enabled: true, CreatedAt: start, Version: 1}))
}

// assigned stores a token that alice holds, whom it adds.
func (s fixture) assigned(t testing.TB, n int) token.Token {
	t.Helper()
	s.addUser(t, "alice")
	r := made(n)
	ok(t, r.Assign("alice", "test", start))
	return s.add(t, r)
}

// get reads a token outside a transaction.
func (s fixture) get(t testing.TB, serial string) token.Token {
	t.Helper()
	r, err := s.Token(t.Context(), serial)
	return must(t, r, err)
}

// change reads a token, changes it and saves it, in one transaction.
func (s fixture) change(t testing.TB, serial string, change func(*token.Token)) token.Token {
	t.Helper()
	ok(t, s.Transact(t.Context(), func(ctx context.Context) error {
		r, err := s.Token(ctx, serial)
		if err != nil {
			return err
		}
		change(&r)
		return s.SaveToken(ctx, r)
	}))
	return s.get(t, serial)
}

func (s fixture) addProfile(t testing.TB, name string) profile.Profile {
	t.Helper()
	p := profile.Profile{Name: name, DeviceType: "android", Digits: 8, Interval: 60, PINType: device.PINPad, Method: device.CTKIP, CTFVersion: 3,
		Binding: profile.BindClass, Protection: profile.UserIDPassword, ActivationLife: 25 * time.Hour, SwitchOver: profile.OnActivation,
		Grace: 49 * time.Hour, Notes: "notes\nof two lines", CreatedAt: start, Version: 1, URLStyle: device.LinkLoopback,
		SelfService: profile.SelfService{Available: true, DisplayName: "Phöne", Description: "a\nb", ImageURL: "https://a/", AppURL: "https://b/", HelpURL: "https://c/"}}
	ok(t, s.AddProfile(t.Context(), p))
	return p
}

// offer is an open activation code of a token.
func offer(id, serial string) distribution.Offer {
	return distribution.Offer{ID: id, Serial: serial, UserID: "alice", Profile: "phones", CodeHash: fingerprint("code " + id), Generation: 2,
		Settings: token.Settings{Digits: 6, Interval: 30, PINType: device.Fob}, DeviceID: "d-1", CreatedAt: start, ExpiresAt: day(1),
		IssuedBy: "key:helpdesk", State: distribution.Open, Failures: 1, Abandoned: 2, Correlation: "c-1"}
}

// AddOffer stores an open activation code.
func (s fixture) AddOffer(ctx context.Context, o distribution.Offer) error {
	return s.AddOffers(ctx, []distribution.Offer{o})
}

func exchange(id, offer string, minute int) distribution.Exchange {
	return distribution.Exchange{ID: []byte(id), OfferID: offer, Dialect: "rsa", Nonce: []byte("nonce of 16 byte"), KeyID: "k-1", DeviceID: "d-1",
		BegunAt: start.Add(time.Duration(minute) * time.Minute)}
}

// A claim is one on an interval of the current generation of a token, as it was read.
type claim struct {
	token    token.Token
	interval int64
}

func acceptance(r token.Token, interval int64) claim { return claim{r, interval} }

// Accept makes a claim and tells whether it was the one that counts: what authentication does, without its locks.
func (s fixture) Accept(ctx context.Context, c claim) (bool, error) {
	now, err := s.Token(ctx, c.token.Serial)
	if errors.Is(err, fault.TokenNotFound) {
		now, err = c.token, nil
	}
	if err != nil || c.interval <= now.Current.LastInterval {
		return false, err
	}
	err = s.Settle(ctx, authentication.Settlement{Uses: []authentication.Use{{
		Serial: c.token.Serial, Version: c.token.Version, Number: c.token.Current.Number, Before: now.Current.Clock,
		After: token.Clock{LastInterval: c.interval, Offset: 3, LastUsedAt: start, LastAgent: "radius:vpn", Accepted: "marks"},
	}}})
	if errors.Is(err, fault.Conflict) {
		return false, nil
	}
	return err == nil, err
}

// event tells of an object.
func event(ctx context.Context, object string) audit.Event {
	return audit.New(ctx, start, "test.write", object, nil)
}
