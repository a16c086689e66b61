package distribution_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/records"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/deploytest"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/sdtid"
	"github.com/tallystick/tallystick/securid"
)

// A world is a deployment in a temporary folder, with a clock that the test turns.
type world struct {
	*testing.T
	*deploytest.Clock
	ctx      context.Context
	db       *store.DB
	keys     *seed.Keyring
	tokens   *token.Registry
	profiles *profile.Registry
	records  *records.Registry
	dist     *distribution.Distributor
	auth     *authentication.Engine
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, ctx: t.Context(), Clock: deploytest.NewClock(time.Date(2026, 11, 24, 9, 14, 30, 0, time.UTC))}
	db, keys := deploytest.New(t, deploytest.SQLite(t), w.Now)
	w.db, w.keys = db, keys
	w.tokens = &token.Registry{Store: db, Now: w.Now}
	devices := &device.Registry{Store: db, Now: w.Now}
	w.profiles = &profile.Registry{Store: db, Devices: devices, Now: w.Now}
	w.records = &records.Registry{Store: db, Keys: w.keys, Now: w.Now}
	w.dist = &distribution.Distributor{Store: db, Devices: devices, Keys: deploytest.Secrets(w.keys), Now: w.Now, Endpoint: "https://tokens.test:8443/ctkip/services/CtkipService", Service: "Test"}
	w.auth = &authentication.Engine{Store: db, Keys: w.keys, Now: w.Now}
	w.must(w.records.BeginSerials(w.ctx))
	_, err := (&user.Registry{Store: db, Now: w.Now}).Add(w.ctx, user.User{ID: "alice", Name: "Alice Exämple", Mail: "alice@example.com"})
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// refused expects an error of a code.
func (w *world) refused(err error, code fault.Code) {
	w.Helper()
	if !errors.Is(err, code) {
		w.Errorf("got %v, want %s", err, code)
	}
}

// assigned makes a token and gives it to alice.
func (w *world) assigned() string {
	w.Helper()
	serials, err := w.records.Create(w.ctx, 1, time.Time{}, time.Time{})
	w.must(err)
	_, err = w.tokens.Assign(w.ctx, serials[0], "alice")
	w.must(err)
	return serials[0]
}

// profile adds a profile for the generic device, changed as the test likes.
func (w *world) profile(name string, method device.Method, change func(*profile.Profile)) {
	w.Helper()
	p := profile.Profile{Name: name, DeviceType: "generic", Method: method, PINType: device.NoPIN, Grace: -1}
	if change != nil {
		change(&p)
	}
	_, err := w.profiles.Add(w.ctx, p)
	w.must(err)
}

// check checks a passcode of alice.
func (w *world) check(passcode string, want authentication.Result) {
	w.Helper()
	got, err := w.auth.Check(w.ctx, "alice", passcode)
	if err != nil || got != want {
		w.Errorf("checked: %s, %v, want %s", got, err, want)
	}
}

// code is what an app with this file shows now.
func (w *world) code(file []byte, password string) string {
	w.Helper()
	f, err := sdtid.Parse(file)
	w.must(err)
	tokens, err := f.Open(password)
	w.must(err)
	t := tokens[0]
	code, err := securid.Code(t.Seed, t.Serial, t.Digits, t.Interval, w.Now())
	w.must(err)
	return code
}

func (w *world) token(serial string) token.Token {
	w.Helper()
	t, err := w.tokens.Get(w.ctx, serial)
	w.must(err)
	return t
}

func TestAFileIsDeliveredAndItsCodesCountOnce(t *testing.T) {
	w := newWorld(t)
	w.profile("file", device.File, nil)
	serial := w.assigned()
	out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "file", Password: "correct horse", Nickname: "laptop", Grace: -1})
	w.must(err)
	if out.Generation != 1 || out.FileName != "alice_"+serial+".sdtid" || len(out.Warnings) != 0 {
		t.Errorf("delivery %d %s %v", out.Generation, out.FileName, out.Warnings)
	}
	if got := w.token(serial).Distribution; got != token.Issued {
		t.Errorf("state %s", got)
	}
	code := w.code(out.File, "correct horse")
	w.check(code, authentication.Accepted)
	w.check(code, authentication.Denied)
	if got := w.token(serial).Distribution; got != token.Confirmed {
		t.Errorf("state after a good code %s", got)
	}
	w.Pass(time.Minute)
	w.check(code, authentication.Denied)
	w.check(w.code(out.File, "correct horse"), authentication.Accepted)
}

func TestRedistributionTurnsTheOldSeedAway(t *testing.T) {
	w := newWorld(t)
	w.profile("file", device.File, nil)
	w.profile("six", device.File, func(p *profile.Profile) { p.Digits, p.Interval = 6, 30 })
	serial := w.assigned()
	old, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "file", Grace: -1})
	w.must(err)
	w.check(w.code(old.File, ""), authentication.Accepted)
	w.Pass(time.Minute)
	fresh, err := w.dist.Redistribute(w.ctx, distribution.Request{Serial: serial, Profile: "six", Grace: -1}, distribution.Compromised, "")
	w.must(err)
	if fresh.Generation != 2 {
		t.Errorf("generation %d", fresh.Generation)
	}
	w.check(w.code(old.File, ""), authentication.Denied)
	code := w.code(fresh.File, "")
	if len(code) != 6 {
		t.Errorf("code of %d digits", len(code))
	}
	w.check(code, authentication.Accepted)
	_, err = w.dist.Redistribute(w.ctx, distribution.Request{Serial: serial, Profile: "six", Grace: -1}, "", "")
	w.refused(err, fault.ReasonRequired)
	_, err = w.dist.Redistribute(w.ctx, distribution.Request{Serial: serial, Profile: "six", Grace: -1}, distribution.Other, "")
	w.refused(err, fault.ReasonRequired)
}

