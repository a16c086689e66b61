package ctf

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// mac128 is the hash of versions 1 and 2: AES-128 in Davies-Meyer fashion,
// with the blocks of the message as keys (section 2.1). It has no key of its
// own: it is a checksum and a password hash, and authenticates nothing.
func mac128(message []byte) [aes.BlockSize]byte {
	n := max(1, (len(message)+aes.BlockSize-1)/aes.BlockSize)
	n += 1 - n%2 // blocks of the message: an odd number, then one with its length
	padded := make([]byte, aes.BlockSize*(n+1))
	defer clear(padded)
	copy(padded, message)
	binary.BigEndian.PutUint64(padded[len(padded)-8:], 8*uint64(len(message)))

	var x [aes.BlockSize]byte
	for i := range x {
		x[i] = 0xff
	}
	for at := 0; at < len(padded); at += aes.BlockSize {
		x = step(padded[at:at+aes.BlockSize], x)
	}
	return step(x[:], x)
}

// step is x XOR AES(key, x).
func step(key []byte, x [aes.BlockSize]byte) (out [aes.BlockSize]byte) {
	newAES(key).Encrypt(out[:], x[:])
	subtle.XORBytes(out[:], out[:], x[:])
	return out
}

// short is the first 15 bits of the hash.
func short(message []byte) uint16 {
	h := mac128(message)
	return binary.BigEndian.Uint16(h[:]) >> 1
}

// newAES takes keys whose length is right by construction.
func newAES(key []byte) cipher.Block {
	c, err := aes.NewCipher(key)
	if err != nil {
		panic("ctf: an AES key of the wrong length")
	}
	return c
}
