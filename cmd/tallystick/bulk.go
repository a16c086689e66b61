package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

// bulkFlags are those of distribute and redistribute for many tokens.
type bulkFlags struct {
	selection  string
	name       string
	rate       int
	individual bool
	wait       bool
	dryRun     bool
}

func (f *bulkFlags) on(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.selection, "select", "", "many tokens in place of SERIAL, as a job; the "+filters+", or devices:FILE.csv")
	s.StringVar(&f.name, "job-name", "", "`name` of the job (default the profile and the time)")
	s.IntVar(&f.rate, "rate", 0, "tokens a second at most (default no limit)")
	s.BoolVar(&f.individual, "individual-passwords", false, "make a random password for each token, for a list of its own, which has what is typed")
	s.BoolVar(&f.wait, "wait", false, "follow the job to its end")
	s.BoolVar(&f.dryRun, "dry-run", false, "say what would happen to each token, and change nothing")
}

// oneOrMany takes a serial, or none and --select.
func (f *bulkFlags) oneOrMany(cmd *cobra.Command, args []string) error {
	if f.selection == "" {
		if f.individual || f.wait || f.dryRun || f.name != "" || f.rate != 0 {
			return cli.Usagef("--individual-passwords, --wait, --dry-run, --job-name and --rate are for many tokens: say which with --select")
		}
		return cli.Exactly(1)(cmd, args)
	}
	if len(args) > 0 {
		return cli.Usagef("give SERIAL or --select, not both")
	}
	return nil
}

// bulk is what the flags ask for.
func (p *program) bulk(cmd *cobra.Command, f *deliveryFlags, m *bulkFlags) (client.BulkDistribution, error) {
	b := client.BulkDistribution{Name: m.name, IndividualPasswords: m.individual, Rate: m.rate, DryRun: m.dryRun}
	if f.qr != "" || f.d.DeviceID != "" {
		return b, cli.Usagef("--qr and --device-id are for one token; --select devices:FILE.csv has a device ID for each of many")
	}
	if out := f.out; strings.EqualFold(filepath.Ext(out), ".sdtid") || out == "-" {
		return b, cli.Usagef("--out names a folder where many tokens are delivered")
	}
	out := f.out
	f.out = "" // it is not written by the same rules
	d, err := p.distribution(cmd, f)
	if err != nil {
		return b, err
	}
	b.Profile, b.Password, b.Protection, b.Nickname, b.SwitchOver, b.GraceSeconds = d.Profile, d.Password, d.Protection, d.Nickname, d.SwitchOver, d.GraceSeconds
	b.Mail, b.SecretBy = d.Mail, d.SecretBy
	if b.IndividualPasswords && b.Password != "" {
		return b, cli.Usagef("give one password for all or --individual-passwords, not both")
	}
	if file, is := strings.CutPrefix(m.selection, "devices:"); is {
		b.Devices, err = p.readDevices(file)
	} else {
		b.Selection, err = p.selection(m.selection)
	}
	if err == nil && out != "" && !m.dryRun {
		err = canWrite(out)
	}
	return b, err
}

// started shows a job that delivers tokens, or follows it and fetches what it left. A dry run is followed, and shows its items.
func (p *program) started(r run, j client.Job, m *bulkFlags, out string) error {
	if !m.wait && !m.dryRun && out == "" {
		more := ""
		if delivers(j) {
			more = fmt.Sprintf(", 'tallystick job download %s --out DIR' fetches what it made", j.Job)
		}
		if j.State == awaitingApproval {
			p.Note(approvalWords(j))
		}
		return p.result(map[string]string{"job": j.Job}, "%s", p.begunWords(j, more))
	}
	j, err := p.followOn(r, j)
	if err != nil {
		return err
	}
	if m.dryRun {
		return p.foreseen(r, j)
	}
	if j.State == "cancelled" && j.Done == 0 { // rejected, most likely: there is nothing to fetch
		return p.endedJob(j)
	}
	if out != "" {
		if _, err := p.download(r.ctx, r.server, j.Job, out, nil); err != nil {
			p.Note(fmt.Sprintf("the job is over all the same: 'tallystick job download %s --out DIR' fetches what it made", j.Job))
			return err
		}
	} else if delivers(j) && j.Done > 0 && !p.JSON {
		p.Note(fmt.Sprintf("'tallystick job download %s --out DIR' fetches what it made, until %s", j.Job, date(j.ResultsUntil)))
	}
	return p.endedJob(j)
}

// delivers tells whether a job leaves something to be fetched.
func delivers(j client.Job) bool { return j.Kind == "distribute" || j.Kind == "redistribute" }

// foreseen shows what a dry run found out about each item.
func (p *program) foreseen(r run, j client.Job) error {
	if !p.JSON {
		if err := p.items(r.ctx, r.server, j.Job, client.JobItemFilter{}, 0); err != nil {
			return err
		}
		p.Note(fmt.Sprintf("of %s, %d would go well and %d would not; nothing was changed", counted(j.Total, "token"), j.Done, j.Failed))
		return verdict(j)
	}
	items, err := collect(r.server.AllJobItems(r.ctx, j.Job, client.JobItemFilter{Limit: 1000}), 0)
	if err != nil {
		return err
	}
	document := struct {
		jobDocument
		Items []client.JobItem `json:"items"`
	}{documentOf(j), items}
	if err := p.PrintJSON(document); err != nil {
		return err
	}
	return verdict(j)
}

