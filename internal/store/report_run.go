package store

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/report"
)

const runColumns columns = "id, schedule, report, wish, format, state, row_count, size, message, made_by, role, domain, keep_days, tries, claim, created_at, started_at, ended_at, keep_until, mail_to, webhook, digest"

// A keptWish is a wish as the database keeps it, beside the name of its report.
type keptWish struct {
	Columns []string          `json:"columns,omitempty"`
	Filters map[string]string `json:"filters,omitempty"`
	Order   string            `json:"order,omitempty"`
}

func keptOf(w report.Wish) jsonOrNull[keptWish] {
	return jsonOrNull[keptWish]{&keptWish{w.Columns, w.Filters, w.Order}}
}

func (k *keptWish) wish(of string) report.Wish {
	if k == nil {
		return report.Wish{Report: of}
	}
	return report.Wish{Report: of, Columns: k.Columns, Filters: k.Filters, Order: k.Order}
}

func runValues(r report.Run) []any {
	return []any{r.ID, r.Schedule, r.Order.Report, keptOf(r.Order.Wish), r.Order.Format, r.State, r.Rows, r.Size, r.Message, r.By.Name, r.By.Role, r.Domain, r.Order.KeepDays, r.Tries, r.Claim,
		micros(r.MadeAt), micros(r.Started), micros(r.Ended), micros(r.Until), mailTo(r.Order), r.Order.Webhook, r.Digest}
}

func scanRun(row row) (r report.Run, err error) {
	var kept *keptWish
	var of string
	err = row.Scan(&r.ID, &r.Schedule, &of, fromJSON(&kept), &r.Order.Format, &r.State, &r.Rows, &r.Size, &r.Message, &r.By.Name, &r.By.Role, &r.Domain, &r.Order.KeepDays, &r.Tries, &r.Claim,
		moment(&r.MadeAt), moment(&r.Started), moment(&r.Ended), moment(&r.Until), fromLines(&r.Order.MailTo), &r.Order.Webhook, &r.Digest)
	r.Order.Wish = kept.wish(of)
	return r, err
}

// mailTo is how the addresses of an order are kept: one a line.
func mailTo(o report.RunOrder) string { return strings.Join(o.MailTo, "\n") }

// fromLines scans what mailTo wrote.
func fromLines(all *[]string) sql.Scanner {
	return scanFunc(func(v any) error {
		var kept sql.NullString
		err := kept.Scan(v)
		if kept.String != "" {
			*all = strings.Split(kept.String, "\n")
		}
		return err
	})
}

// AddRun stores a new run of a report.
func (db *DB) AddRun(ctx context.Context, r report.Run) error {
	taken := fault.New(fault.Conflict, "there is a run %s already", r.ID)
	return db.Transact(ctx, func(ctx context.Context) error {
		at, err := db.placed(ctx, r.Domain)
		if err != nil {
			return err
		}
		r.Domain = at
		return db.change(ctx, taken, runColumns.insert("report_run"), runValues(r)...)
	})
}

// Run returns a run of the scope of ctx by ID; [fault.NotFound], [fault.OutOfScope].
func (db *DB) Run(ctx context.Context, id string) (report.Run, error) {
	missing := fault.New(fault.NotFound, "there is no run %q of a report: it may have been kept for its time", id)
	r, err := one(ctx, db, missing, scanRun, "SELECT "+string(runColumns)+" FROM report_run WHERE id = $1"+db.locked(ctx), id)
	return seen(ctx, r, r.Domain, err, missing, "run", id)
}

// ListRuns lists the runs of the scope of ctx, the newest first.
func (db *DB) ListRuns(ctx context.Context, f report.RunFilter) ([]report.Run, error) {
	var c conditions
	db.within(ctx, &c)
	c.text("report = $%d", f.Report)
	c.text("schedule = $%d", f.Schedule)
	c.text("id < $%d", f.Before)
	return list(ctx, db, scanRun, "SELECT "+string(runColumns)+" FROM report_run"+c.clause("id DESC", f.Limit), c.args...)
}

// ClaimRun takes the oldest run that nobody makes: it is queued, or its lease ended before now, or ends after late. What was made of it is gone.
// [fault.NotFound] if there is none.
func (db *DB) ClaimRun(ctx context.Context, claim string, now, late, lease time.Time) (report.Run, error) {
	const waiting = " FROM report_run WHERE state IN ('queued', 'running') AND (state = 'queued' OR lease_until < $1 OR lease_until > $2)"
	none := fault.New(fault.NotFound, "no report waits to be made")
	if found, err := list(ctx, db, text, "SELECT id"+waiting+" ORDER BY id LIMIT 1", micros(now), micros(late)); err != nil || len(found) == 0 {
		if err == nil {
			err = none
		}
		return report.Run{}, err // no transaction for who has nothing to do
	}
	var r report.Run
	err := db.Transact(ctx, func(ctx context.Context) error {
		var err error
		if r, err = one(ctx, db, none, scanRun, "SELECT "+string(runColumns)+waiting+" ORDER BY id LIMIT 1"+db.locksFree(), micros(now), micros(late)); err != nil {
			return err
		}
		r.State, r.Claim, r.Started, r.Tries = report.RunRunning, claim, now.UTC(), r.Tries+1
		if _, err := db.exec(ctx, "DELETE FROM report_run_part WHERE run = $1", r.ID); err != nil {
			return err
		}
		return db.change(ctx, none, "UPDATE report_run SET state = $1, claim = $2, started_at = $3, tries = $4, lease_until = $5 WHERE id = $6",
			r.State, r.Claim, micros(r.Started), r.Tries, micros(lease), r.ID)
	})
	return r, err
}

// mine is a condition: the run is still the one that was claimed.
const mine = "state = 'running' AND claim = "

