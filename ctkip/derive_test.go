package ctkip

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"testing"

	"crypto/rsa"
)

func TestCMAC(t *testing.T) {
	// RFC 4493, 4: one key, four lengths of one message.
	key := unhex(t, "2b7e151628aed2a6abf7158809cf4f3c")
	message := unhex(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	for n, want := range map[int]string{
		0:  "bb1d6929e95937287fa37d129b756746",
		16: "070a16b46b4d4144f79bdd9dd04a287c",
		40: "dfa66747de9ae63030ca32611497c827",
		64: "51f0bebf7e3b9d92fc49741779363cfe",
	} {
		if tag := cmac([16]byte(key), message[:n]); !bytes.Equal(tag[:], unhex(t, want)) {
			t.Errorf("%d octets: %x, want %s", n, tag, want)
		}
	}
}

// derivations are the vectors without messages.
type derivations struct {
	Exchanges []struct {
		Name        string
		N           octets `json:"N_hex"`
		ClientNonce octets `json:"R_C_hex"`
		ServerNonce octets `json:"R_S_hex"`
		RSA         struct {
			Seed octets `json:"K_TOKEN_hex"`
			MAC  octets `json:"MAC_hex"`
		} `json:"rsa_dialect"`
		AES    standardDerivation `json:"rfc4758_aes"`
		SHA256 standardDerivation `json:"rfc4758_sha256"`
	}
	PRF []struct {
		Key    octets `json:"key_hex"`
		Data   octets `json:"s_hex"`
		Length int    `json:"dsLen"`
		AES    octets `json:"rfc4758_prf_aes_hex"`
		SHA256 octets `json:"rfc4758_prf_sha256_hex"`
		RSA    octets `json:"rsa_prf_aes_hex"`
	}
}

type standardDerivation struct {
	Seed      octets `json:"K_TOKEN_hex"`
	MAC2      octets `json:"MAC2_hex"`
	MAC1      octets `json:"MAC1_with_K_AUTH_K_TOKEN_and_no_R_hex"`
	SharedKey struct {
		Key       octets `json:"K_SHARED_hex"`
		Encrypted octets `json:"encrypted_nonce_hex"`
	} `json:"shared_key_encryption"`
}

func TestPRF(t *testing.T) {
	var v derivations
	readJSON(t, "prf.json", &v)
	for _, p := range v.PRF {
		key := [16]byte(p.Key)
		if out := PRFAES.expand(key, p.Length, p.Data); !bytes.Equal(out, p.AES) {
			t.Errorf("AES of %x: %x, want %x", p.Data, out, p.AES)
		}
		if out := PRFSHA256.expand(key, p.Length, p.Data); !bytes.Equal(out, p.SHA256) {
			t.Errorf("SHA-256 of %x: %x, want %x", p.Data, out, p.SHA256)
		}
		if out := rsaPRF(key, p.Data); p.RSA != nil && !bytes.Equal(out[:], p.RSA) {
			t.Errorf("RSA's of %x: %x, want %x", p.Data, out, p.RSA)
		}
	}
}

func TestDerive(t *testing.T) {
	var v derivations
	readJSON(t, "prf.json", &v)
	for _, e := range v.Exchanges {
		t.Run(e.Name, func(t *testing.T) {
			key := &rsa.PublicKey{N: new(big.Int).SetBytes(e.N), E: 65537}
			if seed, mac := Derive(key, e.ClientNonce.nonce(), e.ServerNonce.nonce()); !bytes.Equal(seed, e.RSA.Seed) || !bytes.Equal(mac, e.RSA.MAC) {
				t.Errorf("RSA: %x %x, want %x %x", seed, mac, e.RSA.Seed, e.RSA.MAC)
			}
			for prf, want := range map[PRF]standardDerivation{PRFAES: e.AES, PRFSHA256: e.SHA256} {
				s := Session{PRF: prf, Encryption: OAEP, PublicKey: key, ServerNonce: e.ServerNonce.nonce()}
				seed, mac := s.Derive(e.ClientNonce.nonce())
				if !bytes.Equal(seed, want.Seed) || !bytes.Equal(mac, want.MAC2) {
					t.Errorf("%s: %x %x, want %x %x", prf, seed, mac, want.Seed, want.MAC2)
				}
				auth := Key(want.Seed)
				s.Auth = &auth
				if _, again := s.Derive(e.ClientNonce.nonce()); !bytes.Equal(again, want.MAC2) {
					t.Errorf("%s: MAC 2 under the same key given as K_AUTH: %x, want %x", prf, again, want.MAC2)
				}
				if mac1 := s.mac1(nil); want.MAC1 != nil && !bytes.Equal(mac1, want.MAC1) {
					t.Errorf("%s: MAC 1: %x, want %x", prf, mac1, want.MAC1)
				}
			}
			s := Session{Encryption: SharedAES, Shared: Key(e.AES.SharedKey.Key), ServerNonce: e.ServerNonce.nonce()}
			if masked := s.mask(e.ClientNonce.nonce()); !bytes.Equal(masked[:], e.AES.SharedKey.Encrypted) {
				t.Errorf("masked: %x, want %x", masked[:], e.AES.SharedKey.Encrypted)
			}
			if n, err := s.Decrypt(nil, e.AES.SharedKey.Encrypted); err != nil || n != e.ClientNonce.nonce() {
				t.Errorf("unmasked: %x, %v", n[:], err)
			}
		})
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