// Whoever distributes a token that was delivered before learns what that ended: another administrator may have delivered it a moment ago.
func TestDistributingAgainSaysWhatItEnded(t *testing.T) {
	w := newWorld(t)
	w.profile("file", device.File, nil)
	w.profile("phone", device.CTKIP, nil)
	serial, fresh := w.assigned(), w.assigned()
	for n, x := range []struct {
		profile string
		over    profile.SwitchOver
		want    string
	}{
		{"phone", "", ""},
		{"phone", "", "the activation code of 2026-11-24 09:14 UTC has ended"},
		{"file", "", "the activation code of 2026-11-24 10:14 UTC has ended"},
		{"file", "", "this ended the seed that was delivered on 2026-11-24 11:14 UTC"},
		{"file", profile.OnActivation, "the seed that was delivered on 2026-11-24 12:14 UTC ends once this delivery is used, and on 2026-11-26 13:14 UTC at the latest"},
		{"file", profile.OnActivation, "this ended the seed that was delivered on 2026-11-24 13:14 UTC"}, // the one that waited; the one before lives on
	} {
		grace := 48 * time.Hour
		if x.over == "" {
			grace = -1
		}
		out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: x.profile, SwitchOver: x.over, Password: password(x.profile), Grace: grace})
		w.must(err)
		if said := strings.Join(out.Warnings, "\n"); !strings.Contains(said, x.want) || strings.Contains(said, " before: ") != (x.want != "") {
			t.Errorf("%d: the warnings are %q, want %q", n, said, x.want)
		}
		w.Pass(time.Hour)
	}
	r := distribution.Request{Serial: serial, Profile: "file", Password: password("file"), Grace: -1}
	if out, err := w.dist.Redistribute(w.ctx, r, distribution.NewDevice, ""); err != nil || len(out.Warnings) > 0 {
		t.Errorf("a redistribution, which asks for that, warns %q, %v", out.Warnings, err)
	}
	r.Serial = fresh
	if out, err := w.dist.Distribute(w.ctx, r); err != nil || len(out.Warnings) > 0 {
		t.Errorf("a first delivery warns %q, %v", out.Warnings, err)
	}
	_, err := w.tokens.Unassign(w.ctx, fresh, 0)
	w.must(err)
	_, err = w.tokens.Assign(w.ctx, fresh, "alice")
	w.must(err)
	if out, err := w.dist.Distribute(w.ctx, r); err != nil || len(out.Warnings) > 0 {
		t.Errorf("the first delivery to another user warns %q, %v", out.Warnings, err)
	}
}

// password is one for what takes one.
func password(profile string) string {
	if profile == "phone" {
		return ""
	}
	return "correct horse"
}

func TestOnActivationOldAndNewLiveSideBySide(t *testing.T) {
	for name, end := range map[string]func(w *world, oldCode, newCode func() string){
		"first good code": func(w *world, oldCode, newCode func() string) {
			w.check(newCode(), authentication.Accepted)
			w.Pass(time.Minute)
		},
		"grace over": func(w *world, oldCode, newCode func() string) { w.Pass(48 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.profile("file", device.File, nil)
			serial := w.assigned()
			r := distribution.Request{Serial: serial, Profile: "file", Grace: -1}
			old, err := w.dist.Distribute(w.ctx, r)
			w.must(err)
			r.SwitchOver, r.Grace = profile.OnActivation, 48*time.Hour
			fresh, err := w.dist.Redistribute(w.ctx, r, distribution.NewDevice, "")
			w.must(err)
			if fresh.SwitchOver != profile.OnActivation || !fresh.OldUntil.Equal(w.Now().Add(48*time.Hour)) {
				t.Errorf("switch-over %s, old until %s", fresh.SwitchOver, fresh.OldUntil)
			}
			oldCode := func() string { return w.code(old.File, "") }
			newCode := func() string { return w.code(fresh.File, "") }
			w.check(oldCode(), authentication.Accepted)
			w.Pass(time.Minute)
			w.check(oldCode(), authentication.Accepted)
			w.Pass(time.Minute)
			end(w, oldCode, newCode)
			w.check(oldCode(), authentication.Denied)
			w.check(newCode(), authentication.Accepted)
			tok := w.token(serial)
			if tok.Current.Number != 2 || tok.Pending != nil || tok.Distribution != token.Confirmed {
				t.Errorf("token %d %v %s", tok.Current.Number, tok.Pending, tok.Distribution)
			}
		})
	}
}

