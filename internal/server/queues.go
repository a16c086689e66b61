package server

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/webhook"
)

// queues tell what waits to be mailed and posted, of all servers on the database, whenever somebody asks. What cannot be read is left out.
type queues struct {
	db  *store.DB
	now func() time.Time
}

var (
	mailMessages = prometheus.NewDesc("tallystick_mail_messages", "Messages by state, those aside that were sent or cancelled.", []string{"state"}, nil)
	mailOldest   = prometheus.NewDesc("tallystick_mail_oldest_waiting_seconds", "Age of the oldest message that waits; 0 for none.", nil, nil)
	hookBehind   = prometheus.NewDesc("tallystick_webhook_behind_events", "Events of the audit log that a webhook has not been asked about yet, wanted or not.", []string{"webhook"}, nil)
	hookFailing  = prometheus.NewDesc("tallystick_webhook_failing_seconds", "How long a webhook has not taken an event; 0 if all is well.", []string{"webhook"}, nil)
	hookEnabled  = prometheus.NewDesc("tallystick_webhook_enabled", "Whether a webhook is called: 0 if it was disabled.", []string{"webhook"}, nil)
)

// Describe names what there is.
func (*queues) Describe(all chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{mailMessages, mailOldest, hookBehind, hookFailing, hookEnabled} {
		all <- d
	}
}

// Collect reads it.
func (q *queues) Collect(all chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		all <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	since := func(t time.Time) float64 {
		if t.IsZero() {
			return 0
		}
		return max(q.now().Sub(t).Seconds(), 0)
	}
	if b, err := q.db.MailBacklog(ctx); err == nil {
		for state, n := range b.Messages {
			gauge(mailMessages, float64(n), string(state))
		}
		gauge(mailOldest, since(b.Oldest))
	}
	hooks, err := q.db.Webhooks(ctx)
	size, wrong := q.db.Size(ctx)
	if err != nil || wrong != nil {
		return
	}
	for _, w := range hooks {
		enabled := 0.0
		if w.Enabled {
			enabled = 1
		}
		gauge(hookBehind, float64(max(size-1-w.Place, 0)), w.Name)
		gauge(hookFailing, since(w.FailingFrom), w.Name)
		gauge(hookEnabled, enabled, w.Name)
	}
}

// mailed counts what became of a message that this server gave to the mail server.
func (m *meters) mailed(s mail.State) {
	outcome := string(s)
	if s == mail.Waiting {
		outcome = "deferred"
	}
	m.mails.WithLabelValues(outcome).Inc()
}

// posted counts what became of an event that this server sent to a webhook.
func (m *meters) posted(t webhook.Trouble) {
	outcome := "failed"
	if t == "" {
		outcome = "taken"
	}
	m.posts.WithLabelValues(outcome).Inc()
}
