package distribution

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/token"
)

// rsaDialect is the one dialect whose exchanges are served.
const rsaDialect = "rsa"

// Times of an exchange (spec/ct-kip.md section 8.4).
const (
	exchangeLife = 10 * time.Minute
	repeatWithin = 2 * time.Minute // a lost answer may be sent again so long
)

// ErrAborted: the exchange cannot go on, for a reason that the app is not told.
var ErrAborted = errors.New("distribution: the exchange is aborted")

// Begin opens an exchange for an activation code (ClientHello) and returns the answer. A refused
// code is [fault.ActivationRefused], whatever is wrong with it. The code stays good.
func (d *Distributor) Begin(ctx context.Context, m *ctkip.Message) ([]byte, error) {
	keyID, key, err := d.server.current(ctx, d)
	if err != nil {
		return nil, err
	}
	sid, err := ctkip.NewSessionID(nil)
	if err != nil {
		return nil, err
	}
	nonce, err := ctkip.NewNonce(nil)
	if err != nil {
		return nil, err
	}
	seen, why, err := d.offerOf(ctx, m.Code)
	if err != nil {
		return nil, err
	}
	if why != "" {
		return nil, d.refuse(ctx, seen, why)
	}
	err = d.Store.Transact(ctx, func(ctx context.Context) error {
		o, refused, err := d.lockOffer(ctx, seen)
		if why = refused; err != nil || why != "" {
			return err
		}
		if why, err = d.distributable(ctx, o, m.Device.SerialNumber); err != nil || why != "" {
			return err
		}
		if o.Abandoned > maxAbandoned {
			o.State, why = Locked, fault.ActivationLocked
		}
		o.Abandoned++ // until it is finished
		if err := d.Store.SaveOffer(ctx, o); err != nil || why != "" {
			return err
		}
		_, err = d.Store.AddExchange(ctx, Exchange{
			ID: d.hashSession(sid), OfferID: o.ID, Dialect: rsaDialect, Nonce: nonce[:], KeyID: keyID,
			DeviceID: m.Device.SerialNumber, BegunAt: d.Now().UTC(),
		}, maxExchanges)
		return err
	})
	if err != nil {
		return nil, err
	}
	if why != "" {
		return nil, d.refuse(ctx, seen, why)
	}
	return m.ServerHello(sid, &key.PublicKey, nonce), nil
}

// Begun tells whether a request (ClientNonce) goes on with an exchange that was begun with its code. It changes nothing.
func (d *Distributor) Begun(ctx context.Context, m *ctkip.Message) (bool, error) {
	x, err := d.Store.Exchange(ctx, d.hashSession(m.SessionID))
	if errors.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	o, err := d.Store.Offer(ctx, x.OfferID)
	if errors.Is(err, fault.ActivationUnknown) {
		return false, nil
	}
	return err == nil && subtle.ConstantTimeCompare(o.CodeHash, d.hashCode(m.Code)) == 1, err
}

// hashSession is what is kept of a session ID.
func (d *Distributor) hashSession(sid string) []byte { return d.Keys.MAC("ctkip-session", []byte(sid)) }

// distributable tells why the token of an offer cannot be provisioned any more, or to this device.
func (d *Distributor) distributable(ctx context.Context, o Offer, deviceID string) (fault.Code, error) {
	t, err := d.Store.Token(ctx, o.Serial)
	if err != nil {
		return "", err
	}
	u, err := d.Store.User(ctx, o.UserID)
	if err != nil {
		return "", err
	}
	switch {
	case t.UserID != o.UserID || !u.MayAuthenticate(d.Now()) || t.ExpiredAt(d.Now()):
		return fault.NotDistributable, nil
	case o.DeviceID != "" && deviceID != "" && !device.SameID(o.DeviceID, deviceID):
		return fault.DeviceMismatch, nil
	}
	return "", nil
}