// Whatever ends the old seed of a redistribution says that it is complete, once.
func TestARedistributionIsCompletedOnce(t *testing.T) {
	const grace = 48 * time.Hour
	for name, end := range map[string]func(w *world, serial string, fresh distribution.Delivery){
		"by a good code": func(w *world, _ string, fresh distribution.Delivery) {
			w.check(w.code(fresh.File, ""), authentication.Accepted)
		},
		"by a wrong code": func(w *world, _ string, _ distribution.Delivery) {
			w.Pass(grace)
			w.check("00000000", authentication.Denied)
		},
		"by a resynchronisation": func(w *world, serial string, fresh distribution.Delivery) {
			w.Pass(grace)
			first := w.code(fresh.File, "")
			w.Pass(time.Minute)
			w.must(w.auth.Resync(w.ctx, serial, first, w.code(fresh.File, "")))
		},
		"by a PIN": func(w *world, serial string, _ distribution.Delivery) {
			w.Pass(grace)
			w.must(w.auth.ClearPIN(w.ctx, serial))
		},
		"by another one": func(w *world, serial string, _ distribution.Delivery) {
			w.Pass(grace)
			_, err := w.dist.Redistribute(w.ctx, distribution.Request{Serial: serial, Profile: "pin", SwitchOver: profile.OnActivation, Grace: grace}, distribution.NewDevice, "")
			w.must(err)
		},
		"by time alone": func(w *world, _ string, _ distribution.Delivery) { w.Pass(grace) },
		"by taking it away": func(w *world, serial string, _ distribution.Delivery) {
			w.Pass(grace)
			_, err := w.tokens.Unassign(w.ctx, serial, 0)
			w.must(err)
		},
		"by taking many away": func(w *world, serial string, _ distribution.Delivery) {
			w.Pass(grace)
			_, err := w.tokens.UnassignAll(w.ctx, []string{serial})
			w.must(err)
		},
		"by an app": func(w *world, serial string, _ distribution.Delivery) {
			out, err := w.dist.Redistribute(w.ctx, distribution.Request{Serial: serial, Profile: "app", SwitchOver: profile.OnActivation, Grace: grace}, distribution.NewDevice, "")
			w.must(err)
			w.activate(out.ActivationCode)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.profile("file", device.File, nil)
			w.profile("pin", device.File, func(p *profile.Profile) { p.PINType = device.Fob })
			w.profile("app", device.CTKIP, nil)
			serial := w.assigned()
			_, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "file", Grace: -1})
			w.must(err)
			r := distribution.Request{Serial: serial, Profile: "file", SwitchOver: profile.OnActivation, Grace: grace}
			if name == "by a PIN" {
				r.Profile = "pin"
			}
			fresh, err := w.dist.Redistribute(w.ctx, r, distribution.NewDevice, "")
			w.must(err)
			end(w, serial, fresh)
			_, err = w.tokens.SwitchOverDue(w.ctx)
			w.must(err)
			w.check("00000000", authentication.Denied)
			page, err := w.db.Events(w.ctx, audit.Filter{Action: "redist.complete", Object: "token:" + serial})
			w.must(err)
			if len(page.Entries) != 1 {
				t.Fatalf("%d events", len(page.Entries))
			}
			event, err := audit.ParseRecord(page.Entries[0].Record)
			w.must(err)
			if generation := w.token(serial).Current.Number; event.Details["user"] != "alice" || event.Details["because"] == nil || fmt.Sprint(event.Details["generation"]) != fmt.Sprint(generation) {
				t.Errorf("generation %d is there by %+v", generation, event)
			}
		})
	}
}

// The seed that was to take over is in the hands of whoever the token is taken from: whoever gets the token next is not let in by it.
func TestTheNextSeedOfAFormerUserLetsNobodyIn(t *testing.T) {
	for name, takeAway := range map[string]func(w *world, serial string) error{
		"one": func(w *world, serial string) error { _, err := w.tokens.Unassign(w.ctx, serial, 0); return err },
		"many": func(w *world, serial string) error {
			_, err := w.tokens.UnassignAll(w.ctx, []string{serial})
			return err
		},
	} {
		w := newWorld(t)
		_, err := (&user.Registry{Store: w.db, Now: w.tokens.Now}).Add(w.ctx, user.User{ID: "bob"})
		w.must(err)
		w.profile("file", device.File, nil)
		serial := w.assigned()
		r := distribution.Request{Serial: serial, Profile: "file", SwitchOver: profile.OnActivation, Grace: 48 * time.Hour}
		_, err = w.dist.Distribute(w.ctx, r)
		w.must(err)
		alices, err := w.dist.Redistribute(w.ctx, r, distribution.NewDevice, "")
		w.must(err)
		w.must(takeAway(w, serial))
		_, err = w.tokens.Assign(w.ctx, serial, "bob")
		w.must(err)
		lets := func(want authentication.Result) {
			t.Helper()
			if got, err := w.auth.Check(w.ctx, "bob", w.code(alices.File, "")); err != nil || got != want {
				t.Errorf("%s: %s, %v, want %s", name, got, err, want)
			}
		}
		lets(authentication.Denied)
		bobs, err := w.dist.Distribute(w.ctx, r) // and it does not live on beside the one that he gets
		w.must(err)
		lets(authentication.Denied)
		if alices = bobs; bobs.SwitchOver != profile.Immediate {
			t.Errorf("%s: switch-over %s", name, bobs.SwitchOver)
		}
		w.Pass(time.Minute)
		lets(authentication.Accepted)
	}
}

