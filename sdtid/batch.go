package sdtid

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
)

// A Checked is a file of any number of tokens whose every MAC was found right.
type Checked struct {
	open     func() (io.Reader, error)
	header   element
	password string // that it is locked with; "" for none
	batch    batch
}

// Check checks a whole file, of any size, as [Parse] and [File.Open] do, and holds one token at a time in memory (and some
// 20 bytes for each, to find serials that come twice). open begins to read the file, more than once. For a file that is not
// locked the password is not looked at.
//
// Errors: ErrFormat, ErrTooLarge for a tag, a header or a token without end, those of [File.Open], and those of the file.
func Check(open func() (io.Reader, error), password string) (*Checked, error) {
	c := &Checked{open: open}
	if err := c.readHeader(); err != nil {
		return nil, err
	}
	r := &batchReader{defaults: c.header.fields(), seen: map[uint64]struct{}{}}
	r.begin = func(b batch) error { return r.unlock(b, &c.header, "", password) }
	if err := c.read(r); err != nil {
		return nil, err
	}
	k, err := r.right(password)
	c.batch, c.password = r.batch, k.password
	return c, err
}

// Tokens reads the tokens with their seeds, one after the other. Each is checked once more, since the file may have been changed
// meanwhile: the first error is the last. Whoever uses a token erases its seed.
func (c *Checked) Tokens() iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		r := &batchReader{defaults: c.header.fields()}
		r.begin = func(b batch) error { return r.unlock(b, &c.header, c.password) }
		r.each = func(t *record) error {
			k := &r.keys[0]
			if k.wrong != "" || !t.aes128 {
				return fmt.Errorf("%w: token %s", ErrModified, t.Serial)
			}
			seed := cryptSeed(k.key, t.name, t.encrypted)
			t.Seed = seed[:]
			if !yield(t.Token, nil) {
				return errEnough
			}
			return nil
		}
		if err := c.read(r); err != nil && !errors.Is(err, errEnough) {
			yield(Token{}, err)
		}
	}
}

// read goes through the tokens of the file.
func (c *Checked) read(r *batchReader) error {
	file, err := c.open()
	if err != nil {
		return err
	}
	d := &document{each: r.token}
	if err := d.read(file); err != nil {
		return err
	}
	if r.count == 0 || !d.trailer {
		return malformed("token or trailer is missing")
	}
	return nil
}

// errEnough ends the reading of a file.
var errEnough = errors.New("sdtid: enough is read")

// readHeader reads the file as far as its header, which comes first in most.
func (c *Checked) readHeader() error {
	file, err := c.open()
	if err != nil {
		return err
	}
	d := &document{}
	d.each = func(*element) error {
		if d.header.name != "" {
			return errEnough
		}
		return nil
	}
	if err := d.read(file); err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if d.header.name == "" {
		return malformed("header is missing")
	}
	c.header = d.header
	return nil
}

// A batchReader takes the tokens of a file one after the other.
type batchReader struct {
	defaults map[string]string
	begin    func(batch) error   // with what the first token says
	each     func(*record) error // takes each token whose MACs were compared; nil if that is all
	batch    batch
	seen     map[uint64]struct{} // serials; nil if they are known to differ
	keys     []unlocked
	count    int
	older    string // the first token with a 64-bit seed, "" for none
	buffer   []byte
}

// An unlocked is a batch key that may be the right one.
type unlocked struct {
	password string // "" for the key that Origin makes
	key      cipher.Block
	right    int    // MACs
	wrong    string // the first one that is not
}

// unlock makes the keys of passwords, and checks the header. A password that is empty for the second time is none.
func (r *batchReader) unlock(b batch, header *element, passwords ...string) error {
	r.batch = b
	for i, password := range passwords {
		switch {
		case password != "":
			r.keys = append(r.keys, unlocked{password: password, key: b.key(password)})
		case i == 0:
			r.keys = append(r.keys, unlocked{key: b.key(b.origin)})
		}
	}
	buf, err := canonical(nil, "TKNHeader", header)
	if err != nil {
		return fmt.Errorf("%w: header", err)
	}
	for i := range r.keys {
		k := &r.keys[i]
		k.count(b.mac.equal(headerMAC(k.key, b.name, buf)), "header")
	}
	return nil
}

func (k *unlocked) count(right bool, what string) {
	if right {
		k.right++
	} else if k.wrong == "" {
		k.wrong = what
	}
}

func (r *batchReader) token(body *element) error {
	fields := fieldsOfToken{body.fields(), r.defaults}
	b, err := fields.batch()
	var t record
	if err == nil {
		t, err = fields.record()
	}
	if err == nil && r.keys == nil {
		err = r.begin(b)
	}
	if err != nil {
		return fmt.Errorf("%w (token %d)", err, r.count+1)
	}
	r.count++
	if b != r.batch {
		return malformed("token %s has key material of its own", t.Serial)
	}
	if r.seen != nil {
		n, err := strconv.ParseUint(t.Serial, 10, 64)
		if _, twice := r.seen[n]; twice || err != nil {
			return malformed("two tokens %s", t.Serial)
		}
		r.seen[n] = struct{}{}
	}
	if r.buffer, err = canonical(r.buffer[:0], "TKN", body); err != nil {
		return fmt.Errorf("%w: token %s", err, t.Serial)
	}
	for i := range r.keys {
		k := &r.keys[i]
		k.count(t.mac.equal(tokenMAC(k.key, t.name, r.buffer)), "token "+t.Serial)
	}
	if !t.aes128 && r.older == "" {
		r.older = t.Serial
	}
	if r.each == nil {
		return nil
	}
	return r.each(&t)
}

// right is the key under which every MAC is right. The order of the errors is that of [File.Open].
func (r *batchReader) right(password string) (*unlocked, error) {
	k := &r.keys[0]
	err := ErrPasswordRequired
	if k.right == 0 && password != "" {
		k, err = &r.keys[1], ErrWrongPassword
	}
	switch {
	case k.wrong != "" && k.right > 0:
		return k, fmt.Errorf("%w: MAC of %s", ErrModified, k.wrong)
	case r.older != "":
		return k, fmt.Errorf("%w: token %s", ErrAlgorithm, r.older)
	case k.wrong != "":
		return k, err
	}
	return k, nil
}
