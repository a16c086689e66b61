package api

import (
	"context"
	"net/http"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/profile"
)

func (a *API) distribute(ctx context.Context, r *request) (answer, error) {
	in, err := decode[client.Distribution](r)
	if err != nil {
		return answer{}, err
	}
	return a.issue(ctx, r, func(ctx context.Context) (distribution.Delivery, error) {
		return a.Distributor.Distribute(ctx, requestOf(r, in))
	})
}

func (a *API) redistribute(ctx context.Context, r *request) (answer, error) {
	in, err := decode[client.Redistribution](r)
	if err != nil {
		return answer{}, err
	}
	return a.issue(ctx, r, func(ctx context.Context) (distribution.Delivery, error) {
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
func (a *API) issue(ctx context.Context, r *request, do func(context.Context) (distribution.Delivery, error)) (answer, error) {
	var d distribution.Delivery
	err := a.unchanged(ctx, r, func(ctx context.Context) (err error) {
		d, err = do(ctx)
		return err
	})
	if err != nil {
		return answer{}, err
	}
	out, err := reply(http.StatusCreated, client.Issue{
		Serial: d.Serial, Job: d.Job, Generation: d.Generation, SwitchOver: string(d.SwitchOver), OldUntil: moment(d.OldUntil),
		Warnings: mapped(d.Warnings, func(w string) string { return w }),
		Delivery: client.Delivery{
			Method: string(d.Method), File: d.File, FileName: d.FileName, CTF: d.CTF, CTFURL: d.CTFURL,
			CTKIPURL: d.CTKIPURL, CTKIPLink: d.Link, ActivationCode: d.ActivationCode, ActivationExpires: moment(d.ActivationExpires), QR: d.QR,
		},
	})
	out.serial = d.Serial
	return out, err
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
