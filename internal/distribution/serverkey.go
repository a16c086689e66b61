package distribution

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// The server's key pair of dynamic provisioning lives for one period of
// thirty days; which one is current follows from the clock, so that all
// servers of a deployment agree without talking. What was recorded of an
// exchange can be read with the private key for as long as that exists
// (spec/ct-kip.md section 8.1), so it is destroyed once its last exchange is over.
const (
	keyPeriod = 30 * 24 * time.Hour
	keyBits   = 2048
)

// serverKeys holds the key pairs that were needed so far.
type serverKeys struct {
	mu   sync.Mutex
	keys map[string]*rsa.PrivateKey
}

func keyName(t time.Time) string {
	return fmt.Sprintf("ctkip-key/%d", t.Unix()/int64(keyPeriod/time.Second))
}

// current returns the key pair of the present period with its name, and makes it if it is the first to ask.
func (k *serverKeys) current(ctx context.Context, d *Distributor) (string, *rsa.PrivateKey, error) {
	name := keyName(d.Now())
	key, err := k.load(ctx, d, name, func() ([]byte, error) {
		fresh, err := rsa.GenerateKey(rand.Reader, keyBits)
		if err != nil {
			return nil, err
		}
		return x509.MarshalPKCS8PrivateKey(fresh)
	})
	return name, key, err
}

// byID returns the key pair that an exchange began with.
func (k *serverKeys) byID(ctx context.Context, d *Distributor, name string) (*rsa.PrivateKey, error) {
	return k.load(ctx, d, name, func() ([]byte, error) { return nil, fmt.Errorf("distribution: server key %s is gone", name) })
}

func (k *serverKeys) load(ctx context.Context, d *Distributor, name string, fresh func() ([]byte, error)) (*rsa.PrivateKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.keys[name]; key != nil {
		return key, nil
	}
	der, err := sharedSecret(ctx, d.Keys, name, fresh)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("reading server key %s: %w", name, err)
	}
	if k.keys == nil {
		k.keys = map[string]*rsa.PrivateKey{}
	}
	k.keys[name] = parsed.(*rsa.PrivateKey)
	return k.keys[name], nil
}

// Prepare loads or makes the keys that deliveries need. Who runs [Distributor.Distribute] within a transaction of its own
// calls this before: making a key takes longer than others should wait, and one that a rollback undid must not be remembered.
func (d *Distributor) Prepare(ctx context.Context) error {
	if _, _, err := d.signer.load(ctx, d); err != nil {
		return err
	}
	_, _, err := d.server.current(ctx, d)
	return err
}

// CleanUp destroys the key pairs of past periods, forgets exchanges that
// have ended and records how many unknown codes were too many for an event each. It is called now and then.
func (d *Distributor) CleanUp(ctx context.Context) error {
	now := d.Now()
	if n := d.unknown.Rest(); n > 0 {
		if err := d.recordRefusal(ctx, unknownActivation, fault.ActivationUnknown, audit.Details{"codes": n}); err != nil {
			return err
		}
	}
	if _, err := d.Store.DropExchanges(ctx, now.Add(-exchangeLife-repeatWithin)); err != nil {
		return err
	}
	if keyName(now.Add(-exchangeLife)) != keyName(now) {
		return nil // exchanges of the last period may still be open
	}
	const periods = 12 // a server may have been off for a while
	for n := range periods {
		name := keyName(now.Add(-keyPeriod * time.Duration(n+1)))
		d.server.mu.Lock()
		delete(d.server.keys, name)
		d.server.mu.Unlock()
		if err := d.Keys.DropSecret(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
