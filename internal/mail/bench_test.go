package mail_test

import (
	"fmt"
	"testing"

	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// BenchmarkMail sends messages with a token file each over STARTTLS, after a login, as one server does.
func BenchmarkMail(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{
		"SQLite":     deploytest.SQLite,
		"PostgreSQL": deploytest.Postgres,
	} {
		b.Run(name, func(b *testing.B) {
			o := open(b, true)
			s := newSite(b, url(b))
			s.uses(o)
			s.sets(func(m *mail.Settings) { m.PerMinute = 60_000 })
			for i := range b.N {
				s.delivers(func(p *parcel) { p.Serial = fmt.Sprintf("%012d", i) })
			}
			b.ResetTimer()
			s.sends("one")
			b.StopTimer()
			if got := len(o.mails()); got != b.N {
				b.Fatalf("%d of %d arrived", got, b.N)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
			b.ReportMetric(float64(o.visits()), "connections")
		})
	}
}
