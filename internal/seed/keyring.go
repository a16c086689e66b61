package seed

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// A Sealed is a secret as the database keeps it: ciphertext of AES-256-GCM
// under the data key KeyID, and nothing anyone can use without that key.
type Sealed struct {
	KeyID int64
	Blob  []byte
}

// A Binding says what a sealed secret belongs to. It is authenticated with
// the ciphertext, so that a secret copied to another row does not open there.
type Binding string

// Of binds a seed to one generation of one serial.
func Of(serial string, generation int) Binding {
	return Binding(fmt.Sprintf("seed/%s/%d", serial, generation))
}

// Named binds a secret of the deployment, such as a signing key, to its name.
func Named(name string) Binding { return Binding("secret/" + name) }

// ReplyTo binds a stored answer to the request that it answered.
func ReplyTo(request string) Binding { return Binding("reply/" + request) }

// OfAttempt binds the state of an authentication attempt to its ID and turn.
func OfAttempt(id string, turn int) Binding { return Binding(fmt.Sprintf("attempt/%s/%d", id, turn)) }

// OfDecision binds a decision that was kept to the key of the request that it answered.
func OfDecision(key []byte) Binding { return Binding(fmt.Sprintf("decision/%x", key)) }

// OfExchange binds the answer that ended a provisioning exchange to its ID.
func OfExchange(id []byte) Binding { return Binding(fmt.Sprintf("exchange/%x", id)) }

// OfCredential binds the access key of an agent to its access ID.
func OfCredential(id string) Binding { return Binding("credential/" + id) }

// OfRADIUSClient binds a shared secret to the RADIUS client of that name.
func OfRADIUSClient(name string) Binding { return Binding("radius/" + name) }

// OfDirectory binds the password for an LDAP directory to its name here.
func OfDirectory(name string) Binding { return Binding("directory/" + name) }

// OfJob binds the parameters of a job to its ID.
func OfJob(id string) Binding { return Binding("job/" + id) }

// OfJobItem binds the input of an item to its number in a job.
func OfJobItem(id string, number int) Binding {
	return Binding(fmt.Sprintf("job-item/%s/%d", id, number))
}

// OfJobResult binds the result of an item to its number in a job.
func OfJobResult(id string, number int) Binding {
	return Binding(fmt.Sprintf("job-result/%s/%d", id, number))
}

// OfWebhook binds the secret that signs to the webhook of that name.
func OfWebhook(name string) Binding { return Binding("webhook/" + name) }

// OfMail binds the body of a mail to its ID.
func OfMail(id string) Binding { return Binding("mail/" + id) }

// A DataKey is a key of the keyring as the database keeps it: wrapped by the
// master key that MasterID names.
type DataKey struct {
	ID        int64
	MasterID  string
	Wrapped   []byte
	CreatedAt time.Time
}

// A Kept is one sealed secret somewhere in the database, for resealing.
type Kept struct {
	Binding Binding
	Sealed  Sealed
}

