package securid

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"time"
)

const (
	serialDigits  = 12
	maxDigits     = 8
	codesPerBlock = 4
)

// A Chain computes the codes of one token and remembers the keys and blocks
// they were made from (section 10 of the specification). What it holds is as
// secret as the seed. It is not safe for concurrent use.
//
// The cache is sized for the widest automatic window, 70 intervals to each
// side, which touches four hours; and for two days, so that a search outward
// from midnight does not make the same key twice. It never grows; see [Chain.Shrink].
type Chain struct {
	seed     key     // of which id and used mean nothing
	serial   [4]byte // packed decimal; the algorithm ignores the first four digits
	digits   int
	interval int64
	perHour  int64 // blocks
	modulus  uint32

	clock  uint64 // counts uses of keys, for their ages
	years  [1]key
	months [1]key
	days   [2]key
	hours  [4]key

	blocks [2]block // two, because an outward search has two ends
	last   int      // the index in blocks that was used last
}

// A key is one link of the chain, and its key schedule: expanding a key costs
// eight times as much as using it.
type key struct {
	id       int64
	used     uint64 // the clock of its last use, 0 if the key was never made
	raw      [aes.BlockSize]byte
	schedule cipher.Block        // nil until it is needed
	template [aes.BlockSize]byte // of hours only: the first block of the hour, yet to be encrypted
}

// encrypt encrypts a block in place.
func (k *key) encrypt(b *[aes.BlockSize]byte) {
	if k.schedule == nil {
		schedule, err := aes.NewCipher(k.raw[:])
		if err != nil {
			panic("securid: AES refuses a key of its own block size")
		}
		k.schedule = schedule
	}
	k.schedule.Encrypt(b[:], b[:])
}

// A block is the output of the last step: four consecutive codes.
type block struct {
	id   int64 // interval index div 4
	made bool
	out  [aes.BlockSize]byte
}

// NewChain prepares the codes of one token: a seed of [SeedSize] bytes, the
// serial number (12 decimal digits, with its leading zeros), 1 to 8 digits and
// an interval of 30 or 60 seconds. It keeps no reference to seed.
// The errors are [ErrSeed], [ErrSerial], [ErrDigits] and [ErrInterval].
func NewChain(seed []byte, serial string, digits, interval int) (*Chain, error) {
	if len(seed) != SeedSize {
		return nil, ErrSeed
	}
	if len(serial) != serialDigits || !decimal(serial) {
		return nil, ErrSerial
	}
	if digits < 1 || digits > maxDigits {
		return nil, ErrDigits
	}
	if interval != 30 && interval != 60 {
		return nil, ErrInterval
	}
	c := &Chain{seed: key{raw: [SeedSize]byte(seed)}, digits: digits, interval: int64(interval), perHour: int64(3600 / (codesPerBlock * interval)), modulus: 1}
	for range digits {
		c.modulus *= 10
	}
	for i := range c.serial {
		pair := serial[4+2*i:]
		c.serial[i] = (pair[0]-'0')<<4 | (pair[1] - '0')
	}
	return c, nil
}

// Code is the tokencode at t, as the token shows it.
func (c *Chain) Code(t time.Time) string {
	return Format(c.At(Interval(t, int(c.interval))), c.digits)
}

// At is the code of the interval with this index (see [Interval]), as a
// number below 10^digits. It does not allocate while the key schedule of the
// hour is cached.
//
// The algorithm has four digits for the year: years are taken modulo 10000.
func (c *Chain) At(interval int64) uint32 {
	return c.code(c.block(interval>>2), interval) // shifts and masks round down also below zero
}

// Find looks for a code among the intervals first to last, both included, in
// the order of [Chain.Outward], and stops at the first that has it.
//
// How long it takes tells how far from the expected drift a code was found,
// which only the sender of a right code can observe, and who already knows
// it: every wrong code costs the whole window. The codes are compared as
// numbers, so there is no time per digit that matches.
func (c *Chain) Find(code uint32, first, last, from int64) (interval int64, ok bool) {
	for at, candidate := range c.Outward(first, last, from) {
		if candidate == code {
			return at, true
		}
	}
	return 0, false
}

// Outward gives the intervals first to last, both included, with their codes,
// in the order of their distance from the interval from, the earlier one
// first: what a server compares a passcode with that has the PIN in it, and
// [Chain.Find] a plain code. It makes every key and every block of four codes once
// (section 10.3), and only on the way. The chain must not be used in between.
func (c *Chain) Outward(first, last, from int64) iter.Seq2[int64, uint32] {
	return func(yield func(int64, uint32) bool) { c.outward(first, last, from, yield) }
}

