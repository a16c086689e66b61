// Package profile is the software token profiles: named, deployment-wide
// bundles of what a token on one platform is like and how it is delivered
// (spec/software-token-lifecycle.md section 4.2).
//
// A profile is looked at when a token is distributed. Editing it later changes
// no token that was given out; those keep what they got until redistributed.
package profile

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
)

// A Protection says what a delivered file or string is locked with.
type Protection string

// The protections. PasswordOptional takes a password when one is given.
const (
	PasswordOptional Protection = "optional"
	NoPassword       Protection = "none"
	Password         Protection = "password"
	UserID           Protection = "user_id"
	UserIDPassword   Protection = "user_id_password" // the user ID immediately followed by the password
)

// A Binding says which devices a delivered token may be imported on.
type Binding string

// The bindings.
const (
	BindClass    Binding = "class"     // any device of the type
	BindAsk      Binding = "ask"       // the administrator is asked for a device ID, and any device of the type without one
	BindNothing  Binding = "none"      // any device
	BindDeviceID Binding = "device_id" // one device, whose ID must be given
)

// A SwitchOver says when a redistributed token's old seed stops.
type SwitchOver string

// The switch-over rules.
const (
	Immediate    SwitchOver = "immediate"     // at the moment of issue
	OnActivation SwitchOver = "on_activation" // once the new seed is proven, or grace is over
)

// A Profile says what tokens on one platform are like and how they are delivered.
type Profile struct {
	Name           string
	DeviceType     string // name of a device definition
	Digits         int    // 6 or 8
	Interval       int    // seconds, 30 or 60
	PINType        device.PINType
	Method         device.Method
	CTFVersion     int           // 2, 3 or 4; of the device definition unless said otherwise
	URLStyle       device.Link   // form of the URL of a string or a dynamic provisioning link; "" for the device definition's
	Binding        Binding       // unless a device ID is given at distribution
	Protection     Protection    // of files and strings
	ActivationLife time.Duration // of an activation code
	SwitchOver     SwitchOver
	Grace          time.Duration // how long an old seed may outlive a redistribution on activation
	SelfService    SelfService
	Notes          string
	CreatedAt      time.Time
	Version        int // grows with every change
}

// SelfService is what users are shown where they may ask for a token of a profile themselves.
type SelfService struct {
	Available   bool   `json:"available,omitempty"`
	DisplayName string `json:"display_name,omitempty"` // "" for the name of the profile
	Description string `json:"description,omitempty"`
	ImageURL    string `json:"image_url,omitempty"` // https, as the others
	AppURL      string `json:"app_url,omitempty"`   // where the app is to be had
	HelpURL     string `json:"help_url,omitempty"`
}

// Bounds and defaults of profile options.
const (
	maxDisplayName = 128  // characters
	maxDescription = 2048 // bytes
	maxURL         = 2048 // bytes

	DefaultActivationLife = 24 * time.Hour
	MinActivationLife     = 15 * time.Minute
	MaxActivationLife     = 90 * 24 * time.Hour
	DefaultGrace          = 7 * 24 * time.Hour
	MaxGrace              = 30 * 24 * time.Hour
)

// Complete fills in what is not said, with the defaults of section 4.2 and of
// the device definition, and checks the rest against it. A Grace below zero
// means that none was said.
func (p *Profile) Complete(devices device.Catalog) error {
	if err := checkName(p.Name); err != nil {
		return err
	}
	d, err := devices.Find(p.DeviceType)
	if err != nil {
		return err
	}
	p.DeviceType = d.Name
	orElse(&p.Method, d.Methods[0])
	orElse(&p.Digits, preferred(8, d.Digits))
	orElse(&p.Interval, preferred(60, d.Intervals))
	orElse(&p.PINType, preferred(device.PINPad, d.PINTypes))
	orElse(&p.CTFVersion, d.CTFVersion)
	orElse(&p.Binding, BindClass)
	orElse(&p.Protection, PasswordOptional)
	orElse(&p.ActivationLife, DefaultActivationLife)
	if p.Method == device.CTKIP {
		orElse(&p.SwitchOver, OnActivation)
	}
	orElse(&p.SwitchOver, Immediate)
	if p.Grace < 0 {
		p.Grace = DefaultGrace
	}
	return p.check(d)
}

// preferred is a default where the device definition allows it, else what that lists first.
func preferred[T comparable](v T, allowed []T) T {
	if slices.Contains(allowed, v) {
		return v
	}
	return allowed[0]
}

