package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/configuration"
	"github.com/tallystick/tallystick/internal/fault"
)

func (p *program) applyCommand() *cobra.Command {
	var f struct {
		file, out           string
		yes, dryRun, export bool
		prune               []string
	}
	cmd := p.command("apply -f FILE", "Make the server what configuration files say, after showing what that changes", 0, nil)
	s := cmd.Flags()
	s.StringVarP(&f.file, "file", "f", "", "`file` or folder with configuration in YAML or JSON; - is standard input")
	s.BoolVar(&f.yes, "yes", false, "do not ask")
	s.BoolVar(&f.dryRun, "dry-run", false, "change nothing, and show the plan")
	s.StringSliceVar(&f.prune, "prune", nil, "delete what the configuration does not have, of these `kinds`: "+strings.Join(choices["prune"], ", ")+"; what is in use is kept")
	s.BoolVar(&f.export, "export", false, "write what the server is like as a configuration, and change nothing")
	s.StringVar(&f.out, "out", "-", "`file` for --export; - is standard output")
	p.does(cmd, func(r run) error {
		switch {
		case f.export == (f.file != ""):
			return cli.Usagef("give a configuration with -f FILE, or --export")
		case !f.export && cmd.Flags().Changed("out"):
			return cli.Usagef("--out goes with --export: what -f FILE changes is printed")
		case f.export && len(f.prune) > 0:
			return cli.Usagef("--prune goes with -f FILE: --export changes nothing")
		case f.export:
			return p.exportConfiguration(r, f.out)
		}
		files, err := cli.Interruptible(func() (*configuration.File, error) { return configuration.Load(f.file, p.In) })
		if err != nil {
			return err
		}
		if len(f.prune) > 0 && files.Empty() { // it would delete all that is not in use
			return fault.New(fault.Invalid, "%s is empty, and --prune would delete whatever it does not have: a configuration of nothing is written {}", f.file)
		}
		files.Prune = f.prune
		plan, err := r.server.Configure(client.DryRun(r.ctx), files.Configuration)
		if err != nil {
			return files.Explain(err)
		}
		if f.dryRun {
			return p.printPlan(plan, false)
		}
		if n := changing(plan); n > 0 && !f.yes {
			if !p.Interactive() {
				return cli.Usagef("%s would be changed: look with --dry-run, and apply with --yes", counted(n, "object"))
			}
			asked := p.Out
			if p.JSON { // standard output is for the document
				asked = p.Err
			}
			p.describe(asked, plan)
			if yes, err := p.Confirm("Apply this?"); !yes {
				return declined(err, "nothing was changed")
			}
		}
		files.Expect = plan.Digest
		if plan, err = r.server.Configure(r.ctx, files.Configuration); err != nil {
			return files.Explain(err)
		}
		return p.printPlan(plan, true)
	})
	return cmd
}

// changing counts the objects that a plan changes.
func changing(plan client.ConfigurationPlan) int {
	n := 0
	for _, s := range plan.Steps {
		if s.Action != "none" && s.Action != "keep" {
			n++
		}
	}
	return n
}

// printPlan prints what was done, or would be.
func (p *program) printPlan(plan client.ConfigurationPlan, applied bool) error {
	if p.JSON {
		return p.PrintJSON(struct {
			Applied bool `json:"applied"`
			Changed int  `json:"changed"`
			client.ConfigurationPlan
		}{applied, changing(plan), plan})
	}
	p.describe(p.Out, plan)
	return nil
}

// kindWords are the kinds of a configuration for people.
var kindWords = map[string]string{
	"devices": "device type", "token_policy": "token policy", "lockout_policy": "lockout policy", "settings": "settings",
	"profiles": "profile", "radius_clients": "RADIUS client", "domains": "security domain", "groups": "group", "agents": "agent", "directories": "directory",
	"mail_settings": "mail settings", "mail_templates": "mail template", "webhooks": "webhook", "report_schedules": "report schedule",
}

// describe shows a plan to people.
func (p *program) describe(out io.Writer, plan client.ConfigurationPlan) {
	signs := map[string]string{"add": "+ ", "change": "~ ", "delete": "- "}
	counts := map[string]int{}
	for _, s := range plan.Steps {
		counts[s.Action]++
		what := strings.TrimSpace(kindWords[s.Kind] + " " + s.Name)
		switch {
		case s.Action == "keep":
			fmt.Fprintf(out, "  %s is not in the configuration, but in use: it stays\n", what)
		case s.Action != "none":
			fmt.Fprintf(out, "%s%s\n", signs[s.Action], what)
		}
		if s.Action == "change" {
			changes(out, s.Changes)
			continue
		}
		for _, c := range s.Changes {
			if name, _, to := readable(c); to != "" {
				fmt.Fprintf(out, "    %-29s %s\n", name, to)
			}
		}
	}
	p.Note(fmt.Sprintf("%d to add, %d to change, %d to delete, %d as they are", counts["add"], counts["change"], counts["delete"], counts["none"]+counts["keep"]))
}

// readable is a change with lengths of time as configurations have them.
func readable(c client.ConfigurationChange) (name, from, to string) {
	name, isTime := strings.CutSuffix(c.Member, "_seconds")
	if !isTime || name == "interval" {
		return c.Member, plainList(folded(c.From)), plainList(folded(c.To))
	}
	life := func(text string) string {
		var n int64
		if json.Unmarshal([]byte(text), &n) != nil {
			return text
		}
		return configuration.Life(n)
	}
	return name, life(c.From), life(c.To)
}

// folded is a text of several lines, such as that of a mail, in the one that a plan has for it.
func folded(text string) string {
	if lines := strings.Count(strings.TrimSpace(text), "\n"); lines > 0 {
		return fmt.Sprintf("(%d lines)", lines+1)
	}
	return strings.TrimSpace(text)
}

// plainList is a list of values as people write it; any other text stays.
func plainList(text string) string {
	var list []any
	if !strings.HasPrefix(text, "[") || json.Unmarshal([]byte(text), &list) != nil {
		return text
	}
	words := make([]string, len(list))
	for i, v := range list {
		if _, nested := v.(map[string]any); nested {
			return text
		}
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, " ")
}

func (p *program) exportConfiguration(r run, out string) error {
	text, err := configuration.Export(r.ctx, r.server)
	switch {
	case err != nil:
		return err
	case out != "-":
		if err := p.writeText(out, text); err != nil { // the path of a webhook's URL may hold a token
			return err
		}
		return p.wrote(out, map[string]string{"file": out}, "wrote %s", out)
	case p.JSON:
		var document any
		if err := yaml.Unmarshal(text, &document); err != nil {
			return err
		}
		return p.PrintJSON(document)
	}
	_, err = p.Out.Write(text)
	return err
}
