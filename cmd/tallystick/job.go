package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"charm.land/bubbles/v2/progress"
	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

func (p *program) jobCommands() *cobra.Command {
	return group("job", "Work on many things that goes on by itself",
		p.jobList(), p.jobShow(), p.jobItems(), p.jobWatch(), p.jobDownload(), p.jobCampaign(), p.jobOfferAgain(), p.jobResume(), p.jobCancel(),
		p.jobApprove(), p.jobReject())
}

// A jobDocument is a job as spec/cli.md shows it: its state is one of four words, and what it is in full is beside it.
type jobDocument struct {
	client.Job
	State  string `json:"state"`
	Status string `json:"status"`
}

// fourStates are the words of spec/cli.md for the states of a job; the others are their own.
var fourStates = map[string]string{"loading": "running", "awaiting_approval": "running", "queued": "running", "done_with_errors": "done"}

func documentOf(j client.Job) jobDocument {
	d := jobDocument{Job: j, State: j.State, Status: j.State}
	if word, other := fourStates[j.State]; other {
		d.State = word
	}
	return d
}

// shownJob prints a job.
func (p *program) shownJob(j client.Job) error {
	if p.JSON {
		return p.PrintJSON(documentOf(j))
	}
	kind := j.Kind
	if j.DryRun {
		kind += ", a dry run: nothing is changed"
	}
	p.fields("job", j.Job, "name", j.Name, "kind", kind, "state", stateWords(j), "items", fmt.Sprintf("%d, %d done, %d failed", j.Total, j.Done, j.Failed),
		"message", j.Message, "about", j.About, "started by", j.CreatedBy, "approved by", j.ApprovedBy, "to be approved until", approveUntil(j), "domain", below(j.Domain), "created", date(&j.CreatedAt), "started", date(j.StartedAt), "ended", date(j.EndedAt),
		"rate", rateWords(j), "time left", leftWords(j), "results until", date(j.ResultsUntil))
	p.failures(j)
	if j.State == awaitingApproval {
		p.Note(approvalWords(j))
	}
	return nil
}

// failures tells how many items of a job did not go well, and how to see which, and how a job that stopped goes on.
func (p *program) failures(j client.Job) {
	kept := j.ResultsUntil == nil || j.EndedAt == nil || j.ResultsUntil.After(*j.EndedAt) // what it goes on with
	if waiting := j.Total - j.Done - j.Failed; waiting > 0 && kept && (j.State == "cancelled" || j.State == "failed") {
		p.Note(fmt.Sprintf("%s left: 'tallystick job resume %s' goes on where it stopped", counted(waiting, "item"), j.Job))
	}
	p.emptiness(j)
	if j.Failed > 0 {
		p.Note(fmt.Sprintf("%d of %s failed: 'tallystick job items %s --state failed' says what is wrong with which", j.Failed, counted(j.Total, "item"), j.Job))
	}
}

// begunWords tells of a job that was started, and of one without items that it is over already.
func (p *program) begunWords(j client.Job, more string) string {
	if p.emptiness(j) {
		return fmt.Sprintf("job %s has no items, and is over", j.Job)
	}
	return fmt.Sprintf("started job %s: 'tallystick job watch %[1]s' follows it%s", j.Job, more)
}

// emptiness tells of a job that ended as soon as it began that its selection holds nothing.
func (p *program) emptiness(j client.Job) bool {
	empty := j.Total == 0 && j.State == "done"
	if empty {
		p.Note("nothing was selected, and nothing was done")
	}
	return empty
}

// verdict is the end of a command that waited for a job: nil if all of it went well, else the exit status of a refusal, also where
// some items alone were refused. The job has been shown.
func verdict(j client.Job) error {
	if j.State != "done" {
		return cli.Status(cli.Refused)
	}
	return nil
}

// endedJob shows a job that was waited for, and ends with its [verdict].
func (p *program) endedJob(j client.Job) error {
	if err := p.shownJob(j); err != nil {
		return err
	}
	return verdict(j)
}

func stateWords(j client.Job) string {
	switch j.State {
	case "done_with_errors":
		return "done, with errors"
	case awaitingApproval:
		return "awaits approval"
	}
	return j.State
}

// below is the security domain that something is limited to, "" for the whole deployment, which goes without saying.
func below(domain string) string {
	if domain == "root" {
		return ""
	}
	return domain
}