// orElse sets *v to other if it is the zero value.
func orElse[T comparable](v *T, other T) {
	var zero T
	if *v == zero {
		*v = other
	}
}

func (p *Profile) check(d device.Definition) error {
	refuse := func(what string, value any, allowed any) error {
		return fault.New(fault.ProfileNotAllowed, "%s %v is not allowed for device type %s: take one of %v", what, value, d.Name, allowed)
	}
	switch {
	case !slices.Contains(d.Methods, p.Method):
		return refuse("delivery method", p.Method, d.Methods)
	case !slices.Contains(d.Digits, p.Digits):
		return refuse("code length", p.Digits, d.Digits)
	case !slices.Contains(d.Intervals, p.Interval):
		return refuse("interval", p.Interval, d.Intervals)
	case !slices.Contains(d.PINTypes, p.PINType):
		return refuse("PIN type", p.PINType, d.PINTypes)
	case p.CTFVersion < 2 || p.CTFVersion > 4:
		return refuse("string version", p.CTFVersion, []int{2, 3, 4})
	case p.URLStyle != "" && p.Method == device.File:
		return fault.New(fault.ProfileNotAllowed, "a token file has no URL: leave the URL style out")
	case p.URLStyle != "" && !slices.Contains(d.Links(p.Method), p.URLStyle):
		return refuse("URL style", p.URLStyle, d.Links(p.Method))
	case !slices.Contains(bindings, p.Binding):
		return refuse("binding", p.Binding, bindings)
	case (p.Binding == BindDeviceID || p.Binding == BindAsk) && d.DeviceID == nil:
		return refuse("binding", p.Binding, []Binding{BindClass, BindNothing})
	case !slices.Contains([]Protection{PasswordOptional, NoPassword, Password, UserID, UserIDPassword}, p.Protection):
		return refuse("protection", p.Protection, []Protection{PasswordOptional, NoPassword, Password, UserID, UserIDPassword})
	case p.SwitchOver != Immediate && p.SwitchOver != OnActivation:
		return refuse("switch-over", p.SwitchOver, []SwitchOver{Immediate, OnActivation})
	case p.ActivationLife < MinActivationLife || p.ActivationLife > MaxActivationLife:
		return fault.New(fault.Invalid, "an activation code lives from 15 minutes to 90 days, not %s", p.ActivationLife)
	case p.Grace > MaxGrace:
		return fault.New(fault.Invalid, "the grace of an old seed is at most 30 days, not %s", p.Grace)
	case len(p.Notes) > 4096:
		return fault.New(fault.Invalid, "notes take up to 4096 bytes")
	}
	return p.SelfService.check()
}

var bindings = []Binding{BindClass, BindAsk, BindNothing, BindDeviceID}

func (s SelfService) check() error {
	if utf8.RuneCountInString(s.DisplayName) > maxDisplayName || strings.ContainsFunc(s.DisplayName, unicode.IsControl) || len(s.Description) > maxDescription {
		return fault.New(fault.Invalid, "a display name takes up to %d characters in one line, a description up to %d bytes", maxDisplayName, maxDescription)
	}
	for _, link := range []struct{ what, url string }{{"image", s.ImageURL}, {"app", s.AppURL}, {"help", s.HelpURL}} {
		if u, err := url.Parse(link.url); link.url != "" && (err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || len(link.url) > maxURL) {
			return fault.New(fault.Invalid, "the %s URL is an https URL of up to %d bytes, such as https://help.example.com/tokens", link.what, maxURL)
		}
	}
	return nil
}

func checkName(name string) error {
	n := utf8.RuneCountInString(name)
	unprintable := strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) })
	if n < 1 || n > 128 || !utf8.ValidString(name) || unprintable || strings.ContainsAny(name, "&%<>") || name != strings.TrimSpace(name) {
		return fault.New(fault.ProfileNameBad, "a profile name takes 1 to 128 printable characters, none of them & %% < >, and no blanks at its ends")
	}
	return nil
}

