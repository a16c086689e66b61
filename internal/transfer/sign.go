package transfer

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"hash"
	"strings"

	"github.com/tallystick/tallystick/internal/fault"
)

// signerName is the name of the secret that signs what is sent from here: the 32 bytes that an Ed25519 key is made of.
const signerName = "transfer-signer"

// signerPrefix begins the text form of the public key, which goes on with base64url.
const signerPrefix = "tallystick-signer:"

// signer is the key that signs what leaves. It is made when it is first asked for.
func (d *Deployment) signer(ctx context.Context) (ed25519.PrivateKey, error) {
	fresh := func() ([]byte, error) {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, err
		}
		return key.Seed(), nil
	}
	kept, err := d.Keys.Secret(ctx, signerName, fresh)
	if errors.Is(err, fault.Conflict) { // another server was first
		kept, err = d.Keys.Secret(ctx, signerName, fresh)
	}
	if err != nil {
		return nil, err
	}
	defer clear(kept)
	if len(kept) != ed25519.SeedSize {
		return nil, errors.New("transfer: the key that signs cannot be read")
	}
	return ed25519.NewKeyFromSeed(kept), nil
}

// SignerKey is what others know this deployment's transfers by: the public key that they are signed with.
func (d *Deployment) SignerKey(ctx context.Context) (string, error) {
	key, err := d.signer(ctx)
	if err != nil {
		return "", err
	}
	defer clear(key)
	return signerText(key), nil
}

func signerText(key ed25519.PrivateKey) string {
	public, _ := key.Public().(ed25519.PublicKey) // it is of that type
	return signerPrefix + base64.RawURLEncoding.EncodeToString(public)
}

// parseSigner reads a public key.
func parseSigner(text string) (ed25519.PublicKey, bool) {
	encoded, is := strings.CutPrefix(strings.TrimSpace(text), signerPrefix)
	key, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	return key, is && err == nil && len(key) == ed25519.PublicKeySize
}

// signed is what a signature is of: the digest of all lines but the last one. The header among them names the signer and the target,
// so that a target that opens a file cannot send it on as if it had been made for a third.
func signed(lines hash.Hash) []byte { return lines.Sum([]byte("tallystick transfer 2\n")) }