// activate does what an app does with an activation code.
func (w *world) activate(code string) {
	w.Helper()
	c := &ctkip.Client{Code: ctkip.Code(code)}
	answer, err := w.dist.Begin(w.ctx, w.hello(c))
	w.must(err)
	nonce, err := c.Answer(answer)
	w.must(err)
	_, err = w.dist.Finish(w.ctx, w.read(nonce), nonce.Body)
	w.must(err)
}

// With dynamic provisioning too the old seed lives for its grace at the longest, whether the activation code is used or not.
func TestOnActivationEndsWithoutActivation(t *testing.T) {
	for name, c := range map[string]struct {
		revoke, late bool
		want         authentication.Result
	}{"never used": {false, false, authentication.Denied}, "revoked": {true, false, authentication.Accepted}, "revoked after the grace": {false, true, authentication.Denied}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.profile("file", device.File, nil)
			w.profile("phone", device.CTKIP, nil)
			serial := w.assigned()
			old, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "file", Grace: -1})
			w.must(err)
			fresh, err := w.dist.Redistribute(w.ctx, distribution.Request{
				Serial: serial, Profile: "phone", SwitchOver: profile.OnActivation, Grace: 48 * time.Hour,
			}, distribution.NewDevice, "")
			w.must(err)
			if fresh.Generation != 2 || !fresh.OldUntil.Equal(w.Now().Add(48*time.Hour)) {
				t.Errorf("generation %d, old until %s", fresh.Generation, fresh.OldUntil)
			}
			if c.revoke {
				_, err := w.dist.Revoke(w.ctx, serial)
				w.must(err)
			}
			w.Pass(48*time.Hour - time.Minute)
			w.check(w.code(old.File, ""), authentication.Accepted)
			w.Pass(time.Minute)
			if c.late {
				n, err := w.dist.Revoke(w.ctx, serial)
				w.must(err)
				if tok := w.token(serial); n != 1 || tok.Distribution != token.ActivationLapsed || tok.Pending != nil {
					t.Errorf("%d revoked: %+v", n, tok)
				}
			}
			w.check(w.code(old.File, ""), c.want)
			if _, err := w.tokens.SwitchOverDue(w.ctx); err != nil {
				t.Fatal(err)
			}
			if tok := w.token(serial); (tok.Current.Number == 1) != c.revoke || tok.Pending != nil {
				t.Errorf("generation %d, %v", tok.Current.Number, tok.Pending)
			}
		})
	}
	w := newWorld(t)
	w.profile("file", device.File, nil)
	serial := w.assigned()
	r := distribution.Request{Serial: serial, Profile: "file", SwitchOver: profile.OnActivation}
	_, err := w.dist.Distribute(w.ctx, r)
	w.must(err)
	if out, err := w.dist.Redistribute(w.ctx, r, distribution.NewDevice, ""); err != nil || out.SwitchOver != profile.Immediate {
		t.Errorf("without grace the switch-over is %s, %v", out.SwitchOver, err)
	}
}

// Whoever asks for a grace believes that the old token goes on working: without a switch-over on activation it would not.
func TestAGraceIsForASwitchOverOnActivation(t *testing.T) {
	for _, x := range []struct {
		profile, asked profile.SwitchOver
		grace          time.Duration
		refused        bool
	}{
		{"", "", time.Hour, true},
		{profile.Immediate, "", time.Hour, true},
		{profile.OnActivation, profile.Immediate, time.Hour, true},
		{profile.OnActivation, "", time.Hour, false},
		{profile.Immediate, profile.OnActivation, time.Hour, false},
		{profile.Immediate, "", 0, false},
		{profile.Immediate, "", -1, false},
		{profile.OnActivation, "", profile.MaxGrace + time.Second, true},
		{profile.OnActivation, "later", -1, true},
	} {
		w := newWorld(t)
		w.profile("file", device.File, func(p *profile.Profile) { p.SwitchOver = x.profile })
		serial := w.assigned()
		_, one := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "file", SwitchOver: x.asked, Grace: x.grace})
		_, many := w.dist.Order(w.ctx, distribution.Bulk{Profile: "file", SwitchOver: x.asked, Grace: x.grace})
		for _, err := range []error{one, many} {
			if errors.Is(err, fault.Invalid) != x.refused || !x.refused && err != nil {
				t.Errorf("%+v: %v", x, err)
			}
		}
	}
}

func TestStringsOpenWithWhatTheyAreLockedWith(t *testing.T) {
	const guid, id = "a01c4380-fc01-4df0-b113-7fb98ec74694", "d82c-467c-56fb-2058-edf8-add6"
	for _, version := range []int{2, 3, 4} {
		for _, lock := range []struct{ password, device string }{{"", ""}, {"correct horse", ""}, {"", id}, {"correct horse", id}} {
			w := newWorld(t)
			w.profile("string", device.CTF, func(p *profile.Profile) { p.CTFVersion = version })
			serial := w.assigned()
			out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "string", Password: lock.password, DeviceID: lock.device, Grace: -1})
			w.must(err)
			if (out.CTF != "") != (version == 2) || strings.Trim(out.CTF, "0123456789") != "" || out.QR != out.CTFURL {
				t.Errorf("version %d: CTF %t, of digits only", version, out.CTF != "")
			}
			for _, text := range []string{out.CTF, out.CTFURL} {
				if text == "" {
					continue
				}
				s, err := ctf.Parse(text)
				w.must(err)
				tok, err := s.Open(lock.password, lock.device)
				w.must(err)
				if lock.device != "" {
					_, err = s.Open(lock.password, guid)
					if !errors.Is(err, ctf.ErrWrongDevice) {
						t.Errorf("version %d opens on another device: %v", version, err)
					}
				}
				code, err := securid.Code(tok.Seed, tok.Serial, tok.Digits, tok.Interval, w.Now())
				w.must(err)
				w.check(code, authentication.Accepted)
				w.Pass(time.Minute)
			}
		}
	}
}

