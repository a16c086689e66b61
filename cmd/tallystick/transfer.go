package main

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

func (p *program) transferCommands() *cobra.Command {
	return group("transfer", "Tokens that move to another deployment", p.transferKey(), p.transferExport(), p.transferImport())
}

func (p *program) transferKey() *cobra.Command {
	var signer bool
	cmd := p.command("key", "Show the public key that tokens for this deployment are sealed to", 0, func(r run) error {
		key, err := r.server.TransferKey(r.ctx)
		if err != nil {
			return err
		}
		if signer {
			return p.result(key, "%s", key.SignerKey)
		}
		return p.result(key, "%s", key.PublicKey)
	})
	cmd.Flags().BoolVar(&signer, "signer", false, "show the key that tokens from this deployment are signed with instead: for 'transfer import --from' at the target")
	return cmd
}

func (p *program) transferExport() *cobra.Command {
	var e client.TokenExport
	var filter, out, then string
	cmd := p.command("export", "Seal tokens with their seeds for another deployment", 0, nil)
	cmd.Long = `Seal tokens with their seeds for another deployment, to the key that 'tallystick transfer key' shows there.

With their users they stay assigned and go on working there; PINs do not go along: users set a new one. As long as a token is
enabled in both deployments, each of them accepts its codes: --then disable stops it here once the file is written.`
	f := cmd.Flags()
	f.StringVar(&filter, "select", "", filters)
	f.StringVar(&e.To, "to", "", "public `key` of the other deployment, or a file that holds it")
	f.BoolVar(&e.WithUsers, "with-users", false, "with the users that they are assigned to")
	f.StringVar(&out, "out", "", "`file` to write")
	f.StringVar(&then, "then", "", "what becomes of the tokens here once the file is written: disable or delete (default nothing)")
	p.does(cmd, func(r run) error {
		begin := map[string]func(context.Context, client.CareOrder) (client.Job, error){"": nil, "disable": r.server.DisableMany, "delete": r.server.DeleteMany}
		end, known := begin[then]
		if !known {
			return cli.Usagef("--then takes disable or delete")
		}
		if out == "" || e.To == "" || filter == "" {
			return cli.Usagef("say which tokens, where they go and into which file: --select FILTER --to KEY --out FILE")
		}
		var err error
		if e.To, err = p.publicKey(e.To); err != nil {
			return err
		}
		if e.Selection, err = p.selection(filter); err != nil {
			return err
		}
		if end != nil { // what is disabled afterwards is what was written, whatever comes to be selected meanwhile
			if e.Selection.Serials, err = p.selected(r, e.Selection); err != nil {
				return err
			}
			e.Selection = client.Selection{Serials: e.Selection.Serials}
		}
		size, err := p.writeWhole(out, func(w io.Writer) error { return r.server.ExportTokens(r.ctx, e, w) })
		if err != nil {
			return err
		}
		document := map[string]any{"file": out, "bytes": size}
		if end != nil {
			j, err := end(r.ctx, client.CareOrder{Selection: e.Selection})
			if err != nil {
				return err
			}
			document["job"] = j.Job
			return p.wrote(out, document, "wrote %s, %d bytes; job %s goes on with '%s' for these tokens", out, size, j.Job, then)
		}
		return p.wrote(out, document, "wrote %s, %d bytes; the tokens go on working here as well", out, size)
	})
	return cmd
}

// publicKey is a key that was given, or that a file holds; "" for none.
func (p *program) publicKey(key string) (string, error) {
	if key == "" || strings.HasPrefix(key, "age1") || strings.HasPrefix(key, "tallystick-signer:") {
		return key, nil
	}
	text, err := os.ReadFile(key)
	return strings.TrimSpace(string(text)), err
}

// selected are the serials of a selection, as they are now.
func (p *program) selected(r run, s client.Selection) ([]string, error) {
	j, err := r.server.DisableMany(r.ctx, client.CareOrder{Selection: s, DryRun: true})
	if err != nil {
		return nil, err
	}
	serials, err := r.keysOf(j)
	if err != nil {
		return nil, err
	}
	if len(serials) == 0 {
		return nil, fault.New(fault.Invalid, "nothing is selected")
	}
	return serials, nil
}

func (p *program) transferImport() *cobra.Command {
	var f client.TransferFile
	var wait bool
	cmd := p.command("import FILE", "Take in tokens that another deployment has exported to this one's key", 1, nil)
	cmd.Long = `Take in tokens that another deployment has exported to this one's key.

Every file is signed. --from names who must have made it, by the key that 'tallystick transfer key --signer' shows there: have it told on
another way than the file came. Without it anybody may have made the file; the audit log has the key in each case.`
	s := cmd.Flags()
	s.StringVar(&f.From, "from", "", "signer `key` of the deployment that must have made the file, or a file that holds it")
	s.StringVar(&f.Name, "name", "", "`name` of the job")
	s.BoolVar(&f.DryRun, "dry-run", false, "change nothing, and see what would become of each token")
	s.BoolVar(&wait, "wait", false, "follow the job to its end")
	domainFlag(cmd, &f.Domain)
	p.does(cmd, func(r run) error {
		var err error
		if f.From, err = p.publicKey(f.From); err != nil {
			return err
		}
		if f.From != "" && !strings.HasPrefix(f.From, "tallystick-signer:") {
			return fault.New(fault.Invalid, "--from takes the key that signs transfers, which 'tallystick transfer key --signer' shows at the source")
		}
		file, done, err := p.open(r.args[0])
		if err != nil {
			return err
		}
		defer done()
		j, err := r.server.ReceiveTokens(r.ctx, f, file)
		if err != nil {
			return err
		}
		return p.startedJob(r, j, wait)
	})
	return cmd
}
