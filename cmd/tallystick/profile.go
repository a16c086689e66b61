package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

func (p *program) deviceCommands() *cobra.Command {
	list := p.command("list", "List the device types that profiles can be for", 0, func(r run) error {
		devices, err := r.server.Devices(r.ctx)
		if err != nil {
			return err
		}
		return p.table(map[string]any{"devices": devices}, []string{"DEVICE TYPE", "TITLE", "DELIVERY", "PIN TYPES"}, len(devices), func(i int) []string {
			d := devices[i]
			return []string{d.DeviceType, d.Title, strings.Join(d.DeliveryMethods, " "), strings.Join(d.PINTypes, " ")}
		})
	})
	show := p.command("show TYPE", "Show what a device type can take", 1, func(r run) error {
		d, err := r.server.Device(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(d)
		}
		p.fields("device type", d.DeviceType, "title", d.Title, "delivery", strings.Join(d.DeliveryMethods, " "),
			"pin types", strings.Join(d.PINTypes, " "), "class guid", d.ClassGUID, "device id", d.DeviceIDPattern,
			"string version", number(d.CTFVersion), "longest password", number(d.MaxPassword))
		return nil
	})
	return group("device", "The device types that apps run on", list, show)
}

func (p *program) profileCommands() *cobra.Command {
	return group("profile", "What tokens on a platform are like and how they are delivered",
		p.profileAdd(), p.profileList(), p.profileShow(), p.profileEdit(), p.profileDelete())
}

// profileFlags are the options of a profile.
type profileFlags struct {
	deviceType, delivery, pinType, binding, protection, switchOver, notes string
	digits, interval, ctfVersion, version                                 int
	activationLife, grace                                                 time.Duration
}

func (f *profileFlags) on(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.deviceType, "device-type", "", "`type` of device; 'device list' shows them")
	s.StringVar(&f.delivery, "delivery", "", "file, ctf or ctkip")
	s.IntVar(&f.digits, "digits", 8, "length of a code: 6 or 8")
	s.IntVar(&f.interval, "interval", 60, "seconds that a code lasts: 30 or 60")
	s.StringVar(&f.pinType, "pin-type", "pinpad", "pinpad, fob or none")
	s.IntVar(&f.ctfVersion, "ctf-version", 0, "version of compressed strings: 2, 3 or 4 (default the device type's)")
	s.StringVar(&f.binding, "binding", "class", "who may import a delivery: class, none or device_id")
	s.StringVar(&f.protection, "protection", "optional", "what locks files and strings: optional, none, password, user_id or user_id_password")
	s.DurationVar(&f.activationLife, "activation-life", 24*time.Hour, "how long an activation code lives")
	s.StringVar(&f.switchOver, "switch-over", "", "when a redistributed token's old seed stops: immediate or on_activation (default immediate; on_activation for ctkip)")
	s.DurationVar(&f.grace, "grace", 7*24*time.Hour, "how long an old seed may outlive a redistribution on activation")
	s.StringVar(&f.notes, "notes", "", "`text` for administrators")
}

// seconds is a duration flag as the API takes it.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func (p *program) profileAdd() *cobra.Command {
	var f profileFlags
	cmd := p.command("add NAME", "Add a profile", 1, func(r run) error {
		if f.deviceType == "" {
			return cli.Usagef("say what apps it is for: --device-type TYPE")
		}
		grace := seconds(f.grace)
		added, err := r.server.AddProfile(r.ctx, client.NewProfile{
			Profile: r.args[0], DeviceType: f.deviceType, Digits: f.digits, IntervalSeconds: f.interval, PINType: f.pinType,
			DeliveryMethod: f.delivery, CTFVersion: f.ctfVersion, Binding: f.binding, Protection: f.protection,
			ActivationLifeSeconds: seconds(f.activationLife), SwitchOver: f.switchOver, GraceSeconds: &grace, Notes: f.notes,
		})
		if err != nil {
			return err
		}
		return p.result(map[string]string{"profile": added.Profile}, "added profile %s: %s on %s, %d digits every %d s, PIN type %s",
			added.Profile, added.DeliveryMethod, added.DeviceType, added.Digits, added.IntervalSeconds, added.PINType)
	})
	f.on(cmd)
	return cmd
}

func (p *program) profileList() *cobra.Command {
	return p.command("list", "List the profiles", 0, func(r run) error {
		all, err := r.server.Profiles(r.ctx)
		if err != nil {
			return err
		}
		return p.table(map[string]any{"profiles": all}, []string{"PROFILE", "DEVICE TYPE", "DELIVERY", "DIGITS", "INTERVAL", "PIN TYPE", "PROTECTION"}, len(all), func(i int) []string {
			o := all[i]
			return []string{o.Profile, o.DeviceType, o.DeliveryMethod, number(o.Digits), number(o.IntervalSeconds), o.PINType, o.Protection}
		})
	})
}

func (p *program) profileShow() *cobra.Command {
	return p.command("show NAME", "Show a profile", 1, func(r run) error {
		o, err := r.server.Profile(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(o)
		}
		p.fields("profile", o.Profile, "device type", o.DeviceType, "delivery", o.DeliveryMethod, "digits", number(o.Digits),
			"interval", number(o.IntervalSeconds)+" s", "pin type", o.PINType, "string version", number(o.CTFVersion), "binding", o.Binding,
			"protection", o.Protection, "activation life", (time.Duration(o.ActivationLifeSeconds) * time.Second).String(),
			"switch-over", o.SwitchOver, "grace", (time.Duration(o.GraceSeconds) * time.Second).String(), "notes", o.Notes,
			"version", number(o.Version))
		return nil
	})
}

func (p *program) profileEdit() *cobra.Command {
	var f profileFlags
	cmd := p.command("edit NAME", "Change a profile; tokens that were delivered keep what they got", 1, nil)
	f.on(cmd)
	cmd.Flags().IntVar(&f.version, "version", 0, "refuse if the profile is not at this `version` any more")
	p.does(cmd, func(r run) error {
		life, grace := seconds(f.activationLife), seconds(f.grace)
		o, err := r.server.EditProfile(r.ctx, r.args[0], f.version, client.ProfileEdit{
			DeviceType: given(cmd, "device-type", &f.deviceType), Digits: given(cmd, "digits", &f.digits),
			IntervalSeconds: given(cmd, "interval", &f.interval), PINType: given(cmd, "pin-type", &f.pinType),
			DeliveryMethod: given(cmd, "delivery", &f.delivery), CTFVersion: given(cmd, "ctf-version", &f.ctfVersion),
			Binding: given(cmd, "binding", &f.binding), Protection: given(cmd, "protection", &f.protection),
			ActivationLifeSeconds: given(cmd, "activation-life", &life), SwitchOver: given(cmd, "switch-over", &f.switchOver),
			GraceSeconds: given(cmd, "grace", &grace), Notes: given(cmd, "notes", &f.notes),
		})
		if err != nil {
			return err
		}
		return p.result(o, "changed profile %s", o.Profile)
	})
	return cmd
}

func (p *program) profileDelete() *cobra.Command {
	var successor string
	cmd := p.deletion("delete NAME", "Delete a profile", func(r run) error {
		return r.server.DeleteProfile(r.ctx, r.args[0], successor)
	})
	cmd.Flags().StringVar(&successor, "successor", "", "`profile` that tokens refer to from now on")
	return cmd
}
