package ctf

import (
	"crypto/aes"
	"encoding/binary"
)

// mac128 is the hash of the format: AES-128 in Davies-Meyer fashion, each
// block of the message used as the key (section 2.1). It is not keyed: a checksum
// and a password hash, no authentication.
func mac128(message []byte) [16]byte {
	n := max(1, (len(message)+15)/16)
	n += 1 - n%2 // an odd number of blocks, then the length
	padded := make([]byte, 16*(n+1))
	copy(padded, message)
	binary.BigEndian.PutUint64(padded[len(padded)-8:], 8*uint64(len(message)))
	defer clear(padded)

	var x [16]byte
	for i := range x {
		x[i] = 0xFF
	}
	for ; len(padded) > 0; padded = padded[16:] {
		x = step(padded[:16], x)
	}
	return step(x[:], x)
}

// step is x XOR AES(key, x).
func step(key []byte, x [16]byte) [16]byte {
	c, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for keys of other lengths
	}
	var out [16]byte
	c.Encrypt(out[:], x[:])
	for i := range out {
		out[i] ^= x[i]
	}
	return out
}

// short is the first 15 bits of the hash.
func short(message []byte) uint16 {
	h := mac128(message)
	return uint16(h[0])<<7 | uint16(h[1])>>1
}
