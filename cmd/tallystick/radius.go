package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

func (p *program) radiusCommands() *cobra.Command {
	return group("radius", "The gateways, machines and proxies that may ask over RADIUS",
		p.radiusAdd(), p.radiusList(), p.radiusShow(), p.radiusEdit(), p.radiusUser(),
		p.deletion("delete NAME", "Delete a RADIUS client", func(r run) error { return r.server.DeleteRADIUSClient(r.ctx, r.args[0]) }))
}

// radiusFlags are the options of a RADIUS client.
type radiusFlags struct {
	address, certificate, prompts, authenticator, realm string
	attributes, ofProfiles                              []string
	challenges                                          bool
	maxQPS                                              int
	allowed                                             allowedFlags
	secret                                              *cli.Secret
}

func (f *radiusFlags) on(p *program, cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.address, "address", "", "`address` or prefix that its packets come from: 192.0.2.7, 2001:db8::/64")
	s.StringVar(&f.certificate, "certificate", "", "over TLS, its certificate: sha256: with 64 hexadecimal `digits`, or a DNS name that it holds")
	s.StringVar(&f.prompts, "prompts", "securid", "`set` of texts: securid, cisco-asa or plain")
	s.BoolVar(&f.challenges, "challenges", true, "whether the client can ask its user again")
	s.StringVar(&f.authenticator, "message-authenticator", "require", "requests without one: require, warn or off")
	s.StringArrayVar(&f.attributes, "attribute", nil, "`name=value` that is returned with every accept, such as Class=staff; may be given several times")
	s.StringArrayVar(&f.ofProfiles, "profile-attribute", nil, "`profile:name=value` that is returned in place of those with accepts of tokens of a profile; may be given several times")
	s.StringVar(&f.realm, "strip-realm", "none", "take a realm off user names: none, prefix (DOMAIN\\user) or suffix (user@realm)")
	s.IntVar(&f.maxQPS, "max-qps", 0, "requests a second, what is more is dropped; 0 is no limit")
	f.allowed.on(cmd)
	f.secret = p.SecretFlag(cmd, "secret-file", "shared secret")
}

// profileAttribute is how an attribute for a profile is written. Names of profiles and values may have colons and equals signs in them, names of
// attributes have none.
var profileAttribute = regexp.MustCompile(`^(.+?):([0-9A-Za-z-]+)=(.*)$`)

func (f *radiusFlags) parsed() ([]client.RADIUSAttribute, error) {
	all := []client.RADIUSAttribute{}
	for _, a := range f.attributes {
		name, value, found := strings.Cut(a, "=")
		if !found {
			return nil, cli.Usagef("--attribute is written name=value")
		}
		all = append(all, client.RADIUSAttribute{Name: name, Value: value})
	}
	for _, a := range f.ofProfiles {
		parts := profileAttribute.FindStringSubmatch(a)
		if parts == nil {
			return nil, cli.Usagef("--profile-attribute is written profile:name=value")
		}
		all = append(all, client.RADIUSAttribute{Name: parts[2], Value: parts[3], Profile: parts[1]})
	}
	return all, nil
}

// safeSecret is how long a shared secret should be (spec/radius.md section 1).
const safeSecret = 16

// value is the secret, asked for if it is wanted and not given.
func (f *radiusFlags) value(p *program, wanted bool) (string, error) {
	secret, err := f.secret.Value()
	if err == nil && wanted && !f.secret.Given() {
		if !p.Interactive() {
			return "", cli.Usagef("give the shared secret with --secret-file FILE; - is standard input")
		}
		secret, err = p.AskSecret("Shared secret: ")
	}
	if err == nil && secret != "" && len(secret) < safeSecret {
		p.Note("warning: a shared secret of less than 16 characters can be guessed by whoever sees a packet")
	}
	return secret, err
}

func (p *program) radiusAdd() *cobra.Command {
	var f radiusFlags
	var domain string
	cmd := p.command("add NAME", "Let a gateway, machine or proxy ask over RADIUS", 1, func(r run) error {
		if f.address == "" && f.certificate == "" {
			return cli.Usagef("say where its packets come from: --address PREFIX, or over TLS --certificate NAME")
		}
		attributes, err := f.parsed()
		if err != nil {
			return err
		}
		secret, err := f.value(p, f.address != "")
		if err != nil {
			return err
		}
		added, err := r.server.AddRADIUSClient(r.ctx, client.NewRADIUSClient{
			Domain:       domain,
			RADIUSClient: r.args[0], Address: f.address, Certificate: f.certificate, Secret: client.Secret(secret), PromptSet: f.prompts,
			Challenges: &f.challenges, RequireMessageAuthenticator: f.authenticator, ReplyAttributes: attributes, StripRealm: f.realm, MaxQPS: f.maxQPS,
			AllowedUsers: f.allowed.users, AllowedGroups: f.allowed.groups, AllowedDomain: f.allowed.domain,
		})
		if err != nil {
			return err
		}
		f.allowed.noteStrangers(p, r)
		return p.result(map[string]string{"radius_client": added.RADIUSClient}, "added RADIUS client %s", added.RADIUSClient)
	})
	f.on(p, cmd)
	domainFlag(cmd, &domain)
	cmd.PreRunE = refuseEmpty
	return cmd
}