// KeyStore is what a keyring needs of the database. Every row that holds a
// Sealed refers to its data key, so the database itself refuses to drop a key
// that is still in use and to store a secret under a dropped one.
type KeyStore interface {
	// Transact runs do in one transaction, which travels in its context.
	Transact(ctx context.Context, do func(context.Context) error) error
	// DataKeys lists all data keys, oldest first.
	DataKeys(ctx context.Context) ([]DataKey, error)
	// AddDataKey stores a key; [fault.Conflict] if its ID is taken.
	AddDataKey(ctx context.Context, k DataKey) error
	// Rewrap stores how a key is wrapped now; [fault.Conflict] if it is not there as old any more.
	Rewrap(ctx context.Context, old, k DataKey) error
	// DropDataKey removes a key; [fault.Conflict] while it seals anything.
	DropDataKey(ctx context.Context, id int64) error
	// Secret returns a secret of the deployment; [fault.NotFound] if there is none.
	Secret(ctx context.Context, name string) (Sealed, error)
	// AddSecret stores one; [fault.Conflict] if the name is taken.
	AddSecret(ctx context.Context, name string, s Sealed) error
	// DropSecret removes one; one that does not exist is no error.
	DropSecret(ctx context.Context, name string) error
	// SealedBefore returns up to limit secrets sealed under keys older than id.
	SealedBefore(ctx context.Context, id int64, limit int) ([]Kept, error)
	// Reseal replaces a secret by the same one sealed anew; false if it changed or went meanwhile.
	Reseal(ctx context.Context, old Kept, new Sealed) (bool, error)
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// keyBinding binds a wrapped data key to its number.
func keyBinding(id int64) []byte { return fmt.Appendf(nil, "tallystick/data-key/%d", id) }

// A Keyring seals and opens the secrets of one deployment. It holds the data
// keys unwrapped in memory and is safe for concurrent use.
type Keyring struct {
	master Master
	store  KeyStore
	now    func() time.Time
	hashes []byte   // the secret behind MAC
	macs   sync.Map // of MAC: from purpose to a *sync.Pool of hashes under its key

	mu      sync.RWMutex
	keys    map[int64]*subtle.AESGCM
	created map[int64]time.Time
	newest  int64
	gone    error // see Superseded: whoever had this master key may have the data keys
}

// hashSecret is the name under which the secret behind MAC is kept.
const hashSecret = "hashes"

// OpenKeyring loads the deployment's data keys, or makes the first one on an
// empty database. A master key that is not the database's is refused with
// [fault.MasterKey]. now is the clock.
func OpenKeyring(ctx context.Context, master Master, store KeyStore, now func() time.Time) (*Keyring, error) {
	k := &Keyring{master: master, store: store, now: now}
	// Two servers may open an empty database at once; the slower one meets a conflict and finds the other's key.
	for range 3 {
		err := store.Transact(ctx, k.begin)
		if err == nil {
			return k, nil
		}
		if !errors.Is(err, fault.Conflict) {
			return nil, err
		}
	}
	return nil, fault.New(fault.Unavailable, "the key table keeps changing: start again")
}

// OpenCopy opens the keyring of a copy of a deployment from what the copy holds: its data keys, and its secrets by name.
// It hashes as the deployment does and opens what that has sealed. Refused with [fault.MasterKey] if the copy was sealed
// under another master key, or not by one at all.
func OpenCopy(master Master, rows []DataKey, secrets map[string]Sealed) (*Keyring, error) {
	k := &Keyring{master: master}
	if err := k.adopt(rows); err != nil {
		return nil, err
	}
	kept, there := secrets[hashSecret]
	if !there || k.keys[kept.KeyID] == nil {
		return nil, fault.New(fault.MasterKey, "the copy does not hold what its keys are made of")
	}
	var err error
	k.hashes, err = k.keys[kept.KeyID].Decrypt(kept.Blob, []byte(Named(hashSecret)))
	if err != nil {
		return nil, fault.New(fault.MasterKey, "the copy does not open with this master key")
	}
	return k, nil
}

// begin loads the keys and the hash secret and makes what is missing.
func (k *Keyring) begin(ctx context.Context) error {
	if err := k.Refresh(ctx); err != nil {
		return err
	}
	if k.newest == 0 {
		if _, err := k.Rotate(ctx); err != nil {
			return err
		}
	}
	secret, err := k.Secret(ctx, hashSecret, func() ([]byte, error) {
		b := make([]byte, 32)
		rand.Read(b)
		return b, nil
	})
	k.hashes = secret
	return err
}

// MasterID tells the master key of the deployment from others. It is no secret.
func (k *Keyring) MasterID() string { return k.master.ID() }

// Refresh reads the data keys again: another server may have rotated them.
func (k *Keyring) Refresh(ctx context.Context) error {
	rows, err := k.store.DataKeys(ctx)
	if err != nil {
		return err
	}
	return k.adopt(rows)
}

// adopt takes data keys in use, and no others.
func (k *Keyring) adopt(rows []DataKey) error {
	keys, created := map[int64]*subtle.AESGCM{}, map[int64]time.Time{}
	var newest int64
	for _, row := range rows {
		key, err := k.unwrap(row)
		if err != nil {
			if row.MasterID != k.master.ID() {
				k.mu.Lock()
				k.gone = err
				k.mu.Unlock()
			}
			return err
		}
		keys[row.ID], created[row.ID], newest = key, row.CreatedAt, max(newest, row.ID)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys, k.created, k.newest = keys, created, newest
	return nil
}

func (k *Keyring) unwrap(row DataKey) (*subtle.AESGCM, error) {
	raw, err := row.unwrap(k.master)
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	return subtle.NewAESGCM(raw)
}

// unwrap returns the key itself; the caller erases it.
func (row DataKey) unwrap(master Master) ([]byte, error) {
	if row.MasterID != master.ID() {
		return nil, fault.New(fault.MasterKey, "this database belongs to master key %s and this server has %s: start with --master-key FILE and the key that made the database", row.MasterID, master.ID())
	}
	raw, err := master.Decrypt(row.Wrapped, keyBinding(row.ID))
	if err != nil {
		return nil, fault.New(fault.MasterKey, "data key %d does not open with this master key: restore the key file that made the database", row.ID)
	}
	return raw, nil
}

// ChangeMaster wraps the deployment's data keys by the master key to instead of from, and makes a new data key, since whoever had the old master key and
// the database has the data keys: all in one transaction. The deployment's servers must not run: they know from alone. It may be done again after a
// crash, and leaves what is wrapped by to already. Refused with [fault.MasterKey] if the database is neither's, and with [fault.NotFound] if it has no keys.
func ChangeMaster(ctx context.Context, from, to Master, store KeyStore, now func() time.Time) error {
	return store.Transact(ctx, func(ctx context.Context) error {
		rows, err := store.DataKeys(ctx)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return fault.New(fault.NotFound, "this database has no data keys yet: no server has used it")
		}
		changed, newest := false, int64(0)
		for _, row := range rows {
			newest = max(newest, row.ID)
			if row.MasterID == to.ID() {
				continue
			}
			raw, err := row.unwrap(from)
			if err != nil {
				return err
			}
			wrapped, err := to.Encrypt(raw, keyBinding(row.ID))
			clear(raw)
			if err != nil {
				return fmt.Errorf("wrapping data key %d: %w", row.ID, err)
			}
			if err := store.Rewrap(ctx, row, DataKey{ID: row.ID, MasterID: to.ID(), Wrapped: wrapped}); err != nil {
				return err
			}
			changed = true
		}
		if !changed {
			return nil
		}
		if err := store.Record(ctx, audit.New(ctx, now(), "key.change_master", "master_key:"+to.ID(), audit.Details{"before": from.ID()})); err != nil {
			return err
		}
		return addDataKey(ctx, newest+1, to, store, now())
	})
}

// Rotate makes a new data key, under which everything is sealed from now on,
// and returns its number. [Keyring.Reseal] then moves what is older. It is a
// transaction of its own and must not be part of another one: the key is taken
// in use at once, and others could not store what it seals before it is there.
func (k *Keyring) Rotate(ctx context.Context) (int64, error) {
	k.mu.RLock()
	id := k.newest + 1
	k.mu.RUnlock()
	err := k.store.Transact(ctx, func(ctx context.Context) error { return addDataKey(ctx, id, k.master, k.store, k.now()) })
	if err != nil {
		return 0, err
	}
	return id, k.Refresh(ctx)
}

// addDataKey makes a data key at random and stores it, in the transaction of ctx.
func addDataKey(ctx context.Context, id int64, master Master, store KeyStore, now time.Time) error {
	raw := make([]byte, 32)
	rand.Read(raw)
	defer clear(raw)
	wrapped, err := master.Encrypt(raw, keyBinding(id))
	if err != nil {
		return fmt.Errorf("wrapping data key %d: %w", id, err)
	}
	if err := store.AddDataKey(ctx, DataKey{ID: id, MasterID: master.ID(), Wrapped: wrapped, CreatedAt: now.UTC()}); err != nil {
		return err
	}
	return store.Record(ctx, audit.New(ctx, now, "key.rotate", fmt.Sprintf("data_key:%d", id), nil))
}

// retireAfter is how long a superseded data key is kept: other servers learn
// of a new key within seconds, and none may be left sealing under a dropped one.
const retireAfter = time.Hour

// Reseal moves up to limit secrets to the newest data key and returns how
// many it moved. It goes past those that do not open, which are altered, and says which in
// the error; only as many as limit would hold the others up. When none is left that it can move it drops data keys superseded more than an hour
// ago. It may run on several servers at once, and again after a crash.
func (k *Keyring) Reseal(ctx context.Context, limit int) (int, error) {
	if err := k.Refresh(ctx); err != nil {
		return 0, err
	}
	k.mu.RLock()
	newest := k.newest
	k.mu.RUnlock()
	kept, err := k.store.SealedBefore(ctx, newest, limit)
	if err != nil {
		return 0, err
	}
	moved := 0
	var altered []error
	for _, old := range kept {
		plain, err := k.Open(ctx, old.Sealed, old.Binding)
		if err != nil {
			altered = append(altered, fmt.Errorf("resealing %s: %w", old.Binding, err))
			continue
		}
		sealed, err := k.Seal(plain, old.Binding)
		clear(plain)
		if err != nil {
			return moved, errors.Join(append(altered, err)...)
		}
		ok, err := k.store.Reseal(ctx, old, sealed)
		if err != nil {
			return moved, errors.Join(append(altered, err)...)
		}
		if ok {
			moved++
		}
	}
	if len(kept) == len(altered) {
		altered = append(altered, k.retire(ctx, newest))
	}
	return moved, errors.Join(altered...)
}

// retire drops the data keys that were superseded long enough ago.
func (k *Keyring) retire(ctx context.Context, newest int64) error {
	k.mu.RLock()
	var ids []int64
	if k.now().Sub(k.created[newest]) > retireAfter {
		for id := range k.keys {
			if id != newest {
				ids = append(ids, id)
			}
		}
	}
	k.mu.RUnlock()
	slices.SortFunc(ids, cmp.Compare)
	for _, id := range ids {
		if err := k.store.DropDataKey(ctx, id); err != nil && !errors.Is(err, fault.Conflict) {
			return err
		}
	}
	return nil
}

// Superseded is why nothing is sealed any more, [fault.MasterKey], once [Keyring.Refresh] has seen that the database has another master key; nil before.
func (k *Keyring) Superseded() error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.gone
}

