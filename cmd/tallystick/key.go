package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/server"
)

func (p *program) apiKeyCommands() *cobra.Command {
	var k client.NewAPIKey
	var life time.Duration
	var out string
	add := p.command("add NAME", "Make an API key; it is shown this once", 1, func(r run) error {
		if k.Role == "" {
			return cli.Usagef("say what it may do: --role %s", strings.Join(names(access.Roles(), func(r access.Role) string { return string(r) }), ", "))
		}
		file, err := openOut(out)
		if err != nil {
			return err
		}
		defer file.drop()
		k.Name, k.LifeSeconds = r.args[0], seconds(life)
		made, err := r.server.AddAPIKey(r.ctx, k)
		if err != nil {
			return err
		}
		if file != nil {
			if err := file.write([]byte(string(made.Key) + "\n")); err != nil {
				return fmt.Errorf("the key was made and could not be kept (%w): delete it and make another", err)
			}
			return p.result(made.APIKey, "made API key %s in the role %s, in %s", made.Name, made.Role, out)
		}
		if !p.JSON && p.terminal() {
			p.Note("this is the key, which is shown this once:")
		}
		return p.result(map[string]string{"name": made.Name, "role": made.Role, "key": string(made.Key)}, "%s", string(made.Key))
	})
	add.Long = "Make an API key; it is shown this once. It may do what its role may; docs/security.md says what each right is for.\n"
	for _, role := range access.Roles() {
		may := "everything"
		if role != access.SuperAdmin {
			may = strings.Trim(fmt.Sprint(role.Rights()), "[]")
		}
		add.Long += fmt.Sprintf("\n%s: %s\n", role, may)
	}
	add.Long = strings.TrimSuffix(add.Long, "\n")
	add.Flags().StringVar(&k.Role, "role", "", "super_admin, token_admin, help_desk, privileged_help_desk, auditor, operator, agent or change_reader")
	add.Flags().Func("domain", "security `domain` that it is limited to, with all below (default the whole deployment)", cli.NotEmpty(&k.Domain))
	lifeFlag(add.Flags(), &life, "life", 0, "how long the key works, such as 365d (default for ever)")
	add.Flags().StringVar(&out, "out", "", "`file` to write the key to, instead of showing it")

	list := p.command("list", "List the API keys", 0, func(r run) error {
		keys, err := r.server.APIKeys(r.ctx)
		if err != nil {
			return err
		}
		return tabulate(p, client.APIKeyList{APIKeys: keys}, []string{"NAME", "ROLE", "MADE", "EXPIRES"}, keys, func(k client.APIKey) []string {
			return []string{k.Name, strings.TrimSuffix(k.Role+" in "+unlessRoot(k.Domain), " in "), date(&k.CreatedAt), date(k.ExpiresAt)}
		})
	})
	remove := p.deletion("delete NAME", "Make an API key useless", func(r run) error { return r.server.DeleteAPIKey(r.ctx, r.args[0]) })
	return group("api-key", "Keys with which programs use the API", add, list, remove)
}

func (p *program) keyCommands() *cobra.Command {
	rotate := p.command("rotate", "Make a new data key; the server moves all secrets to it while it works", 0, func(r run) error {
		id, err := r.server.RotateDataKey(r.ctx)
		if err != nil {
			return err
		}
		return p.result(client.DataKey{DataKey: id}, "data key %d seals everything from now on", id)
	})
	return group("key", "Keys that seeds are sealed with", rotate, p.changeMaster())
}

func (p *program) changeMaster() *cobra.Command {
	m := server.MasterChange{Now: time.Now}
	cmd := &cobra.Command{
		Use:   "change-master FILE",
		Short: "Exchange the master key for the one in FILE, which is made unless it is there; all servers are stopped",
		Long: `Exchange the master key for the one in FILE, which is made unless it is there, and make a new data key. Stop all servers of the
deployment before, and start them with the new key: by --master-key FILE, or with FILE in place of DIR/master.key.

Whoever has the old key and the database as it was can open what that held: see docs/security.md for what else to do. Backups
from before open with the old key.`,
		Args: cli.Exactly(1),
	}
	f := cmd.Flags()
	f.Func("database", "`URL` of the PostgreSQL database instead of the embedded one (TALLYSTICK_DATABASE)", cli.NotEmpty(&m.Database))
	f.Func("master-key", "`file` with the master key as it is (default DIR/master.key)", cli.NotEmpty(&m.From))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := p.place(&m.Data, &m.Database); err != nil {
			return err
		}
		m.To = args[0]
		from, to, err := m.Run(cmd.Context())
		if err != nil {
			return outage(err)
		}
		return p.result(map[string]string{"master_key": to, "before": from}, "the master key is %s now, in %s, and not %s any more: start the servers with --master-key %[2]s, and keep a copy of it in a safe place, apart from copies of the database",
			to, m.To, from)
	}
	return cmd
}
