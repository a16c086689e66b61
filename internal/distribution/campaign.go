package distribution

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/token"
)

// A Campaign is how far the tokens have come that a job delivered (section 8): each counts once.
type Campaign struct {
	Moved          int // the new seed was used, or its exchange is done
	OldSeedLives   int // not moved yet: the old seed works until the new one is used, or until its grace is over
	NotMoved       int // not moved yet, and nothing works but the new seed
	DeliveredAgain int // something else was delivered since
	Gone           int // deleted, or taken from the user, or moved out of the security domain of who asks
	// FirstEnd and LastEnd are when the grace of the old seeds ends that still live; zero if none does.
	FirstEnd, LastEnd time.Time
}

// Campaign tells how far the tokens of a job have come; [fault.NotFound] for a job that delivers nothing.
func (r *Results) Campaign(ctx context.Context, j job.Job) (Campaign, error) {
	if err := delivers(j); err != nil {
		return Campaign{}, err
	}
	return r.Distributor.Store.Campaign(ctx, j.ID, r.Distributor.Now())
}

func delivers(j job.Job) error {
	if j.Kind != DistributeJob && j.Kind != RedistributeJob || j.DryRun {
		return fault.New(fault.NotFound, "this job delivers nothing")
	}
	return nil
}

// OfferAgain is the order of the job that delivers again, in the same way, what another one delivered: to those who have not moved yet, whose
// serials are still to be given. An old seed that lives goes on living. [fault.JobExpired] if how it was done is not known any more.
func (r *Results) OfferAgain(ctx context.Context, j job.Job) (job.Order, error) {
	if err := delivers(j); err != nil {
		return job.Order{}, err
	}
	parameters, err := r.Jobs.Parameters(ctx, j)
	if err != nil {
		return job.Order{}, err
	}
	defer clear(parameters)
	if len(parameters) == 0 {
		return job.Order{}, fault.New(fault.JobExpired, "how this job delivered was destroyed with its results: deliver again by 'tallystick token redistribute --select not-moved:%s --reason NOT_RECEIVED' with the profile and "+
			"the options that it had", j.ID) // and not its name, of which a shell might run a part
	}
	b, err := readBulk(parameters)
	if err != nil {
		return job.Order{}, err
	}
	b.SameDevice, b.While = true, token.Unseen()
	if b.Method != device.CTKIP || b.Reason != "" {
		b.Reason, b.Note = NotReceived, ""
	}
	return r.Distributor.Order(ctx, b)
}

// CutOffJob is the kind of job that ends old seeds before their grace is over.
const CutOffJob = "cut_off"

// CutOff is the order of a job that ends the old seeds of tokens at once; its items are still to be given.
func (d *Distributor) CutOff(why string) (job.Order, error) {
	if len(why) > 1024 {
		return job.Order{}, fault.New(fault.Invalid, "a note takes up to 1024 bytes")
	}
	parameters, err := json.Marshal(why)
	return job.Order{Kind: CutOffJob, Name: job.DefaultName("cut off", d.Now()), Parameters: parameters}, err
}

// cutOffChunk ends the old seeds of the tokens of a chunk. A token that has none is done already.
func (d *Distributor) cutOffChunk(ctx context.Context, c job.Chunk) ([]job.Outcome, error) {
	var why string
	if err := json.Unmarshal(c.Parameters, &why); err != nil {
		return nil, err
	}
	serials, seen := make([]string, len(c.Items)), make([]*token.Seen, len(c.Items))
	for i, item := range c.Items {
		in, err := readItem(item.Input)
		if err != nil {
			return nil, err
		}
		serials[i], seen[i] = item.Key, in.Seen
	}
	locked, err := d.Store.LockTokens(ctx, serials)
	if err != nil {
		return nil, err
	}
	outside, err := token.HeldOutside(ctx, d.Store, locked...)
	if err != nil {
		return nil, err
	}
	found := make(map[string]token.Token, len(locked))
	for _, t := range locked {
		found[t.Serial] = t
	}
	outcomes := make([]job.Outcome, len(c.Items))
	var changed []token.Token
	var events []audit.Event
	for i, serial := range serials {
		t, known := found[serial]
		switch {
		case !known:
			outcomes[i].Err = domain.Outside(ctx, fault.New(fault.TokenNotFound, "there is no token %s", serial), "token %s", serial)
		case outside[serial] != nil:
			outcomes[i].Err = outside[serial]
		case seen[i] != nil && seen[i].Issues != t.IssueCount:
			outcomes[i].Err = fault.New(fault.Conflict, "token %s was delivered again after this job was started, with a grace of its own: leave it, or start another job for it", serial)
		case !t.SwitchOver():
			outcomes[i].Message = "there was no old seed any more"
		default:
			changed = append(changed, t)
			details := audit.Details{"user": t.UserID, "generation": t.Current.Number, "because": "cut off"}
			if why != "" {
				details["note"] = why
			}
			events = append(events, audit.New(ctx, d.Now(), "redist.complete", "token:"+serial, details))
		}
	}
	if len(changed) == 0 {
		return outcomes, nil
	}
	if err := d.Store.SaveTokens(ctx, changed); err != nil {
		return nil, err
	}
	return outcomes, d.Store.RecordAll(ctx, events)
}
