package radius

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"layeh.com/radius"
)

// A source is where a packet came from; the port is 0 over TLS, where a client may connect again.
type source struct {
	address netip.Addr // without zone, IPv4 as such
	port    uint16
}

// A copyKey tells one request from another (RFC 5080 section 2.2.2). A client that asks another
// question has to take another authenticator.
type copyKey struct {
	client        string // over TLS, several may share an address
	address       [16]byte
	port          uint16
	identifier    byte
	authenticator [16]byte
}

func keyOf(r *request, p *radius.Packet) copyKey {
	return copyKey{r.client.Name, r.from.address.As16(), r.from.port, p.Identifier, p.Authenticator}
}

// key names a request for the engine, which knows it again after a restart and on every server. A client that is so poor that it repeats
// its authenticators does not get the answer to another question: all of the packet is in the key.
func (r *request) key() []byte {
	h := sha256.New()
	address := r.from.address.As16()
	h.Write(address[:])
	h.Write(binary.BigEndian.AppendUint16(nil, r.from.port))
	h.Write(r.data)
	h.Write([]byte(r.client.Name))
	return h.Sum(nil)
}

// copies remembers requests and their answers, so that a request that comes twice is decided once: a one-time code
// would be right the first time and used the second. It holds a fixed number of them; the oldest is forgotten
// first, when its time is over or when there is no more room.
type copies struct {
	life time.Duration
	most int

	mu    sync.Mutex
	ring  []copied
	first uint64 // number of the oldest
	next  uint64 // number of the next one; number n is at n % most
	known map[copyKey]uint64
}

type copied struct {
	key    copyKey
	at     time.Time
	answer []byte // nil while it is being decided
}

func newCopies(most int, life time.Duration) *copies {
	return &copies{life: life, most: most, known: map[copyKey]uint64{}}
}

// begin looks a request up: [Repeated] with the answer that it got, [Undecided] while it is being decided. One that is new is being
// decided from now on.
func (c *copies) begin(k copyKey, now time.Time) ([]byte, Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.first < c.next && (c.next-c.first == uint64(c.most) || now.Sub(c.slot(c.first).at) >= c.life) {
		c.drop()
	}
	if n, found := c.known[k]; found {
		if answer := c.slot(n).answer; answer != nil {
			return answer, Repeated
		}
		return nil, Undecided
	}
	if len(c.ring) < c.most {
		c.ring = append(c.ring, copied{})
	}
	*c.slot(c.next) = copied{key: k, at: now}
	c.known[k] = c.next
	c.next++
	return nil, ""
}

// slot is where number n is. The ring grows to its size only once it is filled for the first time, so the places
// of all numbers that are remembered exist.
func (c *copies) slot(n uint64) *copied { return &c.ring[n%uint64(c.most)] }

// drop forgets the oldest.
func (c *copies) drop() {
	oldest := c.slot(c.first)
	if n, found := c.known[oldest.key]; found && n == c.first {
		delete(c.known, oldest.key)
	}
	*oldest = copied{}
	c.first++
}

// end remembers the answer of a request that was begun; nil forgets the request, which may then come again.
func (c *copies) end(k copyKey, answer []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, found := c.known[k]
	if !found {
		return
	}
	if answer == nil {
		delete(c.known, k)
		return
	}
	c.slot(n).answer = answer
}
