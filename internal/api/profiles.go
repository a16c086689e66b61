package api

import (
	"context"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/profile"
)

func deviceOf(d device.Definition) client.Device {
	out := client.Device{
		DeviceType: d.Name, Title: d.Title, Version: d.Version, Digits: d.Digits, IntervalSeconds: d.Intervals,
		PINTypes:        mapped(d.PINTypes, func(t device.PINType) string { return string(t) }),
		DeliveryMethods: mapped(d.Methods, func(m device.Method) string { return string(m) }),
		ClassGUID:       d.ClassGUID, CTFVersion: d.CTFVersion, MaxNickname: d.Nickname, MaxPassword: d.MaxPassword, MaxTokens: d.MaxTokens,
	}
	if d.DeviceID != nil {
		out.DeviceIDPattern = d.DeviceID.String()
	}
	return out
}

func (a *API) listDevices(context.Context, *request) (answer, error) {
	return ok(client.DeviceList{Devices: mapped(device.All(), deviceOf)})
}

func (a *API) showDevice(_ context.Context, r *request) (answer, error) {
	d, err := device.Find(r.PathValue("device_type"))
	if err != nil {
		return answer{}, err
	}
	return ok(deviceOf(d))
}

func profileOf(p profile.Profile) client.Profile {
	return client.Profile{
		Profile: p.Name, DeviceType: p.DeviceType, Digits: p.Digits, IntervalSeconds: p.Interval, PINType: string(p.PINType),
		DeliveryMethod: string(p.Method), CTFVersion: p.CTFVersion, Binding: string(p.Binding), Protection: string(p.Protection),
		ActivationLifeSeconds: int64(p.ActivationLife / time.Second), SwitchOver: string(p.SwitchOver),
		GraceSeconds: int64(p.Grace / time.Second), Notes: p.Notes, CreatedAt: p.CreatedAt, Version: p.Version,
	}
}

// graceOf is a grace in the words of the domain: below zero if none was said.
func graceOf(seconds *int64) time.Duration {
	if seconds == nil {
		return -1
	}
	return time.Duration(*seconds) * time.Second
}

func (a *API) addProfile(ctx context.Context, r *request) (answer, error) {
	in, err := decode[client.NewProfile](r)
	if err != nil {
		return answer{}, err
	}
	p, err := a.Profiles.Add(ctx, profile.Profile{
		Name: in.Profile, DeviceType: in.DeviceType, Digits: in.Digits, Interval: in.IntervalSeconds, PINType: device.PINType(in.PINType),
		Method: device.Method(in.DeliveryMethod), CTFVersion: in.CTFVersion, Binding: profile.Binding(in.Binding),
		Protection: profile.Protection(in.Protection), ActivationLife: time.Duration(in.ActivationLifeSeconds) * time.Second,
		SwitchOver: profile.SwitchOver(in.SwitchOver), Grace: graceOf(in.GraceSeconds), Notes: in.Notes,
	})
	if err != nil {
		return answer{}, err
	}
	return created(at("profiles", p.Name), p.Version, profileOf(p))
}

func (a *API) listProfiles(ctx context.Context, _ *request) (answer, error) {
	profiles, err := a.Profiles.List(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.ProfileList{Profiles: mapped(profiles, profileOf)})
}

func (a *API) showProfile(ctx context.Context, r *request) (answer, error) {
	p, err := a.Profiles.Get(ctx, r.PathValue("profile"))
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, p.Version, profileOf(p))
}

func (a *API) editProfile(ctx context.Context, r *request) (answer, error) {
	in, err := decode[client.ProfileEdit](r)
	if err != nil {
		return answer{}, err
	}
	p, err := a.Profiles.Edit(ctx, r.PathValue("profile"), r.version, func(p *profile.Profile) {
		set(&p.DeviceType, in.DeviceType)
		set(&p.Digits, in.Digits)
		set(&p.Interval, in.IntervalSeconds)
		set(&p.PINType, (*device.PINType)(in.PINType))
		set(&p.Method, (*device.Method)(in.DeliveryMethod))
		set(&p.CTFVersion, in.CTFVersion)
		set(&p.Binding, (*profile.Binding)(in.Binding))
		set(&p.Protection, (*profile.Protection)(in.Protection))
		set(&p.SwitchOver, (*profile.SwitchOver)(in.SwitchOver))
		set(&p.Notes, in.Notes)
		if in.ActivationLifeSeconds != nil {
			p.ActivationLife = time.Duration(*in.ActivationLifeSeconds) * time.Second
		}
		if in.GraceSeconds != nil {
			p.Grace = graceOf(in.GraceSeconds)
		}
	})
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, p.Version, profileOf(p))
}

func (a *API) deleteProfile(ctx context.Context, r *request) (answer, error) {
	return done(a.Profiles.Delete(ctx, r.PathValue("profile"), r.query("successor")))
}
