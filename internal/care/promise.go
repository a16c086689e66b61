package care

import (
	"slices"
	"sync"

	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/token"
)

// promises are the records that tokens of dry runs would take: a chunk of a dry run is undone, and the next one would find them
// free. They are kept in memory, for the dry runs of late, of which a server does one chunk at a time: after a restart, or where two
// servers share one, a dry run may promise a record twice.
type promises struct {
	mu    sync.Mutex
	byJob map[string]map[string]string // the token, by job and record
	order []string                     // of the jobs
}

// maxDryRuns is how many dry runs are remembered.
const maxDryRuns = 8

// promised are the records that other tokens of a dry run would take; nil for a job that is none.
func (c *Jobs) promised(j job.Job, serials []string) map[string]bool {
	if !j.DryRun {
		return nil
	}
	p := &c.promises
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := map[string]bool{}
	for _, serial := range serials {
		mine[serial] = true
	}
	others := map[string]bool{}
	for record, serial := range p.byJob[j.ID] {
		if !mine[serial] { // else the chunk is tried again
			others[record] = true
		}
	}
	return others
}

// promise remembers what a chunk of a dry run would take.
func (c *Jobs) promise(j job.Job, outcomes []token.Outcome) {
	if !j.DryRun {
		return
	}
	p := &c.promises
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byJob == nil {
		p.byJob = map[string]map[string]string{}
	}
	if p.byJob[j.ID] == nil {
		p.byJob[j.ID] = map[string]string{}
		if p.order = append(p.order, j.ID); len(p.order) > maxDryRuns {
			delete(p.byJob, p.order[0])
			p.order = slices.Delete(p.order, 0, 1)
		}
	}
	for _, o := range outcomes {
		if o.Took != "" {
			p.byJob[j.ID][o.Took] = o.Serial
		}
	}
}
