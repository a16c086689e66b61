package device

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/recent"
)

// A Catalog is all definitions: those that were imported, and the built-in ones that none of them replaces.
type Catalog struct {
	all   []Definition
	index map[string]int // by spelled name
}

func catalogOf(all []Definition) Catalog {
	c := Catalog{all, make(map[string]int, len(all))}
	for i, d := range all {
		c.index[spelled(d.Name)] = i
	}
	return c
}

// NewCatalog makes the catalog of the definitions that were imported. They come after the built-in ones, but for those that
// replace one, which take its place.
func NewCatalog(imported []Definition) Catalog {
	c := catalogOf(slices.Clone(builtin))
	for _, d := range imported {
		c = c.With(d)
	}
	return c
}

// All lists the definitions.
func (c Catalog) All() []Definition { return slices.Clone(c.all) }

// With is a catalog with a definition more, or with another one in the place of that name.
func (c Catalog) With(d Definition) Catalog {
	all := slices.Clone(c.all)
	if i := c.at(d.Name); i >= 0 {
		all[i] = d
	} else {
		all = append(all, d)
	}
	return catalogOf(all)
}

// Without is a catalog without an imported definition: the built-in one of its name, if there is one, is back.
func (c Catalog) Without(name string) Catalog {
	all := slices.Clone(c.all)
	i := c.at(name)
	if i < 0 {
		return c
	}
	for _, d := range builtin {
		if spelled(d.Name) == spelled(name) {
			all[i] = d
			return catalogOf(all)
		}
	}
	return catalogOf(slices.Delete(all, i, i+1))
}

// aliases are other spellings of built-in names that people try.
var aliases = map[string]string{
	"iphone": "ios", "ipad": "ios", "win": "windows", "windowsdesktop": "windows", "desktop": "windows",
	"mac": "macos", "macosdesktop": "macos", "osx": "macos", "linuxcli": "linux", "linuxcommandline": "linux", "any": "generic",
}

// spelled is a name without what does not matter in it: case, blanks, dashes.
func spelled(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -_.", r) {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// at is the place of the definition of that very name, -1 if there is none.
func (c Catalog) at(name string) int {
	if i, ok := c.index[spelled(name)]; ok {
		return i
	}
	return -1
}

// Exactly returns the definition of that name, in any case and with or without separators, but under no other name.
func (c Catalog) Exactly(name string) (Definition, bool) {
	if i := c.at(name); i >= 0 {
		return c.all[i], true
	}
	return Definition{}, false
}

// Find returns the definition of that name; case, blanks, dashes and the
// commonest other spellings do not matter. [fault.DeviceNotFound] if none fits.
func (c Catalog) Find(name string) (Definition, error) {
	d, ok := c.Exactly(name)
	if !ok {
		d, ok = c.Exactly(aliases[spelled(name)])
	}
	if ok {
		return d, nil
	}
	known := make([]string, len(c.all))
	for i, d := range c.all {
		known[i] = d.Name
	}
	return Definition{}, fault.New(fault.DeviceNotFound, "no device type %q: take one of %s", name, strings.Join(known, ", "))
}

// Store is what the registry needs of the database.
type Store interface {
	// Devices returns the definitions that were imported, by name. It locks nothing, in a transaction neither.
	Devices(ctx context.Context) ([]Definition, error)
	// Joins tells whether ctx carries a transaction.
	Joins(ctx context.Context) bool
}

// A Registry is what reads definitions where they are needed often. It is safe for concurrent use.
type Registry struct {
	Store Store
	Now   func() time.Time

	last recent.Value[Catalog]
}

// Current returns the definitions as they were at most a second ago, mostly without asking the database.
func (r *Registry) Current(ctx context.Context) (Catalog, error) {
	if r.Store.Joins(ctx) {
		return r.last.Within(ctx, r.Now, r.read)
	}
	return r.last.Get(ctx, r.Now, r.read)
}

func (r *Registry) read(ctx context.Context) (Catalog, error) {
	imported, err := r.Store.Devices(ctx)
	return NewCatalog(imported), err
}

// Find is [Catalog.Find] in the definitions as they are now. A name that was not there a second ago is looked up again:
// another server may have imported it and a profile may name it already.
func (r *Registry) Find(ctx context.Context, name string) (Definition, error) {
	c, err := r.Current(ctx)
	if err != nil {
		return Definition{}, err
	}
	if d, err := c.Find(name); err == nil {
		return d, nil
	}
	if r.Store.Joins(ctx) {
		c, err = r.read(ctx)
	} else {
		c, err = r.last.Read(ctx, r.Now, r.read)
	}
	if err != nil {
		return Definition{}, err
	}
	return c.Find(name)
}

// Forget makes the next call read the database: the definitions were changed here.
func (r *Registry) Forget() { r.last.Forget() }
