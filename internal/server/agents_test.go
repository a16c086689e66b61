package server_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/securid"
)

// A gateway asks servers through the SecurID Authentication API, over TLS, with connections that stay.
type gateway struct {
	t    *testing.T
	key  string
	urls []string
	http []*http.Client
}

var agentsAt = regexp.MustCompile(`msg=serving .*agents=(\S+)`)

// newGateway adds an agent to servers on one database, each of which must listen for agents.
func newGateway(t *testing.T, servers ...*process) *gateway {
	t.Helper()
	admin := servers[0].admin()
	a, err := admin.AddAgent(t.Context(), client.NewAgent{Agent: "vpn1"})
	must(t, a, err)
	c, err := admin.AddAgentCredential(t.Context(), "vpn1", client.NewAgentCredential{})
	g := &gateway{t: t, key: string(must(t, c, err).AccessKey)}
	for _, p := range servers {
		roots := x509.NewCertPool()
		pem, err := os.ReadFile(filepath.Join(p.data, "ca.pem"))
		roots.AppendCertsFromPEM(must(t, pem, err))
		g.urls = append(g.urls, "https://"+agentsAt.FindStringSubmatch(p.said())[1]+"/mfa/v1_1/authn/")
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 100}
		t.Cleanup(transport.CloseIdleConnections)
		g.http = append(g.http, &http.Client{Transport: transport, Timeout: patience})
	}
	return g
}

// A response is what the gateway reads.
type response struct {
	Context             struct{ AuthnAttemptId, MessageId string }
	AttemptResponseCode string
	AttemptReasonCode   string
	ChallengeMethods    struct {
		Challenges []struct{ RequiredMethods []struct{ MethodId string } }
	}
	raw string
}

// said is the outcome and what is asked for.
func (r response) said() string {
	out := r.AttemptResponseCode + "/" + r.AttemptReasonCode
	for _, c := range r.ChallengeMethods.Challenges {
		out += " " + c.RequiredMethods[0].MethodId
	}
	return out
}

// send sends a body to one of the servers.
func (g *gateway) send(server int, endpoint string, body []byte) response {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.urls[server]+endpoint, bytes.NewReader(body))
	must(g.t, r, err).Header.Set("client-key", g.key)
	res, err := g.http[server].Do(r)
	if err != nil {
		g.t.Error(err)
		return response{}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	var out response
	if err != nil || json.Unmarshal(text, &out) != nil || res.StatusCode != http.StatusOK {
		g.t.Errorf("%s: %s, %v: %s", endpoint, res.Status, err, text)
	}
	out.raw = string(text)
	return out
}

// passcode is the body of an Initialize, or of a Verify that answers to.
func (g *gateway) passcode(to *response, subject, method, value string) []byte {
	credentials := fmt.Sprintf(`[{"methodId":%q,"collectedInputs":[{"name":%[1]q,"value":%q}]}]`, method, value)
	if method == "" {
		credentials = "[]"
	}
	if to == nil {
		return fmt.Appendf(nil, `{"subjectName":%q,"subjectCredentials":%s,"context":{"messageId":%q}}`, subject, credentials, rand.Text())
	}
	return fmt.Appendf(nil, `{"subjectCredentials":%s,"context":{"authnAttemptId":%q,"messageId":%q,"inResponseTo":%q}}`,
		credentials, to.Context.AuthnAttemptId, rand.Text(), to.Context.MessageId)
}

// tokenOf adds a user who holds a delivered token without PIN of a type, and returns its codes.
func tokenOf(t *testing.T, admin *client.Client, userID, pinType string) func(at time.Time) string {
	t.Helper()
	ctx := t.Context()
	p, err := admin.AddProfile(ctx, client.NewProfile{Profile: userID, DeviceType: "generic", DeliveryMethod: "ctf", PINType: pinType})
	must(t, p, err)
	u, err := admin.AddUser(ctx, client.NewUser{UserID: userID})
	must(t, u, err)
	serials, err := admin.CreateTokens(ctx, client.NewTokens{Count: 1})
	must(t, serials, err)
	token, err := admin.AssignNext(ctx, userID)
	serial := must(t, token, err).Serial
	issue, err := admin.Distribute(ctx, serial, client.Distribution{Profile: userID})
	text, err := ctf.Parse(must(t, issue, err).Delivery.CTF)
	held, err := must(t, text, err).Open("", "")
	must(t, held, err)
	return func(at time.Time) string {
		code, err := securid.Code(held.Seed, serial, held.Digits, held.Interval, at)
		return must(t, code, err)
	}
}

