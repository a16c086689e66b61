package sdtid

import (
	"crypto/cipher"
	"errors"
	"fmt"
)

// MaxBatch is the largest file that [Read] takes: some 150,000 tokens.
const MaxBatch = 96 << 20 // bytes

// Read reads the tokens of a file of any number with their seeds, as [Parse] and [File.Open] do, and holds one token of the XML in
// memory at a time. Every MAC is right, or there is an error and no token. For a file that is not locked the password is not looked at.
//
// Errors: ErrFormat, ErrTooLarge, and those of [File.Open].
func Read(data []byte, password string) ([]Token, error) {
	if len(data) > MaxBatch {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(data), MaxBatch)
	}
	header, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	r := &batchReader{defaults: header.fields(), seen: map[string]bool{}}
	d := &document{each: r.token}
	r.begin = func(b batch) error { return r.unlock(b, &header, password) }
	if err := d.read(data); err != nil {
		return nil, err
	}
	if len(r.tokens) == 0 || !d.trailer {
		return nil, malformed("token or trailer is missing")
	}
	return r.opened(password)
}

// errEnough ends the reading of a file.
var errEnough = errors.New("sdtid: enough is read")

// readHeader reads a file as far as its header, which comes first in most.
func readHeader(data []byte) (element, error) {
	d := &document{}
	d.each = func(*element) error {
		if d.header.name != "" {
			return errEnough
		}
		return nil
	}
	if err := d.read(data); err != nil && !errors.Is(err, errEnough) {
		return element{}, err
	}
	if d.header.name == "" {
		return element{}, malformed("header is missing")
	}
	return d.header, nil
}

// A batchReader takes the tokens of a file one after the other.
type batchReader struct {
	defaults map[string]string
	begin    func(batch) error // with what the first token says
	batch    batch
	seen     map[string]bool // serials
	keys     []unlocked      // by Origin, and by the password if there is one
	tokens   []sealedToken
	buffer   []byte
}

// An unlocked is a batch key that may be the right one.
type unlocked struct {
	key   cipher.Block
	right int    // MACs
	wrong string // the first one that is not
}

// A sealedToken is a token whose seed is not decrypted yet.
type sealedToken struct {
	Token
	name      string
	encrypted block
	aes128    bool
}

// unlock makes the keys that the file may be locked with, and checks the header.
func (r *batchReader) unlock(b batch, header *element, password string) error {
	r.batch, r.keys = b, []unlocked{{key: b.key(b.origin)}}
	if password != "" {
		r.keys = append(r.keys, unlocked{key: b.key(password)})
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
		return fmt.Errorf("%w (token %d)", err, len(r.tokens)+1)
	}
	switch {
	case b != r.batch:
		return malformed("token %s has key material of its own", t.Serial)
	case r.seen[t.Serial]:
		return malformed("two tokens %s", t.Serial)
	}
	r.seen[t.Serial] = true
	if r.buffer, err = canonical(r.buffer[:0], "TKN", body); err != nil {
		return fmt.Errorf("%w: token %s", err, t.Serial)
	}
	for i := range r.keys {
		k := &r.keys[i]
		k.count(t.mac.equal(tokenMAC(k.key, t.name, r.buffer)), "token "+t.Serial)
	}
	r.tokens = append(r.tokens, sealedToken{t.Token, t.name, t.encrypted, t.aes128})
	return nil
}

// opened decrypts the seeds if every MAC is right under one of the keys. The order of the errors is that of [File.Open].
func (r *batchReader) opened(password string) ([]Token, error) {
	k := r.keys[0]
	err := ErrPasswordRequired
	if k.right == 0 && password != "" {
		k, err = r.keys[1], ErrWrongPassword
	}
	if k.wrong != "" && k.right > 0 {
		return nil, fmt.Errorf("%w: MAC of %s", ErrModified, k.wrong)
	}
	for i := range r.tokens {
		if t := &r.tokens[i]; !t.aes128 {
			return nil, fmt.Errorf("%w: token %s", ErrAlgorithm, t.Serial)
		}
	}
	if k.wrong != "" {
		return nil, err
	}
	tokens := make([]Token, len(r.tokens))
	for i := range r.tokens {
		t := &r.tokens[i]
		seed := cryptSeed(k.key, t.name, t.encrypted)
		tokens[i] = t.Token
		tokens[i].Seed = seed[:]
	}
	return tokens, nil
}
