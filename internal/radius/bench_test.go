package radius

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
)

// BenchmarkRequest is what a request costs beside the engine and the system's socket: from its octets to those of
// its answer.
func BenchmarkRequest(b *testing.B) {
	h := build(b, instantly{}, vpn("vpn1", "127.0.0.1/32"))
	h.with(func(c *Config) { c.Count, c.Now = nil, time.Now })
	if err := h.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	octets := login(1, "alice", "1234567890", attr(31, "203.0.113.9"), attr(4, "\x7f\x00\x00\x01"), attr(5, number(1)), attr(32, "vpn1"))
	from := source{h.table.Load().byName["vpn1"].Address.Addr(), 0}
	box := &mailbox{}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		from.port++ // each is a new one
		h.take(ctx, ctx, &request{data: octets, port: Authentication, from: from, received: h.Now(), respond: box})
	}
	if box.answer[0] != 2 {
		b.Fatalf("% x", box.answer)
	}
}

// BenchmarkServer is what a server does over real sockets with an engine that decides at once: 64 gateways, each of which
// waits for its answer. They share the machine.
func BenchmarkServer(b *testing.B) {
	h := build(b, always(accept), vpn("vpn1", "127.0.0.1/32"))
	h.with(func(c *Config) { c.Count, c.Now, c.Engine = nil, time.Now, instantly{} })
	h.run()
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		gw := h.gateway("127.0.0.1")
		octets := login(1, "alice", "1234567890")
		for n := uint64(0); pb.Next(); n++ {
			binary.BigEndian.PutUint64(octets[4:], n) // another authenticator
			reseal(octets)
			if got := gw.ask(octets); got[0] == 11 {
				b.Error("a challenge")
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
}

// instantly accepts everything.
type instantly struct{}

func (instantly) Submit(_ context.Context, _ time.Duration, _ authentication.Request, then func(authentication.Decision, error)) {
	then(accept, nil)
}

func (instantly) SubmitAnswer(_ context.Context, _ time.Duration, _ authentication.Answer, then func(authentication.Decision, error)) {
	then(accept, nil)
}

// reseal puts a right Message-Authenticator into a packet that begins with one.
func reseal(b []byte) {
	clear(b[22:38])
	h := hmac.New(md5.New, []byte(secret))
	h.Write(b)
	h.Sum(b[22:22])
}
