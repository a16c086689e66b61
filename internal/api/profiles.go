package api

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/profile"
)

func profileOf(p profile.Profile) client.Profile {
	return client.Profile{
		Profile: p.Name, DeviceType: p.DeviceType, Digits: p.Digits, IntervalSeconds: p.Interval, PINType: string(p.PINType),
		DeliveryMethod: string(p.Method), CTFVersion: p.CTFVersion, Binding: string(p.Binding), Protection: string(p.Protection),
		URLStyle: string(p.URLStyle), ActivationLifeSeconds: int64(p.ActivationLife / time.Second), SwitchOver: string(p.SwitchOver),
		GraceSeconds: int64(p.Grace / time.Second), SelfService: p.SelfService.Available, DisplayName: p.SelfService.DisplayName,
		Description: p.SelfService.Description, ImageURL: p.SelfService.ImageURL, AppURL: p.SelfService.AppURL, HelpURL: p.SelfService.HelpURL,
		Notes: p.Notes, CreatedAt: p.CreatedAt, Version: p.Version,
	}
}

// graceOf is a grace in the words of the domain: below zero if none was said.
func graceOf(seconds *int64) time.Duration {
	if seconds == nil {
		return -1
	}
	return time.Duration(*seconds) * time.Second
}

func (a *API) addProfile(ctx context.Context, _ *request, in client.NewProfile) (answer, error) {
	p, err := a.addProfileWith(ctx, profile.Profile{
		Name: in.Profile, DeviceType: in.DeviceType, Digits: in.Digits, Interval: in.IntervalSeconds, PINType: device.PINType(in.PINType),
		Method: device.Method(in.DeliveryMethod), CTFVersion: in.CTFVersion, Binding: profile.Binding(in.Binding),
		Protection: profile.Protection(in.Protection), ActivationLife: time.Duration(in.ActivationLifeSeconds) * time.Second,
		SwitchOver: profile.SwitchOver(in.SwitchOver), Grace: graceOf(in.GraceSeconds), URLStyle: device.Link(in.URLStyle), Notes: in.Notes,
		SelfService: profile.SelfService{
			Available: in.SelfService, DisplayName: in.DisplayName, Description: in.Description,
			ImageURL: in.ImageURL, AppURL: in.AppURL, HelpURL: in.HelpURL,
		},
	}, in.DeviceFile)
	if err != nil {
		return answer{}, err
	}
	return created(at("profiles", p.Name), p.Version, profileOf(p))
}

// addProfileWith adds a profile, and in the same step the definition of its device type, if there is a file with one.
func (a *API) addProfileWith(ctx context.Context, p profile.Profile, file []byte) (added profile.Profile, err error) {
	if len(file) == 0 {
		return a.Profiles.Add(ctx, p)
	}
	err = a.Store.Transact(ctx, func(ctx context.Context) error {
		imported, _, err := a.Profiles.ImportDevices(ctx, file, false)
		if err != nil {
			return err
		}
		if p.DeviceType == "" && len(imported) == 1 {
			p.DeviceType = imported[0].Definition.Name
		}
		added, err = a.Profiles.Add(ctx, p)
		return err
	})
	return added, err
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
	return record(p, p.Version, profileOf, err)
}

// profileEdit is an edit in the words of the domain.
func profileEdit(in client.ProfileEdit) func(*profile.Profile) {
	return func(p *profile.Profile) {
		set(&p.DeviceType, in.DeviceType)
		set(&p.Digits, in.Digits)
		set(&p.Interval, in.IntervalSeconds)
		set(&p.PINType, (*device.PINType)(in.PINType))
		set(&p.Method, (*device.Method)(in.DeliveryMethod))
		set(&p.CTFVersion, in.CTFVersion)
		set(&p.Binding, (*profile.Binding)(in.Binding))
		set(&p.Protection, (*profile.Protection)(in.Protection))
		set(&p.SwitchOver, (*profile.SwitchOver)(in.SwitchOver))
		set(&p.URLStyle, (*device.Link)(in.URLStyle))
		set(&p.SelfService.Available, in.SelfService)
		set(&p.SelfService.DisplayName, in.DisplayName)
		set(&p.SelfService.Description, in.Description)
		set(&p.SelfService.ImageURL, in.ImageURL)
		set(&p.SelfService.AppURL, in.AppURL)
		set(&p.SelfService.HelpURL, in.HelpURL)
		set(&p.Notes, in.Notes)
		if in.ActivationLifeSeconds != nil {
			p.ActivationLife = time.Duration(*in.ActivationLifeSeconds) * time.Second
		}
		if in.GraceSeconds != nil {
			p.Grace = graceOf(in.GraceSeconds)
		}
	}
}

func (a *API) editProfile(ctx context.Context, r *request, in client.ProfileEdit) (answer, error) {
	p, err := a.Profiles.Edit(ctx, r.PathValue("profile"), r.version, profileEdit(in))
	return record(p, p.Version, profileOf, err)
}

func (a *API) deleteProfile(ctx context.Context, r *request) (answer, error) {
	return done(a.Profiles.Delete(ctx, r.PathValue("profile"), r.query("successor")))
}
