package client

import (
	"context"
	"time"
)

// A Device says what the apps of one device type can take.
type Device struct {
	DeviceType      string   `json:"device_type"` // as profiles name it: "android"
	Title           string   `json:"title"`       // for people
	Version         int      `json:"version"`
	Digits          []int    `json:"digits"`
	IntervalSeconds []int    `json:"interval_seconds"`
	PINTypes        []string `json:"pin_types"`
	KeyBits         int      `json:"key_bits"` // size of a seed
	DeliveryMethods []string `json:"delivery_methods"`
	QR              bool     `json:"qr"`                // its apps read QR codes
	ClassGUID       string   `json:"class_guid"`        // binds a token to the device type; "" if the type has none
	DeviceIDPattern string   `json:"device_id_pattern"` // regular expression for a whole device ID; "" if none may be given
	CTFVersion      int      `json:"ctf_version"`       // of compressed strings
	CTFLinks        []string `json:"ctf_links"`         // forms of the URL of a compressed string, the default first
	CTKIPLinks      []string `json:"ctkip_links"`       // forms of the link of dynamic provisioning, the default first
	MaxNickname     int      `json:"max_nickname"`      // characters; 0 if none is supported
	MaxPassword     int      `json:"max_password"`      // of deliveries, characters
	MaxTokens       int      `json:"max_tokens"`        // that one app can hold; 0 if not known
	BuiltIn         bool     `json:"built_in"`          // it came with the server

	ImportedAt *time.Time `json:"imported_at,omitempty"`
}

// A DeviceList is all device types.
type DeviceList struct {
	Devices []Device `json:"devices"`
}

// A DeviceFile is a definition file to be imported: XML, JSON or YAML.
type DeviceFile struct {
	File   []byte `json:"file"`
	DryRun bool   `json:"dry_run,omitempty"` // change nothing, and tell what would happen
}

// A DeviceImport is what a definition file changed, or would change in a dry run.
type DeviceImport struct {
	DryRun   bool           `json:"dry_run"`
	Devices  []DeviceChange `json:"devices"`
	Warnings []string       `json:"warnings"` // what in the file was passed over, with its line
}

// A DeviceChange is one definition of a file.
type DeviceChange struct {
	DeviceType string           `json:"device_type"`
	Version    int              `json:"version"`
	Replaces   int              `json:"replaces"` // the version that was there; 0 if there was none
	Profiles   []ProfileConcern `json:"profiles"` // all profiles of the device type
}

// A ProfileConcern says whether a profile stays valid when its device definition changes.
type ProfileConcern struct {
	Profile string `json:"profile"`
	OK      bool   `json:"ok"`
	Code    string `json:"code"` // of what is wrong; "" if nothing is
	Message string `json:"message"`
}

// Devices lists the device types.
func (c *Client) Devices(ctx context.Context) ([]Device, error) {
	list, err := get[DeviceList](ctx, c, path("devices"), query{})
	return list.Devices, err
}

// Device returns a device type; DEVICE_DEF_NOT_FOUND.
func (c *Client) Device(ctx context.Context, deviceType string) (Device, error) {
	return get[Device](ctx, c, path("devices", deviceType), query{})
}

// ImportDevices takes the definitions of a file, all or none. A file that cannot be read is DEVICE_DEF_INVALID or
// DEVICE_DEF_UNSUPPORTED, a version that is there already DEVICE_DEF_DUPLICATE, and one with which profiles would not be
// valid any more DEVICE_DEF_IN_USE, unless it is a dry run.
func (c *Client) ImportDevices(ctx context.Context, f DeviceFile) (DeviceImport, error) {
	return post[DeviceImport](ctx, c, path("devices", "import"), f)
}

// DeleteDevice removes an imported definition; the built-in one of its name, if there is one, is back.
// DEVICE_DEF_IN_USE if profiles would not be valid then.
func (c *Client) DeleteDevice(ctx context.Context, deviceType string) error {
	return c.remove(ctx, path("devices", deviceType))
}
