package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/records"
)

// fewTokens is how many tokens are made at once; more are made as a job.
const fewTokens = 10_000

func (p *program) tokenCreate() *cobra.Command {
	var n client.TokenCreation
	var wait bool
	cmd := p.command("create", "Make tokens with random seeds, to be assigned later", 0, func(r run) error {
		if n.Count < 1 { // the server would name the limit of what is made at once
			return fault.New(fault.Invalid, "--count lies outside 1 to %d", records.MaxTokens)
		}
		if n.Count > fewTokens || n.Name != "" || n.DryRun || wait {
			j, err := r.server.StartCreation(r.ctx, n)
			if err != nil {
				return err
			}
			if n.Name != "" || n.DryRun || wait {
				return p.startedJob(r, j, wait)
			}
			return p.madeByJob(r, j)
		}
		serials, err := r.server.CreateTokens(r.ctx, client.NewTokens{Count: n.Count, Birth: n.Birth, Expiry: n.Expiry, Domain: n.Domain})
		if err != nil {
			return err
		}
		if len(serials) == 1 {
			return p.result(client.CreatedTokens{Serials: serials}, "made token %s", serials[0])
		}
		return p.result(client.CreatedTokens{Serials: serials}, "made %d tokens, %s to %s", len(serials), serials[0], serials[len(serials)-1])
	})
	f := cmd.Flags()
	f.IntVar(&n.Count, "count", 1, fmt.Sprintf("how many; more than %d are made as a job", fewTokens))
	dayFlag(f, &n.Birth, "birth", "first valid `day`, YYYY-MM-DD (default today)")
	dayFlag(f, &n.Expiry, "expiry", "last valid `day`, YYYY-MM-DD (default five years after the first)")
	f.StringVar(&n.Name, "name", "", "`name` of the job")
	domainFlag(cmd, &n.Domain)
	f.BoolVar(&n.DryRun, "dry-run", false, "make none, and see whether they could be made")
	f.BoolVar(&wait, "wait", false, "follow the job to its end")
	return cmd
}

// madeByJob follows the job that makes tokens, and answers as if they had been made at once: scripts ask for their serials.
func (p *program) madeByJob(r run, j client.Job) error {
	j, err := p.follow(r, j.Job)
	if err != nil {
		return err
	}
	if j.State != "done" {
		return p.endedJob(j)
	}
	serials, err := r.keysOf(j)
	if err != nil {
		return err
	}
	return p.result(client.CreatedTokens{Serials: serials}, "made %d tokens, %s to %s", len(serials), serials[0], serials[len(serials)-1])
}

// startedJob shows a job that was started, or follows it to its end.
func (p *program) startedJob(r run, j client.Job, wait bool) error {
	if wait {
		return p.followed(r, j.Job)
	}
	dry := ""
	if j.DryRun {
		dry = ", a dry run that changes nothing"
	}
	return p.result(map[string]string{"job": j.Job}, "started job %s%s: 'tallystick job watch %[1]s' follows it", j.Job, dry)
}

// smallFile is the largest file that is taken in at once.
const smallFile = 16 << 20 // bytes

func (p *program) tokenImport() *cobra.Command {
	var in client.Import
	var wait bool
	cmd := p.command("import FILE", "Take token records from a file: .sdtid, or CSV", 1, nil)
	cmd.Long = `Take token records from a file: a token file (.sdtid) of one token or of thousands, or CSV whose first line names its columns.
All that is imported is disabled and belongs to nobody. The whole file is checked first: a broken one changes nothing.

A token file of up to 10,000 tokens is taken in at once, all or none. With any of the flags below but --password-file, a larger
one, and CSV, it is a job that reports on each record; what is here already stays as it is, unless it is to be overwritten.

  tallystick token import batch.sdtid --password-file PW --wait
  tallystick token import t.csv --mapping serial=SN,seed=Secret,digits==6 --wait`
	password := p.SecretFlag(cmd, "password-file", "password of the file", passwordVariables...)
	f := cmd.Flags()
	f.StringVar(&in.Format, "format", "", "sdtid or csv (default by the name of the file)")
	f.StringToStringVar(&in.Mapping, "mapping", nil, "columns of a CSV file, `FIELD=COLUMN,...`, or FIELD==VALUE for all records; the fields are serial, seed, digits, interval, pin_type, birth, expiry, algorithm, token_type")
	f.StringVar(&in.Type, "type", "", "`type` of tokens whose record does not say it: software or hardware (default what they are here, and software for new ones)")
	f.StringVar(&in.Duplicates, "duplicates", "", "what becomes of tokens that are here already: ignore (default) or overwrite, which takes them from their users")
	f.StringVar(&in.Name, "name", "", "`name` of the job")
	domainFlag(cmd, &in.Domain)
	f.BoolVar(&in.DryRun, "dry-run", false, "change nothing, and see what would become of each record")
	f.BoolVar(&wait, "wait", false, "follow the job to its end")
	p.does(cmd, func(r run) error {
		if err := cli.OnlyOneStdin(r.args[0], password); err != nil {
			return err
		}
		file, done, err := p.open(r.args[0])
		if err != nil {
			return err
		}
		defer done()
		secret, err := password.Value()
		if err != nil {
			return err
		}
		in.Password = client.Secret(secret)
		if in.Format == "" && (in.Mapping != nil || strings.EqualFold(filepath.Ext(r.args[0]), ".csv")) {
			in.Format = "csv"
		}
		if asked := in.Type != "" || in.Duplicates != "" || in.Name != "" || in.DryRun || wait || in.Format == "csv" || in.Mapping != nil || in.Domain != ""; !asked {
			small, err := io.ReadAll(io.LimitReader(file, smallFile+1))
			if err != nil {
				return err
			}
			defer clear(small)
			if len(small) <= smallFile {
				err := p.importFew(r, client.TokenFile{File: small, Password: in.Password})
				if refused := new(client.Error); !errors.As(err, &refused) || refused.Code != string(fault.TooLarge) {
					return err
				}
			}
			file = io.MultiReader(bytes.NewReader(small), file)
		}
		return p.importMany(r, in, file, wait)
	})
	return cmd
}

// importFew imports a file at once.
func (p *program) importFew(r run, in client.TokenFile) error {
	done, err := r.server.ImportTokens(r.ctx, in)
	if err != nil {
		return err
	}
	return p.result(done, "imported %s; %d were here already and left alone", counted(len(done.Imported), "token"), len(done.Ignored))
}

// importMany imports a file as a job.
func (p *program) importMany(r run, in client.Import, file io.Reader, wait bool) error {
	j, err := r.server.StartImport(r.ctx, in, file)
	if err != nil || !wait {
		if err == nil {
			err = p.startedJob(r, j, false)
		}
		return err
	}
	if j, err = p.follow(r, j.Job); err != nil {
		return err
	}
	if j.State == "cancelled" {
		return fault.New(fault.ImportCancelled, "somebody cancelled the import: %d of %d records were done; 'tallystick job resume %s' goes on", j.Done, j.Total, j.Job)
	}
	return p.endedJob(j)
}
