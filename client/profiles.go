package client

import (
	"context"
	"net/http"
)

// Devices lists the device types.
func (c *Client) Devices(ctx context.Context) ([]Device, error) {
	list, err := get[DeviceList](ctx, c, path("devices"), query{})
	return list.Devices, err
}

// Device returns a device type; DEVICE_DEF_NOT_FOUND.
func (c *Client) Device(ctx context.Context, deviceType string) (Device, error) {
	return get[Device](ctx, c, path("devices", deviceType), query{})
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
	var p Profile
	err := c.do(ctx, call{method: http.MethodPatch, path: path("profiles", name), body: e, version: version, result: &p})
	return p, err
}

// DeleteProfile removes a profile. While tokens refer to it, it takes a
// successor, which they refer to from then on; else PROFILE_IN_USE.
func (c *Client) DeleteProfile(ctx context.Context, name, successor string) error {
	q := newQuery().text("successor", successor)
	return c.do(ctx, call{method: http.MethodDelete, path: path("profiles", name), query: q.Values})
}
