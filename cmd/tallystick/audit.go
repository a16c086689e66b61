package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

func (p *program) auditCommands() *cobra.Command {
	return group("audit", "Who did what, and the proof of it", p.auditList(), p.auditVerify())
}

func (p *program) auditList() *cobra.Command {
	var f client.EventFilter
	var since, until string
	limit := 0
	cmd := p.command("list", "List events by time", 0, func(r run) error {
		var err error
		if f.Since, err = moment("--since", since); err != nil {
			return err
		}
		if f.Until, err = moment("--until", until); err != nil {
			return err
		}
		events, err := listEvents(r, f, limit)
		if err != nil {
			return err
		}
		return tabulate(p, map[string]any{"events": events}, []string{"PLACE", "WHEN", "WHO", "WHAT"}, events, func(e client.Event) []string {
			place := "-"
			if e.Seq >= 0 {
				place = fmt.Sprint(e.Seq)
			}
			return []string{place, date(&e.At), e.Actor, eventLine(e)}
		})
	})
	s := cmd.Flags()
	s.StringVar(&f.Action, "action", "", "only an `action`, such as token.assign or authn.*")
	s.StringVar(&f.Object, "object", "", "only an `object`, such as token:000123456789 or user:alice")
	s.StringVar(&f.Actor, "actor", "", "only what an `actor` did")
	s.StringVar(&f.Outcome, "outcome", "", "success or failure")
	s.BoolVar(&f.Newest, "newest", false, "the newest first, not the oldest")
	s.IntVar(&limit, "limit", 0, "at most so many `events` (default all)")
	s.StringVar(&since, "since", "", "`time` of the first event: 2026-11-24T09:14:00Z, '2026-11-24 09:14', 2026-11-24, -1h or -30d")
	s.StringVar(&until, "until", "", "`time` before which the last event was")
	return cmd
}

// listEvents reads the events that f selects, page by page, at most limit if that is above 0.
func listEvents(r run, f client.EventFilter, limit int) ([]client.Event, error) {
	events := []client.Event{}
	for {
		if limit > 0 {
			f.Limit = min(limit-len(events), audit.MaxPage)
		}
		page, err := r.server.AuditEvents(r.ctx, f)
		if err != nil {
			return nil, err
		}
		events = append(events, page.Events...)
		if f.After = page.Next; f.After == "" || len(events) == limit {
			return events, nil
		}
	}
}

// eventLine is an event in words.
func eventLine(e client.Event) string {
	words := []string{e.Action, e.Object}
	if e.Outcome != audit.Success {
		words = append(words, e.Outcome)
	}
	if e.Reason != "" {
		words = append(words, e.Reason)
	}
	return strings.Join(words, " ")
}

func (p *program) auditVerify() *cobra.Command {
	var checkpoints, keyFile string
	cmd := p.command("verify", "Prove that no event was changed, removed, moved or cut off", 0, func(r run) error {
		key, err := p.verifierKey(r, keyFile)
		if err != nil {
			return err
		}
		outside, err := p.outsideCheckpoints(checkpoints)
		if err != nil {
			return err
		}
		report, err := audit.Verify(r.ctx, source{r.server}, key, outside)
		if err != nil {
			return err
		}
		if p.JSON {
			if err := report.Err(); err != nil {
				return err
			}
			return p.PrintJSON(report)
		}
		for _, problem := range report.Problems {
			fmt.Fprintf(p.Out, "%s: %s\n", problem.Kind, problem.Text)
		}
		if err := report.Err(); err != nil {
			return err
		}
		pruned := ""
		if report.Pruned > 0 {
			pruned = fmt.Sprintf(" (%d of them pruned: %s)", report.Pruned, keptDays(report.KeptDays))
		}
		return p.result(report, "the log is whole: %s%s, %d of them under the newest of %s, %d not placed yet",
			counted(int(report.Events), "event"), pruned, report.Size, counted(report.Checkpoints, "signed head"), report.Pending)
	})
	cmd.Flags().Func("checkpoint", "`file` with signed heads that were kept elsewhere (default audit-checkpoints in --data)", cli.NotEmpty(&checkpoints))
	cmd.Flags().Func("verifier-key", "`file` with the key that verifies signed heads, if you kept it (default what the server says)", cli.NotEmpty(&keyFile))
	return cmd
}

// keptDays says what prunings went by: authentication after 400 days, system after 30 and 400 days.
func keptDays(kept audit.KeptDays) string {
	var all []string
	for _, category := range slices.Sorted(maps.Keys(kept)) {
		all = append(all, fmt.Sprintf("%s after %s days", category, strings.Join(names(kept[category], func(days int64) string { return fmt.Sprint(days) }), " and ")))
	}
	return strings.Join(all, ", ")
}

// verifierKey is the key that an auditor kept, or else the one that the server names.
func (p *program) verifierKey(r run, file string) (note.Verifier, error) {
	if file == "" {
		text, err := r.server.AuditVerifierKey(r.ctx)
		if err != nil {
			return nil, err
		}
		return note.NewVerifier(text)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := note.NewVerifier(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s holds no verifier key (%v)", file, err)
	}
	return key, nil
}

// outsideCheckpoints reads the heads that are kept outside the database.
func (p *program) outsideCheckpoints(file string) ([]audit.Checkpoint, error) {
	if file == "" {
		file = filepath.Join(p.dataFolder(), "audit-checkpoints")
		if _, err := os.Stat(file); p.dataFolder() == "" || os.IsNotExist(err) {
			return nil, nil
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return audit.ParseCheckpoints(data)
}

// A source reads the log through the API.
type source struct{ server *client.Client }

func (s source) Entries(ctx context.Context, first int64, limit int) ([]audit.Entry, error) {
	page, err := s.server.AuditEntries(ctx, first, limit)
	if err != nil {
		return nil, err
	}
	entries := make([]audit.Entry, len(page))
	for i, e := range page {
		entries[i] = audit.Entry{Seq: e.Seq, Record: e.Record}
		if len(e.Leaf) == tlog.HashSize {
			entries[i].Leaf = tlog.Hash(e.Leaf)
		}
	}
	return entries, nil
}

func (s source) Checkpoints(ctx context.Context, after int64, limit int) ([]audit.Checkpoint, error) {
	list, err := s.server.AuditCheckpoints(ctx, after, limit)
	all := make([]audit.Checkpoint, len(list))
	for i, c := range list {
		all[i] = audit.Checkpoint{Size: c.Size, At: c.At, Signed: c.Signed}
	}
	return all, err
}

func (s source) Pending(ctx context.Context) (int, error) { return s.server.AuditPending(ctx) }
