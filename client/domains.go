package client

import (
	"context"
	"time"
)

// A Domain is a security domain: a place in the tree that users, tokens, groups, agents and RADIUS clients belong to.
type Domain struct {
	Domain    string     `json:"domain"` // "root" for the root of the tree
	Parent    string     `json:"parent"` // "" for the root
	Note      string     `json:"note"`
	CreatedAt *time.Time `json:"created_at,omitempty"` // nil for the root
	Version   int        `json:"version"`
	// OwnPolicies are those that the domain has of its own: "token", "lockout". What it lacks it inherits.
	OwnPolicies []string      `json:"own_policies,omitempty"`
	Objects     *ObjectCounts `json:"objects,omitempty"` // in the domain itself; of a single domain only
}

// ObjectCounts are how many objects of each kind there are, or were moved.
type ObjectCounts struct {
	Users         int `json:"users"`
	Tokens        int `json:"tokens"`
	Groups        int `json:"groups"`
	Agents        int `json:"agents"`
	RADIUSClients int `json:"radius_clients"`
	APIKeys       int `json:"api_keys"` // that are limited to the domain
}

// A NewDomain is what a domain is made of.
type NewDomain struct {
	Domain string `json:"domain"`
	Parent string `json:"parent,omitempty"` // "" for the top of what the caller sees
	Note   string `json:"note,omitempty"`
}

// A DomainEdit changes what is not nil. With the parent all that is below the domain moves, too.
type DomainEdit struct {
	Parent *string `json:"parent,omitempty"`
	Note   *string `json:"note,omitempty"`
}

// A DomainList is the domains that the caller sees, the root first and the others by name.
type DomainList struct {
	Domains []Domain `json:"domains"`
}

// DomainObjects names objects that are to move into a domain. The tokens that a user holds go along.
type DomainObjects struct {
	Users         []string `json:"users,omitempty"`
	Tokens        []string `json:"tokens,omitempty"` // serials
	Groups        []string `json:"groups,omitempty"` // and not their members
	Agents        []string `json:"agents,omitempty"`
	RADIUSClients []string `json:"radius_clients,omitempty"`
}

// AddDomain stores a new domain; DOMAIN_EXISTS.
func (c *Client) AddDomain(ctx context.Context, d NewDomain) (Domain, error) {
	return post[Domain](ctx, c, path("domains"), d)
}

// Domains returns the domains that the caller sees.
func (c *Client) Domains(ctx context.Context) ([]Domain, error) {
	all, err := get[DomainList](ctx, c, path("domains"), query{})
	return all.Domains, err
}

// Domain returns a domain with the numbers of its objects; DOMAIN_NOT_FOUND.
func (c *Client) Domain(ctx context.Context, name string) (Domain, error) {
	return get[Domain](ctx, c, path("domains", name), query{})
}

// EditDomain changes a domain that is still at that version (0: at any); CONFLICT, DOMAIN_INVALID for a parent below it.
func (c *Client) EditDomain(ctx context.Context, name string, version int, e DomainEdit) (Domain, error) {
	return patch[Domain](ctx, c, path("domains", name), version, e)
}

// DeleteDomain removes a domain that holds nothing; DOMAIN_IN_USE.
func (c *Client) DeleteDomain(ctx context.Context, name string) error {
	return c.remove(ctx, path("domains", name))
}

// PutIntoDomain moves objects into a domain, all or none, and returns how many were elsewhere, the tokens that go along with their users
// among them.
func (c *Client) PutIntoDomain(ctx context.Context, name string, objects DomainObjects) (ObjectCounts, error) {
	return post[ObjectCounts](ctx, c, path("domains", name, "objects"), objects)
}
