package api

import (
	"context"
	"net/netip"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
)

func radiusClientOf(c access.RADIUSClient) client.RADIUSClient {
	out := client.RADIUSClient{
		RADIUSClient: c.Name, Certificate: c.Certificate, PromptSet: string(c.Prompts), Challenges: c.Challenges,
		RequireMessageAuthenticator: string(c.MessageAuthenticator), StripRealm: string(c.StripRealm), MaxQPS: c.MaxQPS,
		ReplyAttributes: mapped(c.Attributes, func(a access.ReplyAttribute) client.RADIUSAttribute { return client.RADIUSAttribute(a) }),
		AllowedUsers:    allOf(c.Restriction.Users), AllowedGroups: allOf(c.Restriction.Groups), AllowedDomain: c.Restriction.UserDomain,
		CreatedAt: c.CreatedAt, Version: c.Version, Domain: domain.Show(c.Domain),
	}
	if c.Address.IsValid() {
		out.Address = c.Address.String()
	}
	return out
}

// attributesOf are attributes in the words of the domain.
func attributesOf(all []client.RADIUSAttribute) []access.ReplyAttribute {
	return mapped(all, func(a client.RADIUSAttribute) access.ReplyAttribute { return access.ReplyAttribute(a) })
}

// clientAddress reads an address; "" is none.
func clientAddress(text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	return access.ParseClientAddress(text)
}

func (a *API) addRADIUSClient(ctx context.Context, _ *request, in client.NewRADIUSClient) (answer, error) {
	ctx, err := a.making(ctx, in.Domain)
	if err != nil {
		return answer{}, err
	}
	address, err := clientAddress(in.Address)
	if err != nil {
		return answer{}, err
	}
	challenges := true
	set(&challenges, in.Challenges)
	c, err := a.RADIUS.Add(ctx, access.RADIUSClient{
		Name: in.RADIUSClient, Address: address, Certificate: in.Certificate, Prompts: access.PromptSet(in.PromptSet), Challenges: challenges,
		MessageAuthenticator: access.Strictness(in.RequireMessageAuthenticator), Attributes: attributesOf(in.ReplyAttributes),
		StripRealm: access.Realm(in.StripRealm), MaxQPS: in.MaxQPS,
		Restriction: access.Restriction{Users: in.AllowedUsers, Groups: in.AllowedGroups, UserDomain: domain.Parse(in.AllowedDomain)},
	}, string(in.Secret))
	if err != nil {
		return answer{}, err
	}
	return created(at("radius-clients", c.Name), c.Version, radiusClientOf(c))
}

func (a *API) listRADIUSClients(ctx context.Context, _ *request) (answer, error) {
	clients, err := a.RADIUS.List(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.RADIUSClientList{RADIUSClients: mapped(clients, radiusClientOf)})
}

func (a *API) showRADIUSClient(ctx context.Context, r *request) (answer, error) {
	c, err := a.RADIUS.Get(ctx, r.PathValue("name"))
	return record(c, c.Version, radiusClientOf, err)
}

// radiusClientEdit is an edit in the words of the domain, but for the secret.
func radiusClientEdit(in client.RADIUSClientEdit) (func(*access.RADIUSClient), error) {
	var address *netip.Prefix
	if in.Address != nil {
		prefix, err := clientAddress(*in.Address)
		if err != nil {
			return nil, err
		}
		address = &prefix
	}
	return func(c *access.RADIUSClient) {
		set(&c.Address, address)
		set(&c.Certificate, in.Certificate)
		set(&c.Prompts, (*access.PromptSet)(in.PromptSet))
		set(&c.Challenges, in.Challenges)
		set(&c.MessageAuthenticator, (*access.Strictness)(in.RequireMessageAuthenticator))
		set(&c.StripRealm, (*access.Realm)(in.StripRealm))
		set(&c.MaxQPS, in.MaxQPS)
		restrict(&c.Restriction, in.AllowedUsers, in.AllowedGroups, in.AllowedDomain)
		if in.ReplyAttributes != nil {
			c.Attributes = attributesOf(*in.ReplyAttributes)
		}
	}, nil
}

func (a *API) editRADIUSClient(ctx context.Context, r *request, in client.RADIUSClientEdit) (answer, error) {
	change, err := radiusClientEdit(in)
	if err != nil {
		return answer{}, err
	}
	c, err := a.RADIUS.Edit(ctx, r.PathValue("name"), r.version, (*string)(in.Secret), change)
	return record(c, c.Version, radiusClientOf, err)
}

func (a *API) deleteRADIUSClient(ctx context.Context, r *request) (answer, error) {
	return done(a.RADIUS.Delete(ctx, r.PathValue("name")))
}

func userReplyOf(all []access.ReplyAttribute) client.UserReply {
	return client.UserReply{ReplyAttributes: mapped(all, func(a access.ReplyAttribute) client.RADIUSAttribute { return client.RADIUSAttribute(a) })}
}

func (a *API) showUserReply(ctx context.Context, r *request) (answer, error) {
	all, err := a.UserReplies.Get(ctx, r.PathValue("user_id"))
	if err != nil {
		return answer{}, err
	}
	return ok(userReplyOf(all))
}

func (a *API) setUserReply(ctx context.Context, r *request, in client.UserReply) (answer, error) {
	all := attributesOf(in.ReplyAttributes)
	if err := a.UserReplies.Set(ctx, r.PathValue("user_id"), all); err != nil {
		return answer{}, err
	}
	return ok(userReplyOf(all))
}
