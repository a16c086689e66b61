package distribution

import (
	"archive/zip"
	"bufio"
	"context"
	"encoding/csv"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/spreadsheet"
)

// A Part is one of the things that are downloaded of a job that delivered tokens (sections 7.3 to 7.5). Each is written as it is read, so
// that its size is of no matter.
type Part string

// The parts. Passwords are apart from what they open.
const (
	Files     Part = "files"     // a ZIP archive of the token files
	List      Part = "list"      // a CSV table: who gets which token, with its URLs and activation code
	Passwords Part = "passwords" // a CSV table of individual passwords
	Sheets    Part = "qr"        // a PDF document with the QR codes, to be handed out on paper
)

// parts are what jobs of each method leave.
func (b Bulk) parts() []Part {
	all := []Part{List}
	if b.Mail {
		if b.Individual && !b.mailsSecrets() {
			all = append(all, Passwords)
		}
		return all
	}
	if b.Method == device.File {
		all = []Part{Files, List}
	} else {
		all = append(all, Sheets)
	}
	if b.Individual {
		all = append(all, Passwords)
	}
	return all
}

// Results are what jobs left to be handed out.
type Results struct {
	Distributor *Distributor
	Jobs        *job.Registry
}

// Parts lists what can be downloaded of a job. [fault.JobNotFound], [fault.JobExpired], [fault.Conflict] while it runs,
// [fault.NotFound] if its kind leaves nothing.
func (r *Results) Parts(ctx context.Context, j job.Job) ([]Part, error) {
	if err := delivers(j); err != nil {
		return nil, err
	}
	if !j.State.Over() {
		return nil, fault.New(fault.Conflict, "the job is not at its end: wait for it, or cancel it")
	}
	parameters, err := r.Jobs.Parameters(ctx, j)
	if err != nil {
		return nil, err
	}
	b, err := readBulk(parameters)
	if err != nil {
		return nil, err
	}
	return b.parts(), nil
}

// Gone counts the deliveries of a job that are in no part any more: their seeds were destroyed since, or they are outside of the scope of ctx.
func (r *Results) Gone(ctx context.Context, j job.Job) (int, error) {
	left, err := r.Jobs.ResultsLeft(ctx, j.ID)
	return j.Done - left, err
}

// Open begins the download of a part, which is an audit event of its own, and returns what writes it. [fault.NotFound] if the job has no
// such part, [fault.JobExpired] also if all of it is gone; else as Parts.
func (r *Results) Open(ctx context.Context, j job.Job, part Part) (write func(io.Writer) error, err error) {
	parts, err := r.Parts(ctx, j)
	if err != nil {
		return nil, err
	}
	if gone, err := r.Gone(domain.WithScope(ctx, domain.Scope{}), j); err != nil { // wherever the tokens are now
		return nil, err
	} else if gone > 0 && gone == j.Done {
		return nil, fault.New(fault.JobExpired, "nothing is left of what the job made: the seeds were destroyed since, or the tokens deleted")
	}
	as := map[Part]func(io.Writer, iter.Seq2[Delivered, error]) error{Files: writeZIP, List: writeList, Passwords: writePasswords, Sheets: writeSheets}
	for _, p := range parts {
		if p != part {
			continue
		}
		event := audit.New(audit.WithCorrelation(ctx, j.ID), r.Distributor.Now(), "dist.download", "job:"+j.ID, audit.Details{"part": part, "name": j.Name, "items": j.Done})
		if err := r.Distributor.Store.Record(ctx, event); err != nil {
			return nil, err
		}
		return func(w io.Writer) error {
			const buffer = 64 << 10
			buffered := bufio.NewWriterSize(w, buffer)
			if err := as[part](buffered, r.delivered(ctx, j.ID)); err != nil {
				return err
			}
			return buffered.Flush()
		}, nil
	}
	return nil, fault.New(fault.NotFound, "this job has no %s: it has %v", part, parts)
}

// delivered goes through what a job delivered. What a seed is in that was destroyed since is left out.
func (r *Results) delivered(ctx context.Context, id string) iter.Seq2[Delivered, error] {
	return func(yield func(Delivered, error) bool) {
		for item, err := range r.Jobs.Results(ctx, id) {
			var d Delivered
			if err == nil {
				d, err = readDelivered(item.Input)
			}
			more := yield(d, err)
			clear(item.Input)
			if !more || err != nil {
				return
			}
		}
	}
}

// zipTime is the time of all files of an archive: it depends on nothing but what is in it.
var zipTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func writeZIP(w io.Writer, all iter.Seq2[Delivered, error]) error {
	z := zip.NewWriter(w)
	for d, err := range all {
		if err != nil {
			return err
		}
		f, err := z.CreateHeader(&zip.FileHeader{Name: d.FileName, Method: zip.Deflate, Modified: zipTime})
		if err != nil {
			return err
		}
		if _, err := f.Write(d.File); err != nil {
			return err
		}
	}
	return z.Close()
}

func writeList(w io.Writer, all iter.Seq2[Delivered, error]) error {
	return writeTable(w, all, []string{"serial", "user_id", "user_name", "profile", "method", "generation", "file", "ctf", "ctf_url", "ctkip_url", "link", "activation_code", "activation_expires"},
		func(d Delivered) []string {
			expires := ""
			if !d.ActivationExpires.IsZero() {
				expires = d.ActivationExpires.UTC().Format(time.RFC3339)
			}
			return []string{d.Serial, d.UserID, d.UserName, d.Profile, string(d.Method), strconv.Itoa(d.Generation), d.FileName, d.CTF, d.CTFURL, d.CTKIPURL, d.Link, d.ActivationCode, expires}
		})
}

func writePasswords(w io.Writer, all iter.Seq2[Delivered, error]) error {
	return writeTable(w, all, []string{"serial", "user_id", "user_name", typed},
		func(d Delivered) []string { return []string{d.Serial, d.UserID, d.UserName, d.Password} })
}

func writeTable(w io.Writer, all iter.Seq2[Delivered, error], head []string, row func(Delivered) []string) error {
	table := csv.NewWriter(w)
	if err := table.Write(head); err != nil {
		return err
	}
	for d, err := range all {
		if err != nil {
			return err
		}
		cells := row(d)
		for i := range cells {
			if head[i] != typed || !tame(cells[i]) {
				cells[i] = spreadsheet.Guarded(cells[i])
			}
		}
		if err := table.Write(cells); err != nil {
			return err
		}
	}
	table.Flush()
	return table.Error()
}

// typed is the column of what is typed.
const typed = "password"

// tame tells whether a password that begins like a formula, since the user ID does, can be nothing worse: it calls nothing. An apostrophe before it would
// be typed, and open nothing.
func tame(cell string) bool {
	return strings.IndexFunc(cell, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("=+-@._ ", c)
	}) < 0
}
