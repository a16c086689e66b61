package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/radius"
	"github.com/tallystick/tallystick/internal/store"
)

// meters are what a server counts. No label names a user, a token or an address.
type meters struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	checks   *prometheus.CounterVec
	agents   *prometheus.CounterVec
	packets  *prometheus.CounterVec
	radius   *prometheus.HistogramVec
	mails    *prometheus.CounterVec
	posts    *prometheus.CounterVec
}

func newMeters(db *store.DB, shown *shownCert, now func() time.Time) *meters {
	m := &meters{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tallystick_http_request_seconds", Help: "Time of HTTP requests by listener, route and status.",
			NativeHistogramBucketFactor: 1.1, Buckets: []float64{.001, .005, .02, .1, .5, 2},
		}, []string{"listener", "route", "status"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallystick_authentications_total", Help: "Passcodes decided, by result; error is what could not be decided.",
		}, []string{"result"}),
		agents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallystick_agent_responses_total", Help: "Responses of the SecurID Authentication API, by endpoint and what they said.",
		}, []string{"endpoint", "said"}),
		packets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallystick_radius_packets_total", Help: "RADIUS packets by port and what became of them.",
		}, []string{"port", "outcome"}),
		radius: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tallystick_radius_request_seconds", Help: "Time from the arrival of an Access-Request to its answer by the engine, by outcome.",
			NativeHistogramBucketFactor: 1.1, Buckets: []float64{.001, .005, .02, .1, .5, 2},
		}, []string{"outcome"}),
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallystick_mails_total", Help: "Messages given to the mail server, by outcome: sent, deferred, failed, unknown.",
		}, []string{"outcome"}),
		posts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallystick_webhook_posts_total", Help: "Events sent to webhooks, by outcome: taken, failed.",
		}, []string{"outcome"}),
	}
	m.registry.MustRegister(m.requests, m.checks, m.agents, m.packets, m.radius, m.mails, m.posts, &queues{db, now}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tallystick_tls_certificate_end_seconds", Help: "When the TLS certificate that is shown ends, in seconds since 1970; 0 before one is.",
		}, shown.ends),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tallystick_audit_pending_events", Help: "Events that have no place in the audit log yet.",
		}, func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			pending, err := db.Pending(ctx)
			if err != nil {
				return -1
			}
			return float64(pending)
		}))
	return m
}

// handler serves the metrics.
func (m *meters) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// measured counts and times what next answers.
func (m *meters) measured(listener string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(s, r)
		m.requests.WithLabelValues(listener, route(r), strconv.Itoa(s.status)).Observe(time.Since(begin).Seconds())
	})
}

// route is the pattern that a request matched, so that no path with a serial becomes a label.
func route(r *http.Request) string {
	if r.Pattern == "" {
		return "other"
	}
	return r.Pattern
}

// A statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the writer below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// decided counts a decision of the authentication engine.
func (m *meters) decided(r authentication.Result, err error) {
	label := string(r)
	if err != nil {
		label = "error"
	}
	m.checks.WithLabelValues(label).Inc()
}

// answered counts a response to an agent.
func (m *meters) answered(endpoint, said string) { m.agents.WithLabelValues(endpoint, said).Inc() }

// packet counts what became of a RADIUS packet.
func (m *meters) packet(port radius.Port, o radius.Outcome, took time.Duration) {
	m.packets.WithLabelValues(string(port), string(o)).Inc()
	switch o {
	case radius.Accepted, radius.Rejected, radius.Challenged, radius.Unavailable:
		m.radius.WithLabelValues(string(o)).Observe(took.Seconds())
	}
}