func notMine(r report.Run) *fault.Error {
	return fault.New(fault.Conflict, "run %s is not made here any more", r.ID)
}

// HoldRun lengthens the lease; [fault.Conflict] if the claim is not the run's any more.
func (db *DB) HoldRun(ctx context.Context, r report.Run, lease time.Time) error {
	return db.change(ctx, notMine(r), "UPDATE report_run SET lease_until = $1 WHERE id = $2 AND "+mine+"$3", micros(lease), r.ID, r.Claim)
}

// AddRunPart keeps a part of what was made; [fault.Conflict] as for HoldRun.
func (db *DB) AddRunPart(ctx context.Context, r report.Run, number int, data []byte) error {
	return db.change(ctx, notMine(r), "INSERT INTO report_run_part (run, number, data) SELECT id, $1, $2 FROM report_run WHERE id = $3 AND "+mine+"$4",
		number, data, r.ID, r.Claim)
}

// FinishRun stores the outcome, or with state queued gives the run up; [fault.Conflict] as for HoldRun.
func (db *DB) FinishRun(ctx context.Context, r report.Run) error {
	return db.change(ctx, notMine(r), "UPDATE report_run SET (state, row_count, size, digest, message, ended_at, keep_until, lease_until) = ($1, $2, $3, $4, $5, $6, $7, NULL) WHERE id = $8 AND "+mine+"$9",
		r.State, r.Rows, r.Size, r.Digest, r.Message, micros(r.Ended), micros(r.Until), r.ID, r.Claim)
}

// RunPart returns a part; [fault.NotFound] after the last one.
func (db *DB) RunPart(ctx context.Context, id string, number int) ([]byte, error) {
	return one(ctx, db, fault.New(fault.NotFound, "run %s has no part %d: it was deleted", id, number), blob,
		"SELECT data FROM report_run_part WHERE run = $1 AND number = $2", id, number)
}

// DeleteRun removes a run of the scope of ctx with what was made; [fault.NotFound], [fault.OutOfScope].
func (db *DB) DeleteRun(ctx context.Context, id string) error {
	missing := domain.Outside(ctx, fault.New(fault.NotFound, "there is no run %q of a report", id), "run %q", id)
	within, args := db.andInScope(ctx, 1)
	return db.change(ctx, missing, "DELETE FROM report_run WHERE id = $1"+within, append([]any{id}, args...)...)
}

// DropRuns removes the runs that are not kept any more.
func (db *DB) DropRuns(ctx context.Context, now time.Time) (int, error) {
	return db.exec(ctx, "DELETE FROM report_run WHERE keep_until <= $1", micros(now))
}

const scheduleColumns columns = "name, report, wish, format, every, minute, weekday, day, keep_days, made_by, role, domain, created_at, next_at, last_run, mail_to, webhook"

func scanSchedule(row row) (s report.Schedule, err error) {
	var kept *keptWish
	var of string
	var weekday int
	err = row.Scan(&s.Name, &of, fromJSON(&kept), &s.Order.Format, &s.Every, &s.Minute, &weekday, &s.Day, &s.Order.KeepDays, &s.By.Name, &s.By.Role, &s.Domain,
		moment(&s.MadeAt), moment(&s.NextAt), &s.LastRun, fromLines(&s.Order.MailTo), &s.Order.Webhook)
	s.Order.Wish, s.Weekday = kept.wish(of), time.Weekday(weekday)
	return s, err
}

// AddSchedule stores a new schedule of a report; [fault.Conflict] if the name is taken, [fault.DomainNotFound] as for AddRun.
func (db *DB) AddSchedule(ctx context.Context, s report.Schedule) error {
	taken := fault.New(fault.Conflict, "there is a schedule %q already: take another name, or delete that one", s.Name)
	return db.Transact(ctx, func(ctx context.Context) error {
		at, err := db.placed(ctx, s.Domain)
		if err != nil {
			return err
		}
		return db.change(ctx, taken, scheduleColumns.insert("report_schedule"), s.Name, s.Order.Report, keptOf(s.Order.Wish), s.Order.Format, s.Every, s.Minute, int(s.Weekday), s.Day,
			s.Order.KeepDays, s.By.Name, s.By.Role, at, micros(s.MadeAt), micros(s.NextAt), s.LastRun, mailTo(s.Order), s.Order.Webhook)
	})
}

// Schedules lists the schedules of reports of the scope of ctx by name.
func (db *DB) Schedules(ctx context.Context) ([]report.Schedule, error) {
	var c conditions
	db.within(ctx, &c)
	return list(ctx, db, scanSchedule, "SELECT "+string(scheduleColumns)+" FROM report_schedule"+c.clause("name", 0), c.args...)
}

// MoveSchedule stores when a schedule is due next and its newest run; [fault.Conflict] if it is not due at was any more.
func (db *DB) MoveSchedule(ctx context.Context, s report.Schedule, was time.Time) error {
	moved := fault.New(fault.Conflict, "schedule %q was moved meanwhile", s.Name)
	return db.change(ctx, moved, "UPDATE report_schedule SET next_at = $1, last_run = $2 WHERE name = $3 AND next_at = $4", micros(s.NextAt), s.LastRun, s.Name, micros(was))
}

// DeleteSchedule removes a schedule of the scope of ctx; [fault.NotFound], [fault.OutOfScope].
func (db *DB) DeleteSchedule(ctx context.Context, name string) error {
	missing := domain.Outside(ctx, fault.New(fault.NotFound, "there is no schedule %q", name), "schedule %q", name)
	within, args := db.andInScope(ctx, 1)
	return db.change(ctx, missing, "DELETE FROM report_schedule WHERE name = $1"+within, append([]any{name}, args...)...)
}
