package ctf_test

import (
	"fmt"
	"testing"

	"github.com/tallystick/tallystick/ctf"
)

// Of versions 3 and 4 nearly all is the 2000 iterations that the two keys cost.
func BenchmarkEncode(b *testing.B) {
	for version := 2; version <= 4; version++ {
		b.Run(fmt.Sprintf("v%d", version), func(b *testing.B) {
			o := ctf.Options{Version: version, Carrier: ctf.IOS, Password: "correct horse", DeviceID: android}
			b.ReportAllocs()
			for b.Loop() {
				encode(b, sample(), o)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for version := 2; version <= 4; version++ {
		b.Run(fmt.Sprintf("v%d", version), func(b *testing.B) {
			text := encode(b, sample(), ctf.Options{Version: version, Carrier: ctf.IOS, Password: "correct horse", DeviceID: android})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := open(text, "correct horse", android); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
