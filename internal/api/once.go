package api

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/seed"
)

// once runs a handler for an idempotency key: the first time in a transaction that also keeps the
// answer, sealed, since it may hold a seed; after that the kept answer is given again. A
// refusal changes nothing and is not kept, so that the same key may try again.
func (a *API) once(ctx context.Context, r *request, key string, do handler) (answer, error) {
	k := a.keptUnder(ctx, r, key)
	var out answer
	// Most answers need the policies. What is read of them here is remembered for all, and what a transaction reads is not.
	if _, err := a.Policies.Current(ctx); err != nil {
		return answer{}, err
	}
	err := a.Store.Transact(ctx, func(ctx context.Context) error {
		kept, err := k.find(ctx)
		if err == nil {
			out = kept
			return nil
		}
		if !errors.Is(err, fault.NotFound) {
			return err
		}
		if out, err = do(ctx, r); err != nil {
			return err
		}
		return k.keep(ctx, out)
	})
	if err == nil || errors.Is(err, fault.KeyReused) {
		return out, err
	}
	// The same request may have come twice at once, and what the other one did is why this one
	// failed: a key that is taken, a user who exists by now.
	if kept, again := k.find(ctx); again == nil || errors.Is(again, fault.KeyReused) {
		return kept, again
	}
	return answer{}, err
}

// jobOnce is once for a handler that starts a job, in transactions of its own: its items may be many, and nobody shall wait for all of them. The
// answer is kept in the last one, which starts it.
func (a *API) jobOnce(ctx context.Context, r *request, key string, do handler) (answer, error) {
	k := a.keptUnder(ctx, r, key)
	if kept, err := k.find(ctx); !errors.Is(err, fault.NotFound) {
		return kept, err
	}
	var out answer
	_, err := do(job.Along(ctx, func(ctx context.Context, j job.Job) error {
		var err error
		if out, err = a.startedJob(j, nil); err != nil {
			return err
		}
		return k.keep(ctx, out)
	}), r)
	if err == nil {
		return out, nil
	}
	if kept, again := k.find(ctx); again == nil || errors.Is(again, fault.KeyReused) { // as for once
		return kept, again
	}
	return answer{}, err
}

// kept is the place of one answer.
type kept struct {
	*API
	caller, key string
	request     []byte // keyed hash of the request: a plain one would let passwords be guessed
}

func (a *API) keptUnder(ctx context.Context, r *request, key string) kept {
	return kept{a, audit.ActorFrom(ctx).Caller(), key, a.Keyring.MAC("idempotent-request",
		[]byte(r.Method), []byte(r.URL.RequestURI()), []byte(r.Header.Get("If-Match")), r.body)}
}

// binding seals the answer to its key; the store builds the same one when data keys are rotated.
func (k kept) binding() seed.Binding { return seed.ReplyTo(k.caller + "/" + k.key) }

// find returns the answer that was kept; [fault.NotFound] if there is none, [fault.KeyReused] if it answers another request.
func (k kept) find(ctx context.Context) (answer, error) {
	request, sealed, err := k.Store.KeptReply(ctx, k.caller, k.key)
	if err != nil {
		return answer{}, err
	}
	if string(request) != string(k.request) {
		return answer{}, fault.New(fault.KeyReused, "this idempotency key was used for another request: take a new one for each")
	}
	if len(sealed.Blob) == 0 {
		return answer{}, fault.New(fault.Conflict, "what this request was answered is destroyed: the token has got another seed since, or is gone")
	}
	plain, err := k.Keyring.Open(ctx, sealed, k.binding())
	if err != nil {
		return answer{}, err
	}
	defer clear(plain)
	var out answer
	err = json.Unmarshal(plain, &out)
	return out, err
}

func (k kept) keep(ctx context.Context, out answer) error {
	plain, err := json.Marshal(out)
	if err != nil {
		return err
	}
	defer clear(plain)
	sealed, err := k.Keyring.Seal(plain, k.binding())
	if err != nil {
		return err
	}
	return k.Store.KeepReply(ctx, k.caller, k.key, k.request, out.serial, out.generation, sealed, k.Now())
}
