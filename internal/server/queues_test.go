package server_test

import (
	"io"
	"strings"
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
				if !strings.Contains(text, "\n"+line) {
					return false
				}
			}
			return true
		})
	}
	shows("what waits", `tallystick_mail_messages{state="waiting"} 2`, `tallystick_webhook_posts_total{outcome="failed"} 1`, `tallystick_webhook_enabled{webhook="deaf"} 1`)
	if text := p.metrics(t); strings.Contains(text, "\ntallystick_mail_oldest_waiting_seconds 0\n") || strings.Contains(text, `tallystick_webhook_behind_events{webhook="deaf"} 0`) ||
		strings.Contains(text, `tallystick_webhook_failing_seconds{webhook="deaf"} 0`+"\n") {
		t.Errorf("the metrics are\n%s", text)
	}
	o := openPostOffice(t)
	s, err := p.admin().EditMailSettings(t.Context(), 0, client.MailSettingsEdit{Port: &o.port})
	must(t, s, err)
	shows("what went", `tallystick_mail_messages{state="waiting"} 0`, `tallystick_mails_total{outcome="sent"} 2`, "tallystick_mail_oldest_waiting_seconds 0\n")
}
