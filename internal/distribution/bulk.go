package distribution

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/token"
)

// The kinds of jobs that deliver tokens.
const (
	DistributeJob   = "distribute"
	RedistributeJob = "redistribute"
)

// A Bulk says how many tokens are delivered by one job (section 7.6). It is the job's parameters.
type Bulk struct {
	Profile    string             `json:"profile"`
	Method     device.Method      `json:"method"` // the profile's, when the job was started
	Protection profile.Protection `json:"protection,omitempty"`
	Password   string             `json:"password,omitempty"` // of every delivery
	// Individual makes a random password for each delivery, for a list of its own.
	Individual bool               `json:"individual,omitempty"`
	Nickname   string             `json:"nickname,omitempty"`
	SwitchOver profile.SwitchOver `json:"switch_over,omitempty"`
	Grace      time.Duration      `json:"grace"`            // below 0 for the profile's
	Reason     Reason             `json:"reason,omitempty"` // of a redistribution
	Note       string             `json:"note,omitempty"`
	SameDevice bool               `json:"same_device,omitempty"` // device IDs that are known hold, whatever the reason
	Mail       bool               `json:"mail,omitempty"`        // to the address of each user
	SecretBy   string             `json:"secret_by,omitempty"`   // how passwords and activation codes go then: by hand, or by mail in messages of their own, at once or after a sign-in
	// While are the states that the tokens were selected by: one that has left them when its turn comes is not delivered. nil for any.
	While []token.Distribution `json:"while,omitempty"`
	// Inputs says that each item has an input, since [Item] made it: one without has lost the device that it is bound to.
	Inputs bool `json:"inputs,omitempty"`
}

// bulkChunk is how many tokens one transaction delivers: the database is held for some hundredths of a second.
const bulkChunk = 250

// Workers do the jobs that deliver tokens.
func (d *Distributor) Workers() []job.Worker {
	return []job.Worker{
		{Kind: DistributeJob, Right: "distribute", FourEyes: true, Chunk: bulkChunk, Forget: true, Prepare: d.Prepare, Do: d.deliverChunk},
		{Kind: RedistributeJob, Right: "redistribute", FourEyes: true, Chunk: bulkChunk, Forget: true, Prepare: d.Prepare, Do: d.deliverChunk},
		{Kind: CutOffJob, Right: "redistribute", Chunk: bulkChunk, Do: d.cutOffChunk},
	}
}

// Order is the order of a job that delivers tokens; it refuses at once what would be refused for every one of them. The job is a
// redistribution if it has a reason. Its items are still to be given, each by [Item].
func (d *Distributor) Order(ctx context.Context, b Bulk) (job.Order, error) {
	p, err := d.Store.ReadProfile(ctx, b.Profile)
	if err != nil {
		return job.Order{}, err
	}
	b.Method, b.Inputs = p.Method, true
	o := job.Order{Kind: DistributeJob, Name: job.DefaultName(p.Name, d.Now())}
	if b.Reason != "" {
		o.Kind = RedistributeJob
		if err := b.Reason.check(b.Note); err != nil {
			return job.Order{}, err
		}
	}
	how := b.Protection
	if how == "" {
		how = p.Protection
	}
	switch {
	case p.Method == device.CTKIP && (b.Password != "" || b.Individual || b.Protection != ""):
		return job.Order{}, fault.New(fault.Invalid, "dynamic provisioning takes no password: the seed is not in the delivery")
	case b.Individual && b.Password != "":
		return job.Order{}, fault.New(fault.Invalid, "the deliveries have one password or individual ones, not both")
	case (b.Individual || b.Password != "") && (how == profile.NoPassword || how == profile.UserID):
		return job.Order{}, fault.New(fault.Invalid, "protection %s takes no passwords: leave them out, or ask for protection %s or %s", how, profile.Password, profile.UserIDPassword)
	case p.Method != device.CTKIP && !b.Individual && b.Password == "" && (how == profile.Password || how == profile.UserIDPassword):
		return job.Order{}, fault.New(fault.PasswordRequired, "these deliveries are locked with passwords: give one, or ask for individual ones")
	case b.Password != "" && utf8.RuneCountInString(b.Password) < minPassword:
		return job.Order{}, fault.New(fault.PasswordTooWeak, "a delivery password takes at least %d characters", minPassword)
	}
	if err := checkSwitchOver(b.SwitchOver, b.Grace, p); err != nil {
		return job.Order{}, err
	}
	if err := d.checkPost(ctx, b); err != nil {
		return job.Order{}, err
	}
	o.About = b.about(p)
	o.Parameters, err = json.Marshal(b) //nolint:gosec // parameters of jobs are sealed
	return o, err
}

// about says what the job does, for whoever is to approve it: all but the password.
func (b Bulk) about(p profile.Profile) string {
	words := []string{"profile " + p.Name, "method " + string(p.Method)}
	say := func(name, value string) {
		if value != "" {
			words = append(words, name+" "+value)
		}
	}
	say("protection", string(b.Protection))
	switch {
	case b.Individual:
		say("passwords", "individual")
	case b.Password != "":
		say("passwords", "one for all")
	}
	say("nickname", b.Nickname)
	say("reason", string(b.Reason))
	say("note", b.Note)
	say("switch-over", string(b.SwitchOver))
	if b.Grace >= 0 {
		say("grace", b.Grace.String())
	}
	if b.Mail {
		say("mail", "yes")
		say("secret by", b.SecretBy)
	}
	return strings.Join(words, "; ")
}

