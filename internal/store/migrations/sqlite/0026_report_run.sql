-- Reports that are made beside requests and kept, and when they are made again.

-- +goose Up
CREATE TABLE report_run (
	id          TEXT PRIMARY KEY, -- UUIDv7
	schedule    TEXT NOT NULL,    -- name of the schedule that it is of, or empty
	report      TEXT NOT NULL,
	wish        TEXT NOT NULL,    -- JSON: columns, filters, order
	format      TEXT NOT NULL,
	state       TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
	row_count   INTEGER NOT NULL,
	size        INTEGER NOT NULL,
	message     TEXT NOT NULL,
	made_by     TEXT NOT NULL,
	role        TEXT NOT NULL,
	keep_days   INTEGER NOT NULL,
	tries       INTEGER NOT NULL,
	claim       TEXT NOT NULL,    -- of the server that makes it
	lease_until INTEGER,
	created_at  INTEGER NOT NULL,
	started_at  INTEGER,
	ended_at    INTEGER,
	keep_until  INTEGER
) STRICT;
CREATE INDEX report_run_open ON report_run (id) WHERE state IN ('queued', 'running');
CREATE INDEX report_run_kept ON report_run (keep_until) WHERE keep_until IS NOT NULL;

-- What was made, in the order of numbers.
CREATE TABLE report_run_part (
	run    TEXT NOT NULL REFERENCES report_run ON DELETE CASCADE,
	number INTEGER NOT NULL,
	data   BLOB NOT NULL,
	PRIMARY KEY (run, number)
) STRICT;

CREATE TABLE report_schedule (
	name       TEXT PRIMARY KEY,
	report     TEXT NOT NULL,
	wish       TEXT NOT NULL,
	format     TEXT NOT NULL,
	every      TEXT NOT NULL CHECK (every IN ('day', 'week', 'month')),
	minute     INTEGER NOT NULL, -- of the day
	weekday    INTEGER NOT NULL, -- 0 is Sunday; of weeks
	day        INTEGER NOT NULL, -- of months
	keep_days  INTEGER NOT NULL,
	made_by    TEXT NOT NULL,
	role       TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	next_at    INTEGER NOT NULL,
	last_run   TEXT NOT NULL
) STRICT;
CREATE INDEX report_schedule_next ON report_schedule (next_at);
