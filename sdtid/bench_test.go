package sdtid

import (
	"fmt"
	"testing"
)

func thousand() (tokens []Token) {
	for i := range 1000 {
		t := sample()
		t.Serial, t.Login, t.AddPIN = fmt.Sprintf("%012d", i), fmt.Sprintf("user%d", i), i%2 == 0
		tokens = append(tokens, t)
	}
	return tokens
}

func benchmarkDecode(b *testing.B, batch Batch) {
	data := encode(b, batch)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		f, err := Parse(data)
		if err == nil {
			_, err = f.Open(batch.Password)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeOne(b *testing.B) {
	benchmarkDecode(b, Batch{Tokens: []Token{sample()}})
}

func BenchmarkDecodeOneLocked(b *testing.B) {
	benchmarkDecode(b, Batch{Tokens: []Token{sample()}, Password: "secret"})
}

func BenchmarkDecodeThousand(b *testing.B) {
	benchmarkDecode(b, Batch{Tokens: thousand()})
}

func benchmarkEncode(b *testing.B, batch Batch) {
	b.ReportAllocs()
	for b.Loop() {
		encode(b, batch)
	}
}

func BenchmarkEncodeOne(b *testing.B) {
	benchmarkEncode(b, Batch{Tokens: []Token{sample()}, Password: "secret"})
}

func BenchmarkEncodeThousand(b *testing.B) {
	benchmarkEncode(b, Batch{Tokens: thousand(), Password: "secret"})
}

func BenchmarkPasswordKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		passwordKey("secret", unknown, unknown)
	}
}
