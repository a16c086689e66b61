package radius

import (
	"context"
	"testing"
	"time"
)

// BenchmarkRequest is what a request costs beside the engine and the system's socket: from its octets to those of
// its answer.
func BenchmarkRequest(b *testing.B) {
	h := build(b, always(accept), vpn("vpn1", "127.0.0.1/32"))
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
		h.take(ctx, &request{data: octets, port: Authentication, from: from, received: h.Now(), respond: box})
		h.serve(ctx, <-h.queue)
	}
	if box.answer[0] != 2 {
		b.Fatalf("% x", box.answer)
	}
}
