package server_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2869"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/securid"
)

// Invariant 2 (spec/software-token-lifecycle.md section 17): after the switch-over, at once or with the first code of the new seed, every server
// refuses the codes of the old seed in the next request, those that have it in memory too.
func TestInvariant02OldSeedsFailOnAllServers(t *testing.T) { oneAndTwo(t, switchedOver) }

func switchedOver(t *testing.T, servers ...*process) {
	admin := servers[0].admin()
	p, err := admin.AddProfile(t.Context(), client.NewProfile{Profile: "string", DeviceType: "generic", DeliveryMethod: "ctf", PINType: "none"})
	must(t, p, err)
	for _, c := range []struct{ reason, switchOver string }{{"COMPROMISED", ""}, {"NEW_DEVICE", "immediate"}, {"NEW_DEVICE", "on_activation"}} {
		user := strings.ToLower(c.reason + "-" + c.switchOver)
		u, err := admin.AddUser(t.Context(), client.NewUser{UserID: user})
		must(t, u, err)
		made, err := admin.CreateTokens(t.Context(), client.NewTokens{Count: 1})
		serial := must(t, made, err)[0]
		tok, err := admin.Assign(t.Context(), serial, user)
		must(t, tok, err)
		issue, err := admin.Distribute(t.Context(), serial, client.Distribution{Profile: "string"})
		old := codes(t, must(t, issue, err))
		now := time.Now()
		asked := func(n int, code, want string) {
			t.Helper()
			got, err := servers[n].admin().Authenticate(t.Context(), user, client.Secret(code))
			if must(t, got, err) != want {
				t.Errorf("%s: server %d says %s, not %s", user, n, got, want)
			}
		}
		for n := len(servers) - 1; n >= 0; n-- { // each has looked for a code of the old seed
			asked(n, "00000000", "denied")
		}
		asked(0, old(now), "accepted")
		issue, err = admin.Redistribute(t.Context(), serial, client.Redistribution{Distribution: client.Distribution{Profile: "string", SwitchOver: c.switchOver}, Reason: c.reason})
		fresh := codes(t, must(t, issue, err))
		last := len(servers) - 1
		if c.switchOver == "on_activation" {
			asked(last, fresh(now), "accepted")
		}
		for n := range servers {
			asked(n, old(now.Add(time.Minute)), "denied")
		}
		asked(last, fresh(now.Add(time.Minute)), "accepted")
	}
}

// codes are those of the string that was issued.
func codes(t *testing.T, issue client.Issue) func(time.Time) string {
	t.Helper()
	text, err := ctf.Parse(issue.Delivery.CTF)
	held, err := must(t, text, err).Open("", "")
	must(t, held, err)
	return func(at time.Time) string {
		code, err := securid.Code(held.Seed, issue.Serial, held.Digits, held.Interval, at)
		return must(t, code, err)
	}
}

// Invariant 10: what is answered to an unknown user, a locked user, a wrong PIN, a wrong code and a used code is the same, over each protocol.
func TestInvariant10AnswersAreIdenticalOverAll(t *testing.T) {
	const secret = "a secret of the gateway"
	p := start(t, folder(t), "--radius", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0")
	admin := p.admin()
	vpn, err := admin.AddRADIUSClient(t.Context(), client.NewRADIUSClient{RADIUSClient: "gateway", Address: "127.0.0.0/8", Secret: secret})
	must(t, vpn, err)
	agent, site := newGateway(t, p), newSite(t, p)
	ways := map[string]func(user, passcode string) (answer string, accepted bool){
		"RADIUS": func(user, passcode string) (string, bool) {
			got := p.radius(secret, user, passcode, nil)
			var shown []string
			for _, a := range got.Attributes {
				if a.Type == rfc2869.MessageAuthenticator_Type {
					a.Attribute = nil // differs with the request
				}
				shown = append(shown, fmt.Sprintf("%d=%x", a.Type, []byte(a.Attribute)))
			}
			return fmt.Sprint(got.Code, shown), got.Code == radius.CodeAccessAccept
		},
		"agent": func(user, passcode string) (string, bool) {
			got := agent.send(0, "initialize", agent.passcode(nil, user, "SECURID", passcode))
			anonymous := strings.NewReplacer(got.Context.AuthnAttemptId, "", got.Context.MessageId, "")
			_, rest, _ := strings.Cut(anonymous.Replace(got.raw), `"inResponseTo"`)
			_, rest, _ = strings.Cut(rest, ",")
			return rest, got.AttemptResponseCode == "SUCCESS"
		},
		"API": func(user, passcode string) (string, bool) {
			body := fmt.Sprintf(`{"user_id":%q,"passcode":%q}`, user, passcode)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://tallystick/v1/authenticate", strings.NewReader(body))
			must(t, r, err).Header.Set("Content-Type", "application/json")
			res, err := site.any().socket.Do(r)
			must(t, res, err)
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			return fmt.Sprint(res.StatusCode, res.Header["Content-Type"], res.ContentLength, string(must(t, text, err))), strings.Contains(string(text), `"accepted"`)
		},
	}
	for name, ask := range ways {
		user := strings.ToLower(name)
		shown := tokenOf(t, admin, user, "fob")
		const pin = "73914628"
		held, err := admin.Tokens(t.Context(), client.TokenFilter{UserID: user})
		must(t, 0, admin.SetPIN(t.Context(), must(t, held, err).Tokens[0].Serial, client.PIN{PIN: pin}))
		now := time.Now()
		right := pin + shown(now)
		if answer, accepted := ask(user, right); !accepted {
			t.Fatalf("%s: the right passcode: %s", name, answer)
		}
		want, _ := ask(user, "4711"+pin) // wrong, whatever it is
		got := map[string]string{}
		got["unknown user"], _ = ask("nobody", right)
		got["wrong PIN"], _ = ask(user, "73914629"+shown(now.Add(time.Minute)))
		if answer, accepted := ask(user, pin+shown(now.Add(time.Minute))); !accepted { // and the failures count anew
			t.Errorf("%s: the next passcode: %s", name, answer)
		}
		got["wrong code"], _ = ask(user, pin+"00000000")
		got["used code"], _ = ask(user, right)
		for range 6 {
			got["locked user"], _ = ask(user, pin+"00000000")
		}
		got["locked user, right passcode"], _ = ask(user, pin+shown(now.Add(2*time.Minute)))
		for what, answer := range got {
			if answer != want {
				t.Errorf("%s, %s:\n%s\nand not\n%s", name, what, answer, want)
			}
		}
		if u, err := admin.User(t.Context(), user); !must(t, u, err).Lockout.Locked {
			t.Errorf("%s: the user is not locked", name)
		}
	}
}
