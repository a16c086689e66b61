package store

import (
	"context"
	"errors"
	"slices"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/profile"
)

const profileColumns columns = "name, device_type, digits, interval_seconds, pin_type, method, ctf_version, binding, protection, " +
	"activation_life, switch_over, grace, notes, created_at, version, url_style, self_service"

func profileValues(p profile.Profile) []any {
	return []any{p.Name, p.DeviceType, p.Digits, p.Interval, p.PINType, p.Method, p.CTFVersion, p.Binding, p.Protection,
		p.ActivationLife.Microseconds(), p.SwitchOver, p.Grace.Microseconds(), p.Notes, micros(p.CreatedAt), p.Version, p.URLStyle, jsonOrNull[profile.SelfService]{&p.SelfService}}
}

func scanProfile(r row) (p profile.Profile, err error) {
	var shown *profile.SelfService
	err = r.Scan(&p.Name, &p.DeviceType, &p.Digits, &p.Interval, &p.PINType, &p.Method, &p.CTFVersion, &p.Binding, &p.Protection,
		span(&p.ActivationLife), &p.SwitchOver, span(&p.Grace), &p.Notes, moment(&p.CreatedAt), &p.Version,
		&p.URLStyle, fromJSON(&shown))
	if shown != nil {
		p.SelfService = *shown
	}
	return p, err
}

// Profile returns a profile; [fault.ProfileNotFound]. Within a transaction the row is locked for change.
func (db *DB) Profile(ctx context.Context, name string) (profile.Profile, error) {
	return one(ctx, db, noProfile(name), scanProfile, "SELECT "+string(profileColumns)+" FROM profile WHERE name = $1"+db.locked(ctx), name)
}

// ReadProfile returns a profile; [fault.ProfileNotFound]. It locks nothing, also within a transaction.
func (db *DB) ReadProfile(ctx context.Context, name string) (profile.Profile, error) {
	return one(ctx, db, noProfile(name), scanProfile, "SELECT "+string(profileColumns)+" FROM profile WHERE name = $1", name)
}

// HasProfile refuses a profile that is not there: [fault.ProfileNotFound]. Within a transaction it is not deleted until that ends; it may be changed, or who
// edits a RADIUS client and who applies a configuration would wait for each other.
func (db *DB) HasProfile(ctx context.Context, name string) error {
	_, err := one(ctx, db, noProfile(name), text, "SELECT name FROM profile WHERE name = $1"+db.locksShared(), name)
	return err
}

func noProfile(name string) *fault.Error {
	return fault.New(fault.ProfileNotFound, "there is no profile %q", name)
}

// Profiles lists all profiles by name.
func (db *DB) Profiles(ctx context.Context) ([]profile.Profile, error) {
	return list(ctx, db, scanProfile, "SELECT "+string(profileColumns)+" FROM profile ORDER BY name")
}

// AddProfile stores a new profile; [fault.ProfileNameTaken].
func (db *DB) AddProfile(ctx context.Context, p profile.Profile) error {
	taken := fault.New(fault.ProfileNameTaken, "there is a profile %q already: take another name, or edit that one", p.Name)
	return db.change(ctx, taken, profileColumns.insert("profile"), profileValues(p)...)
}

// SaveProfile stores a changed profile whose Version is still p.Version, and counts it up; else [fault.Conflict].
func (db *DB) SaveProfile(ctx context.Context, p profile.Profile) error {
	stale := fault.New(fault.Conflict, "profile %s was changed meanwhile: read it again", p.Name)
	read := p.Version
	p.Version++
	return db.change(ctx, stale, profileColumns.update("profile", "name = $18 AND version = $19"), append(profileValues(p), p.Name, read)...)
}

// DeleteProfile removes a profile with its mail templates, which a new one of its name would get; [fault.ProfileInUse] while tokens or open activation codes refer to it,
// or RADIUS clients have attributes for it, which would be those of the new one's tokens.
func (db *DB) DeleteProfile(ctx context.Context, name string) error {
	inUse := fault.New(fault.ProfileInUse, "tokens or open activation codes refer to profile %s: name a successor for them", name)
	return db.Transact(ctx, func(ctx context.Context) error {
		// Whoever offers a code has locked the profile before, and so has who gives a RADIUS client attributes for it.
		if _, err := one(ctx, db, noProfile(name), text, "SELECT name FROM profile WHERE name = $1"+db.locksAll(), name); err != nil {
			return err
		}
		open, err := list(ctx, db, text, "SELECT id FROM offer WHERE profile = $1 AND state = 'open' LIMIT 1", name)
		if err != nil {
			return err
		}
		if len(open) > 0 {
			return inUse
		}
		clients, err := list(ctx, db, scanRADIUSClient, "SELECT "+string(radiusColumns)+" FROM radius_client ORDER BY name")
		if err != nil {
			return err
		}
		for _, c := range clients {
			if slices.ContainsFunc(c.Attributes, func(a access.ReplyAttribute) bool { return a.Profile == name }) {
				return fault.New(fault.ProfileInUse, "RADIUS client %s has attributes for tokens of profile %s: take them away first, with 'tallystick radius edit'", c.Name, name)
			}
		}
		if _, err = db.exec(ctx, "DELETE FROM profile WHERE name = $1", name); errors.Is(err, fault.Conflict) {
			return inUse
		}
		if err != nil {
			return err
		}
		_, err = db.exec(ctx, "DELETE FROM mail_template WHERE profile = $1", name)
		return err
	})
}

// MoveProfile makes everything that refers to one profile refer to another.
func (db *DB) MoveProfile(ctx context.Context, from, to string) error {
	return db.Transact(ctx, func(ctx context.Context) error {
		// An update locks rows as it finds them, and sign-ins by their serials: the two would wait for each other in a ring.
		serials, err := list(ctx, db, text, "SELECT serial FROM token WHERE profile = $1 ORDER BY serial", from)
		if err != nil {
			return err
		}
		if err := db.lockTokens(ctx, serials); err != nil {
			return err
		}
		moved, err := list(ctx, db, text, "UPDATE token SET profile = $1, version = version + 1 WHERE profile = $2 RETURNING serial", to, from)
		if err != nil {
			return err
		}
		for serials := range slices.Chunk(moved, chunk) {
			_, err := db.exec(ctx, "UPDATE token_generation SET version = version + 1 WHERE serial IN ("+places(len(serials))+")", anys(serials)...)
			if err != nil {
				return err
			}
		}
		_, err = db.exec(ctx, "UPDATE offer SET profile = $1 WHERE profile = $2", to, from)
		return err
	})
}