// Finish completes an exchange (ClientNonce) and returns the answer; body is the request
// as it came, to recognise its repetition. [fault.ActivationRefused] for a refused code,
// [ErrAborted] for anything else that is wrong with the request. With a nil error the
// token has its new seed and the code is used up.
func (d *Distributor) Finish(ctx context.Context, m *ctkip.Message, body []byte) ([]byte, error) {
	digest := sha256.Sum256(body)
	x, o, reply, err := d.claim(ctx, m, digest[:])
	if err != nil || reply != nil {
		return reply, err
	}
	ctx = audit.WithCorrelation(ctx, o.Correlation)
	clientNonce, err := d.clientNonce(ctx, m, x)
	if errors.Is(err, ErrAborted) {
		return nil, d.fail(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	return d.establish(ctx, m, x, o, clientNonce)
}

// Discard ends the exchange of a request that could be read but not served. With a nil error there was one; the refusals
// are those of Finish. The code is not charged with it: only what was decrypted in vain, or might have been, counts.
func (d *Distributor) Discard(ctx context.Context, m *ctkip.Message, body []byte) error {
	digest := sha256.Sum256(body)
	_, o, _, err := d.claim(ctx, m, digest[:])
	if err != nil {
		return err
	}
	ctx = audit.WithCorrelation(ctx, o.Correlation)
	return d.Store.Transact(ctx, func(ctx context.Context) error { return d.failed(ctx, o) })
}

// claim marks the exchange of a request as used, before any cryptography, so that a session sees one
// decryption. If the request is the repetition of one that was answered, it gives that answer again.
func (d *Distributor) claim(ctx context.Context, m *ctkip.Message, digest []byte) (Exchange, Offer, []byte, error) {
	var x Exchange
	var o Offer
	var why fault.Code
	var reply []byte
	aborted := false
	err := d.Store.Transact(ctx, func(ctx context.Context) error {
		var err error
		reply, aborted = nil, false
		if o, why, err = d.offerOf(ctx, m.Code); err != nil || why == fault.ActivationUnknown {
			return err
		}
		x, err = d.Store.Exchange(ctx, d.hashSession(m.SessionID))
		if errors.Is(err, fault.NotFound) {
			aborted = true
			return nil
		}
		if err != nil {
			return err
		}
		now := d.Now().UTC()
		if x.OfferID != o.ID || x.Dialect != rsaDialect || x.UsedAt.IsZero() && now.Sub(x.BegunAt) >= exchangeLife {
			aborted = true
			return nil
		}
		if !x.UsedAt.IsZero() {
			aborted = true
			if len(x.Reply.Blob) > 0 && subtle.ConstantTimeCompare(x.Request, digest) == 1 && now.Sub(x.RepliedAt) < repeatWithin {
				reply, err = d.Keys.Open(ctx, x.Reply, replyBinding(x))
				aborted, why = false, ""
			}
			return err
		}
		if why != "" {
			return nil //nolint:nilerr // why is told when the transaction is done
		}
		x.UsedAt, x.Request = now, digest
		return d.Store.SaveExchange(ctx, x)
	})
	switch {
	case err != nil:
		return x, o, nil, err
	case why != "":
		return x, o, nil, d.refuse(ctx, o, why)
	case aborted:
		return x, o, nil, ErrAborted
	}
	return x, o, reply, nil
}

func replyBinding(x Exchange) seed.Binding { return seed.OfExchange(x.ID) }

// clientNonce checks the echo of our nonce and decrypts the client's. Every failure is [ErrAborted].
func (d *Distributor) clientNonce(ctx context.Context, m *ctkip.Message, x Exchange) (ctkip.Nonce, error) {
	key, err := d.server.byID(ctx, d, x.KeyID)
	if err != nil {
		return ctkip.Nonce{}, err
	}
	if len(m.EncryptedNonce) == 0 || !m.Echoes(ctkip.Nonce(x.Nonce)) {
		return ctkip.Nonce{}, ErrAborted
	}
	nonce, err := ctkip.Decrypt(key, m.EncryptedNonce)
	if err != nil {
		return ctkip.Nonce{}, ErrAborted
	}
	return nonce, nil
}

// fail counts a failed exchange against its code, and gives [ErrAborted].
func (d *Distributor) fail(ctx context.Context, o Offer) error {
	err := d.Store.Transact(ctx, func(ctx context.Context) error {
		now, err := d.Store.Offer(ctx, o.ID)
		if err != nil {
			return err
		}
		now.Failures++
		now.Abandoned-- // it was ended
		if now.Failures >= maxFailures && now.State == Open {
			now.State = Locked
		}
		if err := d.Store.SaveOffer(ctx, now); err != nil {
			return err
		}
		return d.failed(ctx, now)
	})
	if err != nil {
		return err
	}
	return ErrAborted
}

// failed records a failed exchange.
func (d *Distributor) failed(ctx context.Context, o Offer) error {
	return d.Store.Record(ctx, audit.New(ctx, d.Now(), "dist.activate", "token:"+o.Serial,
		audit.Details{"user": o.UserID, "failures": o.Failures, "locked": o.State == Locked}).Failed("PROTOCOL_ERROR"))
}

// establish gives the token the seed that both sides derived and uses up the code, in one transaction, of
// which for one code only one can win.
func (d *Distributor) establish(ctx context.Context, m *ctkip.Message, x Exchange, seen Offer, clientNonce ctkip.Nonce) ([]byte, error) {
	key, err := d.server.byID(ctx, d, x.KeyID)
	if err != nil {
		return nil, err
	}
	raw, mac := ctkip.Derive(&key.PublicKey, clientNonce, ctkip.Nonce(x.Nonce))
	s := seed.New(raw)
	clear(raw)
	defer s.Erase()

	var reply []byte
	var why fault.Code
	err = d.Store.Transact(ctx, func(ctx context.Context) error {
		o, refused, err := d.lockOffer(ctx, seen)
		if why = refused; err != nil || why != "" {
			return err
		}
		if why, err = d.distributable(ctx, o, x.DeviceID); err != nil || why != "" {
			return err
		}
		t, err := d.install(ctx, o, s)
		if err != nil {
			return err
		}
		reply, err = m.ServerFinished(ctkip.Finished{
			Serial: t.Serial, Expiry: t.Expiry, Service: d.Service, UserID: o.UserID,
			Digits: o.Settings.Digits, Interval: o.Settings.Interval,
			AddPIN: o.Settings.PINType == device.PINPad, MAC: mac, SessionID: m.SessionID,
		})
		if err != nil {
			return err
		}
		return d.conclude(ctx, o, x, reply, m.Device)
	})
	if err != nil {
		return nil, err
	}
	if why != "" {
		return nil, d.refuse(ctx, seen, why)
	}
	return reply, nil
}

// install makes the derived seed the token's current one; the old seed, if it still lived, is gone.
func (d *Distributor) install(ctx context.Context, o Offer, s seed.Seed) (token.Token, error) {
	t, err := d.Store.Token(ctx, o.Serial)
	if err != nil {
		return t, err
	}
	g, err := token.NewGeneration(d.Keys, t.Serial, o.Generation, s, o.Settings, d.Now())
	if err != nil {
		return t, err
	}
	g.Delivered = true
	waited := t.Pending != nil // else the old one gave way when the code was made
	t.Replace(g)
	t.Expiry = t.EffectiveExpiry // the app learns of an extension
	t.Distribution, t.ConfirmedAt = token.Confirmed, d.Now().UTC()
	if err := d.Store.SaveToken(ctx, t); err != nil || !waited {
		return t, err
	}
	return t, d.Store.Record(ctx, audit.New(ctx, d.Now(), "redist.complete", "token:"+t.Serial, audit.Details{"user": t.UserID, "generation": t.Current.Number, "because": "activated"}))
}

// conclude uses up the code and keeps the answer for as long as it may have to be repeated.
func (d *Distributor) conclude(ctx context.Context, o Offer, x Exchange, reply []byte, app ctkip.Device) error {
	o.State = Used
	o.Abandoned--
	if err := d.Store.SaveOffer(ctx, o); err != nil {
		return err
	}
	sealed, err := d.Keys.Seal(reply, replyBinding(x))
	if err != nil {
		return err
	}
	x.Reply, x.RepliedAt = sealed, d.Now().UTC()
	if err := d.Store.SaveExchange(ctx, x); err != nil {
		return err
	}
	object := "token:" + o.Serial
	for _, action := range []string{"dist.key", "dist.activate", "dist.code_delete"} {
		details := audit.Details{"user": o.UserID, "generation": o.Generation, "profile": o.Profile}
		if action == "dist.activate" { // what the app says of itself, which ctkip has cut to length
			details["version"], details["manufacturer"], details["form_factor"] = app.Version, app.Manufacturer, app.FormFactor
		}
		if err := d.Store.Record(ctx, audit.New(ctx, d.Now(), action, object, details)); err != nil {
			return err
		}
	}
	return nil
}
