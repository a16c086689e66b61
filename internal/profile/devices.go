package profile

import (
	"context"
	"fmt"
	"strings"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
)

// A DeviceChange is a device definition that is imported, and what that means for the profiles of its device type.
type DeviceChange struct {
	Definition device.Definition
	Replaces   int // the version that was here, 0 if there was none
	Profiles   []Concern
}

// A Concern is a profile whose device definition changes.
type Concern struct {
	Profile string
	Err     error // why the profile would not be valid any more, nil if it stays so
}

// ImportDevices takes the device definitions of a file, as [Registry.AddDevices] does. What the file says that means
// nothing comes back as warnings.
func (r *Registry) ImportDevices(ctx context.Context, file []byte, dryRun bool) (changes []DeviceChange, warnings []string, err error) {
	content, err := device.Parse(file)
	if err != nil {
		return nil, nil, err
	}
	changes, err = r.AddDevices(ctx, content.Definitions, dryRun)
	return changes, content.Warnings, err
}

// AddDevices takes device definitions, all or none. A definition takes the place of one with the same
// name and a lower version, if every profile of the device type stays valid with it: else [fault.DeviceInUse], and
// nothing is changed. [fault.DeviceDuplicate] if that version or a newer one is here.
//
// A dry run changes nothing and returns what would happen to each profile, without the refusal for their sake.
func (r *Registry) AddDevices(ctx context.Context, definitions []device.Definition, dryRun bool) ([]DeviceChange, error) {
	var changes []DeviceChange
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		changes = nil
		catalog, err := r.Catalog(ctx)
		if err != nil {
			return err
		}
		profiles, err := r.Store.Profiles(ctx)
		if err != nil {
			return err
		}
		for _, d := range definitions {
			c, err := change(catalog, d, profiles)
			if err != nil {
				return err
			}
			c.Definition.ImportedAt = r.Now().UTC()
			changes = append(changes, c)
		}
		if dryRun {
			return nil
		}
		return r.saveDevices(ctx, changes)
	})
	if err == nil && !dryRun {
		r.Devices.Forget()
	}
	return changes, err
}

func (r *Registry) saveDevices(ctx context.Context, changes []DeviceChange) error {
	for _, c := range changes {
		what := fmt.Sprintf("version %d of device type %s", c.Definition.Version, c.Definition.Name)
		if err := inUse(what, c.Profiles); err != nil {
			return err
		}
		if err := r.Store.SaveDevice(ctx, c.Definition); err != nil {
			return err
		}
		details := audit.Details{"version": c.Definition.Version, "definition": c.Definition}
		action := "device_def.add"
		if c.Replaces > 0 {
			action, details["replaces"] = "device_def.replace", c.Replaces
		}
		if err := r.Store.Record(ctx, audit.New(ctx, r.Now(), action, "device:"+c.Definition.Name, details)); err != nil {
			return err
		}
	}
	return nil
}

// change holds a definition against the catalog and the profiles.
func change(catalog device.Catalog, d device.Definition, profiles []Profile) (DeviceChange, error) {
	c := DeviceChange{Definition: d}
	if here, ok := catalog.Exactly(d.Name); ok {
		if d.Version <= here.Version {
			return c, fault.New(fault.DeviceDuplicate, "device type %s is here in version %d: give a definition that is to replace it a higher version than that", here.Name, here.Version).
				With("device_type", here.Name).With("version", here.Version)
		}
		c.Definition.Name, c.Replaces = here.Name, here.Version
	}
	c.Profiles = concerns(catalog.With(c.Definition), c.Definition.Name, profiles)
	return c, nil
}

// concerns are the profiles of a device type, held against the catalog as it is to be.
func concerns(catalog device.Catalog, deviceType string, profiles []Profile) []Concern {
	var all []Concern
	for _, p := range profiles {
		if p.DeviceType == deviceType {
			all = append(all, Concern{p.Name, p.Complete(catalog)})
		}
	}
	return all
}

// longestList is how many profiles a refusal names in its message; its details name all.
const longestList = 20

// inUse refuses a change that leaves profiles invalid. what is what is to change.
func inUse(what string, profiles []Concern) error {
	var words []string
	var facts []map[string]string
	for _, c := range profiles {
		if c.Err == nil {
			continue
		}
		facts = append(facts, map[string]string{"profile": c.Profile, "code": string(fault.CodeOf(c.Err)), "message": c.Err.Error()})
		if len(words) < longestList {
			words = append(words, fmt.Sprintf("%s (%v)", c.Profile, c.Err))
		}
	}
	if len(facts) == 0 {
		return nil
	}
	if more := len(facts) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return fault.New(fault.DeviceInUse, "with %s these profiles would not be valid any more, and nothing was changed: %s", what, strings.Join(words, "; ")).
		With("profiles", facts)
}

// DeleteDevice removes an imported definition; the built-in one of its name, if there is one, is back.
// [fault.DeviceInUse] if a profile would not be valid then, or if the definition is built in.
func (r *Registry) DeleteDevice(ctx context.Context, name string) error {
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		catalog, err := r.Catalog(ctx)
		if err != nil {
			return err
		}
		d, ok := catalog.Exactly(name)
		if !ok {
			return fault.New(fault.DeviceNotFound, "no device type %q: name it as the list of device types does", name)
		}
		if d.BuiltIn {
			return fault.New(fault.DeviceInUse, "device type %s is built into the server and cannot be deleted: import a newer version to change it", d.Name)
		}
		profiles, err := r.Store.Profiles(ctx)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("device type %s gone", d.Name)
		if err := inUse(what, concerns(catalog.Without(d.Name), d.Name, profiles)); err != nil {
			return err
		}
		if err := r.Store.DeleteDevice(ctx, d.Name); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "device_def.delete", "device:"+d.Name, audit.Details{"version": d.Version, "definition": d}))
	})
	if err == nil {
		r.Devices.Forget()
	}
	return err
}

// Catalog is the definitions as they are, which nobody else changes until the transaction of ctx ends.
func (r *Registry) Catalog(ctx context.Context) (device.Catalog, error) {
	imported, err := r.Store.DevicesForChange(ctx)
	return device.NewCatalog(imported), err
}
