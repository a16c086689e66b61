package radius

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

// A source is where a packet came from; the port is 0 over TLS, where a client may connect again.
type source struct {
	address netip.Addr // without zone, IPv4 as such
	port    uint16
}

// A copyKey tells one request from another (RFC 5080 section 2.2.2). It holds no pointer, so that the collector of garbage need not look
// at those of a hundred thousand requests each time.
type copyKey [sha256.Size]byte

// key names a request, here and for the engine, which knows it again after a restart and on every server. A client that is so poor that it
// repeats its authenticators does not get the answer to another question: all of the packet is in the key. Over TLS the address is not,
// as in a State: the client may connect again from another one.
func (r *request) key() (k copyKey) {
	var from source
	if r.port != RadSec {
		from = r.from
	}
	h := sha256.New()
	address := from.address.As16()
	h.Write(address[:])
	h.Write(binary.BigEndian.AppendUint16(nil, from.port))
	h.Write(r.data)
	h.Write([]byte(r.client.Name))
	h.Sum(k[:0])
	return k
}

// copies remembers requests and their answers, so that a request that comes twice is decided once: a one-time code
// would be right the first time and used the second. It holds a fixed number of them; the oldest is forgotten
// first, when its time is over or when there is no more room.
type copies struct {
	life time.Duration
	most int

	mu    sync.Mutex
	begun time.Time
	ring  [][]copied // in parts, which are made when they are first needed
	first uint64     // number of the oldest
	next  uint64     // number of the next one; number n is at n % most
	known map[copyKey]uint64
	long  map[uint64][]byte // by number, answers that find no room in the ring
	size  int               // of those together, in bytes
}

const (
	// ringPart is how many copies a part of the ring holds.
	ringPart = 1024
	// maxLong is how many bytes of long answers are kept. Proxy-States, which are whatever the client likes, make an answer as long as 4096.
	maxLong = 48 << 20
)

// A copied is 160 bytes, and like its key without a pointer. Its answer has room for an Access-Accept with 80 bytes of attributes.
type copied struct {
	key    copyKey
	at     time.Duration // since the first request
	size   int16         // of the answer; 0 while it is being decided, and if it is among the long ones
	answer [118]byte
}

func newCopies(most int, life time.Duration) *copies {
	return &copies{
		life: life, most: most, known: map[copyKey]uint64{}, long: map[uint64][]byte{},
		ring: make([][]copied, (most+ringPart-1)/ringPart),
	}
}

// begin looks a request up: [Repeated] with the answer that it got, [Undecided] while it is being decided. One that is new is being
// decided from now on.
func (c *copies) begin(k copyKey, now time.Time) ([]byte, Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun.IsZero() {
		c.begun = now
	}
	at := now.Sub(c.begun)
	for c.first < c.next && at-c.slot(c.first).at >= c.life {
		c.drop()
	}
	if n, found := c.known[k]; found {
		if answer := c.answer(n); answer != nil {
			return answer, Repeated
		}
		return nil, Undecided
	}
	if c.next-c.first == uint64(c.most) {
		c.drop()
	}
	*c.slot(c.next) = copied{key: k, at: at}
	c.known[k] = c.next
	c.next++
	return nil, ""
}

// slot is where number n is.
func (c *copies) slot(n uint64) *copied {
	at := n % uint64(c.most)
	part := &c.ring[at/ringPart]
	if *part == nil {
		*part = make([]copied, min(ringPart, c.most))
	}
	return &(*part)[at%ringPart]
}

// answer is that of number n, nil if there is none yet.
func (c *copies) answer(n uint64) []byte {
	s := c.slot(n)
	if s.size == 0 {
		return c.long[n]
	}
	return bytes.Clone(s.answer[:s.size])
}

// drop forgets the oldest.
func (c *copies) drop() {
	oldest := c.slot(c.first)
	if c.known[oldest.key] == c.first { // and not begun again since
		delete(c.known, oldest.key)
	}
	c.size -= len(c.long[c.first])
	delete(c.long, c.first)
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
	s := c.slot(n)
	switch {
	case answer == nil:
		delete(c.known, k)
	case len(answer) <= len(s.answer):
		s.size = int16(copy(s.answer[:], answer))
		c.size -= len(c.long[n])
		delete(c.long, n)
	default:
		c.size += len(answer) - len(c.long[n])
		s.size, c.long[n] = 0, answer
		for c.size > maxLong {
			c.drop()
		}
	}
}
