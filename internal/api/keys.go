package api

import (
	"context"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/domain"
)

// identity is what an actor is told of itself.
func identity(actor audit.Actor, scope domain.Scope) client.Identity {
	rights := mapped(access.Role(actor.Role).Rights(), func(right access.Right) string { return string(right) })
	return client.Identity{Actor: actor.Name, Role: actor.Role, Rights: rights, Domain: scope.Top()}
}

func keyOf(k access.Key) client.APIKey {
	return client.APIKey{Name: k.Name, ID: k.ID, Role: string(k.Role), Origin: k.Origin, Domain: domain.Show(k.Domain), CreatedAt: k.CreatedAt, ExpiresAt: moment(k.ExpiresAt)}
}

func (a *API) addKey(ctx context.Context, _ *request, in client.NewAPIKey) (answer, error) {
	ctx, err := a.into(ctx, in.Domain)
	if err != nil {
		return answer{}, err
	}
	k, text, err := a.Keys.Add(ctx, in.Name, access.Role(in.Role), time.Duration(in.LifeSeconds)*time.Second)
	if err != nil {
		return answer{}, err
	}
	return reply(http.StatusCreated, client.CreatedAPIKey{APIKey: keyOf(k), Key: client.Secret(text)})
}

func (a *API) listKeys(ctx context.Context, _ *request) (answer, error) {
	keys, err := a.Keys.List(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.APIKeyList{APIKeys: mapped(keys, keyOf)})
}

func (a *API) deleteKey(ctx context.Context, r *request) (answer, error) {
	return done(a.Keys.Delete(ctx, r.PathValue("name")))
}

// rotate makes a new data key. What older keys seal is moved by the server's housekeeping: it may be millions of rows.
func (a *API) rotate(ctx context.Context, _ *request) (answer, error) {
	id, err := a.Keyring.Rotate(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.DataKey{DataKey: id})
}