func (p *program) radiusList() *cobra.Command {
	return p.command("list", "List the RADIUS clients", 0, func(r run) error {
		all, err := r.server.RADIUSClients(r.ctx)
		if err != nil {
			return err
		}
		return tabulate(p, client.RADIUSClientList{RADIUSClients: all}, []string{"NAME", "ADDRESS", "CERTIFICATE", "PROMPTS", "CHALLENGES", "AUTHENTICATOR"}, all, func(c client.RADIUSClient) []string {
			return []string{c.RADIUSClient, c.Address, c.Certificate, c.PromptSet, yesNo(c.Challenges), c.RequireMessageAuthenticator}
		})
	})
}

func (p *program) radiusShow() *cobra.Command {
	return p.command("show NAME", "Show a RADIUS client; its secret is never shown", 1, func(r run) error {
		c, err := r.server.RADIUSClient(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(c)
		}
		p.fields("RADIUS client", c.RADIUSClient, "address", c.Address, "certificate", c.Certificate, "domain", unlessRoot(c.Domain), "prompts", c.PromptSet,
			"challenges", yesNo(c.Challenges), "authenticator", c.RequireMessageAuthenticator, "strip realm", c.StripRealm)
		for _, a := range c.ReplyAttributes {
			if a.Profile == "" {
				p.fields("attribute", a.Name+"="+a.Value)
			} else {
				p.fields("of profile", a.Profile+":"+a.Name+"="+a.Value)
			}
		}
		if c.MaxQPS > 0 {
			p.fields("max qps", number(c.MaxQPS))
		}
		p.fields(allowedFlags{c.AllowedUsers, c.AllowedGroups, c.AllowedDomain}.lines()...)
		p.fields("version", number(c.Version))
		return nil
	})
}

func (p *program) radiusEdit() *cobra.Command {
	var f radiusFlags
	var none bool
	cmd := p.command("edit NAME", "Change a RADIUS client", 1, nil)
	f.on(p, cmd)
	cmd.Flags().BoolVar(&none, "no-attributes", false, "take all attributes of the client away")
	version := versionFlag(cmd, "the client is")
	p.does(cmd, func(r run) error {
		attributes, err := f.parsed()
		if err != nil {
			return err
		}
		if none && len(attributes) > 0 {
			return cli.Usagef("give --attribute and --profile-attribute, or --no-attributes")
		}
		secret, err := f.value(p, false)
		if err != nil {
			return err
		}
		var replies *[]client.RADIUSAttribute
		if none || len(attributes) > 0 { // either flag replaces all of them
			replies = &attributes
		}
		return edits(p, r, "RADIUS client "+r.args[0], func() (client.RADIUSClient, error) { return r.server.RADIUSClient(r.ctx, r.args[0]) }, func() (client.RADIUSClient, error) {
			f.allowed.noteStrangers(p, r)
			return r.server.EditRADIUSClient(r.ctx, r.args[0], *version, client.RADIUSClientEdit{
				Address: given(cmd, "address", &f.address), Certificate: given(cmd, "certificate", &f.certificate),
				Secret: given(cmd, "secret-file", (*client.Secret)(&secret)), PromptSet: given(cmd, "prompts", &f.prompts),
				Challenges: given(cmd, "challenges", &f.challenges), RequireMessageAuthenticator: given(cmd, "message-authenticator", &f.authenticator),
				ReplyAttributes: replies, StripRealm: given(cmd, "strip-realm", &f.realm), MaxQPS: given(cmd, "max-qps", &f.maxQPS),
				AllowedUsers: listed(cmd, "allow-user", f.allowed.users), AllowedGroups: listed(cmd, "allow-group", f.allowed.groups),
				AllowedDomain: given(cmd, "allow-domain", &f.allowed.domain),
			})
		})
	})
	return cmd
}

func (p *program) radiusUser() *cobra.Command {
	var f radiusFlags
	var none bool
	cmd := p.command("user USERID", "Show or replace the attributes that clients get with an accept of a user", 1, func(r run) error {
		replies, err := f.parsed()
		if err != nil {
			return err
		}
		var all []client.RADIUSAttribute
		switch {
		case none && len(replies) > 0:
			return cli.Usagef("give --attribute or --none")
		case none || len(replies) > 0:
			all, err = r.server.SetUserReply(r.ctx, r.args[0], replies)
		default:
			all, err = r.server.UserReply(r.ctx, r.args[0])
		}
		if err != nil {
			return err
		}
		return tabulate(p, client.UserReply{ReplyAttributes: all}, []string{"ATTRIBUTE", "VALUE"}, all, func(a client.RADIUSAttribute) []string { return []string{a.Name, a.Value} })
	})
	cmd.Flags().StringArrayVar(&f.attributes, "attribute", nil, "`name=value` that is returned, such as Class=admins; may be given several times, and replaces all there are")
	cmd.Flags().BoolVar(&none, "none", false, "take all attributes of the user away")
	return cmd
}
