package sdtid

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// A block is what AES works on; keys and MACs have the same size.
type block [aes.BlockSize]byte

func (b block) equal(o block) bool { return subtle.ConstantTimeCompare(b[:], o[:]) == 1 }

func (b *block) xor(o []byte) { subtle.XORBytes(b[:], b[:], o) }

// Start values of the CBC-MACs (section 3).
var (
	ivHeaderMAC = block{0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c}
	ivTokenMAC  = block{0x1b, 0xb6, 0x7a, 0xe8, 0x58, 0x4c, 0xaa, 0x73, 0xb2, 0x57, 0x42, 0xd7, 0x07, 0x8b, 0x83, 0xb8}
	ivSeed      = block{0x16, 0xa0, 0x9e, 0x66, 0x7f, 0x3b, 0xcc, 0x90, 0x8b, 0x2f, 0xb1, 0x36, 0x6e, 0xa9, 0x57, 0xd3}
)

// A batch is what the keys of a file come from, and the MAC over its header.
// The texts are trimmed.
type batch struct {
	origin, dest, name string
	secret             block // the batch key, wrapped
	mac                block
}

// key derives the batch key K1 (section 4, steps 1 and 2). The password of a
// file that has none is the batch's origin.
func (b *batch) key(password string) cipher.Block {
	k0 := passwordKey(password, b.dest, b.name)
	k1 := wrapBatchKey(k0, b.name, b.secret)
	return newCipher(k1)
}

// passwordKey derives K0. The thousand messages of the definition differ in
// their fifth block only, so the state after the fourth is computed once:
// 1004 AES operations in place of 5000.
func passwordKey(password, dest, name string) block {
	key := newCipher(block(pad(name, 16)))
	state := cbc(key, block{}, append(pad(password, 32), pad(dest, 32)...))
	k0, x := block{}, new(block)
	for i := range uint16(1000) {
		*x = block{}
		binary.BigEndian.PutUint16(x[14:], i)
		x.xor(state[:])
		key.Encrypt(x[:], x[:])
		k0.xor(x[:])
	}
	return k0
}

// wrapBatchKey turns the Secret of the header into K1, or K1 into the Secret.
func wrapBatchKey(k0 block, name string, secret block) block {
	return mask(newCipher(k0), "Secret", name, secret)
}

// cryptSeed decrypts the seed of a token, or encrypts it. name is SN as it
// stands in the file, trimmed.
func cryptSeed(key cipher.Block, name string, seed block) block {
	return mask(newCipher(purposeKey(key, ivSeed, "TokenEncrypt", name)), name, "Seed", seed)
}

func headerMAC(key cipher.Block, name string, text []byte) block {
	return cbc(newCipher(purposeKey(key, ivHeaderMAC, "BatchMAC", name)), ivHeaderMAC, text)
}

func tokenMAC(key cipher.Block, name string, text []byte) block {
	return cbc(newCipher(purposeKey(key, ivTokenMAC, "TokenMAC", name)), ivTokenMAC, text)
}

// purposeKey derives K_bm, K_tm and K_te from K1 (section 4, step 3).
func purposeKey(key cipher.Block, iv block, purpose, name string) block {
	return cbc(key, iv, append(pad(purpose, 32), pad(name, 32)...))
}

// mask XORs data with the encryption of two labels of 8 bytes, which is its
// own inverse.
func mask(key cipher.Block, a, b string, data block) block {
	stream := append(pad(a, 8), pad(b, 8)...)
	key.Encrypt(stream, stream)
	data.xor(stream)
	return data
}

// cbc is the CBC-MAC of m from the start value iv. A short last block is
// filled with zeros; the length is not covered.
func cbc(key cipher.Block, iv block, m []byte) block {
	x := iv
	for len(m) > 0 {
		n := subtle.XORBytes(x[:], x[:], m)
		key.Encrypt(x[:], x[:])
		m = m[n:]
	}
	return x
}

// pad cuts s to n bytes, or fills it with zeros up to n.
func pad(s string, n int) []byte {
	field := make([]byte, n, 2*n) // two fields make a message
	copy(field, s)
	return field
}

func newCipher(key block) cipher.Block {
	c, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // not for a key of 16 bytes
	}
	return c
}
