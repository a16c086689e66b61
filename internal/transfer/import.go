package transfer

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
)

// An Import is a file that was sent here.
type Import struct {
	File   func() (io.Reader, error) // begins to read it, more than once
	From   string                    // SignerKey of who must have made it; "" for anybody
	Name   string                    // of the job; "" for one with the time
	DryRun bool
	// Users allows to add the users that tokens come with; without it such a file is refused with [fault.Forbidden].
	Users bool
}

const importKind = "transfer"

// Worker does the jobs that [Deployment.Import] starts.
func (d *Deployment) Worker() job.Worker {
	return job.Worker{Kind: importKind, Right: "manage_tokens", Chunk: together, Forget: true, Do: d.receive}
}

// parameters are those of a job.
type parameters struct {
	From string `json:"from"` // who signed the file
	// Whole says that whoever started it may name users as users of other domains are named, wherever it places them.
	Whole bool `json:"whole,omitempty"`
}

// Import reads and checks a whole file and starts the job that takes its tokens in; its items are their serials. They, and the users whom
// they come with, are placed at the top of the scope of ctx. What is here already stays as it is. [fault.TransferKey] if the file was sealed to another deployment, [fault.TransferSigner] if another one than said made
// it, [fault.TransferFormat] if it is damaged.
func (d *Deployment) Import(ctx context.Context, in Import) (job.Job, error) {
	if in.From = strings.TrimSpace(in.From); in.From != "" {
		if _, is := parseSigner(in.From); !is {
			return job.Job{}, fault.New(fault.Invalid, "this is no key that transfers are signed with: 'tallystick transfer key --signer' shows it where the file comes from")
		}
	}
	p, err := d.pair(ctx)
	if err != nil {
		return job.Job{}, err
	}
	keys, err := age.ParseIdentities(strings.NewReader(p.Private))
	if err != nil {
		return job.Job{}, errors.New("transfer: the deployment's own key cannot be read")
	}
	h, err := open(in.File, keys, func(parcel) bool { return true })
	switch {
	case err != nil:
		return job.Job{}, err
	case h.To != p.Public:
		return job.Job{}, fault.New(fault.TransferKey, "the file was made for another deployment, and sealed anew to this one: have it exported to the key that 'tallystick transfer key' shows here")
	case in.From != "" && h.From != in.From:
		return job.Job{}, fault.New(fault.TransferSigner, "the file was signed by %s and not by the deployment that you named: ask who made it", h.From)
	case h.Users && !in.Users:
		return job.Job{}, fault.New(fault.Forbidden, "the tokens come with their users, and you may not add users")
	}
	about, err := json.Marshal(parameters{h.From, !domain.ScopeFrom(ctx).Caller().Limited()})
	if err != nil {
		return job.Job{}, err
	}
	return d.Jobs.Start(ctx, job.Order{Kind: importKind, Name: in.Name, DryRun: in.DryRun, Parameters: about, Items: items(in.File, keys)})
}

// A parcel is a line of tokens. Its text is good until the next one is read.
type parcel struct {
	serial string
	text   []byte
}

// items are the lines of a file that was checked.
func items(file func() (io.Reader, error), keys []age.Identity) iter.Seq2[job.NewItem, error] {
	return func(yield func(job.NewItem, error) bool) {
		more := true
		_, err := open(file, keys, func(l parcel) bool {
			more = yield(job.NewItem{Key: l.serial, Input: l.text}, nil)
			return more
		})
		if err != nil && more {
			yield(job.NewItem{}, err)
		}
	}
}

