package seed_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/seed"
)

func TestNothingPrintsASeed(t *testing.T) {
	s := seed.New([]byte("ABCDEFGHIJKLMNOP"))
	type outer struct {
		S seed.Seed
		P *seed.Seed
		h seed.Seed
	}
	o := outer{s, &s, s}
	var out strings.Builder
	for _, v := range []any{s, &s, o, &o, []seed.Seed{s}, map[string]seed.Seed{"a": s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d", "%p"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	for _, leak := range []string{"ABCDEF", "414243", "65 66 67", "65,66,67", "QUJD"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("printed %q", leak)
		}
	}
}

func TestRevealCopiesAndEraseReachesEveryCopy(t *testing.T) {
	b := []byte("ABCDEFGHIJKLMNOP")
	s := seed.New(b)
	clear(b)
	got := s.Reveal()
	if string(got) != "ABCDEFGHIJKLMNOP" {
		t.Fatalf("revealed %q", got)
	}
	clear(got)
	other := s
	if !s.Equal(seed.New([]byte("ABCDEFGHIJKLMNOP"))) || s.Equal(seed.Generate()) || s.Equal(seed.Seed{}) || (seed.Seed{}).Equal(seed.Seed{}) {
		t.Error("Equal")
	}
	s.Erase()
	if !bytes.Equal(other.Reveal(), make([]byte, seed.Size)) {
		t.Error("a copy survived Erase")
	}
}
