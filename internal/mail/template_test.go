package mail_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/policy"
)

func refused(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

// What came with the server can be written on every occasion, and shows nothing that is not there.
func TestBuiltInTemplates(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	for _, e := range mail.Events() {
		p, err := s.outbox.Preview(t.Context(), mail.Template{Event: e})
		if err != nil || p.Subject == "" || p.Text == "" || p.HTML == "" || strings.Contains(p.Subject+p.Text+p.HTML, "{{") || strings.Contains(p.Text, "<no value>") ||
			strings.Contains(p.HTML, "ZgotmplZ") || strings.Contains(p.Text, "\n\n\n") {
			t.Errorf("%s: %v %+v", e, err, p)
		}
	}
	p, err := s.outbox.Preview(t.Context(), mail.Template{Event: mail.Redistribution})
	s.ok(err)
	if !strings.Contains(p.Text, "Delete that one in the app first") || !strings.Contains(p.Text, "not longer than 2026-12-05") {
		t.Error(p.Text)
	}
}

// Nothing but variables, conditions and comparisons is in a template, in no branch of it.
func TestTemplatesThatAreRefused(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	for _, wrong := range []string{
		"", " \n", "{{.Nobody}}", "{{if .Code}}{{.Seed}}{{end}}", "{{if .Nobody}}x{{end}}", "{{.User.Name}}", "{{", "{{end}}", "{{range .Serial}}x{{end}}",
		"{{with .Serial}}{{.}}{{end}}", "{{.}}", "{{$}}", "{{$x := .Serial}}{{$x}}", `{{define "x"}}y{{end}}{{template "x"}}`, `{{template "y"}}`, `{{block "x" .}}y{{end}}`,
		`{{printf "%1000000d" 1}}`, "{{len .Serial}}", "{{index .Serial 1}}", "{{call .Serial}}", "{{html .Serial}}", "{{js .Code}}", "{{if lt .Serial 1}}x{{end}}",
		"{{break}}", strings.Repeat("x", 65<<10), "{{.Serial | printf}}",
	} {
		refused(t, s.outbox.SaveTemplate(t.Context(), mail.Template{Event: mail.Expiry, Subject: "s", Text: wrong}), fault.TemplateInvalid)
		if strings.TrimSpace(wrong) != "" {
			refused(t, s.outbox.SaveTemplate(t.Context(), mail.Template{Event: mail.Expiry, Subject: "s", Text: "t", HTML: wrong}), fault.TemplateInvalid)
		}
	}
	refused(t, s.outbox.SaveTemplate(t.Context(), mail.Template{Event: mail.Expiry, Text: "t"}), fault.TemplateInvalid)
	refused(t, s.outbox.SaveTemplate(t.Context(), mail.Template{Event: mail.Expiry, Subject: "{{.Nobody}}", Text: "t"}), fault.TemplateInvalid)
	refused(t, s.outbox.SaveTemplate(t.Context(), mail.Template{Event: "birthday", Subject: "s", Text: "t"}), fault.Invalid)
	if all, err := s.db.MailTemplates(t.Context()); len(all) != 0 || err != nil {
		t.Errorf("kept %v %v", all, err)
	}
}

// A profile's own template is taken for its tokens, the deployment's for all others; HTML is escaped, and a subject is one line.
func TestOwnTemplates(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	o := open(t, true)
	s.uses(o)
	s.ok(s.outbox.SaveTemplate(t.Context(), mail.Template{Event: mail.Distribution, Subject: "{{.Service}}:\n {{.UserName}}", Text: "text for {{if eq .Profile \"phone\"}}phones{{else}}others{{end}}"}))
	s.ok(s.outbox.SaveTemplate(t.Context(), mail.Template{Event: mail.Distribution, Profile: "desk", Subject: "desk", Text: "t", HTML: `<a href="{{.Link}}" title="{{.UserName}}">{{.UserName}}</a>`}))
	s.delivers(func(d *parcel) { d.User.Name = "Eve" })
	s.sends("one")
	s.delivers(func(d *parcel) {
		d.Profile, d.Method, d.CTFURL, d.User.Name = "desk", device.CTF, "com.rsa.securid://ctf?ctfData=2&x=1", `"><script>alert(1)</script>`
	})
	s.sends("one")
	got := o.mails()
	if len(got) != 2 || got[0].subject != "Example: Eve" || strings.TrimSpace(got[0].text) != "text for phones" || got[0].html != "" {
		t.Fatalf("%+v", got)
	}
	if h := got[1].html; got[1].subject != "desk" || strings.Contains(h, "<script>") || !strings.Contains(h, `href="com.rsa.securid://ctf?ctfData=2&amp;x=1"`) {
		t.Errorf("%+v", got[1])
	}
	if all, err := s.outbox.Templates(t.Context()); err != nil || len(all) != len(mail.Events())+1 || all[0].BuiltIn || all[1].Profile != "desk" || !all[2].BuiltIn {
		t.Errorf("templates %+v %v", all, err)
	}
	s.ok(s.outbox.ResetTemplate(t.Context(), mail.Distribution, "desk"))
	refused(t, s.outbox.ResetTemplate(t.Context(), mail.Distribution, "desk"), fault.NotFound)
	if back, err := s.outbox.Template(t.Context(), mail.Distribution, "desk"); back.Profile != "" || back.BuiltIn || err != nil {
		t.Errorf("%+v %v", back, err)
	}
}

// Whatever the method, while split_delivery is on no message has both parts of a secret, and none has the second part unless it is asked for.
func TestSplitDelivery(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	o := open(t, true)
	s.uses(o)
	const code, password, link = "736455120098", "file password", "com.rsa.securid://ctf?ctfData=200"
	dynamic := func(d *parcel) {
		d.Method, d.CTKIPURL, d.ActivationCode, d.ActivationExpires, d.Lock, d.Locked = device.CTKIP, "https://tokens.example.com/ctkip", code, s.Now().Add(time.Hour), "", false
		d.Link, d.QR = "com.rsa.securid://ctkip?url=x&activationCode="+code, "com.rsa.securid://ctkip?url=x&activationCode="+code
	}
	str := func(d *parcel) { d.Method, d.CTFURL, d.CTF = device.CTF, link, "200" }
	for name, tt := range map[string]struct {
		change func(*parcel)
		secret mail.Channel
		split  bool
		first  []string // what each message holds
		second []string
	}{
		"file by hand":    {func(*parcel) {}, mail.ByHand, true, []string{"FILE"}, nil},
		"file by mail":    {func(*parcel) {}, mail.ByMail, true, []string{"FILE"}, []string{password}},
		"file together":   {func(*parcel) {}, mail.ByMail, false, []string{"FILE", password}, nil},
		"string by hand":  {str, "", true, []string{link}, nil},
		"string by mail":  {str, mail.ByMail, true, []string{link}, []string{password}},
		"dynamic by hand": {dynamic, mail.ByHand, true, []string{"https://tokens.example.com/ctkip"}, nil},
		"dynamic by mail": {dynamic, mail.ByMail, true, []string{"https://tokens.example.com/ctkip"}, []string{code}},
		"dynamic in one":  {dynamic, mail.ByMail, false, []string{"https://tokens.example.com/ctkip", code}, nil},
		"not in one":      {dynamic, mail.ByHand, false, []string{"https://tokens.example.com/ctkip"}, nil},
	} {
		_, err := s.policy.EditSettings(t.Context(), 0, func(p *policy.Settings) { p.SplitDelivery = tt.split })
		s.ok(err)
		s.Pass(2 * time.Second) // what is remembered of the settings
		before := len(o.mails())
		s.delivers(func(d *parcel) { tt.change(d); d.Secret = tt.secret })
		s.sends("one")
		got := o.mails()[before:]
		want := [][]string{tt.first}
		if tt.second != nil {
			want = append(want, tt.second)
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d messages, want %d", name, len(got), len(want))
			continue
		}
		for i, m := range got {
			for _, part := range []string{"FILE", code, password, link, "https://tokens.example.com/ctkip"} {
				has := strings.Contains(m.text, part) || strings.Contains(m.html, part) || part == "FILE" && m.file != nil
				wanted := false
				for _, w := range want[i] {
					wanted = wanted || w == part
				}
				if has != wanted {
					t.Errorf("%s, message %d: has %s: %v\n%s", name, i+1, part, has, m.text)
				}
			}
		}
	}
}

// What is said of the second part goes by the method, not by the digits, which strings of the versions 3 and 4 do not have. Who need not be given any
// password is told what is typed.
func TestWhatOpensADelivery(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	o := open(t, true)
	s.uses(o)
	_, err := s.policy.EditSettings(t.Context(), 0, func(p *policy.Settings) { p.AllowUnprotectedCTF = true })
	s.ok(err)
	str := func(d *parcel) {
		d.Method, d.CTFURL, d.File, d.FileName = device.CTF, "com.rsa.securid://ctf?ctfData=x", nil, ""
	}
	for name, tt := range map[string]struct {
		change     func(*parcel)
		says, isnt string
	}{
		"string":  {str, "You get the password from your administrator.", "activation code"},
		"file":    {func(*parcel) {}, "You get the password from your administrator.", "activation code"},
		"user ID": {func(d *parcel) { str(d); d.Locked, d.Lock = false, "alice" }, "Password: alice (your user ID)", "You get"},
		"nothing": {func(d *parcel) { str(d); d.Locked, d.Lock = false, "" }, "Open the link", "assword"},
		"dynamic": {func(d *parcel) {
			d.Method, d.CTKIPURL, d.ActivationCode, d.File, d.FileName, d.Locked, d.Lock = device.CTKIP, "https://tokens.example.com/ctkip", "736455120098", nil, "", false, ""
		}, "You get the activation code from your administrator.", "assword"},
	} {
		for _, again := range []bool{false, true} {
			before := len(o.mails())
			s.delivers(func(d *parcel) { tt.change(d); d.Again = again })
			s.sends("one")
			for _, m := range o.mails()[before:] {
				html := strings.NewReplacer("<b>", "", "</b>", "").Replace(m.html)
				if !strings.Contains(m.text, tt.says) || !strings.Contains(html, tt.says) || strings.Contains(m.text+html, tt.isnt) {
					t.Errorf("%s: %s", name, m.text)
				}
			}
		}
	}
	s.ok(s.outbox.SaveTemplate(t.Context(), mail.Template{Event: mail.Distribution, Subject: "s", Text: "{{if .FileName}}file{{else if .String}}string{{else}}code{{end}}: {{.Password}}"}))
	s.delivers(func(d *parcel) { d.Locked, d.Lock = false, "alice" })
	s.sends("one")
	if all := o.mails(); strings.TrimSpace(all[len(all)-1].text) != "file: alice" {
		t.Errorf("a template of old says %q", all[len(all)-1].text)
	}
}

// What would show a seed to whoever reads the mail is refused, unless a setting allows it; so is a user without an address.
func TestDeliveriesThatAreRefused(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	d := delivery()
	_, err := s.deliver(d)
	refused(t, err, fault.MailOff)
	s.uses(open(t, true))
	d.Locked = false
	_, err = s.deliver(d)
	refused(t, err, fault.PasswordRequired)
	_, err = s.policy.EditSettings(t.Context(), 0, func(p *policy.Settings) { p.AllowUnprotectedCTF = true })
	s.ok(err)
	s.Pass(2 * time.Second)
	if _, err = s.deliver(d); err != nil {
		t.Error(err)
	}
	for _, address := range []string{"", "alice", "Alice <alice@example.com>", "alice@example.com\r\nBcc: eve@example.com", "a@example.com, b@example.com"} {
		d.User.Mail = address
		_, err = s.deliver(d)
		refused(t, err, fault.MailMissing)
	}
	refused(t, s.outbox.Ready(t.Context(), "pigeon"), fault.Invalid)
}

// Another delivery of a token cancels what waits about the one before.
func TestSupersededMail(t *testing.T) {
	s := newSite(t, t.TempDir()+"/tallystick.db")
	o := open(t, true)
	s.uses(o)
	old := s.delivers(func(*parcel) {})[0]
	other := s.delivers(func(d *parcel) { d.Serial = "000000000002" })[0]
	anew := s.delivers(func(d *parcel) { d.Again = true })[0]
	s.sends("one")
	if m := s.is(old, mail.Cancelled, mail.Superseded); m.Sealed.KeyID != 0 {
		t.Error("the body is still there")
	}
	s.is(other, mail.Sent, "")
	s.is(anew, mail.Sent, "")
	if got := o.mails(); len(got) != 2 || !strings.Contains(got[1].text, "Delete that one in the app first") {
		t.Errorf("%+v", got)
	}
}