// A user ID is no secret: what is locked with it alone takes no password, which nobody could open it with, and is not locked for whoever mails it.
func TestAUserIDIsNoPassword(t *testing.T) {
	w := newWorld(t)
	w.profile("file", device.File, nil)
	w.profile("named", device.File, func(p *profile.Profile) { p.Protection = profile.UserID })
	for how, r := range map[string]distribution.Request{
		"asked for":     {Profile: "file", Protection: profile.UserID, Password: "correct horse", Grace: -1},
		"the profile's": {Profile: "named", Password: "correct horse", Grace: -1},
	} {
		r.Serial = w.assigned()
		_, err := w.dist.Distribute(w.ctx, r)
		w.refused(err, fault.Invalid)
		if err != nil && !strings.Contains(err.Error(), "user_id_password") {
			t.Errorf("%s: the refusal does not say what to ask for: %v", how, err)
		}
		if tok := w.token(r.Serial); tok.IssueCount != 0 {
			t.Errorf("%s: it was issued", how)
		}
	}
	serial := w.assigned()
	for _, x := range []struct {
		how            profile.Protection
		password, lock string
		locked         bool
	}{
		{profile.UserID, "", "alice", false}, {profile.UserIDPassword, "correct horse", "alicecorrect horse", true},
		{profile.Password, "correct horse", "correct horse", true}, {profile.PasswordOptional, "", "", false},
	} {
		out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "file", Protection: x.how, Password: x.password, Grace: -1})
		w.must(err)
		w.code(out.File, x.lock) // which opens it
		if out.Locked != x.locked || out.Lock != x.lock {
			t.Errorf("%s: locked is %t, and %q is typed", x.how, out.Locked, out.Lock)
		}
	}
}

// Who was given a token that somebody else had is not told to delete it from her app first: she never had it. Who has used it, wherever it came from, is.
func TestATokenOfSomebodyElseIsNotDeliveredAgain(t *testing.T) {
	w := newWorld(t)
	w.profile("file", device.File, nil)
	_, err := (&user.Registry{Store: w.db, Now: w.dist.Now}).Add(w.ctx, user.User{ID: "bob"})
	w.must(err)
	serial := w.assigned()
	r := distribution.Request{Serial: serial, Profile: "file", Grace: -1}
	issue := func(again bool) distribution.Delivery {
		t.Helper()
		w.Pass(time.Hour)
		out, err := w.dist.Distribute(w.ctx, r)
		w.must(err)
		if out.Again != again {
			t.Errorf("generation %d: delivered again is %t", out.Generation, out.Again)
		}
		return out
	}
	gives := func(userID string) {
		t.Helper()
		w.Pass(time.Hour)
		_, err := w.tokens.Unassign(w.ctx, serial, 0)
		w.must(err)
		_, err = w.tokens.Assign(w.ctx, serial, userID)
		w.must(err)
	}
	issue(false)
	w.check(w.code(issue(true).File, ""), authentication.Accepted)
	gives("bob")
	if out := issue(false); out.Generation != 3 {
		t.Errorf("generation %d", out.Generation)
	}
	issue(true)
	gives("alice")
	out := issue(false)
	w.Pass(time.Hour)
	w.check(w.code(out.File, ""), authentication.Accepted)
	tok := w.token(serial) // as if it had been imported, and used
	tok.DistributedAt = time.Time{}
	w.must(w.db.SaveToken(w.ctx, tok))
	out, err = w.dist.Redistribute(w.ctx, r, distribution.NewDevice, "")
	w.must(err)
	if !out.Again {
		t.Error("whoever uses a token is not told that she has it")
	}
}