func (p *program) jobDownload() *cobra.Command {
	var out string
	var parts []string
	cmd := p.command("download JOB", "Fetch the token files, lists and QR sheets that a job made", 1, func(r run) error {
		if out == "" {
			return cli.Usagef("say where: --out DIR; --out - prints one part")
		}
		if out == "-" && p.JSON {
			return cli.Usagef("--out - and --json both take standard output: write the part to a file")
		}
		written, err := p.download(r.ctx, r.server, r.args[0], out, parts)
		if err != nil || !p.JSON {
			return err
		}
		return p.PrintJSON(map[string]any{"job": r.args[0], "out": out, "parts": written})
	})
	cmd.Flags().StringVar(&out, "out", "", "`folder` to write to, readable by you only; or FILE.zip for the token files as an archive")
	cmd.Flags().StringSliceVar(&parts, "part", nil, "only these `parts`: files, list, passwords, qr (default all that there are)")
	return cmd
}

// partFiles are the names that parts get.
var partFiles = map[string]string{"files": "tokens.zip", "list": "list.csv", "passwords": "passwords.csv", "qr": "qr.pdf"}

// download fetches parts of what a job left, and says which: token files each as a file of its own, unless out is an archive.
func (p *program) download(ctx context.Context, server *client.Client, job, out string, parts []string) (fetched []string, err error) {
	there, err := server.JobParts(ctx, job)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err == nil && there.Gone > 0 {
			p.Note(fmt.Sprintf("what the job made of %s is gone: the seed was destroyed since, or the token is in another security domain", counted(there.Gone, "token")))
		}
	}()
	if archive := strings.EqualFold(filepath.Ext(out), ".zip"); archive || out == "-" {
		if len(parts) == 0 {
			parts = []string{"files"}
		}
		if len(parts) > 1 || archive && parts[0] != "files" {
			return nil, cli.Usagef("an archive holds the files and standard output takes one part: give a folder for more")
		}
		if out == "-" {
			return parts, server.DownloadJobPart(ctx, job, parts[0], p.Out)
		}
		return parts, p.fetch(ctx, server, job, parts[0], out)
	}
	if len(parts) == 0 {
		parts = there.Parts
	}
	if err := makeFolder(out); err != nil {
		return nil, err
	}
	for _, part := range parts {
		if partFiles[part] == "" {
			return nil, cli.Usagef("no part %q: take files, list, passwords or qr", part)
		}
		file := filepath.Join(out, partFiles[part])
		if err := p.fetch(ctx, server, job, part, file); err != nil {
			return nil, err
		}
		if part == "files" {
			kept, err := unpack(file, out)
			if kept > 0 {
				p.Note(fmt.Sprintf("%s of the same names that were in %s are kept, each as FILE.~1~ or the next number that was free", counted(kept, "file"), out))
			}
			if err != nil {
				return nil, err
			}
		}
	}
	if slices.Contains(parts, "passwords") {
		p.Note(fmt.Sprintf("%s opens what is beside it: hand them over on different ways", filepath.Join(out, partFiles["passwords"])))
	}
	return parts, nil
}

// fetch writes a part to a file that only its owner may read, once it is whole. What another job left under that name is kept beside it: its
// passwords may be nowhere else any more.
func (p *program) fetch(ctx context.Context, server *client.Client, job, part, name string) error {
	file, err := os.CreateTemp(filepath.Dir(name), ".tallystick-*")
	if err != nil {
		return err
	}
	if err = errors.Join(server.DownloadJobPart(ctx, job, part, file), file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	other, err := settle(file.Name(), name)
	if other != "" {
		p.Note(fmt.Sprintf("the %s that was there is now %s", name, other))
	}
	return err
}

// settle gives a new file its name, and another one that had that name the one that it returns; if anything fails the new one is removed.
func settle(file, name string) (kept string, err error) {
	if kept, err = keepOther(name, file); err == nil {
		err = os.Rename(file, name)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(file))
	}
	return kept, err
}

// keepOther gives a file another name, which it returns, if there is one that is not the same as a newer one.
func keepOther(name, newer string) (string, error) {
	there, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(newer)
	if err != nil || bytes.Equal(there, content) {
		return "", err
	}
	for n := 1; ; n++ {
		other := fmt.Sprintf("%s.~%d~", name, n)
		if _, err := os.Lstat(other); !errors.Is(err, os.ErrNotExist) {
			if err != nil {
				return "", err
			}
			continue
		}
		return other, os.Rename(name, other)
	}
}

