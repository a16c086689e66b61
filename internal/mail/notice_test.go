package mail_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// holds gives a user a token that ends in some days.
func (s *site) holds(n, days int, userID, address string, state token.Distribution) string {
	s.Helper()
	ctx, serial := s.Context(), fmt.Sprintf("%012d", n)
	if _, err := s.db.User(ctx, userID); err != nil {
		s.ok(s.db.AddUser(ctx, user.User{ID: userID, Mail: address, Enabled: true, CreatedAt: s.Now(), Version: 1}))
	}
	ends := s.Now().AddDate(0, 0, days)
	t := token.Token{Serial: serial, Origin: token.Generated, Expiry: ends, EffectiveExpiry: ends, LastNumber: 1, Distribution: token.NotDistributed, CreatedAt: s.Now(), Version: 1}
	keys := s.outbox.Keys.(*seed.Keyring)
	var err error
	t.Current, err = token.NewGeneration(keys, serial, 1, seed.Generate(), token.Settings{Digits: 8, Interval: 60, PINType: "none"}, s.Now())
	s.ok(err)
	s.ok(t.Assign(userID, "test", s.Now()))
	t.Distribution = state
	s.ok(s.db.AddToken(ctx, t))
	return serial
}

// Users are told of the end of a token once for each number of days, by however many servers; anew when the end has moved.
func TestExpiryNotices(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		o := open(t, true)
		s.uses(o)
		soon := s.holds(1, 5, "alice", "alice@example.com", token.Confirmed)
		later := s.holds(2, 20, "alice", "alice@example.com", token.Confirmed)
		s.holds(3, 60, "alice", "alice@example.com", token.Confirmed)
		s.holds(4, 5, "bob", "", token.Confirmed)
		s.holds(5, 5, "carol", "carol@", token.Confirmed)
		told := func() []string {
			t.Helper()
			var servers sync.WaitGroup
			for range 3 {
				servers.Go(func() {
					if err := s.outbox.NoticeExpiring(t.Context()); err != nil && !strings.Contains(err.Error(), "another server") {
						t.Error(err)
					}
				})
			}
			servers.Wait()
			before := len(o.mails())
			s.sends("one")
			var subjects []string
			for _, m := range o.mails()[before:] {
				if m.to != "alice@example.com" {
					t.Errorf("told %s", m.to)
				}
				subjects = append(subjects, m.subject)
			}
			slices.Sort(subjects)
			return subjects
		}
		of := func(serial string, days int) string {
			return "Your token " + serial + " ends on " + s.Now().AddDate(0, 0, days).Format(time.DateOnly)
		}
		if got := told(); !slices.Equal(got, []string{of(soon, 5), of(later, 20)}) {
			t.Errorf("told %q", got)
		}
		if got := told(); len(got) != 0 {
			t.Errorf("told again %q", got)
		}
		s.moves("carol", "alice@example.com") // it could not be written to
		if got := told(); !slices.Equal(got, []string{of("000000000005", 5)}) {
			t.Errorf("with an address, told %q", got)
		}
		s.Pass(14 * 24 * time.Hour)
		if got := told(); !slices.Equal(got, []string{of(later, 6)}) {
			t.Errorf("with fewer days left, told %q", got)
		}
		got, err := s.db.Token(t.Context(), later)
		s.ok(err)
		got.EffectiveExpiry = s.Now().AddDate(0, 0, 25)
		s.ok(s.db.SaveToken(t.Context(), got))
		if got := told(); !slices.Equal(got, []string{of(later, 25)}) {
			t.Errorf("after an extension, told %q", got)
		}
		s.sets(func(m *mail.Settings) { m.Enabled = false })
		s.Pass(20 * 24 * time.Hour)
		s.ok(s.outbox.NoticeExpiring(t.Context()))
		if waiting, err := s.outbox.List(t.Context(), mail.Filter{State: mail.Waiting}); len(waiting) != 0 || err != nil {
			t.Errorf("while mail is off, %d wait (%v)", len(waiting), err)
		}
	})
}

