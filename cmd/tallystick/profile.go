package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/device"
)

func (p *program) profileCommands() *cobra.Command {
	return group("profile", "What tokens on a platform are like and how they are delivered",
		p.profileAdd(), p.profileList(), p.profileShow(), p.profileEdit(), p.profileDelete())
}

// profileFlags are the options of a profile.
type profileFlags struct {
	deviceType, delivery, pinType, urlStyle, binding, protection, switchOver, notes string
	displayName, description, imageURL, appURL, helpURL                             string
	digits, interval, ctfVersion                                                    int
	selfService                                                                     bool
	activationLife, grace                                                           time.Duration
}

func (f *profileFlags) on(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.deviceType, "device-type", "", "`type` of device; 'device list' shows them")
	s.StringVar(&f.delivery, "delivery", "", "file, ctf or ctkip")
	s.IntVar(&f.digits, "digits", 0, "length of a code: 6 or 8 (default 8 where the device type allows it)")
	s.IntVar(&f.interval, "interval", 0, "seconds that a code lasts: 30 or 60 (default 60 where the device type allows it)")
	s.StringVar(&f.pinType, "pin-type", "", "pinpad, fob or none (default pinpad where the device type allows it)")
	s.IntVar(&f.ctfVersion, "ctf-version", 0, "version of compressed strings: 2, 3 or 4 (default the device type's)")
	s.StringVar(&f.urlStyle, "url-style", "", "`form` of the URL of a string, or of the link of dynamic provisioning; 'device show' lists them (default the device type's)")
	s.StringVar(&f.binding, "binding", "class", "who may import a delivery: class, ask, none or device_id; ask is class, unless a device ID is given")
	s.StringVar(&f.protection, "protection", "optional", "what locks files and strings: optional, none, password, user_id or user_id_password")
	lifeFlag(s, &f.activationLife, "activation-life", 24*time.Hour, "how long an activation code lives: 15m to 90d")
	s.StringVar(&f.switchOver, "switch-over", "", "when a redistributed token's old seed stops: immediate or on_activation (default immediate; on_activation for ctkip)")
	lifeFlag(s, &f.grace, "grace", 7*24*time.Hour, "how long an old seed may outlive a redistribution on activation: up to 30d")
	s.BoolVar(&f.selfService, "self-service", false, "users may ask for a token of this profile themselves, once there is self-service: it is kept, and does nothing yet")
	s.StringVar(&f.displayName, "display-name", "", "`name` that users are shown (default the profile's)")
	s.StringVar(&f.description, "description", "", "`text` that users are shown")
	s.StringVar(&f.imageURL, "image-url", "", "https `URL` of a picture that users are shown")
	s.StringVar(&f.appURL, "app-url", "", "https `URL` where users get the app")
	s.StringVar(&f.helpURL, "help-url", "", "https `URL` of help for users")
	s.StringVar(&f.notes, "notes", "", "`text` for administrators")
}

// seconds is a duration flag as the API takes it.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func (p *program) profileAdd() *cobra.Command {
	var f profileFlags
	var deviceFile string
	cmd := p.command("add NAME", "Add a profile", 1, func(r run) error {
		if f.deviceType == "" && deviceFile == "" {
			return cli.Usagef("say what apps it is for: --device-type TYPE, or --device-file FILE with a definition to import")
		}
		var definition []byte
		if deviceFile != "" {
			var err error
			if definition, err = p.readText(deviceFile, device.MaxFile); err != nil {
				return err
			}
		}
		grace := seconds(f.grace)
		added, err := r.server.AddProfile(r.ctx, client.NewProfile{
			Profile: r.args[0], DeviceType: f.deviceType, Digits: f.digits, IntervalSeconds: f.interval, PINType: f.pinType,
			DeliveryMethod: f.delivery, CTFVersion: f.ctfVersion, Binding: f.binding, Protection: f.protection,
			ActivationLifeSeconds: seconds(f.activationLife), SwitchOver: f.switchOver, GraceSeconds: &grace, Notes: f.notes,
			DeviceFile: definition, URLStyle: f.urlStyle, SelfService: f.selfService, DisplayName: f.displayName, Description: f.description,
			ImageURL: f.imageURL, AppURL: f.appURL, HelpURL: f.helpURL,
		})
		if err != nil {
			return err
		}
		return p.result(map[string]string{"profile": added.Profile}, "added profile %s: %s on %s, %d digits every %d s, PIN type %s",
			added.Profile, added.DeliveryMethod, added.DeviceType, added.Digits, added.IntervalSeconds, added.PINType)
	})
	f.on(cmd)
	cmd.Flags().StringVar(&deviceFile, "device-file", "", "definition `file` of a device type, which is imported in the same step; - is standard input")
	return cmd
}

func (p *program) profileList() *cobra.Command {
	return p.command("list", "List the profiles", 0, func(r run) error {
		all, err := r.server.Profiles(r.ctx)
		if err != nil {
			return err
		}
		return tabulate(p, map[string]any{"profiles": all}, []string{"PROFILE", "DEVICE TYPE", "DELIVERY", "DIGITS", "INTERVAL", "PIN TYPE", "PROTECTION"}, all, func(o client.Profile) []string {
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
			"interval", number(o.IntervalSeconds)+" s", "pin type", o.PINType, "string version", number(o.CTFVersion), "url style", o.URLStyle, "binding", o.Binding,
			"protection", o.Protection, "activation life", life(o.ActivationLifeSeconds),
			"switch-over", o.SwitchOver, "grace", life(o.GraceSeconds),
			"self-service", yesNo(o.SelfService), "display name", o.DisplayName, "description", o.Description, "image", o.ImageURL, "app", o.AppURL,
			"help", o.HelpURL, "notes", o.Notes,
			"version", number(o.Version))
		return nil
	})
}

func (p *program) profileEdit() *cobra.Command {
	var f profileFlags
	cmd := p.command("edit NAME", "Change a profile; tokens that were delivered keep what they got", 1, nil)
	f.on(cmd)
	version := versionFlag(cmd, "the profile is")
	p.does(cmd, func(r run) error {
		life, grace := seconds(f.activationLife), seconds(f.grace)
		return edits(p, r, "profile "+r.args[0], func() (client.Profile, error) { return r.server.Profile(r.ctx, r.args[0]) }, func() (client.Profile, error) {
			return r.server.EditProfile(r.ctx, r.args[0], *version, client.ProfileEdit{
				DeviceType: given(cmd, "device-type", &f.deviceType), Digits: given(cmd, "digits", &f.digits),
				IntervalSeconds: given(cmd, "interval", &f.interval), PINType: given(cmd, "pin-type", &f.pinType),
				DeliveryMethod: given(cmd, "delivery", &f.delivery), CTFVersion: given(cmd, "ctf-version", &f.ctfVersion),
				Binding: given(cmd, "binding", &f.binding), Protection: given(cmd, "protection", &f.protection),
				ActivationLifeSeconds: given(cmd, "activation-life", &life), SwitchOver: given(cmd, "switch-over", &f.switchOver),
				GraceSeconds: given(cmd, "grace", &grace), Notes: given(cmd, "notes", &f.notes), URLStyle: given(cmd, "url-style", &f.urlStyle),
				SelfService: given(cmd, "self-service", &f.selfService), DisplayName: given(cmd, "display-name", &f.displayName),
				Description: given(cmd, "description", &f.description), ImageURL: given(cmd, "image-url", &f.imageURL),
				AppURL: given(cmd, "app-url", &f.appURL), HelpURL: given(cmd, "help-url", &f.helpURL),
			})
		})
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