func rateWords(j client.Job) string {
	if j.PerSecond == 0 {
		return ""
	}
	if j.PerSecond < 10 {
		return fmt.Sprintf("%.1f a second", j.PerSecond)
	}
	return fmt.Sprintf("%.0f a second", j.PerSecond)
}

func leftWords(j client.Job) string {
	if j.SecondsLeft == nil {
		return ""
	}
	return (time.Duration(*j.SecondsLeft) * time.Second).String()
}

func (p *program) jobList() *cobra.Command {
	var f client.JobFilter
	var most int
	cmd := p.command("list", "List jobs, the newest first", 0, func(r run) error {
		jobs := []jobDocument{}
		for j, err := range r.server.AllJobs(r.ctx, f) {
			if err != nil {
				return err
			}
			if jobs = append(jobs, documentOf(j)); len(jobs) == most {
				break
			}
		}
		return tabulate(p, map[string]any{"jobs": jobs}, []string{"JOB", "KIND", "NAME", "STATE", "ITEMS", "DONE", "FAILED", "CREATED"}, jobs, func(d jobDocument) []string {
			j := d.Job
			kind := j.Kind
			if j.DryRun {
				kind += " (dry run)"
			}
			return []string{j.Job, kind, j.Name, stateWords(j), number(j.Total), number(j.Done), number(j.Failed), date(&j.CreatedAt)}
		})
	})
	s := cmd.Flags()
	s.StringVar(&f.Kind, "kind", "", "only those of a `kind`: distribute, ...")
	s.StringVar(&f.State, "state", "", "only those in a `state`: loading, awaiting_approval, queued, running, done, done_with_errors, failed or cancelled")
	s.IntVar(&most, "limit", 0, "at most so many (default all)")
	return cmd
}