// The days that are left are those of the calendar, in UTC, whatever the hour: on its last day a token works.
func TestExpiryInDays(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	o := open(t, true)
	s.uses(o)
	s.sets(func(m *mail.Settings) { m.ExpiryDays = []int{1} })
	midnight := s.Now().Truncate(24 * time.Hour)
	for n, hour := range []time.Duration{0, 23*time.Hour + 59*time.Minute} {
		s.Pass(midnight.Add(time.Duration(n)*7*24*time.Hour + hour).Sub(s.Now()))
		for days := range 3 {
			serial := s.holds(10*n+days, days, "alice", "alice@example.com", token.Confirmed)
			tok, err := s.db.Token(t.Context(), serial)
			s.ok(err)
			tok.EffectiveExpiry = tok.EffectiveExpiry.Truncate(24 * time.Hour)
			s.ok(s.db.SaveToken(t.Context(), tok))
		}
		before := len(o.mails())
		s.ok(s.outbox.NoticeExpiring(t.Context()))
		s.sends("one")
		got := o.mails()[before:]
		if len(got) != 2 {
			t.Fatalf("told of %d", len(got))
		}
		for i, words := range []string{"which is today.", "which is in 1 day."} {
			if !strings.Contains(got[i].text, words) || !strings.Contains(got[i].html, words) || !strings.Contains(got[i].subject, s.Now().AddDate(0, 0, i).Format(time.DateOnly)) {
				t.Errorf("%d days left: %s", i, got[i].text)
			}
		}
	}
}

// Who was given a token and never used it is reminded, once a day; each other token says why not.
func TestReminders(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	o := open(t, true)
	s.uses(o)
	waiting, pending := s.holds(1, 100, "alice", "alice@example.com", token.Issued), s.holds(2, 100, "alice", "", token.PendingActivation)
	disabled, gone := s.holds(5, 100, "carol", "carol@example.com", token.Issued), s.holds(6, 100, "dave", "dave@example.com", token.Issued)
	for id, change := range map[string]func(*user.User){
		"carol": func(u *user.User) { u.Enabled = false }, "dave": func(u *user.User) { u.Expiry = s.Now().AddDate(0, 0, -2) },
	} {
		u, err := s.db.User(t.Context(), id)
		s.ok(err)
		change(&u)
		s.ok(s.db.SaveUser(t.Context(), u))
	}
	used, noAddress := s.holds(3, 100, "alice", "", token.Confirmed), s.holds(4, 100, "bob", "", token.Issued)
	codes := func(serials ...string) string {
		t.Helper()
		all, err := s.outbox.Remind(t.Context(), serials)
		s.ok(err)
		var codes []string
		for i, r := range all {
			if r.Serial != serials[i] || (r.Code == "") != (r.Message == "") {
				t.Errorf("%+v", r)
			}
			codes = append(codes, string(r.Code))
		}
		return strings.Join(codes, " ")
	}
	if got := codes(waiting, pending, used, noAddress, "000000000099", waiting, disabled, gone); got != "  CONFLICT MAIL_MISSING NOT_ASSIGNED TOO_MANY USER_DISABLED USER_EXPIRED" {
		t.Errorf("codes %q", got)
	}
	if got := codes(waiting); got != "TOO_MANY" {
		t.Errorf("again: %q", got)
	}
	s.Pass(25 * time.Hour)
	worker := s.outbox.Reminders("distribute")
	out, err := worker.Do(t.Context(), job.Chunk{Items: []job.Item{{Key: waiting}, {Key: used}}})
	if err != nil || len(out) != 2 || out[0].Err != nil || out[1].Err == nil {
		t.Errorf("the worker says %+v %v", out, err)
	}
	s.sends("one")
	if got := o.mails(); len(got) != 3 || got[0].subject != "Your token 000000000001 is waiting for you" {
		t.Errorf("%+v", got)
	}
	if n := s.actions(); n["mail.remind"] != 3 {
		t.Errorf("%v", n)
	}
}

// Administrators are told of jobs that are over, in the transaction that ends them.
func TestJobsAreTold(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	o := open(t, true)
	jobs := &job.Registry{Store: s.db, Keys: s.outbox.Keys.(*seed.Keyring), Now: s.Now, Ended: s.outbox.JobFinished}
	jobs.Register(job.Worker{Kind: "test", Do: func(context.Context, job.Chunk) ([]job.Outcome, error) {
		return []job.Outcome{{Err: fault.New(fault.NotFound, "there is no a")}}, nil
	}})
	end := func(name string) {
		t.Helper()
		_, err := jobs.Start(t.Context(), job.Order{Kind: "test", Name: name, Items: job.Keys([]string{"a"})})
		s.ok(err)
		s.ok(jobs.RunAll(t.Context()))
	}
	end("while mail is off")
	s.uses(o)
	end("nobody is named")
	s.sets(func(m *mail.Settings) { m.Notify = []string{"ops@example.com", "boss@example.com"} })
	end("Phones")
	s.sends("one")
	got := o.mails()
	if len(got) != 2 || got[0].to != "ops@example.com" || got[1].to != "boss@example.com" || got[0].subject != "Job Phones is over: done_with_errors" || !strings.Contains(got[0].text, "Of 1, 0 went well") {
		t.Errorf("%+v", got)
	}
}