func (c *Chain) outward(first, last, from int64, yield func(int64, uint32) bool) {
	if first > last {
		return
	}
	from = min(max(from, first), last)
	// The two ends cross into another block in turns, so the one block that the
	// cache gives up is always that of the end that has left it.
	var down, up *[aes.BlockSize]byte
	// Distances, not positions, so that nothing overflows at the ends of int64.
	before, after := uint64(from-first), uint64(last-from)
	for d := uint64(0); d <= max(before, after); d++ {
		if at := from - int64(d); d <= before {
			if down == nil || at&3 == 3 {
				down = c.block(at >> 2)
			}
			if !yield(at, c.code(down, at)) {
				return
			}
		}
		if at := from + int64(d); d > 0 && d <= after {
			if up == nil || at&3 == 0 {
				up = c.block(at >> 2)
			}
			if !yield(at, c.code(up, at)) {
				return
			}
		}
	}
}

// Shrink gives up the key schedules that the next code is not likely to need, some
// two thirds of what a chain takes: it keeps that of the hour that was used last.
// The others are made again from their keys when they are needed.
func (c *Chain) Shrink() {
	c.seed.schedule, c.years[0].schedule, c.months[0].schedule = nil, nil, nil
	for i := range c.days {
		c.days[i].schedule = nil
	}
	last := uint64(0)
	for i := range c.hours {
		last = max(last, c.hours[i].used)
	}
	for i := range c.hours {
		if c.hours[i].used != last {
			c.hours[i].schedule = nil
		}
	}
}

// Erase overwrites the keys and codes the chain holds and drops its key
// schedules: the standard library does not let those be overwritten, so they go
// with the next garbage collection. The chain cannot be used afterwards.
func (c *Chain) Erase() {
	*c = Chain{}
}

// Format prints nothing of what the chain holds, whatever the verb.
func (Chain) Format(f fmt.State, _ rune) {
	io.WriteString(f, "tokencode chain (hidden)")
}

// code takes the code of an interval out of its block (section 6).
func (c *Chain) code(out *[aes.BlockSize]byte, interval int64) uint32 {
	slot := 4 * (interval & 3)
	return binary.BigEndian.Uint32(out[slot:slot+4]) % c.modulus
}

// block is the output block with this number, four intervals each.
func (c *Chain) block(id int64) *[aes.BlockSize]byte {
	for i := range c.blocks {
		if b := &c.blocks[i]; b.made && b.id == id {
			c.last = i
			return &b.out
		}
	}
	c.last = 1 - c.last
	b := &c.blocks[c.last]
	hour := floorDiv(id, c.perHour)
	k := c.hour(hour)
	b.id, b.made, b.out = id, true, k.template
	b.out[5] = bcd(int(id-hour*c.perHour) * 60 / int(c.perHour))
	k.encrypt(&b.out)
	return &b.out
}

// hour is the key of an hour, counted from 1970.
func (c *Chain) hour(id int64) *key {
	k, cached := c.pick(c.hours[:], id)
	if cached {
		return k
	}
	t := time.Unix(id*3600, 0).UTC()
	year, month, day := t.Date()
	year = (year%10000 + 10000) % 10000
	fields := [8]byte{bcd(year / 100), bcd(year % 100), bcd(int(month)), bcd(day), bcd(t.Hour())}

	parent := &c.seed
	for i, keys := range [][]key{c.years[:], c.months[:], c.days[:]} {
		n := i + 2 // the year is two bytes, then one more with each step
		var prefix [8]byte
		copy(prefix[:], fields[:n])
		link, cached := c.pick(keys, int64(binary.BigEndian.Uint64(prefix[:])))
		if !cached {
			c.derive(link, parent, fields[:n])
		}
		parent = link
	}
	c.derive(k, parent, fields[:5])
	k.template = c.template(fields[:])
	return k
}

// pick is the cached key with this id or, if there is none, the place of the
// one that was used longest ago, for the caller to fill.
func (c *Chain) pick(keys []key, id int64) (k *key, cached bool) {
	c.clock++
	k = &keys[0]
	for i := range keys {
		if keys[i].used > 0 && keys[i].id == id {
			keys[i].used = c.clock
			return &keys[i], true
		}
		if keys[i].used < k.used {
			k = &keys[i]
		}
	}
	k.id, k.used = id, c.clock
	return k, false
}

// derive fills in the next key of the chain, for the period that fields say
// (section 5).
func (c *Chain) derive(k, parent *key, fields []byte) {
	k.raw, k.schedule = c.template(fields), nil
	parent.encrypt(&k.raw)
}

// template is the plaintext block for the first bytes of the time (section 4).
func (c *Chain) template(fields []byte) (b [aes.BlockSize]byte) {
	n := copy(b[:8], fields)
	for i := n; i < 8; i++ {
		b[i] = 0xaa
	}
	copy(b[8:], c.serial[:])
	for i := 12; i < len(b); i++ {
		b[i] = 0xbb
	}
	return b
}

// bcd packs a number below 100 into one byte.
func bcd(n int) byte {
	return byte(n/10<<4 | n%10)
}
