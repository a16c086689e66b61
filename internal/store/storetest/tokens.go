package storetest

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

func tokensKeepEveryField(t *testing.T, s fixture) {
	s.addUser(t, "alice")
	s.addProfile(t, "phones")
	n := 0
	var stored []token.Token
	rapid.Check(t, func(rt *rapid.T) {
		n++
		want := drawToken(rt, n)
		ok(t, s.AddToken(t.Context(), want))
		same(t, s.get(t, want.Serial), want)
		next := drawToken(rt, n)
		next.Origin, next.Birth, next.Expiry, next.CreatedAt = want.Origin, want.Birth, want.Expiry, want.CreatedAt
		next.Version = want.Version
		next.Current = want.Current // of those that stay, settings, delivery and bad passcodes change
		next.Current.Settings = drawSettings(rt)
		next.Current.Delivered, next.Current.BadPasscodes = rapid.Bool().Draw(rt, "delivered"), rapid.IntRange(0, 9).Draw(rt, "bad")
		next.Pending = want.Pending
		ok(t, s.SaveToken(t.Context(), next))
		next.Version++
		same(t, s.get(t, want.Serial), next)
		stored = append(stored, next)
		if t.Failed() {
			rt.FailNow()
		}
	})
	all, err := s.Tokens(t.Context(), token.Filter{}) // nothing of one gets into another
	same(t, must(t, all, err), stored)
}

// drawTime draws a time as tokens have them, at times none.
func drawTime(t *rapid.T, label string) time.Time {
	if rapid.Bool().Draw(t, "has "+label) {
		return time.Time{}
	}
	return time.UnixMicro(rapid.Int64Range(-1e15, 253e15).Draw(t, label)).UTC() // 1938 to 9987
}

func drawSettings(t *rapid.T) token.Settings {
	return token.Settings{
		Digits: rapid.SampledFrom([]int{6, 8}).Draw(t, "digits"), Interval: rapid.SampledFrom([]int{30, 60}).Draw(t, "interval"),
		PINType: rapid.SampledFrom([]device.PINType{device.PINPad, device.Fob, device.NoPIN}).Draw(t, "PIN type"),
	}
}

func drawGeneration(t *rapid.T, serial string, number int) token.Generation {
	g := generation(serial, number)
	g.Settings = drawSettings(t)
	g.Delivered = rapid.Bool().Draw(t, "delivered")
	g.LastInterval = rapid.Int64Range(token.Unused, 1<<40).Draw(t, "last interval")
	g.Offset = rapid.Int64Range(-1000, 1000).Draw(t, "offset")
	g.BadPasscodes = rapid.IntRange(0, 9).Draw(t, "bad passcodes")
	g.LastUsedAt = drawTime(t, "last used")
	return g
}