func (g *gateway) expect(r response, want string) response {
	g.t.Helper()
	if r.said() != want {
		g.t.Errorf("%s, want %s\n%s", r.said(), want, r.raw)
	}
	return r
}

// Two servers are one to agents: either goes on with an attempt of the other, repeats its answers, and knows the codes it took.
func TestAgentsMayAskAnyServer(t *testing.T) {
	database := storetest.Postgres(t)
	first := start(t, folder(t), "--database", database, "--agent-listen", "127.0.0.1:0")
	second := start(t, folder(t), "--database", database, "--master-key", filepath.Join(first.data, "master.key"), "--agent-listen", "127.0.0.1:0")
	g := newGateway(t, first, second)

	t.Run("a dialogue", func(t *testing.T) {
		code := tokenOf(t, first.admin(), "alice", "fob")
		now := time.Now()
		begun := g.expect(g.send(0, "initialize", g.passcode(nil, "alice", "", "")), "CHALLENGE/AUTHENTICATION_REQUIRED SECURID")
		right := g.passcode(&begun, "", "SECURID", code(now))
		asked := g.expect(g.send(1, "verify", right), "CHALLENGE/AUTHENTICATION_REQUIRED SECURID_NEWPIN")
		// The reply was lost: the gateway asks the other server.
		if again := g.send(0, "verify", right); again.raw != asked.raw {
			t.Errorf("one server answers\n%s\nthe other\n%s", asked.raw, again.raw)
		}
		set := g.expect(g.send(0, "verify", g.passcode(&asked, "", "SECURID_NEWPIN", "82746153")), "CHALLENGE/AUTHENTICATION_REQUIRED SECURID")
		last := g.passcode(&set, "", "SECURID", "82746153"+code(now.Add(time.Minute)))
		done := g.expect(g.send(1, "verify", last), "SUCCESS/CREDENTIAL_VERIFIED")
		if again := g.send(0, "verify", last); again.raw != done.raw {
			t.Errorf("one server answers\n%s\nthe other\n%s", done.raw, again.raw)
		}
		g.expect(g.send(0, "verify", g.passcode(&set, "", "SECURID", "82746153"+code(now.Add(time.Minute)))), "ERROR/ATTEMPT_NOT_FOUND")
	})

	t.Run("one call, repeated", func(t *testing.T) {
		code := tokenOf(t, first.admin(), "bob", "none")
		body := g.passcode(nil, "bob", "SECURID", code(time.Now()))
		done := g.expect(g.send(0, "initialize", body), "SUCCESS/CREDENTIAL_VERIFIED")
		for server := range g.urls {
			if again := g.send(server, "initialize", body); again.raw != done.raw {
				t.Errorf("server %d repeats\n%s\nas\n%s", server, done.raw, again.raw)
			}
		}
	})

	t.Run("100 at once", func(t *testing.T) {
		code := tokenOf(t, first.admin(), "carol", "none")
		now := time.Now()
		for _, at := range []time.Time{now, now.Add(time.Minute)} {
			said := map[string]int{}
			var mu sync.Mutex
			var all sync.WaitGroup
			for i := range 100 {
				body := g.passcode(nil, "carol", "SECURID", code(at))
				all.Go(func() {
					r := g.send(i%2, "initialize", body)
					mu.Lock()
					defer mu.Unlock()
					said[r.said()]++
				})
			}
			all.Wait()
			if said["SUCCESS/CREDENTIAL_VERIFIED"] != 1 || said["FAIL/VERIFY_ERROR"] != 99 {
				t.Errorf("%v", said)
			}
		}
	})

	for _, p := range []*process{first, second} {
		p.terminate()
		if status := p.exit(); status != 0 {
			t.Errorf("exit status %d", status)
		}
		if strings.Contains(p.said(), g.key) || strings.Contains(p.said(), "82746153") {
			t.Error("an access key or a PIN is in the log")
		}
	}
}

// Without the flag nobody listens for agents; a port that is not said is 5555.
func TestAgentListen(t *testing.T) {
	p := start(t, folder(t))
	if agentsAt.MatchString(p.said()) {
		t.Error("the server listens for agents without being told to")
	}
	other := launch(t, folder(t), "--agent-listen", "127.0.0.1")
	poll(t, "the server to listen at port 5555, or to say that somebody else does", func() bool {
		said := other.said()
		return strings.Contains(said, "agents=127.0.0.1:5555") || strings.Contains(said, "127.0.0.1:5555: bind:")
	})
}
