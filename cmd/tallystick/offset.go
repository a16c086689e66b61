package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

func (p *program) clockOffsets() *cobra.Command {
	var beyond int
	cmd := p.command("offsets", "Show how far the clocks of the tokens are off", 0, nil)
	cmd.Flags().IntVar(&beyond, "beyond", 0, "list the tokens that are off by more than so many intervals")
	p.does(cmd, func(r run) error {
		if cmd.Flags().Changed("beyond") {
			return p.offTokens(r, beyond)
		}
		report, err := r.server.ClockOffsets(r.ctx)
		if err != nil {
			return err
		}
		rows := spread(report)
		return tabulate(p, report, []string{"CLOCK", "TOKENS", ""}, rows, func(cells []string) []string { return cells })
	})
	return cmd
}

func (p *program) offTokens(r run, beyond int) error {
	tokens, err := collect(r.server.OffTokens(r.ctx, beyond), 0)
	if err != nil {
		return err
	}
	return tabulate(p, map[string]any{"tokens": tokens}, []string{"SERIAL", "USER", "INTERVALS", "CLOCK", "LAST USED"}, tokens, func(t client.OffToken) []string {
		return []string{t.Serial, t.UserID, fmt.Sprintf("%+d", t.Intervals), cmp.Or(offsetWord(client.Token{ClockOffsetSeconds: t.Seconds}), "right"), date(t.LastUsedAt)}
	})
}

// bands are how far clocks are off, in seconds up to which a band goes, and in words.
var bands = []struct {
	most  int64
	words string
}{{0, "right"}, {60, "up to 1 min"}, {120, "up to 2 min"}, {600, "up to 10 min"}, {3600, "up to 1 h"}, {1 << 62, "over 1 h"}}

// spread are the rows of a report: how many tokens are in which band, with a bar, from those that are furthest behind.
func spread(report client.OffsetReport) (rows [][]string) {
	counts := map[int]int{} // by number of the band, below 0 behind
	most := 0
	for _, o := range report.Offsets {
		band := 0
		for max(o.Seconds, -o.Seconds) > bands[band].most {
			band++
		}
		if o.Seconds < 0 {
			band = -band
		}
		counts[band] += o.Tokens
		most = max(most, counts[band])
	}
	const widest = 40
	for band := -len(bands) + 1; band < len(bands); band++ {
		n := counts[band]
		if n == 0 {
			continue
		}
		words := bands[max(band, -band)].words
		if band < 0 {
			words += " behind"
		} else if band > 0 {
			words += " ahead"
		}
		rows = append(rows, []string{words, number(n), strings.Repeat("#", (n*widest+most-1)/most)})
	}
	return rows
}

func (p *program) clockCorrect() *cobra.Command {
	var m many
	var by time.Duration
	var since, until, note string
	cmd := p.command("correct SERIAL... | --select FILTER", "Shift what is stored of the clocks of tokens, after the server's own was wrong; 'clock undo' takes it back", 0, nil)
	cmd.Args = cobra.ArbitraryArgs
	m.flags(cmd)
	lifeFlag(cmd.Flags(), &by, "by", 0, "how far: 90s takes tokens to be that much further ahead of the server, -90s further behind")
	cmd.Flags().StringVar(&since, "used-since", "", "only seeds that were last used at that `time` or later: 2026-11-24T09:14:00Z or 2026-11-24")
	cmd.Flags().StringVar(&until, "used-until", "", "only seeds that were last used at that `time` or earlier")
	cmd.Flags().StringVar(&note, "note", "", "`text` that says why")
	p.does(cmd, func(r run) error {
		if _, err := m.one(r.args); err != nil {
			return err
		}
		if by == 0 || by%time.Second != 0 {
			return cli.Usagef("say by how many seconds with --by, such as 10m or -90s")
		}
		o, err := m.order(p, r.args)
		if err != nil {
			return err
		}
		order := client.CorrectionOrder{Selection: o.Selection, Seconds: int(by / time.Second), Note: note, Name: o.Name, DryRun: o.DryRun, Rate: o.Rate}
		if order.UsedSince, err = momentOrNone("--used-since", since); err != nil {
			return err
		}
		if order.UsedUntil, err = momentOrNone("--used-until", until); err != nil {
			return err
		}
		c, err := r.server.CorrectClocks(r.ctx, order)
		return p.corrects(&m, r, c, err)
	})
	return cmd
}

func momentOrNone(flag, text string) (*time.Time, error) {
	at, err := moment(flag, text)
	if err != nil || at.IsZero() {
		return nil, err
	}
	return &at, nil
}

func (p *program) clockUndo() *cobra.Command {
	var m many
	cmd := p.command("undo CORRECTION", "Take a correction back, but for tokens that have learnt a new offset since", 1, nil)
	m.jobFlags(cmd)
	p.does(cmd, func(r run) error {
		c, err := r.server.UndoCorrection(r.ctx, r.args[0], client.UndoOrder{Name: m.name, DryRun: m.dryRun, Rate: m.rate})
		r.args = nil // no serials
		return p.corrects(&m, r, c, err)
	})
	return cmd
}

// corrects shows a correction that was begun, or is undone, with its job.
func (p *program) corrects(m *many, r run, c client.Correction, err error) error {
	if err != nil {
		return err
	}
	if !p.JSON {
		if c.Correction != "" {
			p.Note("correction " + c.Correction)
		}
		return m.begun(p, r, *c.Job, nil)
	}
	if !m.waits(r) {
		return p.PrintJSON(c)
	}
	j, err := p.follow(r, c.Job.Job)
	if err != nil {
		return err
	}
	if c.Correction != "" {
		if c, err = r.server.Correction(r.ctx, c.Correction); err != nil {
			return err
		}
	}
	c.Job = &j
	if err := p.PrintJSON(c); err != nil {
		return err
	}
	return verdict(j)
}

func (p *program) clockCorrections() *cobra.Command {
	return p.command("corrections", "List corrections, the newest first", 0, func(r run) error {
		all, err := collect(r.server.AllCorrections(r.ctx), 0)
		if err != nil {
			return err
		}
		return tabulate(p, map[string]any{"corrections": all}, []string{"CORRECTION", "BY", "SEEDS", "TAKEN BACK", "MADE BY", "AT", "NOTE"}, all, func(c client.Correction) []string {
			return []string{c.Correction, life(int64(c.Seconds)), number(c.Shifted), number(c.Undone), c.By, date(&c.At), c.Note}
		})
	})
}