// open decrypts a file and reads it to its end.
func open(file func() (io.Reader, error), keys []age.Identity, each func(parcel) bool) (header, error) {
	sealed, err := file()
	if err != nil {
		return header{}, err
	}
	plain, err := age.Decrypt(sealed, keys...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return header{}, fault.New(fault.TransferKey, "the file was sealed to another deployment: have it exported to the key that 'tallystick transfer key' shows here")
	case err != nil:
		return header{}, fault.New(fault.TransferFormat, "this is no transfer, or its beginning is damaged: export it again")
	}
	h, last, digest, err := read(plain, each)
	if err != nil {
		return h, err
	}
	if key, is := parseSigner(h.From); !is || !ed25519.Verify(key, digest, last.Signature) {
		return h, errDamaged
	}
	return h, nil
}

var errDamaged = fault.New(fault.TransferFormat, "the transfer is damaged or cut short: export it again")

// read reads what was sealed and hands each line of tokens on; it ends where each returns false. It returns the first line, the last one,
// and what the signature has to be of.
func read(plain io.Reader, each func(parcel) bool) (h header, last line, digest []byte, err error) {
	source := bufio.NewReader(plain)
	packed, err := gzip.NewReader(source)
	if err != nil {
		return h, last, nil, errDamaged
	}
	packed.Multistream(false)
	in := bufio.NewScanner(packed)
	in.Buffer(make([]byte, 0, longestLine), longestLine)
	if !in.Scan() || json.Unmarshal(in.Bytes(), &h) != nil || h.Format != formatName {
		return h, last, nil, errDamaged
	}
	switch {
	case h.Version > formatVersion:
		return h, last, nil, fault.New(fault.SchemaNewer, "the transfer was made by a newer release: take it in with that one")
	case h.Version < formatVersion:
		return h, last, nil, fault.New(fault.TransferFormat, "the transfer was made by a release that did not sign: export it again with the one of here")
	}
	lines := sha256.New()
	for n := 0; ; n++ {
		lines.Write(in.Bytes())
		lines.Write([]byte("\n"))
		if !in.Scan() {
			return h, last, nil, errDamaged
		}
		var l line
		if json.Unmarshal(in.Bytes(), &l) != nil {
			return h, last, nil, errDamaged
		}
		if l.End != nil {
			if *l.End != n || len(l.Tokens) > 0 || in.Scan() || in.Err() != nil {
				return h, last, nil, errDamaged
			}
			if n, err := io.Copy(io.Discard, source); n > 0 || err != nil { // what age has at its end
				return h, last, nil, errDamaged
			}
			return h, l, signed(lines), nil
		}
		if len(l.Tokens) < 1 || len(l.Tokens) > 2 || n == MaxTokens {
			return h, last, nil, errDamaged
		}
		if !h.Users && slices.ContainsFunc(l.Tokens, func(c carried) bool { return c.User != nil }) {
			return h, last, nil, errDamaged
		}
		for i := range l.Tokens {
			clear(l.Tokens[i].Seed)
		}
		if !each(parcel{l.Tokens[0].Serial, in.Bytes()}) {
			return h, last, nil, errEnough
		}
	}
}

var errEnough = errors.New("transfer: enough is read")

// receive takes the tokens of a chunk in.
func (d *Deployment) receive(ctx context.Context, c job.Chunk) ([]job.Outcome, error) {
	var p parameters
	if err := json.Unmarshal(c.Parameters, &p); err != nil {
		return nil, err
	}
	ctx, err := d.Jobs.Within(ctx, c.Parameters)
	if err != nil {
		return nil, err
	}
	if p.Whole {
		ctx = domain.WithScope(ctx, domain.ScopeFrom(ctx).By(domain.Scope{}))
	}
	groups := make([][]carried, len(c.Items))
	defer func() {
		for _, g := range groups {
			for i := range g {
				clear(g[i].Seed)
			}
		}
	}()
	for i, item := range c.Items {
		var l line
		err := json.Unmarshal(item.Input, &l)
		clear(item.Input)
		if err != nil {
			return nil, fmt.Errorf("the input of item %d cannot be read", item.Number)
		}
		groups[i] = l.Tokens
	}
	return d.takeIn(ctx, groups, p.From)
}
