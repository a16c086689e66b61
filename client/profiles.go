package client

import (
	"context"
	"net/http"
	"time"
)

// A Profile says what tokens on one platform are like and how they are delivered.
type Profile struct {
	Profile               string    `json:"profile"` // its name
	DeviceType            string    `json:"device_type"`
	Digits                int       `json:"digits"`           // 6 or 8
	IntervalSeconds       int       `json:"interval_seconds"` // 30 or 60
	PINType               string    `json:"pin_type"`         // pinpad, fob or none
	DeliveryMethod        string    `json:"delivery_method"`  // file, ctf or ctkip
	CTFVersion            int       `json:"ctf_version"`      // 2, 3 or 4
	URLStyle              string    `json:"url_style"`        // of strings and links, one of the device type's; "" for its default
	Binding               string    `json:"binding"`          // class, ask, none or device_id
	Protection            string    `json:"protection"`       // optional, none, password, user_id or user_id_password
	ActivationLifeSeconds int64     `json:"activation_life_seconds"`
	SwitchOver            string    `json:"switch_over"`   // immediate or on_activation
	GraceSeconds          int64     `json:"grace_seconds"` // how long an old seed may outlive a redistribution on activation
	SelfService           bool      `json:"self_service"`  // users may ask for it themselves; the next five are what they are shown
	DisplayName           string    `json:"display_name"`  // "" for the name of the profile
	Description           string    `json:"description"`
	ImageURL              string    `json:"image_url"`
	AppURL                string    `json:"app_url"` // where the app is to be had
	HelpURL               string    `json:"help_url"`
	Notes                 string    `json:"notes"`
	CreatedAt             time.Time `json:"created_at"`
	Version               int       `json:"version"`
}

// A NewProfile is a profile to be added. What is not said follows the device
// type and the defaults of the server.
type NewProfile struct {
	Profile               string `json:"profile"`
	DeviceType            string `json:"device_type,omitempty"` // may be left out if DeviceFile defines one
	DeviceFile            []byte `json:"device_file,omitempty"` // a definition file that is imported in the same step
	Digits                int    `json:"digits,omitempty"`
	IntervalSeconds       int    `json:"interval_seconds,omitempty"`
	PINType               string `json:"pin_type,omitempty"`
	DeliveryMethod        string `json:"delivery_method,omitempty"`
	CTFVersion            int    `json:"ctf_version,omitempty"`
	URLStyle              string `json:"url_style,omitempty"`
	Binding               string `json:"binding,omitempty"`
	Protection            string `json:"protection,omitempty"`
	ActivationLifeSeconds int64  `json:"activation_life_seconds,omitempty"`
	SwitchOver            string `json:"switch_over,omitempty"`
	GraceSeconds          *int64 `json:"grace_seconds,omitempty"` // 0 is none
	SelfService           bool   `json:"self_service,omitempty"`
	DisplayName           string `json:"display_name,omitempty"`
	Description           string `json:"description,omitempty"`
	ImageURL              string `json:"image_url,omitempty"`
	AppURL                string `json:"app_url,omitempty"`
	HelpURL               string `json:"help_url,omitempty"`
	Notes                 string `json:"notes,omitempty"`
}

// A ProfileEdit changes a profile; what is nil stays. Tokens that were
// delivered keep what they got.
type ProfileEdit struct {
	DeviceType            *string `json:"device_type,omitempty"`
	Digits                *int    `json:"digits,omitempty"`
	IntervalSeconds       *int    `json:"interval_seconds,omitempty"`
	PINType               *string `json:"pin_type,omitempty"`
	DeliveryMethod        *string `json:"delivery_method,omitempty"`
	CTFVersion            *int    `json:"ctf_version,omitempty"`
	URLStyle              *string `json:"url_style,omitempty"`
	Binding               *string `json:"binding,omitempty"`
	Protection            *string `json:"protection,omitempty"`
	ActivationLifeSeconds *int64  `json:"activation_life_seconds,omitempty"`
	SwitchOver            *string `json:"switch_over,omitempty"`
	GraceSeconds          *int64  `json:"grace_seconds,omitempty"`
	SelfService           *bool   `json:"self_service,omitempty"`
	DisplayName           *string `json:"display_name,omitempty"`
	Description           *string `json:"description,omitempty"`
	ImageURL              *string `json:"image_url,omitempty"`
	AppURL                *string `json:"app_url,omitempty"`
	HelpURL               *string `json:"help_url,omitempty"`
	Notes                 *string `json:"notes,omitempty"`
}

// A ProfileList is all profiles.
type ProfileList struct {
	Profiles []Profile `json:"profiles"`
}

// AddProfile stores a new profile and returns it with all that follows from the device type.
func (c *Client) AddProfile(ctx context.Context, p NewProfile) (Profile, error) {
	return post[Profile](ctx, c, path("profiles"), p)
}

// Profile returns a profile; PROFILE_NOT_FOUND.
func (c *Client) Profile(ctx context.Context, name string) (Profile, error) {
	return get[Profile](ctx, c, path("profiles", name), query{})
}

// Profiles lists all profiles by name.
func (c *Client) Profiles(ctx context.Context) ([]Profile, error) {
	list, err := get[ProfileList](ctx, c, path("profiles"), query{})
	return list.Profiles, err
}

// EditProfile changes a profile that is still at that version (0: at any); CONFLICT.
func (c *Client) EditProfile(ctx context.Context, name string, version int, e ProfileEdit) (Profile, error) {
	return patch[Profile](ctx, c, path("profiles", name), version, e)
}

// DeleteProfile removes a profile. While tokens refer to it, it takes a
// successor, which they refer to from then on; else PROFILE_IN_USE.
func (c *Client) DeleteProfile(ctx context.Context, name, successor string) error {
	q := newQuery().text("successor", successor)
	return c.do(ctx, call{method: http.MethodDelete, path: path("profiles", name), query: q.Values})
}