// canWrite makes the folder that results go to, and refuses one that cannot be written to: before the job, whose seeds nobody could take in.
func canWrite(out string) error {
	dir := out
	if strings.EqualFold(filepath.Ext(out), ".zip") {
		dir = filepath.Dir(out)
	} else if err := makeFolder(out); err != nil {
		return err
	}
	probe, err := os.CreateTemp(dir, ".tallystick-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// unpack takes the files out of an archive, which it removes, and says how many others of the same names it has kept beside them: what another job left.
func unpack(archive, dir string) (kept int, err error) {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return 0, err
	}
	for _, f := range z.File {
		other, err := unpackFile(f, dir)
		if other != "" {
			kept++
		}
		if err != nil {
			return kept, errors.Join(err, z.Close())
		}
	}
	return kept, errors.Join(z.Close(), os.Remove(archive))
}

// unpackFile writes one file, under nothing but its name, and returns the new name of another one that had it.
func unpackFile(f *zip.File, dir string) (kept string, err error) {
	const longest = 1 << 20 // bytes; a token file has some thousand
	if !filepath.IsLocal(f.Name) || filepath.Base(f.Name) != f.Name {
		return "", fmt.Errorf("the archive holds a file named %q: it did not come from a Tallystick server", f.Name)
	}
	in, err := f.Open()
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(io.LimitReader(in, longest))
	if err := errors.Join(err, in.Close()); err != nil {
		return "", err
	}
	file, err := os.CreateTemp(dir, ".tallystick-*")
	if err != nil {
		return "", err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return settle(file.Name(), filepath.Join(dir, f.Name)) //nolint:gosec // the name is no path, see above
}

func (p *program) jobCampaign() *cobra.Command {
	return p.command("campaign JOB", "Show how far the tokens have come that a job delivered: who has moved, whose old seed still lives", 1, func(r run) error {
		c, err := r.server.Campaign(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(c)
		}
		left := c.NotMoved + c.OldSeedLives
		p.fields("moved", number(c.Moved), "not moved", number(left), "of these, old seed lives", number(c.OldSeedLives), "first end", date(c.FirstEnd), "last end", date(c.LastEnd),
			"delivered again", number(c.DeliveredAgain), "gone", number(c.Gone))
		if left > 0 {
			j, err := r.server.Job(r.ctx, c.Job)
			if err != nil {
				return err
			}
			p.Note(againNote(j, time.Now()))
		}
		if c.OldSeedLives > 0 {
			p.Note(fmt.Sprintf("'tallystick token cut-off --select not-moved:%s' ends old seeds now", c.Job))
		}
		return nil
	})
}

// againNote says how those who have not moved get it again: the server forgets how a job delivered, with a password that it may have been given, when it
// destroys its results.
func againNote(j client.Job, now time.Time) string {
	switch {
	case j.ResultsUntil == nil:
		return fmt.Sprintf("'tallystick job offer-again %s' delivers again to those who have not moved", j.Job)
	case now.Before(*j.ResultsUntil):
		return fmt.Sprintf("'tallystick job offer-again %s' delivers again to those who have not moved, until %s", j.Job, date(j.ResultsUntil))
	}
	return fmt.Sprintf("'tallystick token redistribute --select not-moved:%s --reason NOT_RECEIVED' with the profile and the options of this job delivers again to those who have not moved", j.Job)
}

func (p *program) jobOfferAgain() *cobra.Command {
	var m bulkFlags
	cmd := p.command("offer-again JOB", "Deliver again, in the same way, to those who have not moved to what a job delivered", 1, nil)
	out := cmd.Flags().String("out", "", "`folder` to write to")
	cmd.Flags().BoolVar(&m.wait, "wait", false, "follow the job to its end")
	p.does(cmd, func(r run) error {
		if *out != "" {
			if err := canWrite(*out); err != nil {
				return err
			}
		}
		j, err := r.server.OfferAgain(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		return p.started(r, j, &m, *out)
	})
	return cmd
}

func (p *program) tokenCutOff() *cobra.Command {
	var m bulkFlags
	var cut client.CutOff
	cmd := p.command("cut-off", "End the old seeds of redistributed tokens before their grace is over", 0, nil)
	s := cmd.Flags()
	s.StringVar(&m.selection, "select", "", "whose; the "+filters)
	s.StringVar(&cut.Note, "note", "", "`text` that says why")
	s.StringVar(&cut.Name, "job-name", "", "`name` of the job")
	s.BoolVar(&m.wait, "wait", false, "follow the job to its end")
	s.BoolVar(&m.dryRun, "dry-run", false, "say what would happen to each token, and change nothing")
	yes := s.Bool("yes", false, "do not ask")
	p.does(cmd, func(r run) error {
		if m.selection == "" {
			return cli.Usagef("say whose old seeds end: --select FILTER")
		}
		var err error
		if cut.Selection, err = p.selection(m.selection); err != nil {
			return err
		}
		if cut.DryRun = m.dryRun; !m.dryRun && !*yes {
			if sure, err := p.Confirm("Whoever has not moved to the new seed cannot sign in until then. End the old seeds of %s?", m.selection); !sure {
				return declined(err, "nothing was changed; --yes ends them without asking")
			}
		}
		j, err := r.server.CutOff(r.ctx, cut)
		if err != nil {
			return err
		}
		return p.started(r, j, &m, "")
	})
	return cmd
}