func drawEmergency(t *rapid.T) *token.Emergency {
	if rapid.Bool().Draw(t, "no emergency access") {
		return nil
	}
	e := &token.Emergency{Kind: token.CodeSet, Length: 8, Until: day(rapid.IntRange(0, 99).Draw(t, "until")), LastUsedAt: drawTime(t, "last used")}
	for range rapid.IntRange(1, 50).Draw(t, "codes") {
		e.Codes = append(e.Codes, token.EmergencyCode{Hash: rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"), Used: rapid.Bool().Draw(t, "used")})
	}
	return e
}

func drawToken(t *rapid.T, n int) token.Token {
	r := made(n)
	r.Origin = rapid.SampledFrom([]token.Origin{token.Generated, token.Imported}).Draw(t, "origin")
	r.Birth, r.AssignedAt, r.DistributedAt, r.ConfirmedAt, r.PendingUntil =
		drawTime(t, "birth"), drawTime(t, "assigned"), drawTime(t, "distributed"), drawTime(t, "confirmed"), drawTime(t, "pending until")
	r.Expiry = day(rapid.IntRange(0, 5000).Draw(t, "expiry"))
	r.EffectiveExpiry = day(rapid.IntRange(0, 5000).Draw(t, "effective expiry"))
	r.UserID = rapid.SampledFrom([]string{"", "alice"}).Draw(t, "user")
	r.Profile = rapid.SampledFrom([]string{"", "phones"}).Draw(t, "profile")
	r.DeliveredBy = rapid.SampledFrom([]string{"", "a job"}).Draw(t, "delivered by")
	texts := rapid.StringN(0, 40, -1).Filter(func(s string) bool {
		for _, c := range s {
			if c == 0 {
				return false
			}
		}
		return true
	})
	r.AssignedBy, r.DeviceID, r.Nickname = texts.Draw(t, "by"), texts.Draw(t, "device"), texts.Draw(t, "nickname")
	r.Hardware = rapid.Bool().Draw(t, "hardware")
	r.Enabled, r.Tainted = rapid.Bool().Draw(t, "enabled"), rapid.Bool().Draw(t, "tainted")
	if rapid.Bool().Draw(t, "has PIN") {
		r.PIN = token.PIN{Hash: rapid.SliceOfN(rapid.Byte(), 1, 32).Draw(t, "PIN hash"), Length: 4, SetAt: start}
		r.PIN.Serial = rapid.SampledFrom([]string{"", made(999).Serial}).Draw(t, "PIN serial")
	}
	if rapid.Bool().Draw(t, "lost") {
		r.LostAt, r.Emergency = start, drawEmergency(t)
	}
	serials := rapid.SampledFrom([]string{"", made(998).Serial})
	r.Replaces, r.ReplacedBy = serials.Draw(t, "replaces"), serials.Draw(t, "replaced by")
	r.Distribution = rapid.SampledFrom([]token.Distribution{token.NotDistributed, token.Issued, token.PendingActivation, token.Confirmed}).Draw(t, "distribution")
	r.Method = rapid.SampledFrom([]device.Method{"", device.File, device.CTF, device.CTKIP}).Draw(t, "method")
	r.ExtensionCount, r.ExtendedBy = rapid.IntRange(0, 9).Draw(t, "extensions"), serials.Draw(t, "extended by")
	r.IssuesForgiven = rapid.IntRange(0, 9).Draw(t, "forgiven")
	r.IssueCount, r.Version = rapid.IntRange(0, 99).Draw(t, "issued"), rapid.IntRange(1, 99).Draw(t, "version")
	r.Current = drawGeneration(t, r.Serial, 3)
	r.LastNumber = rapid.IntRange(3, 9).Draw(t, "last number")
	if rapid.Bool().Draw(t, "has pending") {
		g := drawGeneration(t, r.Serial, r.LastNumber+1)
		r.Pending = &g
	}
	return r
}

func tokensAreSelected(t *testing.T, s fixture) {
	s.addUser(t, "alice")
	s.addUser(t, "Bób%")
	s.addProfile(t, "phones")
	for n, change := range []func(*token.Token){
		func(*token.Token) {},
		func(r *token.Token) {
			r.UserID, r.Enabled, r.Birth, r.LostAt, r.ReplacedBy = "alice", true, day(0), start, made(3).Serial
		},
		func(r *token.Token) { r.UserID, r.Nickname, r.Hardware = "Bób%", "My_Phone", true },
		func(r *token.Token) {
			r.UserID, r.Distribution, r.Profile, r.IssueCount, r.PendingUntil = "alice", token.Issued, "phones", 2, day(3)
			r.Replaces = made(1).Serial
		},
		func(r *token.Token) { r.EffectiveExpiry = day(10) },
	} {
		r := made(n)
		g := generation(r.Serial, 2)
		r.Pending = &g // two generations are one token
		change(&r)
		s.add(t, r)
	}
	yes, no := true, false
	for name, c := range map[string]struct {
		filter token.Filter
		want   string
	}{
		"all":           {token.Filter{}, "01234"},
		"user":          {token.Filter{UserID: "alice"}, "13"},
		"other case":    {token.Filter{UserID: "Alice"}, ""},
		"assigned":      {token.Filter{Assigned: &yes}, "123"},
		"unassigned":    {token.Filter{Assigned: &no}, "04"},
		"enabled":       {token.Filter{Enabled: &yes}, "1"},
		"disabled":      {token.Filter{Enabled: &no}, "0234"},
		"hardware":      {token.Filter{Hardware: &yes}, "2"},
		"software":      {token.Filter{Hardware: &no}, "0134"},
		"distribution":  {token.Filter{Distribution: token.Issued}, "3"},
		"profile":       {token.Filter{Profile: "phones"}, "3"},
		"expires":       {token.Filter{ExpiresBefore: day(11)}, "4"},
		"exclusive":     {token.Filter{ExpiresBefore: day(10)}, ""},
		"part":          {token.Filter{Query: "00003"}, "3"},
		"part of user":  {token.Filter{Query: "LIC"}, "13"},
		"accent":        {token.Filter{Query: "bÓB"}, "2"},
		"percent":       {token.Filter{Query: "%"}, "2"},
		"underscore":    {token.Filter{Query: "y_p"}, "2"},
		"no wildcard":   {token.Filter{Query: "a_ice"}, ""},
		"after":         {token.Filter{After: "000000000002"}, "34"},
		"limit":         {token.Filter{Limit: 2}, "01"},
		"page":          {token.Filter{After: "000000000001", Limit: 2}, "23"},
		"several":       {token.Filter{UserID: "alice", Enabled: &no, Query: "alice", Limit: 5}, "3"},
		"no such texts": {token.Filter{UserID: "\x00", Query: "\xff"}, ""},
		"issued":        {token.Filter{Issued: true}, "3"},
		"unconfirmed":   {token.Filter{Unconfirmed: true}, "3"},
		"waiting":       {token.Filter{Waiting: true}, "3"},
		"expires from":  {token.Filter{ExpiresFrom: day(11)}, "0123"},
		"begins after":  {token.Filter{BeginsAfter: day(0).Add(-time.Microsecond)}, "1"},
		"begins until":  {token.Filter{BeginsUntil: day(0)}, "01234"},
		"has begun":     {token.Filter{BeginsUntil: day(0).Add(-time.Microsecond)}, "0234"},
		"lost":          {token.Filter{Lost: &yes}, "1"},
		"not lost":      {token.Filter{Lost: &no}, "0234"},
		"original":      {token.Filter{Part: token.Original}, "1"},
		"replacement":   {token.Filter{Part: token.Replacement}, "3"},
		"no part":       {token.Filter{Part: token.NoReplacement}, "024"},
		"serials":       {token.Filter{Serials: []string{"000000000004", "none", "000000000001", "\x00"}}, "14"},
		"no serials":    {token.Filter{Serials: []string{"\x00"}}, ""},
		"serials and":   {token.Filter{Serials: []string{"000000000004", "000000000001"}, UserID: "alice", After: "000000000000"}, "1"},
	} {
		found, err := s.Tokens(t.Context(), c.filter)
		got := ""
		for _, r := range must(t, found, err) {
			got += r.Serial[11:]
			if r.Pending == nil || r.Pending.Number != 2 || r.Current.Number != 1 {
				t.Errorf("%s: generations of %s: %+v, %+v", name, r.Serial, r.Current, r.Pending)
			}
		}
		if got != c.want {
			t.Errorf("%s: found %q, want %q", name, got, c.want)
		}
		chosen, err := s.ChooseTokens(t.Context(), c.filter)
		var seen []token.Chosen
		for _, r := range found {
			seen = append(seen, seenAs(r.Serial, r.UserID, r.IssueCount, r.LostAt))
		}
		same(t, must(t, chosen, err), seen)
	}
	of, err := s.TokensOf(t.Context(), []string{"alice", "nobody", "Bób%", "\x00"}, token.Filter{})
	same(t, must(t, of, err), map[string][]token.Chosen{"alice": {seenAs(made(1).Serial, "alice", 0, start), seenAs(made(3).Serial, "alice", 2, time.Time{})}, "Bób%": {seenAs(made(2).Serial, "Bób%", 0, time.Time{})}})
	of, err = s.TokensOf(t.Context(), []string{"alice", "Bób%"}, token.Filter{Enabled: &yes, Query: "ALI"})
	same(t, must(t, of, err), map[string][]token.Chosen{"alice": {seenAs(made(1).Serial, "alice", 0, start)}})
}

// seenAs is a token that a selection chose.
func seenAs(serial, userID string, issues int, lost time.Time) token.Chosen {
	return token.Chosen{Serial: serial, Seen: &token.Seen{UserID: userID, Issues: issues, LostAt: lost}}
}

func nextToken(t *testing.T, s fixture) {
	s.addUser(t, "alice")
	for n, days := range []int{30, 20, 10, 5, 5, 4} {
		r := made(n)
		r.EffectiveExpiry = day(days)
		switch n {
		case 2:
			r.UserID = "alice"
		case 3:
			r.LostAt = start
		case 5:
			r.Hardware = true
		}
		s.add(t, r)
	}
	for _, c := range []struct {
		days  int
		after string
		n     int
		want  []int
	}{{0, "", 9, []int{4, 1, 0}}, {5, "", 1, []int{4}}, {5, made(4).Serial, 1, []int{1}}, {21, "", 9, []int{0}}, {31, "", 9, nil}} {
		var want []token.Candidate
		for _, n := range c.want {
			r := s.get(t, made(n).Serial)
			want = append(want, token.Candidate{Serial: r.Serial, EffectiveExpiry: r.EffectiveExpiry, Version: 1})
		}
		free, err := s.Free(t.Context(), []string{""}, token.Candidate{EffectiveExpiry: day(c.days), Serial: c.after}, c.n)
		same(t, must(t, free, err), want)
	}
}

func staleToken(t *testing.T, s fixture) {
	r := s.add(t, made(1))
	stale := r
	ok(t, s.SaveToken(t.Context(), r))
	stale.Nickname = "lost"
	g := generation(r.Serial, 2)
	stale.Replace(g)
	refused(t, s.SaveToken(t.Context(), stale), fault.Conflict)
	r.Version++
	same(t, s.get(t, r.Serial), r)
	refused(t, s.SaveToken(t.Context(), made(2)), fault.Conflict)
	_, err := s.Token(t.Context(), made(2).Serial)
	refused(t, err, fault.TokenNotFound)
}

func seedsAreUnique(t *testing.T, s fixture) {
	ctx := t.Context()
	one := s.add(t, made(1))
	refused(t, s.AddToken(ctx, one), fault.ImportDuplicate)
	two := made(2)
	two.Current.Fingerprint = one.Current.Fingerprint
	refused(t, s.AddToken(ctx, two), fault.SeedInUse)
	_, err := s.Token(ctx, two.Serial) // nothing of it was stored
	refused(t, err, fault.TokenNotFound)

	three := s.add(t, made(3))
	g := generation(three.Serial, 2)
	g.Fingerprint = one.Current.Fingerprint
	three.Replace(g)
	refused(t, s.SaveToken(ctx, three), fault.SeedInUse)
	same(t, s.get(t, three.Serial), made(3))

	s.change(t, one.Serial, func(r *token.Token) { r.Replace(generation(r.Serial, 2)) })
	refused(t, s.AddToken(ctx, two), fault.SeedInUse) // destroyed, and known for ever
	ok(t, s.DeleteToken(ctx, one.Serial))
	refused(t, s.AddToken(ctx, two), fault.SeedInUse)
	again := made(1)
	refused(t, s.AddToken(ctx, again), fault.SeedInUse)
	again.Current.Fingerprint = fingerprint("another")
	ok(t, s.AddToken(ctx, again)) // the serial may come back
}

// Many records are stored together or not at all.
func manyAtOnce(t *testing.T, s fixture) {
	ctx := t.Context()
	ok(t, s.AddTokens(ctx, nil))
	ok(t, s.AddTokens(ctx, []token.Token{made(1), made(2)}))
	same(t, s.get(t, made(2).Serial), made(2))
	refused(t, s.AddTokens(ctx, []token.Token{made(3), made(2)}), fault.ImportDuplicate)
	stolen := made(4)
	stolen.Current.Fingerprint = made(1).Current.Fingerprint
	refused(t, s.AddTokens(ctx, []token.Token{made(3), stolen}), fault.SeedInUse)
	_, err := s.Token(ctx, made(3).Serial)
	refused(t, err, fault.TokenNotFound)

	person := func(id string) user.User { return user.User{ID: id, Enabled: true, CreatedAt: start, Version: 1} }
	ok(t, s.AddUsers(ctx, []user.User{person("dora"), person("emil")}))
	refused(t, s.AddUsers(ctx, []user.User{person("fritz"), person("emil")}), fault.UserExists)
	_, err = s.User(ctx, "fritz")
	refused(t, err, fault.UserNotFound)
	// Each has a guard, without which nothing is decided about a user.
	found, err := subjectsOf(ctx, s, []string{"dora", "emil"})
	ok(t, err)
	if len(found) != 2 {
		t.Errorf("%d of two users have a guard", len(found))
	}
}

// Many tokens are saved as one is, all or none.
func manySaved(t *testing.T, s fixture) {
	ctx := t.Context()
	s.addUser(t, "alice")
	tokens := []token.Token{made(1), made(2), made(3)}
	ok(t, s.AddTokens(ctx, tokens))
	ok(t, tokens[0].Assign("alice", "test", start))
	tokens[0].Emergency, tokens[0].LostAt = &token.Emergency{}, start
	tokens[1].Replace(generation(tokens[1].Serial, 2))
	tokens[2].Await(generation(tokens[2].Serial, 2), day(3))
	stolen := append([]token.Token{}, tokens...)
	stolen[2].Pending = new(token.Generation)
	*stolen[2].Pending = generation(tokens[2].Serial, 2)
	stolen[2].Pending.Fingerprint = made(2).Current.Fingerprint
	refused(t, s.SaveTokens(ctx, stolen), fault.SeedInUse)
	same(t, s.get(t, tokens[0].Serial), made(1))
	ok(t, s.SaveTokens(ctx, tokens))
	for i := range tokens {
		tokens[i].Version++
		same(t, s.get(t, tokens[i].Serial), tokens[i])
	}
	tokens[0].Nickname, tokens[1].Version = "new", 1
	refused(t, s.SaveTokens(ctx, tokens), fault.Conflict)
	same(t, s.get(t, tokens[0].Serial).Nickname, "")
}

func generationsFollow(t *testing.T, s fixture) {
	ctx := t.Context()
	r := s.assigned(t, 1)
	accept := func(interval int64) bool {
		accepted, err := s.Accept(ctx, acceptance(s.get(t, r.Serial), interval))
		return must(t, accepted, err)
	}
	if !accept(7) {
		t.Fatal("not accepted")
	}
	guarded := s.get(t, r.Serial).Current

	// What was read before the acceptance does not take it back.
	stale := guarded
	stale.LastInterval, stale.LastUsedAt, stale.Offset = token.Unused, time.Time{}, 0
	next := generation(r.Serial, 2)
	got := s.change(t, r.Serial, func(r *token.Token) {
		r.Current = stale
		r.Await(next, day(7))
	})
	same(t, got.Current, guarded)
	same(t, *got.Pending, next)
	if accept(7) {
		t.Error("a code was accepted again after a redistribution began")
	}

	got = s.change(t, r.Serial, func(r *token.Token) { r.SwitchOver() })
	next.Accepted = "marks"
	same(t, got.Current, next)
	if got.Pending != nil || !accept(7) {
		t.Errorf("after the switch-over: %+v", got)
	}

	// A seed that never left gives way under its own number: another seed, another guard.
	unseen := generation(r.Serial, 2)
	unseen.Fingerprint, unseen.Sealed.Blob = fingerprint("unseen"), []byte("sealed anew")
	got = s.change(t, r.Serial, func(r *token.Token) { r.Replace(unseen) })
	unseen.Accepted = "marks"
	same(t, got.Current, unseen)
	if !accept(7) {
		t.Error("the new seed has the old one's guard")
	}

	// A pending one can be replaced, too, and dropped.
	third, fourth := generation(r.Serial, 3), generation(r.Serial, 4)
	s.change(t, r.Serial, func(r *token.Token) { r.Await(third, day(7)) })
	got = s.change(t, r.Serial, func(r *token.Token) { r.Await(fourth, day(7)) })
	same(t, *got.Pending, fourth)
	got = s.change(t, r.Serial, func(r *token.Token) { r.Pending = nil })
	if got.Pending != nil || got.Current.LastInterval != 7 {
		t.Errorf("after the pending one was dropped: %+v", got)
	}
}

func deletedTokens(t *testing.T, s fixture) {
	ctx := t.Context()
	r := s.add(t, made(1))
	ok(t, s.AddOffer(ctx, offer("o", r.Serial)))
	_, err := s.AddExchange(ctx, exchange("x", "o", 0), 3)
	ok(t, err)
	ok(t, s.DeleteToken(ctx, r.Serial))
	_, err = s.Token(ctx, r.Serial)
	refused(t, err, fault.TokenNotFound)
	_, err = s.Offer(ctx, "o")
	refused(t, err, fault.ActivationUnknown)
	_, err = s.Exchange(ctx, []byte("x"))
	refused(t, err, fault.NotFound)
	ok(t, s.DropDataKey(ctx, 1)) // so its seeds are gone
	refused(t, s.DeleteToken(ctx, r.Serial), fault.TokenNotFound)
}

func switchOvers(t *testing.T, s fixture) {
	for n, days := range []int{3, 1, 2} {
		r := made(n)
		r.Await(generation(r.Serial, 2), day(days))
		s.add(t, r)
	}
	s.add(t, made(9))
	due, err := s.SwitchOversDue(t.Context(), day(2))
	same(t, must(t, due, err), []string{made(1).Serial, made(2).Serial})
}

func acceptsOnce(t *testing.T, s fixture) {
	ctx := t.Context()
	r := s.assigned(t, 1)
	r = s.change(t, r.Serial, func(r *token.Token) { r.Await(generation(r.Serial, 2), day(1)) })
	claim := func(interval int64, wrong func(*token.Token)) bool {
		t.Helper()
		a := r
		if wrong != nil {
			wrong(&a)
		}
		accepted, err := s.Accept(ctx, acceptance(a, interval))
		return must(t, accepted, err)
	}
	for name, wrong := range map[string]func(*token.Token){
		"older version": func(r *token.Token) { r.Version-- },
		"newer version": func(r *token.Token) { r.Version++ },
		"no generation": func(r *token.Token) { r.Current.Number = 9 },
		"another token": func(r *token.Token) { r.Serial = made(2).Serial },
	} {
		if claim(100, wrong) {
			t.Errorf("%s: accepted", name)
		}
	}
	if got := s.get(t, r.Serial).Current; got.LastInterval != token.Unused {
		t.Errorf("a refused claim left %+v", got)
	}
	for _, c := range []struct {
		interval int64
		want     bool
	}{{100, true}, {100, false}, {99, false}, {101, true}, {100, false}, {1 << 40, true}} {
		if got := claim(c.interval, nil); got != c.want {
			t.Errorf("interval %d: %v", c.interval, got)
		}
	}
	want := r.Current
	want.Clock = token.Clock{LastInterval: 1 << 40, Offset: 3, LastUsedAt: start, LastAgent: "radius:vpn", Accepted: "marks"}
	got := s.get(t, r.Serial)
	same(t, got.Current, want)
	same(t, got.Version, r.Version) // an acceptance is no change of the token

	for name, change := range map[string]func(*token.Token){
		"disabled":   func(r *token.Token) { r.Enabled = false },
		"unassigned": func(r *token.Token) { r.UserID = "" },
	} {
		saved := s.change(t, r.Serial, change)
		if accepted, err := s.Accept(ctx, acceptance(saved, 1<<41)); must(t, accepted, err) {
			t.Errorf("%s: accepted", name)
		}
		s.change(t, r.Serial, func(r *token.Token) { r.Enabled, r.UserID = true, "alice" })
	}
}

func holdings(t *testing.T, s fixture) {
	s.addUser(t, "alice")
	s.addUser(t, "bob")
	s.addProfile(t, "phones")
	profile, err := s.Profile(t.Context(), "phones")
	ok(t, err)
	for n, change := range []func(*token.Token){
		func(r *token.Token) { r.UserID = "alice" },
		func(r *token.Token) {
			r.UserID, r.Distribution, r.Profile, r.DeviceID = "alice", token.Issued, "phones", "a phone"
		},
		func(r *token.Token) { r.UserID, r.Distribution, r.LostAt = "alice", token.Confirmed, start },
		func(r *token.Token) { r.UserID, r.Distribution = "bob", token.PendingActivation },
	} {
		r := made(n)
		r.EffectiveExpiry = day(n)
		change(&r)
		s.add(t, r)
	}
	all, err := s.Holdings(t.Context(), []string{"alice", "nobody"})
	same(t, must(t, all, err), []distribution.Holding{
		{Serial: made(1).Serial, UserID: "alice", DeviceID: "a phone", DeviceType: profile.DeviceType, Until: day(1)},
		{Serial: made(2).Serial, UserID: "alice", Until: day(2), Lost: true},
	})
	all, err = s.Holdings(t.Context(), []string{"bob"})
	same(t, len(must(t, all, err)), 1)
	all, err = s.Holdings(t.Context(), nil)
	same(t, len(must(t, all, err)), 0)
}
