package api

import (
	"context"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/profile"
)

func deviceOf(d device.Definition) client.Device {
	link := func(l device.Link) string { return string(l) }
	out := client.Device{
		DeviceType: d.Name, Title: d.Title, Version: d.Version, Digits: d.Digits, IntervalSeconds: d.Intervals,
		PINTypes: mapped(d.PINTypes, func(t device.PINType) string { return string(t) }), KeyBits: d.KeyBits,
		DeliveryMethods: mapped(d.Methods, func(m device.Method) string { return string(m) }), QR: d.QR, ClassGUID: d.ClassGUID,
		CTFVersion: d.CTFVersion, CTFLinks: mapped(d.CTFLinks, link), CTKIPLinks: mapped(d.CTKIPLinks, link),
		MaxNickname: d.Nickname, MaxPassword: d.MaxPassword, MaxTokens: d.MaxTokens, BuiltIn: d.BuiltIn, ImportedAt: moment(d.ImportedAt),
	}
	if d.DeviceID != nil {
		out.DeviceIDPattern = d.DeviceID.String()
	}
	return out
}

func (a *API) listDevices(ctx context.Context, _ *request) (answer, error) {
	all, err := a.Profiles.Devices.Current(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.DeviceList{Devices: mapped(all.All(), deviceOf)})
}

func (a *API) showDevice(ctx context.Context, r *request) (answer, error) {
	d, err := a.Profiles.Devices.Find(ctx, r.PathValue("device_type"))
	if err != nil {
		return answer{}, err
	}
	return ok(deviceOf(d))
}

func (a *API) importDevices(ctx context.Context, _ *request, in client.DeviceFile) (answer, error) {
	changes, warnings, err := a.Profiles.ImportDevices(ctx, in.File, in.DryRun)
	if err != nil {
		return answer{}, err
	}
	return ok(client.DeviceImport{DryRun: in.DryRun, Devices: mapped(changes, deviceChangeOf), Warnings: append([]string{}, warnings...)})
}

func deviceChangeOf(c profile.DeviceChange) client.DeviceChange {
	return client.DeviceChange{
		DeviceType: c.Definition.Name, Version: c.Definition.Version, Replaces: c.Replaces,
		Profiles: mapped(c.Profiles, func(p profile.Concern) client.ProfileConcern {
			out := client.ProfileConcern{Profile: p.Profile, OK: p.Err == nil}
			if p.Err != nil {
				out.Code, out.Message = string(fault.CodeOf(p.Err)), p.Err.Error()
			}
			return out
		}),
	}
}

func (a *API) deleteDevice(ctx context.Context, r *request) (answer, error) {
	return done(a.Profiles.DeleteDevice(ctx, r.PathValue("device_type")))
}
