package authentication

import (
	"container/list"
	"sync"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/securid"
)

// chainsKept bounds how many tokens' key chains are remembered: about 1.5 KB each, 25 MB in all.
const chainsKept = 16384

// chains remembers the key chains of tokens that were used last, so that an answer costs neither the unsealing of a seed
// nor the keys of the hour. They are as secret as the seeds. One is found only under its seed's fingerprint, so a new seed
// never meets an old chain; the chain of a token's former seed is erased when the token is seen with another.
type chains struct {
	mu     sync.Mutex
	order  list.List                // of *chain; the one used last is in front
	bySlot map[string]*list.Element // a token's serial has one for its current, and one for a pending generation
}

// ofPending ends the slot of a pending generation.
const ofPending = "/pending"

// A chain is the key chain of one generation.
type chain struct {
	slot        string
	fingerprint string
	settings    token.Settings
	mu          sync.Mutex
	codes       *securid.Chain
	// Guarded by the mutex of chains: who uses it, and whether it is forgotten and to be erased by the last of them.
	users     int
	forgotten bool
}

// codes calls do with the codes of a generation, remembered or made, for one caller at a time.
func (r *round) codes(t *token.Token, g *token.Generation, do func(*securid.Chain)) error {
	e := r.engine
	slot := t.Serial
	if g != &t.Current {
		slot += ofPending
	}
	c := e.chains.get(slot, g)
	if c == nil {
		secret, err := e.Keys.OpenSeed(r.ctx, g.Sealed, t.Serial, g.Number)
		if err != nil {
			return err
		}
		defer secret.Erase()
		if c, err = newChain(slot, t.Serial, secret, g.Settings); err != nil {
			return err
		}
		c.fingerprint = string(g.Fingerprint)
		e.chains.put(c)
	}
	defer e.chains.release(c)
	c.use(do)
	return nil
}

// use calls do with the codes of the chain, for one caller at a time.
func (c *chain) use(do func(*securid.Chain)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do(c.codes)
	c.codes.Shrink()
}

func newChain(slot, serial string, secret seed.Seed, s token.Settings) (*chain, error) {
	raw := secret.Reveal()
	defer clear(raw)
	codes, err := securid.NewChain(raw, serial, s.Digits, s.Interval)
	return &chain{slot: slot, settings: s, codes: codes}, err
}

// get is the remembered chain of a generation, nil if there is none. The caller releases it.
func (k *chains) get(slot string, g *token.Generation) *chain {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := k.bySlot[slot]
	if at == nil {
		return nil
	}
	c := at.Value.(*chain)
	if c.fingerprint != string(g.Fingerprint) || c.settings != g.Settings {
		k.forget(at)
		return nil
	}
	k.order.MoveToFront(at)
	c.users++
	return c
}

// put remembers a chain. The caller releases it.
func (k *chains) put(c *chain) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.bySlot == nil {
		k.bySlot = map[string]*list.Element{}
	}
	if at := k.bySlot[c.slot]; at != nil {
		k.forget(at)
	}
	k.bySlot[c.slot] = k.order.PushFront(c)
	c.users++
	if k.order.Len() > chainsKept {
		k.forget(k.order.Back())
	}
}

// release ends the use of a chain.
func (k *chains) release(c *chain) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c.users--
	if c.forgotten && c.users == 0 {
		c.codes.Erase()
	}
}

// forget drops a chain and erases it, once nobody uses it.
func (k *chains) forget(at *list.Element) {
	c := at.Value.(*chain)
	k.order.Remove(at)
	delete(k.bySlot, c.slot)
	c.forgotten = true
	if c.users == 0 {
		c.codes.Erase()
	}
}

// drop forgets the chains of a token of which a seed ends.
func (k *chains) drop(serial string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, slot := range []string{serial, serial + ofPending} {
		if at := k.bySlot[slot]; at != nil {
			k.forget(at)
		}
	}
}

// decoy does the work of a comparison for a user who has no token, so that the time of an answer does not tell who exists.
func (r *round) decoy(passcode string) error {
	d := &r.engine.decoy
	const serial = "000000000000"
	var err error
	d.once.Do(func() { d.chain, err = newChain(serial, serial, seed.Generate(), token.Factory) })
	if err != nil {
		return err
	}
	t := token.Token{Serial: serial, Current: token.Generation{Settings: token.Factory, Clock: token.Clock{LastInterval: token.Unused}}}
	d.chain.use(func(codes *securid.Chain) {
		r.search(codes, &tokenState{token: &t, policy: r.policies.Of(domain.Root)}, &t.Current, passcode, &verdict{})
	})
	return nil
}