// So they are of jobs that wait to be approved.
func TestJobsThatWaitAreTold(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	o := open(t, true)
	s.uses(o)
	s.sets(func(m *mail.Settings) { m.Notify = []string{"ops@example.com"} })
	settings, err := s.db.Settings(t.Context())
	s.ok(err)
	settings.BulkApproval = true
	s.ok(s.db.SaveSettings(t.Context(), settings))
	jobs := &job.Registry{Store: s.db, Keys: s.outbox.Keys.(*seed.Keyring), Now: s.Now, Asked: s.outbox.JobAsked}
	jobs.Register(job.Worker{Kind: "test", FourEyes: true})
	j, err := jobs.Start(t.Context(), job.Order{Kind: "test", Name: "Phones", Items: job.Keys([]string{"a"})})
	s.ok(err)
	s.sends("one")
	got := o.mails()
	if len(got) != 1 || got[0].subject != "Job Phones waits to be approved" || !strings.Contains(got[0].text, "(test, items: 1)") || !strings.Contains(got[0].text, "tallystick job approve "+j.ID) {
		t.Errorf("%+v", got)
	}
}

// So they are of reports that schedules have made.
func TestReportsAreTold(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	o := open(t, true)
	tell := func(state string) {
		t.Helper()
		s.reports(mail.Report{Run: "run-1", Schedule: "mondays", Name: "expiring", State: state, Rows: 12})
	}
	tell("done") // mail is off
	s.uses(o)
	s.sets(func(m *mail.Settings) { m.Notify = []string{"ops@example.com"} })
	tell("done")
	s.sends("one")
	got := o.mails()
	if len(got) != 1 || got[0].to != "ops@example.com" || got[0].subject != "Report expiring is done" || !strings.Contains(got[0].text, "with 12 rows") || !strings.Contains(got[0].text, "tallystick report download run-1") {
		t.Errorf("%+v", got)
	}
}

func (s *site) reports(r mail.Report) {
	s.Helper()
	s.ok(s.db.Transact(s.Context(), func(ctx context.Context) error { return s.outbox.ReportFinished(ctx, r) }))
}

// Whom an order names is sent the report itself, read when it is sent: while it is there, and not too large.
func TestReportsAreAttached(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		o := open(t, true)
		var broken error
		s.outbox.Report = func(_ context.Context, run string) ([]byte, error) {
			if run != "run-1" {
				return nil, fault.New(fault.NotFound, "it is gone")
			}
			return []byte("serial\n000123456789\n"), broken
		}
		r := mail.Report{
			Run: "run-1", Schedule: "mondays", Name: "expiring", State: "done", Rows: 1, FileName: "expiring-2026-11-30.csv", Size: mail.MaxAttached,
			Until: s.Now().AddDate(0, 0, 30), To: []string{"boss@example.com", "lists@example.com"},
		}
		s.reports(r) // mail is off, and it waits
		s.uses(o)
		s.sets(func(m *mail.Settings) { m.Notify = []string{"ops@example.com", "boss@example.com"} })
		broken = errors.New("the database is away")
		if err := s.sender("one").Once(t.Context()); err == nil || len(o.mails()) != 0 {
			t.Fatalf("sent %d without the report: %v", len(o.mails()), err)
		}
		broken = nil
		s.Pass(time.Minute)
		s.sends("one")
		s.sends("two")
		got := o.mails()
		if len(got) != 2 {
			t.Fatalf("%d messages", len(got))
		}
		for _, m := range got {
			if m.fileName != r.FileName || string(m.file) != "serial\n000123456789\n" || !strings.Contains(m.text, "attached as "+r.FileName) {
				t.Errorf("%+v", m)
			}
		}
		// Who is named in the settings is told, and whoever has it is not told again.
		s.reports(r)
		s.sends("one")
		if got = o.mails()[2:]; len(got) != 3 || got[2].to != "ops@example.com" || got[2].fileName != "" || got[0].fileName == "" {
			t.Errorf("%+v", got)
		}
		s.sets(func(m *mail.Settings) { m.Notify = nil })
		large := r
		large.Size++
		s.reports(large)
		failed := r
		failed.State = "failed"
		s.reports(failed)
		s.sends("one")
		got = o.mails()[5:]
		if len(got) != 4 || got[0].fileName != "" || !strings.Contains(got[0].text, "tallystick report download run-1") || got[2].fileName != "" || !strings.Contains(got[2].text, "is failed") {
			t.Errorf("%+v", got)
		}
		gone := r
		gone.Run, gone.To = "run-2", gone.To[:1]
		s.reports(gone)
		s.sends("one")
		late, err := s.outbox.List(t.Context(), mail.Filter{State: mail.Failed})
		if s.ok(err); len(late) != 1 || late[0].Trouble != mail.TooLate || late[0].Sealed.KeyID != 0 || len(o.mails()) != 9 {
			t.Errorf("%+v", late)
		}
	})
}

