package distribution

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/uuid"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
)

// newCode draws an activation code.
func newCode(digits int) (ctkip.Code, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil))
	if err != nil {
		return "", err
	}
	return ctkip.Code(fmt.Sprintf("%0*d", digits, n)), nil
}

// hashCode is what is kept of an activation code.
func (d *Distributor) hashCode(c ctkip.Code) []byte { return d.Keys.MAC("activation-code", []byte(c)) }

// offer makes the activation code of a dynamic delivery (section 7.5). The seed comes later. Until then a random one that nobody
// holds stands in for it: the old one gives way to that, at once or when its grace is over, and the token is never without.
func (d *Distributor) offer(ctx context.Context, i *issue) error {
	t := &i.token
	number := t.Next(i.reason != "")
	blank := seed.Generate()
	defer blank.Erase()
	g, err := token.NewGeneration(d.Keys, t.Serial, number, blank, i.settings(), i.now)
	if err != nil {
		return err
	}
	i.succeed(g)
	t.Distribution = token.PendingActivation

	code, err := newCode(i.house.ActivationCodeDigits)
	if err != nil {
		return err
	}
	i.offered = &Offer{
		ID: uuid.Must(uuid.NewV7()).String(), Serial: t.Serial, UserID: i.user.ID, Profile: i.profile.Name,
		CodeHash: d.hashCode(code), Generation: number, Settings: i.settings(), DeviceID: i.DeviceID,
		CreatedAt: i.now, ExpiresAt: i.now.Add(i.profile.ActivationLife), IssuedBy: audit.ActorFrom(ctx).Name,
		State: Open, Correlation: i.job,
	}
	i.out.Generation = number
	i.out.CTKIPURL, i.out.ActivationCode, i.out.ActivationExpires = d.Endpoint, string(code), i.offered.ExpiresAt
	i.out.Link = d.linkText(i.link(), code)
	if i.device.QR {
		i.out.QR = i.out.Link
	}
	return nil
}

// linkText is the link of a dynamic delivery in the form that the app wants (spec/ct-kip.md section 6.3).
func (d *Distributor) linkText(form device.Link, code ctkip.Code) string {
	link := ctkip.Link{URL: d.Endpoint, Code: code}
	switch form {
	case device.LinkAuthenticator:
		return link.Text(ctkip.AuthenticatorScheme)
	case device.LinkLoopback:
		return link.Loopback()
	case device.LinkAsk:
		link.Code = ""
	}
	return link.Text(ctkip.AppScheme)
}

// Limits of activation codes and exchanges (spec/ct-kip.md sections 8.3 and 8.4).
const (
	maxFailures  = 5  // failed exchanges lock a code
	maxAbandoned = 20 // exchanges begun and not finished lock a code
	maxExchanges = 5  // open at once for one code; a further one drops the oldest
)

// usable gives the reason why an offer cannot be used at the moment, or "".
func (d *Distributor) usable(o Offer) fault.Code {
	switch {
	case o.State == Used:
		return fault.ActivationUsed
	case o.State == Revoked:
		return fault.ActivationRevoked
	case o.State == Locked:
		return fault.ActivationLocked
	case !d.Now().Before(o.ExpiresAt):
		return fault.ActivationExpired
	}
	return ""
}

// refuse records why an activation failed and gives the refusal that every such failure looks like to the app.
func (d *Distributor) refuse(ctx context.Context, o Offer, why fault.Code) error {
	var err error
	switch {
	case o.Serial != "":
		err = d.recordRefusal(audit.WithCorrelation(ctx, o.Correlation), "token:"+o.Serial, why, audit.Details{"user": o.UserID})
	case d.unknown.Takes(d.Now()):
		err = d.recordRefusal(ctx, unknownActivation, why, nil)
	}
	if err != nil {
		return err
	}
	return &fault.Error{Code: fault.ActivationRefused, Message: "the activation code was refused: ask for a new one", Details: map[string]any{"why": why}}
}

func (d *Distributor) recordRefusal(ctx context.Context, object string, why fault.Code, details audit.Details) error {
	return d.Store.Transact(ctx, func(ctx context.Context) error {
		return d.Store.Record(ctx, audit.New(ctx, d.Now(), "dist.activate", object, details).Failed(string(why)))
	})
}

// unknownActivation is the object of events about codes that do not exist. Beyond a [throttle.Sample] of them, [Distributor.CleanUp] records how
// many there were.
const unknownActivation = "activation:unknown"

// offerOf finds the offer of a code and tells why it cannot be used, if so.
func (d *Distributor) offerOf(ctx context.Context, code ctkip.Code) (Offer, fault.Code, error) {
	o, err := d.Store.OfferByCode(ctx, d.hashCode(code))
	return d.judge(o, err)
}

// lockOffer reads an offer again that was seen without a lock. The token is locked before its code, as whoever takes it from
// its user does: the two would wait for each other in a ring.
func (d *Distributor) lockOffer(ctx context.Context, seen Offer) (Offer, fault.Code, error) {
	if _, err := d.Store.Token(ctx, seen.Serial); err != nil && !errors.Is(err, fault.TokenNotFound) {
		return Offer{}, "", err
	}
	o, err := d.Store.Offer(ctx, seen.ID)
	return d.judge(o, err)
}

func (d *Distributor) judge(o Offer, err error) (Offer, fault.Code, error) {
	if errors.Is(err, fault.ActivationUnknown) {
		return Offer{}, fault.ActivationUnknown, nil
	}
	if err != nil {
		return Offer{}, "", err
	}
	return o, d.usable(o), nil
}