func TestWhatCannotBeDelivered(t *testing.T) {
	w := newWorld(t)
	w.profile("file", device.File, nil)
	w.profile("locked", device.File, func(p *profile.Profile) { p.Protection = profile.UserIDPassword })
	w.profile("bound", device.CTF, func(p *profile.Profile) { p.Binding = profile.BindDeviceID })
	w.profile("bound later", device.CTF, func(p *profile.Profile) { p.Binding, p.CTFVersion = profile.BindDeviceID, 3 })
	w.profile("dynamic", device.CTKIP, nil)
	w.profile("strings", device.CTF, nil)
	w.dist.Service = "Test tokens" // as long as a password
	serial := w.assigned()
	free, err := w.records.Create(w.ctx, 2, time.Time{}, time.Time{})
	w.must(err)
	late, err := w.records.Create(w.ctx, 1, time.Time{}, time.Date(2044, 11, 9, 0, 0, 0, 0, time.UTC))
	w.must(err)
	longer, longest := free[1], late[0]
	_, err = (&user.Registry{Store: w.db, Now: w.dist.Now}).Add(w.ctx, user.User{ID: "alice.example"})
	w.must(err)
	for _, s := range []string{longer, longest} {
		_, err = w.tokens.Assign(w.ctx, s, "alice.example")
		w.must(err)
	}
	for name, c := range map[string]struct {
		r    distribution.Request
		code fault.Code
	}{
		"nobody's":               {distribution.Request{Serial: free[0], Profile: "file"}, fault.TokenNotAssigned},
		"unknown token":          {distribution.Request{Serial: "999999999999", Profile: "file"}, fault.TokenNotFound},
		"unknown profile":        {distribution.Request{Profile: "none"}, fault.ProfileNotFound},
		"short password":         {distribution.Request{Profile: "file", Password: "secret"}, fault.PasswordTooWeak},
		"long password":          {distribution.Request{Profile: "file", Password: strings.Repeat("x", 25)}, fault.PasswordTooLong},
		"together too long":      {distribution.Request{Profile: "locked", Password: strings.Repeat("x", 20)}, fault.PasswordTooLong},
		"no password":            {distribution.Request{Profile: "locked"}, fault.PasswordRequired},
		"password of CT-KIP":     {distribution.Request{Profile: "dynamic", Password: "correct horse"}, fault.Invalid},
		"protection of CT-KIP":   {distribution.Request{Profile: "dynamic", Protection: profile.UserID}, fault.Invalid},
		"password of none":       {distribution.Request{Profile: "file", Protection: profile.NoPassword, Password: "correct horse"}, fault.Invalid},
		"name of the service":    {distribution.Request{Profile: "file", Password: "Test tokens"}, fault.PasswordTooWeak},
		"no device ID":           {distribution.Request{Profile: "bound"}, fault.DeviceIDRequired},
		"bad device ID":          {distribution.Request{Profile: "file", DeviceID: "\x00"}, fault.DeviceIDInvalid},
		"nothing to bind to":     {distribution.Request{Profile: "bound", DeviceID: "xyz-xyz"}, fault.DeviceIDInvalid},
		"bound in part":          {distribution.Request{Profile: "bound", DeviceID: "S-1-5-21-1004336348-1177238915-682003330-1512"}, fault.DeviceIDInvalid},
		"typed in part":          {distribution.Request{Profile: "bound", DeviceID: "S-1-5-21-1234567-1234567-1234567-1512"}, fault.DeviceIDInvalid},
		"counts too late":        {distribution.Request{Profile: "bound", DeviceID: strings.Repeat("x", 33) + "1"}, fault.DeviceIDInvalid},
		"later, bound in part":   {distribution.Request{Profile: "bound later", DeviceID: strings.Repeat("x", 48) + "1"}, fault.DeviceIDInvalid},
		"nickname of blanks":     {distribution.Request{Profile: "file", Nickname: " phone"}, fault.NicknameInvalid},
		"nickname of controls":   {distribution.Request{Profile: "file", Nickname: "pho\tne"}, fault.NicknameInvalid},
		"long nickname":          {distribution.Request{Profile: "file", Nickname: strings.Repeat("n", 25)}, fault.NicknameInvalid},
		"unknown switch-over":    {distribution.Request{Profile: "file", SwitchOver: "later"}, fault.Invalid},
		"control in password":    {distribution.Request{Profile: "file", Password: "correct\nhorse"}, fault.Invalid},
		"password is the user":   {distribution.Request{Serial: longer, Profile: "file", Password: "Alice.Example"}, fault.PasswordTooWeak},
		"too late for version 2": {distribution.Request{Serial: longest, Profile: "strings"}, fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			if c.r.Serial == "" {
				c.r.Serial = serial
			}
			c.r.Grace = -1
			before := w.token(serial)
			_, err := w.dist.Distribute(w.ctx, c.r)
			if !errors.Is(err, c.code) {
				t.Errorf("got %v, want %s", err, c.code)
			}
			if after := w.token(serial); after.Version != before.Version || after.Distribution != token.NotDistributed {
				t.Error("a refused delivery changed the token")
			}
		})
	}
	w.Pass(10 * 366 * 24 * time.Hour)
	_, err = w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "file", Grace: -1})
	w.refused(err, fault.Expired)
}

// A device ID of which a string counts all is taken.
func TestWhatAStringIsBoundTo(t *testing.T) {
	w := newWorld(t)
	w.profile("two", device.CTF, func(p *profile.Profile) { p.Binding = profile.BindDeviceID })
	w.profile("three", device.CTF, func(p *profile.Profile) { p.Binding, p.CTFVersion = profile.BindDeviceID, 3 })
	serial := w.assigned()
	for _, to := range []distribution.Request{
		{Profile: "two", DeviceID: strings.Repeat("0123456789", 4)},
		{Profile: "two", DeviceID: "556f1985-33dd-442c-9155-3a0e994f21b1"},   // enough of it
		{Profile: "two", DeviceID: "x556f1985-33dd-442c-9155-3a0e994f21b1}"}, // as much as of one in braces, which other device types take
		{Profile: "three", DeviceID: "S-1-5-21-1004336348-1177238915-682003330-1512"},
		{Profile: "two", DeviceID: "pluto1"}, // as "moony1" is
		{Profile: "three", DeviceID: strings.Repeat("0123-", 12)},
		{Profile: "three", DeviceID: "pluto1"},
	} {
		to.Serial, to.Grace = serial, -1
		out, err := w.dist.Distribute(w.ctx, to)
		w.must(err)
		if said := strings.Join(out.Warnings, "\n"); strings.Contains(said, "other devices may be able") != (to.Profile == "two" && to.DeviceID == "pluto1") {
			t.Errorf("bound to %s by version %s: %s", to.DeviceID, to.Profile, said)
		}
	}
}