// deliverChunk delivers the tokens of a chunk.
func (d *Distributor) deliverChunk(ctx context.Context, c job.Chunk) ([]job.Outcome, error) {
	b, err := readBulk(c.Parameters)
	if err != nil {
		return nil, err
	}
	requests := make([]Request, len(c.Items))
	for i, item := range c.Items {
		if b.Inputs && len(item.Input) == 0 {
			return nil, fault.New(fault.JobExpired, "which device token %s goes to, if any, was destroyed with the results of the job: start another job", item.Key)
		}
		in, err := readItem(item.Input)
		if err != nil {
			return nil, err
		}
		requests[i] = Request{
			Serial: item.Key, Profile: b.Profile, Password: b.Password, Protection: b.Protection, Nickname: b.Nickname,
			SwitchOver: b.SwitchOver, Grace: b.Grace, individual: b.Individual, mailed: b.Mail,
			DeviceID: in.DeviceID, sameDevice: b.SameDevice, seen: in.Seen, while: b.While,
		}
	}
	if changed, err := d.changed(ctx, b); err != nil {
		return nil, err
	} else if changed != nil {
		outcomes := make([]job.Outcome, len(c.Items))
		for i := range outcomes {
			outcomes[i].Err = changed
		}
		return outcomes, nil
	}
	made, err := d.issueAll(ctx, run{now: d.Now().UTC(), job: c.Job.ID, reason: b.Reason, note: b.Note, many: true}, requests)
	if err != nil {
		return nil, err
	}
	if b.Mail {
		if err := d.send(ctx, b, made); err != nil {
			return nil, err
		}
	}
	outcomes := make([]job.Outcome, len(made))
	for i, m := range made {
		o := &outcomes[i]
		if o.Err = m.Err; m.Err != nil {
			continue
		}
		if o.Code = m.Warning; o.Code != "" && len(m.Warnings) > 0 {
			o.Message = m.Warnings[0]
		}
		o.Generation = m.Generation
		if o.Result, err = m.result(b.Profile); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// changed is the refusal of what a job would deliver by a profile that is gone, or by another method than it began with: what it leaves is of one method,
// and so is what was checked when it was started. nil while the profile is as it was.
func (d *Distributor) changed(ctx context.Context, b Bulk) (refusal, err error) {
	p, err := d.Store.ReadProfile(ctx, b.Profile)
	if errors.Is(err, fault.ProfileNotFound) { // of all of them: nobody has to do them one by one
		return fault.New(fault.ProfileNotFound, "profile %s was deleted since the job was started: start another job, by the one that succeeds it", b.Profile), nil
	}
	if err == nil && p.Method != b.Method {
		refusal = fault.New(fault.Conflict, "profile %s delivers by %s since the job was started, and not by %s any more: start another job", b.Profile, p.Method, b.Method)
	}
	return refusal, err
}

func readBulk(parameters []byte) (b Bulk, err error) {
	if len(parameters) == 0 {
		return b, fault.New(fault.JobExpired, "what the job works with is destroyed: start another one")
	}
	err = json.Unmarshal(parameters, &b)
	return b, err
}

// passwordLetters are those of individual passwords: none that is taken for another on paper, and no letter that needs the shift key.
const passwordLetters = "abcdefghijkmnpqrstuvwxyz23456789"

// passwordLength makes 60 bits; no reader of a locked delivery slows guessing down.
const passwordLength = 12

// newPassword draws an individual password.
func newPassword(length int) (string, error) {
	letters := make([]byte, length)
	for i := range letters {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(passwordLetters))))
		if err != nil {
			return "", err
		}
		letters[i] = passwordLetters[n.Int64()]
	}
	return string(letters), nil
}

// A Delivered is what a job keeps of one delivery until it is handed out. It is as secret as the delivery.
type Delivered struct {
	Serial     string        `json:"serial"`
	UserID     string        `json:"user_id"`
	UserName   string        `json:"user_name,omitempty"`
	Profile    string        `json:"profile"`
	Method     device.Method `json:"method"`
	Generation int           `json:"generation"`
	Password   string        `json:"password,omitempty"` // what is typed, if it has a password of its own

	FileName string `json:"file_name,omitempty"`
	File     []byte `json:"-"`

	CTF               string    `json:"ctf,omitempty"`
	CTFURL            string    `json:"ctf_url,omitempty"`
	CTKIPURL          string    `json:"ctkip_url,omitempty"`
	Link              string    `json:"link,omitempty"`
	ActivationCode    string    `json:"activation_code,omitempty"`
	ActivationExpires time.Time `json:"activation_expires,omitzero"`
	QR                string    `json:"qr,omitempty"`
}

// result is what is kept of a delivery: a line of JSON, and after it the file as it is.
func (m Made) result(profile string) ([]byte, error) {
	line, err := json.Marshal(Delivered{ //nolint:gosec // results of jobs are sealed
		Serial: m.Serial, UserID: m.UserID, UserName: m.UserName, Profile: profile, Method: m.Method, Generation: m.Generation, Password: m.Password,
		FileName: m.FileName, CTF: m.CTF, CTFURL: m.CTFURL, CTKIPURL: m.CTKIPURL, Link: m.Link,
		ActivationCode: m.ActivationCode, ActivationExpires: m.ActivationExpires, QR: m.QR,
	})
	if err != nil {
		return nil, err
	}
	return append(append(line, '\n'), m.File...), nil
}

// readDelivered reads what result made.
func readDelivered(kept []byte) (Delivered, error) {
	line, file, found := bytes.Cut(kept, []byte("\n"))
	var r Delivered
	if !found {
		return r, errors.New("distribution: what was kept of a delivery cannot be read")
	}
	err := json.Unmarshal(line, &r)
	r.File = file
	return r, err
}