// Store is what the registry needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Profile returns a profile; [fault.ProfileNotFound]. Within a transaction the row is locked for change.
	Profile(ctx context.Context, name string) (Profile, error)
	// Profiles lists all profiles by name.
	Profiles(ctx context.Context) ([]Profile, error)
	// AddProfile stores a new profile; [fault.ProfileNameTaken].
	AddProfile(ctx context.Context, p Profile) error
	// SaveProfile stores a changed profile whose Version is still p.Version, and counts it up; else [fault.Conflict].
	SaveProfile(ctx context.Context, p Profile) error
	// DeleteProfile removes a profile with its mail templates; [fault.ProfileInUse] while tokens or open activation codes refer to it, or RADIUS
	// clients have attributes for it.
	DeleteProfile(ctx context.Context, name string) error
	// MoveProfile makes everything that refers to one profile refer to another.
	MoveProfile(ctx context.Context, from, to string) error
	// DevicesForChange returns the imported device definitions, and keeps them and the profiles from being changed by
	// others until the transaction ends.
	DevicesForChange(ctx context.Context) ([]device.Definition, error)
	// SaveDevice stores an imported definition, in the place of the one of that name if there is one.
	SaveDevice(ctx context.Context, d device.Definition) error
	// DeleteDevice removes an imported definition; [fault.DeviceNotFound].
	DeleteDevice(ctx context.Context, name string) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// A Registry keeps the deployment's profiles, and the device definitions that they rest on.
type Registry struct {
	Store   Store
	Devices *device.Registry
	Now     func() time.Time
}

// Add completes and stores a new profile.
func (r *Registry) Add(ctx context.Context, p Profile) (Profile, error) {
	p.CreatedAt, p.Version = r.Now().UTC(), 1
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		devices, err := r.Catalog(ctx)
		if err != nil {
			return err
		}
		if err := p.Complete(devices); err != nil {
			return err
		}
		if err := r.Store.AddProfile(ctx, p); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "profile.add", "profile:"+p.Name, p.details()))
	})
	return p, err
}

// Get returns a profile.
func (r *Registry) Get(ctx context.Context, name string) (Profile, error) {
	return r.Store.Profile(ctx, name)
}

// List returns all profiles by name.
func (r *Registry) List(ctx context.Context) ([]Profile, error) { return r.Store.Profiles(ctx) }

// Edit runs change on the profile and saves it, in one transaction; the name
// stays. If version is not 0, the profile must still be at it: else [fault.Conflict]. What changes nothing leaves the version as it is.
func (r *Registry) Edit(ctx context.Context, name string, version int, change func(*Profile)) (Profile, error) {
	var after Profile
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		devices, err := r.Catalog(ctx)
		if err != nil {
			return err
		}
		before, err := r.Store.Profile(ctx, name)
		if err != nil {
			return err
		}
		if version != 0 && before.Version != version {
			return fault.New(fault.Conflict, "profile %s was changed meanwhile: read it again", name)
		}
		after = before
		change(&after)
		after.Name, after.Version, after.CreatedAt = before.Name, before.Version, before.CreatedAt
		if err := after.Complete(devices); err != nil {
			return err
		}
		if after == before {
			return nil
		}
		if err := r.Store.SaveProfile(ctx, after); err != nil {
			return err
		}
		after.Version++
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "profile.edit", "profile:"+name,
			audit.Details{"before": before.details(), "after": after.details()}))
	})
	return after, err
}

// Delete removes a profile, with its mail templates. While tokens refer to it, that takes a successor,
// which they refer to from then on.
func (r *Registry) Delete(ctx context.Context, name, successor string) error {
	return r.Store.Transact(ctx, func(ctx context.Context) error {
		if _, err := r.Store.Profile(ctx, name); err != nil {
			return err
		}
		if successor != "" {
			if successor == name {
				return fault.New(fault.Invalid, "a profile cannot succeed itself")
			}
			if _, err := r.Store.Profile(ctx, successor); err != nil {
				return err
			}
			if err := r.Store.MoveProfile(ctx, name, successor); err != nil {
				return err
			}
		}
		if err := r.Store.DeleteProfile(ctx, name); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "profile.delete", "profile:"+name, audit.Details{"successor": successor}))
	})
}

func (p Profile) details() audit.Details {
	return audit.Details{
		"device_type": p.DeviceType, "digits": p.Digits, "interval": p.Interval, "pin_type": p.PINType, "delivery": p.Method, "ctf_version": p.CTFVersion,
		"url_style": p.URLStyle, "binding": p.Binding, "protection": p.Protection, "activation_life": p.ActivationLife.String(),
		"switch_over": p.SwitchOver, "grace": p.Grace.String(), "self_service": p.SelfService, "notes": p.Notes,
	}
}