func TestATaintedSeedIsNotDeliveredAgain(t *testing.T) {
	w := newWorld(t)
	w.profile("file", device.File, nil)
	serial := w.assigned()
	first, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "file", Grace: -1})
	w.must(err)
	_, err = w.tokens.Unassign(w.ctx, serial, 0)
	w.must(err)
	_, err = w.tokens.Assign(w.ctx, serial, "alice")
	w.must(err)
	second, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "file", Grace: -1})
	w.must(err)
	if w.code(first.File, "") == w.code(second.File, "") || second.Generation <= first.Generation {
		t.Error("the former user's seed was delivered again")
	}
	w.check(w.code(first.File, ""), authentication.Denied)
	w.check(w.code(second.File, ""), authentication.Accepted)
}

// What was accepted of a seed that came with its app, in a token file, is counted in intervals: by a profile with others the token gets a new seed, or all of
// its codes would be used up for decades.
func TestASeedInUseAndAnotherInterval(t *testing.T) {
	for _, c := range []struct {
		was, is    int
		delivered  bool
		generation int
	}{{30, 60, true, 2}, {60, 30, true, 2}, {60, 60, true, 1}, {60, 30, false, 1}} { // a restore counts codes as used also of seeds that nobody has
		w := newWorld(t)
		w.profile("file", device.File, func(p *profile.Profile) { p.Interval = c.is })
		const serial = "000307000123"
		secret := seed.Generate()
		g, err := token.NewGeneration(w.keys, serial, 1, secret, token.Settings{Digits: 8, Interval: c.was, PINType: device.NoPIN}, w.Now())
		w.must(err)
		g.Delivered = c.delivered
		until := w.Now().Truncate(24*time.Hour).AddDate(1, 0, 0)
		w.must(w.db.AddToken(w.ctx, token.Token{
			Serial: serial, Origin: token.Imported, Expiry: until, EffectiveExpiry: until, Current: g, LastNumber: 1, Distribution: token.NotDistributed, CreatedAt: w.Now(), Version: 1,
		}))
		_, err = w.tokens.Assign(w.ctx, serial, "alice")
		w.must(err)
		code, err := securid.Code(secret.Reveal(), serial, 8, c.was, w.Now())
		w.must(err)
		w.check(code, authentication.Accepted)
		w.Pass(time.Minute)
		out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "file", Grace: -1})
		w.must(err)
		if out.Generation != c.generation {
			t.Errorf("%d s after %d s: generation %d", c.is, c.was, out.Generation)
		}
		w.check(w.code(out.File, ""), authentication.Accepted)
	}
}

func TestPINsAreCheckedWhereTheyAreSet(t *testing.T) {
	w := newWorld(t)
	w.profile("fob", device.File, func(p *profile.Profile) { p.PINType = device.Fob })
	w.profile("pinpad", device.File, func(p *profile.Profile) { p.PINType = device.PINPad })
	serial := w.assigned()
	for name, pin := range map[string]string{"fob": "809357", "pinpad": "592048"} {
		out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: name, Grace: -1})
		w.must(err)
		w.check(w.code(out.File, ""), authentication.NewPIN)
		w.must(w.auth.SetPIN(w.ctx, serial, pin, false))
		passcode := func(pin string) string {
			w.Pass(time.Minute)
			code := w.code(out.File, "")
			if name == "fob" {
				return pin + code
			}
			merged, err := securid.AddPIN(code, pin)
			w.must(err)
			return merged
		}
		w.check(passcode("0000")[len(passcode("0000"))-8:], authentication.Denied) // the code without the PIN
		w.check(passcode("809457"), authentication.Denied)
		w.check(passcode(pin), authentication.Accepted)
		w.must(w.auth.ClearPIN(w.ctx, serial))
		w.Pass(time.Minute)
		w.check(w.code(out.File, ""), authentication.NewPIN)
	}
}

func TestDenialsLookAlikeAndSayWhyInTheAuditOnly(t *testing.T) {
	w := newWorld(t)
	w.profile("file", device.File, nil)
	serial := w.assigned()
	out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "file", Grace: -1})
	w.must(err)
	code := w.code(out.File, "")
	w.check(code, authentication.Accepted)
	w.check(code, authentication.Denied)
	w.check("00000000", authentication.Denied)
	w.check("", authentication.Denied)
	w.check(strings.Repeat("9", 5000), authentication.Denied)
	if got, err := w.auth.Check(w.ctx, "12345678 in the wrong field", "1"); err != nil || got != authentication.Denied {
		t.Errorf("unknown user: %s, %v", got, err)
	}
	_, err = w.tokens.Disable(w.ctx, serial, 0)
	w.must(err)
	w.check("11111111", authentication.Denied)
	page, err := w.db.Events(w.ctx, audit.Filter{Action: "authn.fail"})
	w.must(err)
	var reasons []string
	for _, e := range page.Entries {
		event, err := audit.ParseRecord(e.Record)
		w.must(err)
		reasons = append(reasons, event.Reason)
		if strings.Contains(string(e.Record), "wrong field") || strings.Contains(string(e.Record), code) {
			t.Errorf("the record repeats what was typed: %s", e.Record)
		}
	}
	want := "RETRY_AFTER_ACCEPT BAD_PASSCODE PASSCODE_NOT_ENTERED BAD_PASSCODE UNKNOWN_USER TOKEN_DISABLED"
	if got := strings.Join(reasons, " "); got != want {
		t.Errorf("reasons %s, want %s", got, want)
	}
}

