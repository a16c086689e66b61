package ctkip

import (
	"crypto/aes"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/binary"
	"slices"
)

// Derive computes what both sides compute in RSA's dialect: the 16 octets of the seed and the 16
// of the MAC that proves the server has it, from the modulus that was sent and the two nonces
// (ct-kip.md, 5.3). The seed is the token's seed as it is.
func Derive(key *rsa.PublicKey, clientNonce, serverNonce Nonce) (seed, mac []byte) {
	k := rsaPRF(clientNonce, slices.Concat(key.N.Bytes(), []byte("Key generation"), serverNonce[:]))
	// Capital C: RSA's label differs from the RFC's in this letter.
	m := rsaPRF(k, slices.Concat([]byte("MAC 2 Computation"), clientNonce[:]))
	return k[:], m[:]
}

// rsaPRF is one block of RSA's pseudorandom function: the counter follows the data, where the
// RFC has it in front.
func rsaPRF(key [16]byte, data []byte) [16]byte {
	return cmac(key, binary.BigEndian.AppendUint32(slices.Clip(data), 1))
}

// Decrypt opens the client nonce with the server's key: RSAES-OAEP with SHA-1 and an empty label,
// although RSA's messages announce rsa-1_5. Every failure is ErrDecrypt and nothing more, and no
// second padding is tried, so that answers to made-up ciphertexts tell nothing about the key.
func Decrypt(key *rsa.PrivateKey, ciphertext []byte) (Nonce, error) {
	if len(ciphertext) != key.Size() {
		return Nonce{}, ErrDecrypt
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, ciphertext, nil)
	defer clear(plain)
	if n, ok := nonceOf(plain); err == nil && ok {
		return n, nil
	}
	return Nonce{}, ErrDecrypt
}

// cmac is AES-CMAC with a 16-octet key (RFC 4493).
func cmac(key [16]byte, data []byte) (tag [16]byte) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 16 octets always make a key
	}
	var subkey [16]byte
	block.Encrypt(subkey[:], subkey[:])
	double(&subkey)
	for len(data) > 16 {
		xor(&tag, data[:16])
		block.Encrypt(tag[:], tag[:])
		data = data[16:]
	}
	if len(data) < 16 {
		double(&subkey)
		tag[len(data)] ^= 0x80
	}
	xor(&tag, data)
	xor(&tag, subkey[:])
	block.Encrypt(tag[:], tag[:])
	return tag
}

// double multiplies by x in GF(2^128), without a branch on the secret bit.
func double(b *[16]byte) {
	carry := b[0] >> 7
	for i := range 15 {
		b[i] = b[i]<<1 | b[i+1]>>7
	}
	b[15] = b[15]<<1 ^ carry*0x87
}

func xor(dst *[16]byte, src []byte) {
	for i, v := range src {
		dst[i] ^= v
	}
}