// Settings that would send secrets in the clear, or nowhere, are refused.
func TestSettings(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	if got, err := s.outbox.Settings(t.Context()); err != nil || got.Enabled || got.Security != mail.STARTTLS || !slices.Equal(got.ExpiryDays, []int{30, 7}) {
		t.Errorf("defaults %+v %v", got, err)
	}
	for name, change := range map[string]func(*mail.Settings){
		"no host":   func(m *mail.Settings) { m.Enabled, m.From = true, "a@example.com" },
		"no from":   func(m *mail.Settings) { m.Enabled, m.Host = true, "mail.example.com" },
		"clear":     func(m *mail.Settings) { m.Host, m.Security = "mail.example.com", mail.NoSecurity },
		"host":      func(m *mail.Settings) { m.Host = "mail.example.com:25" },
		"security":  func(m *mail.Settings) { m.Security = "some" },
		"from":      func(m *mail.Settings) { m.From = "tokens\r\nBcc: eve@example.com" },
		"port":      func(m *mail.Settings) { m.Port = 70000 },
		"CA":        func(m *mail.Settings) { m.CA = "x" },
		"rate":      func(m *mail.Settings) { m.PerMinute = 0 },
		"notify":    func(m *mail.Settings) { m.Notify = []string{"nobody"} },
		"days":      func(m *mail.Settings) { m.ExpiryDays = []int{0} },
		"user name": func(m *mail.Settings) { m.UserName = "a\nb" },
	} {
		_, err := s.outbox.EditSettings(t.Context(), 0, nil, change)
		if refused(t, err, "INVALID"); t.Failed() {
			t.Fatal(name)
		}
	}
	password := "a\nb"
	_, err := s.outbox.EditSettings(t.Context(), 0, &password, func(*mail.Settings) {})
	refused(t, err, "INVALID")
	password = "secret"
	got, err := s.outbox.EditSettings(t.Context(), 0, &password, func(m *mail.Settings) {
		m.Host, m.From, m.ExpiryDays, m.Security = "mail.example.com", "Tokens <a@example.com>", []int{7, 30, 7}, mail.TLS
	})
	if err != nil || !got.Password || got.Port != 465 || got.Version != 1 || !slices.Equal(got.ExpiryDays, []int{30, 7}) {
		t.Errorf("%+v %v", got, err)
	}
	_, err = s.outbox.EditSettings(t.Context(), 2, nil, func(*mail.Settings) {})
	refused(t, err, "CONFLICT")
	// Whoever may change where the password goes, or who is trusted to be there, is not told it.
	_, authority := certificate(t)
	for _, change := range []func(*mail.Settings){func(m *mail.Settings) { m.Host = "eve.example.com" }, func(m *mail.Settings) { m.CA = authority }} {
		_, err = s.outbox.EditSettings(t.Context(), 0, nil, change)
		refused(t, err, "INVALID")
	}
	password = ""
	if got, err = s.outbox.EditSettings(t.Context(), 1, &password, func(m *mail.Settings) { m.Secure(new(mail.STARTTLS), nil) }); err != nil || got.Password || got.Port != 587 {
		t.Errorf("%+v %v", got, err)
	}
	// A port that is given stays, also where it is the one that there was.
	got, err = s.outbox.EditSettings(t.Context(), 0, nil, func(m *mail.Settings) { m.Secure(new(mail.TLS), new(587)) })
	if err != nil || got.Security != mail.TLS || got.Port != 587 {
		t.Errorf("%+v %v", got, err)
	}
}
