package api

import (
	"context"
	"net/http"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/profile"
)

func (a *API) distribute(ctx context.Context, r *request, in client.Distribution) (answer, error) {
	return a.issue(ctx, r, in, func(ctx context.Context) (distribution.Delivery, error) {
		return a.Distributor.Distribute(ctx, requestOf(r, in))
	})
}

func (a *API) redistribute(ctx context.Context, r *request, in client.Redistribution) (answer, error) {
	return a.issue(ctx, r, in.Distribution, func(ctx context.Context) (distribution.Delivery, error) {
		return a.Distributor.Redistribute(ctx, requestOf(r, in.Distribution), distribution.Reason(in.Reason), in.Note)
	})
}

func requestOf(r *request, in client.Distribution) distribution.Request {
	return distribution.Request{
		Serial: serial(r), Profile: in.Profile, Password: string(in.Password), Protection: profile.Protection(in.Protection),
		DeviceID: in.DeviceID, Nickname: in.Nickname, SwitchOver: profile.SwitchOver(in.SwitchOver), Grace: graceOf(in.GraceSeconds),
	}
}

// issue answers with what a distribution hands out.
func (a *API) issue(ctx context.Context, r *request, in client.Distribution, do func(context.Context) (distribution.Delivery, error)) (answer, error) {
	var d distribution.Delivery
	var mails []string
	err := a.unchanged(ctx, r, func(ctx context.Context) (err error) {
		if in.Mail {
			d, mails, err = a.mailed(ctx, serial(r), in, do)
		} else {
			d, err = do(ctx)
		}
		return err
	})
	if err != nil {
		return answer{}, err
	}
	out, err := reply(http.StatusCreated, client.Issue{
		Serial: d.Serial, Job: d.Job, Generation: d.Generation, SwitchOver: string(d.SwitchOver), OldUntil: moment(d.OldUntil),
		Warnings: mapped(d.Warnings, func(w string) string { return w }), Mails: mails,
		Delivery: client.Delivery{
			Method: string(d.Method), File: d.File, FileName: d.FileName, CTF: d.CTF, CTFURL: d.CTFURL,
			CTKIPURL: d.CTKIPURL, CTKIPLink: d.Link, ActivationCode: d.ActivationCode, ActivationExpires: moment(d.ActivationExpires), QR: d.QR,
		},
	})
	out.serial, out.generation = d.Serial, d.Generation
	return out, err
}

// mailed distributes a token and puts what is made into the outbox, in one transaction. What goes by mail is not in the answer.
func (a *API) mailed(ctx context.Context, serial string, in client.Distribution, do func(context.Context) (distribution.Delivery, error)) (d distribution.Delivery, mails []string, err error) {
	err = a.Store.Transact(ctx, func(ctx context.Context) error {
		t, err := a.Tokens.Get(ctx, serial)
		if err != nil {
			return err
		}
		if t.UserID == "" {
			_, err := do(ctx) // which is refused in its own words
			return err
		}
		u, err := a.Users.Get(ctx, t.UserID)
		if err != nil {
			return err
		}
		if err := a.Mail.Ready(ctx, in.SecretBy); err != nil {
			return err
		}
		if err := a.Mail.Reaches(u); err != nil {
			return err
		}
		if d, err = do(ctx); err != nil {
			return err
		}
		posted := []distribution.Posted{{Delivery: d, User: u}}
		if mails, err = a.Mail.Deliver(ctx, posted, in.SecretBy); err != nil {
			return err
		}
		unable, err := a.Mail.CannotSignIn(ctx, posted, in.SecretBy)
		if len(unable) > 0 {
			d.Warnings = append(d.Warnings, distribution.CannotSignIn)
		}
		return err
	})
	d.File, d.FileName, d.CTF, d.CTFURL, d.QR, d.Link = nil, "", "", "", "", ""
	if c := mail.Channel(in.SecretBy); c == mail.ByMail || c == mail.BySignIn {
		d.ActivationCode = ""
	}
	return d, mails, err
}

func (a *API) revoke(ctx context.Context, r *request) (answer, error) {
	var n int
	err := a.unchanged(ctx, r, func(ctx context.Context) (err error) {
		n, err = a.Distributor.Revoke(ctx, serial(r))
		return err
	})
	if err != nil {
		return answer{}, err
	}
	return ok(client.Revocation{Revoked: n})
}
