package server_test

import (
	"io"
	"regexp"
	"testing"

	"github.com/tallystick/tallystick/client"
)

// metrics are what a server shows to Prometheus.
func (p *process) metrics(t *testing.T) string {
	t.Helper()
	response, err := newSite(t, p).any().socket.Get("http://tallystick/metrics")
	must(t, response, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(must(t, text, err))
}

// What waits to be mailed and posted is seen, and that it went.
func TestQueueMetrics(t *testing.T) {
	p := start(t, folder(t))
	mails(t, p, 1)
	hook, err := p.admin().AddWebhook(t.Context(), client.NewWebhook{Webhook: "deaf", URL: "http://127.0.0.1:1/in"})
	must(t, hook, err)
	mailed(t, p, "alice")
	shows := func(what string, lines ...string) {
		t.Helper()
		poll(t, what, func() bool {
			text := p.metrics(t)
			for _, line := range lines {
				if !regexp.MustCompile(`(?m)^tallystick_` + line + `$`).MatchString(text) {
					return false
				}
			}
			return true
		})
	}
	const some = `[1-9].*`
	shows("what waits", `mail_messages{state="waiting"} 2`, `mail_oldest_waiting_seconds (`+some+`|0\..*)`, `webhook_posts_total{outcome="failed"} `+some, `webhook_enabled{webhook="deaf"} 1`,
		`webhook_behind_events{webhook="deaf"} `+some, `webhook_failing_seconds{webhook="deaf"} (`+some+`|0\..*)`)
	o := openPostOffice(t)
	s, err := p.admin().EditMailSettings(t.Context(), 0, client.MailSettingsEdit{Port: &o.port})
	must(t, s, err)
	shows("what went", `mail_messages{state="waiting"} 0`, `mails_total{outcome="sent"} 2`, "mail_oldest_waiting_seconds 0")
}
