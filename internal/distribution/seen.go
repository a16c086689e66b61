package distribution

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/token"
)

// An input is what an item of a job that delivers takes beyond its serial.
type input struct {
	DeviceID string      `json:"device_id,omitempty"` // that the delivery is bound to
	Seen     *token.Seen `json:"seen,omitempty"`      // the token when the job was made
}

// inputMark begins an input. The release before kept the bare device ID, which begins with a letter or digit, and its jobs go on.
const inputMark = '\n'

// Item is the item of a job that delivers a token: bound to a device, unless deviceID is "", and only if the token is then as it was seen.
func Item(c token.Chosen, deviceID string) (job.NewItem, error) {
	document, err := json.Marshal(input{deviceID, c.Seen})
	return job.NewItem{Key: c.Serial, Input: append([]byte{inputMark}, document...)}, err
}

// readItem reads the input that Item made.
func readItem(kept []byte) (in input, err error) {
	document, marked := bytes.CutPrefix(kept, []byte{inputMark})
	if !marked {
		return input{DeviceID: string(kept)}, nil
	}
	err = json.Unmarshal(document, &in)
	return in, err
}

// asSeen refuses a token that is not any more what its job was started for (section 7.6): hours or days may lie between, in which others deliver, too, and
// another delivery would end the seed of theirs without a word. An item that the job itself has delivered does not come here again: it is done in the
// transaction that delivers.
func (i *issue) asSeen() error {
	t, changed := &i.token, i.seen != nil && i.token.IssueCount != i.seen.Issues
	switch {
	case changed && !t.DistributedAt.IsZero():
		return fault.New(fault.Conflict, "token %s was delivered on %s, after this job was started, and another delivery would end that seed: leave it, or start another job for it",
			i.Serial, minute(t.DistributedAt))
	case changed:
		return fault.New(fault.Conflict, "token %s was delivered, or imported again, after this job was started: look at it, and start another job for it", i.Serial)
	case i.seen != nil && i.seen.UserID != "" && i.seen.UserID != t.UserID:
		return fault.New(fault.Conflict, "token %s belongs to another user than when this job was started: start another job for it", i.Serial)
	case i.seen != nil && i.reason != LostDevice && t.Lost() && !t.LostAt.Equal(i.seen.LostAt):
		return fault.New(fault.Conflict, "token %s was reported lost on %s, after this job was started, and its delivery might come to the lost device: look at it, and start another job for it",
			i.Serial, minute(t.LostAt))
	case len(i.while) == 0 || slices.Contains(i.while, t.Distribution):
		return nil
	case t.Distribution == token.Confirmed:
		return fault.New(fault.Conflict, "the user of token %s has come to use what was delivered before, after this job was started, and another delivery would end that seed: leave it, or start another job for it", i.Serial)
	}
	return fault.New(fault.Conflict, "token %s is %s now, and this job is for tokens that are %v: start another job for it", i.Serial, t.Distribution, i.while)
}

// minute is a time as messages tell it.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