func (p *program) jobShow() *cobra.Command {
	return p.command("show JOB", "Show a job, by its ID or name", 1, func(r run) error {
		j, err := r.server.Job(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		return p.shownJob(j)
	})
}

func (p *program) jobItems() *cobra.Command {
	var f client.JobItemFilter
	var most int
	cmd := p.command("items JOB", "List what became of each thing that a job is about", 1, func(r run) error {
		return p.items(r.ctx, r.server, r.args[0], f, most)
	})
	cmd.Flags().StringVar(&f.State, "state", "", "only those in a `state`: waiting, done or failed")
	cmd.Flags().IntVar(&most, "limit", 0, "at most so many (default all)")
	return cmd
}

func (p *program) items(ctx context.Context, server *client.Client, job string, f client.JobItemFilter, most int) error {
	f.Limit = 1000
	items, err := collect(server.AllJobItems(ctx, job, f), most)
	if err != nil {
		return err
	}
	return tabulate(p, map[string]any{"items": items}, []string{"ITEM", "STATE", "CODE", "MESSAGE"}, items, func(item client.JobItem) []string {
		return []string{item.Key, item.State, item.Code, item.Message}
	})
}

// keysOf are those of the items of a job.
func (r run) keysOf(j client.Job) ([]string, error) {
	items, err := collect(r.server.AllJobItems(r.ctx, j.Job, client.JobItemFilter{Limit: 1000}), 0)
	return names(items, func(i client.JobItem) string { return i.Key }), err
}

func (p *program) jobWatch() *cobra.Command {
	return p.command("watch JOB", "Follow a job to its end", 1, func(r run) error {
		return p.followed(r, r.args[0])
	})
}

// followed follows a job to its end and shows it.
func (p *program) followed(r run, job string) error {
	j, err := p.follow(r, job)
	if err != nil {
		return err
	}
	return p.endedJob(j)
}

// follow follows a job to its end. It goes on when nobody follows it any more, as the error of an interrupt says.
func (p *program) follow(r run, job string) (client.Job, error) {
	return p.followOn(r, client.Job{Job: job})
}

// followOn follows a job to its end from a state that is known. Whether it waits to be approved is told once.
func (p *program) followOn(r run, begun client.Job) (client.Job, error) {
	job, told := begun.Job, begun.State == awaitingApproval
	if told {
		p.Note(approvalWords(begun))
	}
	bar := p.progressBar()
	j, err := r.server.WatchJob(r.ctx, job, func(j client.Job) {
		if j.State != awaitingApproval {
			bar.show(j)
		} else if !told {
			told = true
			p.Note(approvalWords(j))
		}
	})
	bar.end()
	if r.ctx.Err() != nil {
		return j, fmt.Errorf("the job goes on: 'tallystick job watch %[1]s' follows it, 'tallystick job cancel %[1]s' ends it", job)
	}
	return j, err
}

func (p *program) jobResume() *cobra.Command {
	var how client.JobResumption
	cmd := p.command("resume JOB", "Go on with a job that was cancelled, where it stopped", 1, nil)
	cmd.Flags().BoolVar(&how.RetryFailed, "retry-failed", false, "try what failed again")
	wait := cmd.Flags().Bool("wait", false, "follow the job to its end")
	p.does(cmd, func(r run) error {
		j, err := r.server.ResumeJob(r.ctx, r.args[0], how)
		if err != nil {
			return err
		}
		if *wait {
			return p.followed(r, j.Job)
		}
		return p.shownJob(j)
	})
	return cmd
}

func (p *program) jobCancel() *cobra.Command {
	return p.command("cancel JOB", "End a job; what is done stays", 1, func(r run) error {
		j, err := r.server.CancelJob(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		return p.shownJob(j)
	})
}

// awaitingApproval is the state of a job that somebody else is to approve.
const awaitingApproval = "awaiting_approval"

// approvalWords says what a job waits for, and how it goes on.
func approvalWords(j client.Job) string {
	return fmt.Sprintf("the job waits until another administrator approves it: 'tallystick job approve %[1]s', or 'job reject %[1]s', until %[2]s", j.Job, date(j.ApproveUntil))
}

// approveUntil is when a job that waits is cancelled.
func approveUntil(j client.Job) string {
	if j.State != awaitingApproval {
		return ""
	}
	return date(j.ApproveUntil)
}

func (p *program) jobApprove() *cobra.Command {
	return p.command("approve JOB", "Let a job be done that somebody else started", 1, func(r run) error {
		j, err := r.server.ApproveJob(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		return p.shownJob(j)
	})
}

func (p *program) jobReject() *cobra.Command {
	var why client.JobRejection
	cmd := p.command("reject JOB", "End a job that awaits approval", 1, nil)
	cmd.Flags().StringVar(&why.Reason, "reason", "", "why, for whoever started it")
	p.does(cmd, func(r run) error {
		if why.Reason == "" {
			return cli.Usagef("say why with --reason")
		}
		j, err := r.server.RejectJob(r.ctx, r.args[0], why)
		if err != nil {
			return err
		}
		return p.shownJob(j)
	})
	return cmd
}

// A progressBar shows how far a job is: as a bar on a terminal, else as a line for each tenth.
type progressBar struct {
	p     *program
	bar   progress.Model
	to    *os.File // the terminal, nil where there is none
	tenth int      // of the last line
	shown bool
}

func (p *program) progressBar() *progressBar {
	b := &progressBar{p: p, tenth: -1, to: cli.Terminal(p.Err)}
	if b.to != nil {
		const widest = 50
		width := widest
		if columns := cli.Width(p.Err); columns > 0 {
			width = min(widest, max(10, columns-50))
		}
		b.bar = progress.New(progress.WithWidth(width), progress.WithoutPercentage())
	}
	return b
}

func (b *progressBar) show(j client.Job) {
	finished := j.Done + j.Failed
	part := 1.0
	if j.Total > 0 {
		part = float64(finished) / float64(j.Total)
	}
	words := fmt.Sprintf("%d of %d", finished, j.Total)
	if j.Failed > 0 {
		words += fmt.Sprintf(", %d failed", j.Failed)
	}
	if j.PerSecond > 0 {
		words += ", " + rateWords(j)
	}
	if j.SecondsLeft != nil {
		words += ", " + leftWords(j) + " left"
	}
	if b.to != nil {
		const clear = "\r\x1b[K"
		fmt.Fprintf(b.to, "%s%s %3.0f%% %s", clear, b.bar.ViewAs(part), 100*part, words)
		b.shown = true
		return
	}
	if tenth := int(10 * part); tenth > b.tenth {
		b.tenth = tenth
		b.p.Note(fmt.Sprintf("%.0f%%, %s", 100*part, words))
	}
}

// end leaves the line of the bar.
func (b *progressBar) end() {
	if b.shown {
		fmt.Fprintln(b.to)
	}
}