// Seal encrypts a secret under the newest data key, bound to b. Refused once the master key is [Keyring.Superseded].
func (k *Keyring) Seal(secret []byte, b Binding) (Sealed, error) {
	k.mu.RLock()
	id, key, gone := k.newest, k.keys[k.newest], k.gone
	k.mu.RUnlock()
	if gone != nil {
		return Sealed{}, gone
	}
	blob, err := key.Encrypt(secret, []byte(b))
	if err != nil {
		return Sealed{}, fmt.Errorf("sealing %s: %w", b, err)
	}
	return Sealed{KeyID: id, Blob: blob}, nil
}

// Open decrypts what Seal made for the same binding. The caller erases the
// result when it is done.
func (k *Keyring) Open(ctx context.Context, s Sealed, b Binding) ([]byte, error) {
	key, err := k.key(ctx, s.KeyID)
	if err != nil {
		return nil, err
	}
	secret, err := key.Decrypt(s.Blob, []byte(b))
	if err != nil {
		return nil, fmt.Errorf("opening %s: the stored secret was altered or belongs elsewhere", b)
	}
	return secret, nil
}

func (k *Keyring) key(ctx context.Context, id int64) (*subtle.AESGCM, error) {
	k.mu.RLock()
	key := k.keys[id]
	k.mu.RUnlock()
	if key != nil {
		return key, nil
	}
	if err := k.Refresh(ctx); err != nil {
		return nil, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if key = k.keys[id]; key == nil {
		return nil, fmt.Errorf("data key %d is gone", id)
	}
	return key, nil
}

// SealSeed seals the seed of one generation of a serial.
func (k *Keyring) SealSeed(s Seed, serial string, generation int) (Sealed, error) {
	b := s.Reveal()
	defer clear(b)
	return k.Seal(b, Of(serial, generation))
}

// OpenSeed opens what SealSeed made.
func (k *Keyring) OpenSeed(ctx context.Context, s Sealed, serial string, generation int) (Seed, error) {
	b, err := k.Open(ctx, s, Of(serial, generation))
	if err != nil {
		return Seed{}, err
	}
	defer clear(b)
	return New(b), nil
}

// Secret returns the deployment's secret of that name; the first server to
// ask makes it with fresh, and all others get the same one. It joins the
// transaction of ctx, if there is one.
func (k *Keyring) Secret(ctx context.Context, name string, fresh func() ([]byte, error)) ([]byte, error) {
	kept, err := k.store.Secret(ctx, name)
	if err == nil {
		return k.Open(ctx, kept, Named(name))
	}
	if !errors.Is(err, fault.NotFound) {
		return nil, err
	}
	secret, err := fresh()
	if err != nil {
		return nil, err
	}
	sealed, err := k.Seal(secret, Named(name))
	if err != nil {
		return nil, err
	}
	return secret, k.store.AddSecret(ctx, name, sealed)
}

// MAC hashes parts with a key that only this deployment's servers have
// (HMAC-SHA-256, 32 bytes), for what must be recognised and not read back:
// PINs, activation codes, API keys, seed fingerprints. purpose keeps the uses apart.
func (k *Keyring) MAC(purpose string, parts ...[]byte) []byte {
	pool, known := k.macs.Load(purpose)
	if !known {
		key, err := hkdf.Key(sha256.New, k.hashes, nil, "tallystick/"+purpose, sha256.Size)
		if err != nil {
			panic(err) // only for lengths that HKDF cannot give
		}
		pool, _ = k.macs.LoadOrStore(purpose, &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }})
	}
	mac := pool.(*sync.Pool).Get().(hash.Hash)
	defer pool.(*sync.Pool).Put(mac)
	mac.Reset()
	var size [4]byte
	for _, p := range parts {
		// The length in front makes ("ab","c") differ from ("a","bc").
		binary.BigEndian.PutUint32(size[:], uint32(len(p)))
		mac.Write(size[:])
		mac.Write(p)
	}
	return mac.Sum(nil)
}

// DropSecret destroys a secret of the deployment; one that does not exist is no error.
func (k *Keyring) DropSecret(ctx context.Context, name string) error {
	return k.store.DropSecret(ctx, name)
}