// The seed of a token that was lost before its first delivery is not delivered: an imported one may be on the device that was lost, and any is refused.
func TestALostSeedIsNotDelivered(t *testing.T) {
	for name, imported := range map[string]bool{"made here": false, "in use as imported": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.profile("file", device.File, nil)
			serial := w.assigned()
			tok := w.token(serial)
			tok.Current.Delivered = imported
			w.must(w.db.SaveToken(w.ctx, tok))
			_, _, err := w.auth.ReportLost(w.ctx, serial, 0, authentication.EmergencyWish{})
			w.must(err)
			w.Pass(time.Minute)
			out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "file", Grace: -1})
			w.must(err)
			if now := w.token(serial); string(now.Current.Fingerprint) == string(tok.Current.Fingerprint) || out.Generation != now.Current.Number {
				t.Errorf("generation %d of %+v", out.Generation, now)
			}
			w.check(w.code(out.File, ""), authentication.Accepted)
		})
	}
}

// Whoever uses a token as it was imported is told to delete it first, and what becomes of it, where its first delivery brings a new seed; and so is who delivers it.
func TestTheFirstDeliveryOfATokenInUse(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*profile.Profile)
		lock   profile.Protection
		again  bool
		warned string // "" if nothing is to be said
	}{
		"the seed that it has":            {func(*profile.Profile) {}, profile.UserID, false, ""},
		"for a fob":                       {func(p *profile.Profile) { p.PINType = device.Fob }, profile.UserID, false, ""},
		"in other intervals":              {func(p *profile.Profile) { p.Interval = 30 }, profile.UserID, true, "this ended that seed"},
		"with other digits":               {func(p *profile.Profile) { p.Digits = 6 }, profile.UserID, true, "this ended that seed"},
		"as a PINPad":                     {func(p *profile.Profile) { p.PINType = device.PINPad }, profile.UserID, true, "this ended that seed"},
		"with other digits on activation": {func(p *profile.Profile) { p.Digits, p.SwitchOver = 6, profile.OnActivation }, profile.UserID, true, "that seed ends once this delivery is used"},
		"dynamic":                         {func(p *profile.Profile) { p.Method = device.CTKIP }, "", true, "that seed ends once this delivery is used"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.profile("new", device.File, c.change)
			serial := w.assigned()
			tok := w.token(serial)
			tok.Current.Delivered = true
			tok.Current.Settings.PINType = device.NoPIN
			w.must(w.db.SaveToken(w.ctx, tok))
			s, err := w.keys.OpenSeed(w.ctx, tok.Current.Sealed, serial, 1)
			w.must(err)
			w.Pass(time.Minute)
			code, err := securid.Code(s.Reveal(), serial, 8, 60, w.Now())
			w.must(err)
			w.check(code, authentication.Accepted)
			out, err := w.dist.Distribute(w.ctx, distribution.Request{Serial: serial, Profile: "new", Protection: c.lock, Grace: -1})
			w.must(err)
			warned := strings.Join(out.Warnings, "; ")
			if out.Again != c.again || c.warned != "" && !strings.Contains(warned, c.warned) || c.warned == "" && warned != "" {
				t.Errorf("again is %t; %s", out.Again, warned)
			}
			if out.SwitchOver == profile.OnActivation { // until then her app goes on as it was imported
				w.Pass(time.Minute)
				code, err := securid.Code(s.Reveal(), serial, 8, 60, w.Now())
				w.must(err)
				w.check(code, authentication.Accepted)
			}
		})
	}
}

// The old seed of a token that is lost, and refused whatever the policy says, ends at once, for whatever reason it gets another one; where its user has emergency
// codes it may turn up.
func TestTheSeedOfALostTokenStopsAtOnce(t *testing.T) {
	for _, c := range []struct {
		codes token.EmergencyKind
		want  profile.SwitchOver
	}{{"", profile.Immediate}, {token.FixedCode, profile.OnActivation}} {
		w := newWorld(t)
		w.auth.Policies = fixed{policy.Default()}
		w.profile("file", device.File, nil)
		r := distribution.Request{Serial: w.assigned(), Profile: "file", SwitchOver: profile.OnActivation, Grace: 48 * time.Hour}
		_, err := w.dist.Distribute(w.ctx, r)
		w.must(err)
		_, _, err = w.auth.ReportLost(w.ctx, r.Serial, 0, authentication.EmergencyWish{Kind: c.codes})
		w.must(err)
		w.Pass(time.Minute)
		out, err := w.dist.Redistribute(w.ctx, r, distribution.NewDevice, "")
		w.must(err)
		warned := strings.Contains(strings.Join(out.Warnings, "; "), "the old seed has ended, since somebody else may hold it (the token is lost)")
		if immediate := c.want == profile.Immediate; out.SwitchOver != c.want || out.OldUntil.IsZero() != immediate || warned != immediate {
			t.Errorf("with codes %q: %s, until %s; %q", c.codes, out.SwitchOver, out.OldUntil, out.Warnings)
		}
	}
}
