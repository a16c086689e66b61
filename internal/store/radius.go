package store

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

const radiusColumns columns = "name, address, certificate, key_id, sealed, prompt_set, challenges, message_authenticator, attributes, " +
	"strip_realm, max_qps, created_at, version, domain, restriction"

func radiusValues(c access.RADIUSClient) ([]any, error) {
	address := ""
	if c.Address.IsValid() {
		address = c.Address.String()
	}
	attributes, err := json.Marshal(c.Attributes)
	if err != nil {
		return nil, err
	}
	restriction, err := json.Marshal(c.Restriction)
	return []any{c.Name, orNull(address), orNull(c.Certificate), orNull(c.Secret.KeyID), bytesOrNull(c.Secret.Blob), c.Prompts, c.Challenges,
		c.MessageAuthenticator, string(attributes), c.StripRealm, c.MaxQPS, micros(c.CreatedAt), c.Version, c.Domain, string(restriction)}, err
}

func scanRADIUSClient(r row) (c access.RADIUSClient, err error) {
	var address, attributes, restriction string
	err = r.Scan(&c.Name, orZero(&address), orZero(&c.Certificate), orZero(&c.Secret.KeyID), &c.Secret.Blob, &c.Prompts, &c.Challenges,
		&c.MessageAuthenticator, &attributes, &c.StripRealm, &c.MaxQPS, moment(&c.CreatedAt), &c.Version, &c.Domain, &restriction)
	if err != nil {
		return c, err
	}
	if address != "" {
		c.Address, err = netip.ParsePrefix(address)
	}
	err = errors.Join(err, json.Unmarshal([]byte(attributes), &c.Attributes), json.Unmarshal([]byte(restriction), &c.Restriction))
	return c, err
}

// RADIUSClient returns a client; [fault.NotFound]. Within a transaction the row is locked for change.
func (db *DB) RADIUSClient(ctx context.Context, name string) (access.RADIUSClient, error) {
	missing := fault.New(fault.NotFound, "there is no RADIUS client %q", name)
	c, err := one(ctx, db, missing, scanRADIUSClient, "SELECT "+string(radiusColumns)+" FROM radius_client WHERE name = $1"+db.locked(ctx), name)
	return seen(ctx, c, c.Domain, err, missing, "RADIUS client", name)
}

// RADIUSClients lists the clients by name.
func (db *DB) RADIUSClients(ctx context.Context) ([]access.RADIUSClient, error) {
	var c conditions
	db.within(ctx, &c)
	return list(ctx, db, scanRADIUSClient, "SELECT "+string(radiusColumns)+" FROM radius_client"+c.clause("name", 0), c.args...)
}

// AddRADIUSClient stores a new client; [fault.Conflict] if its name, address or certificate is another's.
func (db *DB) AddRADIUSClient(ctx context.Context, c access.RADIUSClient) error {
	taken := fault.New(fault.Conflict, "there is a RADIUS client with this name, this address or this certificate already: take another one, or edit that client")
	return db.Transact(ctx, func(ctx context.Context) (err error) {
		if c.Domain, err = db.placed(ctx, c.Domain); err != nil {
			return err
		}
		values, err := radiusValues(c)
		if err != nil {
			return err
		}
		return db.change(ctx, taken, radiusColumns.insert("radius_client"), values...)
	})
}

// SaveRADIUSClient stores a changed client whose Version is still c.Version, and counts it up; else
// [fault.Conflict], also if its address or certificate is another's.
func (db *DB) SaveRADIUSClient(ctx context.Context, c access.RADIUSClient) error {
	return db.Transact(ctx, func(ctx context.Context) error {
		// A broken UNIQUE would end the transaction on PostgreSQL with an error that says less. Which client it is, an administrator of another
		// security domain is not told.
		taken, err := list(ctx, db, text, "SELECT name FROM radius_client WHERE name <> $1 AND (address = $2 OR certificate = $3)",
			c.Name, c.Address.String(), c.Certificate)
		if err != nil {
			return err
		}
		if len(taken) > 0 {
			return fault.New(fault.Conflict, "another RADIUS client has this address or this certificate already: take another one, or edit that client")
		}
		stale := fault.New(fault.Conflict, "RADIUS client %s was changed meanwhile: read it again", c.Name)
		read := c.Version
		c.Version++
		values, err := radiusValues(c)
		if err != nil {
			return err
		}
		return db.change(ctx, stale, radiusColumns.update("radius_client", "name = $16 AND version = $17"), append(values, c.Name, read)...)
	})
}

// DeleteRADIUSClient removes a client; [fault.NotFound].
func (db *DB) DeleteRADIUSClient(ctx context.Context, name string) error {
	missing := domain.Outside(ctx, fault.New(fault.NotFound, "there is no RADIUS client %q", name), "RADIUS client %q", name)
	within, args := db.andInScope(ctx, 1)
	return db.change(ctx, missing, "DELETE FROM radius_client WHERE name = $1"+within, append([]any{name}, args...)...)
}
