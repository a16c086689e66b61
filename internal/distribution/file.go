package distribution

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/sdtid"
)

// writeFile makes the token file (section 7.3).
func (d *Distributor) writeFile(i *issue, sign *signature) error {
	origin := fit(d.Service, 32)
	if i.lock == origin { // the format makes the same key of both
		return fault.New(fault.PasswordTooWeak, "the password must not be the name of the service, with which anybody can open the file")
	}
	raw := i.seed.Reveal()
	defer clear(raw)
	i.out.FileName = fileName(i.user.ID, i.Serial)
	var err error
	i.out.File, err = sdtid.Encode(sdtid.Batch{
		Origin: origin, Tokens: []sdtid.Token{i.fileToken(raw)},
		Password: i.lock, Signer: sign.key, Certificate: sign.cert,
	})
	return err
}

// A signature is what token files are signed with; its zero value leaves the place of the signature blank.
type signature struct {
	key  crypto.Signer
	cert []byte // DER
}

// signature is that of the deployment. The files of a run for many go without: signing one takes longer than all the rest
// that is done for its token, and no reader is known to check it (spec/sdtid.md section 7).
func (d *Distributor) signature(ctx context.Context, many bool) (*signature, error) {
	if many {
		return &signature{}, nil
	}
	key, cert, err := d.signer.load(ctx, d)
	return &signature{key, cert}, err
}

// fileToken is the token as its file tells it.
func (i *issue) fileToken(seed []byte) sdtid.Token {
	s := i.settings()
	return sdtid.Token{
		Serial: i.Serial, Seed: seed, Birth: i.token.Birth, Expiry: i.token.Expiry,
		Digits: s.Digits, Interval: s.Interval, AddPIN: s.PINType == device.PINPad,
		DeviceSerialNumber: i.binding, Nickname: i.Nickname,
		LastName: i.user.Name, Login: i.user.ID,
	}
}

// fileName is <user>_<serial>.sdtid with nothing in it that a file system, a mail program or a shell could take amiss: a dash at its beginning makes an
// option of it, where somebody has a command take all files of a folder.
func fileName(userID, serial string) string {
	safe := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("-.@+", r) {
			return r
		}
		return '_'
	}, userID)
	return strings.TrimLeft(safe, ".-") + "_" + serial + ".sdtid"
}

// fit cuts text to at most n bytes without splitting a character.
func fit(s string, n int) string {
	for len(s) > n {
		r := []rune(s)
		s = string(r[:len(r)-1])
	}
	return s
}

// A signerCache holds the key that signs token files, once it was needed.
type signerCache struct {
	mu   sync.Mutex
	key  crypto.Signer
	cert []byte // DER
}

// signerSecret is the name under which that key is kept, together with its certificate.
const signerSecret = "sdtid-signer"

func (c *signerCache) load(ctx context.Context, d *Distributor) (crypto.Signer, []byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.key != nil {
		return c.key, c.cert, nil
	}
	kept, err := sharedSecret(ctx, d.Keys, signerSecret, func() ([]byte, error) { return makeSigner(d.Now(), d.Service) })
	if err != nil {
		return nil, nil, err
	}
	defer clear(kept)
	keyBlock, rest := pem.Decode(kept)
	certBlock, _ := pem.Decode(rest)
	if keyBlock == nil || certBlock == nil {
		return nil, nil, errors.New("distribution: the stored signing key cannot be read")
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the signing key of token files: %w", err)
	}
	c.key, c.cert = key.(*rsa.PrivateKey), certBlock.Bytes
	return c.key, c.cert, nil
}

// sharedSecret is Keyring.Secret, tried again when another server was first.
func sharedSecret(ctx context.Context, keys Keyring, name string, fresh func() ([]byte, error)) ([]byte, error) {
	secret, err := keys.Secret(ctx, name, fresh)
	if errors.Is(err, fault.Conflict) {
		return keys.Secret(ctx, name, fresh)
	}
	return secret, err
}

// makeSigner makes the key pair and the self-signed certificate of this
// deployment's token files. No reader is known to check them (spec/sdtid.md section 7).
func makeSigner(now time.Time, service string) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	name := pkix.Name{CommonName: service + " token files"}
	cert, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: name, Issuer: name,
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(25, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
	}, &x509.Certificate{Subject: name}, key.Public(), key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...), nil
}
