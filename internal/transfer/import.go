package transfer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"filippo.io/age"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
)

// An Import is a file that was sent here.
type Import struct {
	File   []byte
	Name   string // of the job; "" for one with the time
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
	Domain string `json:"domain"` // that tokens and users are placed in
}

// Import reads and checks a whole file and starts the job that takes its tokens in; its items are their serials. What is here already
// stays as it is. [fault.TransferKey] if the file was sealed to another deployment, [fault.TransferFormat] if it is damaged.
func (d *Deployment) Import(ctx context.Context, in Import) (job.Job, error) {
	p, err := d.pair(ctx)
	if err != nil {
		return job.Job{}, err
	}
	keys, err := age.ParseIdentities(bytes.NewReader([]byte(p.Private)))
	if err != nil {
		return job.Job{}, errors.New("transfer: the deployment's own key cannot be read")
	}
	h, lines, err := open(in.File, keys)
	if err != nil {
		return job.Job{}, err
	}
	defer func() {
		for _, l := range lines {
			clear(l.text)
		}
	}()
	if h.Users && !in.Users {
		return job.Job{}, fault.New(fault.Forbidden, "the tokens come with their users, and you may not add users")
	}
	about, err := json.Marshal(parameters{domain.ScopeFrom(ctx).Top()})
	if err != nil {
		return job.Job{}, err
	}
	return d.Jobs.Start(ctx, job.Order{Kind: importKind, Name: in.Name, DryRun: in.DryRun, Parameters: about, Items: items(lines)})
}

// A parcel is a line that was checked.
type parcel struct {
	serial string
	text   []byte
}

func items(all []parcel) iter.Seq2[job.NewItem, error] {
	return func(yield func(job.NewItem, error) bool) {
		for _, l := range all {
			if !yield(job.NewItem{Key: l.serial, Input: l.text}, nil) {
				return
			}
		}
	}
}

// open decrypts a file and reads it to its end.
func open(file []byte, keys []age.Identity) (header, []parcel, error) {
	plain, err := age.Decrypt(bytes.NewReader(file), keys...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return header{}, nil, fault.New(fault.TransferKey, "the file was sealed to another deployment: have it exported to the key that 'tallystick transfer key' shows here")
	case err != nil:
		return header{}, nil, fault.New(fault.TransferFormat, "this is no transfer, or its beginning is damaged: export it again")
	}
	return read(plain)
}

var errDamaged = fault.New(fault.TransferFormat, "the transfer is damaged or cut short: export it again")

// read reads what was sealed.
func read(plain io.Reader) (h header, all []parcel, err error) {
	source := bufio.NewReader(plain)
	packed, err := gzip.NewReader(source)
	if err != nil {
		return h, nil, errDamaged
	}
	packed.Multistream(false)
	in := bufio.NewScanner(packed)
	in.Buffer(make([]byte, 0, longestLine), longestLine)
	if !in.Scan() || json.Unmarshal(in.Bytes(), &h) != nil || h.Format != formatName {
		return h, nil, errDamaged
	}
	if h.Version != formatVersion {
		return h, nil, fault.New(fault.SchemaNewer, "the transfer was made by a newer release: take it in with that one")
	}
	for in.Scan() {
		var l line
		if json.Unmarshal(in.Bytes(), &l) != nil {
			return h, nil, errDamaged
		}
		if l.End != nil {
			if *l.End != len(all) || in.Scan() || in.Err() != nil {
				return h, nil, errDamaged
			}
			if n, err := io.Copy(io.Discard, source); n > 0 || err != nil { // what age has at its end
				return h, nil, errDamaged
			}
			return h, all, nil
		}
		if len(l.Tokens) < 1 || len(l.Tokens) > 2 || len(all) == MaxTokens {
			return h, nil, errDamaged
		}
		if !h.Users && slices.ContainsFunc(l.Tokens, func(c carried) bool { return c.User != nil }) {
			return h, nil, errDamaged
		}
		for i := range l.Tokens {
			clear(l.Tokens[i].Seed)
		}
		all = append(all, parcel{l.Tokens[0].Serial, bytes.Clone(in.Bytes())})
	}
	return h, nil, errDamaged
}

// receive takes the tokens of a chunk in.
func (d *Deployment) receive(ctx context.Context, c job.Chunk) ([]job.Outcome, error) {
	var p parameters
	if err := json.Unmarshal(c.Parameters, &p); err != nil {
		return nil, err
	}
	if p.Domain != domain.Root {
		var err error
		if ctx, err = d.Domains.Narrow(ctx, p.Domain); err != nil {
			return nil, err
		}
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
	return d.takeIn(ctx, groups)
}
