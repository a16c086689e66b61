-- Reports that are made beside requests and kept, and when they are made again.

-- +goose Up
CREATE TABLE report_run (
	id          TEXT COLLATE "C" PRIMARY KEY, -- UUIDv7
	schedule    TEXT COLLATE "C" NOT NULL,    -- name of the schedule that it is of, or empty
	report      TEXT COLLATE "C" NOT NULL,
	wish        TEXT COLLATE "C" NOT NULL,    -- JSON: columns, filters, order
	format      TEXT COLLATE "C" NOT NULL,
	state       TEXT COLLATE "C" NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
	row_count   BIGINT NOT NULL,
	size        BIGINT NOT NULL,
	message     TEXT COLLATE "C" NOT NULL,
	made_by     TEXT COLLATE "C" NOT NULL,
	role        TEXT COLLATE "C" NOT NULL,
	keep_days   BIGINT NOT NULL,
	tries       BIGINT NOT NULL,
	claim       TEXT COLLATE "C" NOT NULL,    -- of the server that makes it
	lease_until BIGINT,
	created_at  BIGINT NOT NULL,
	started_at  BIGINT,
	ended_at    BIGINT,
	keep_until  BIGINT
);
CREATE INDEX report_run_open ON report_run (id) WHERE state IN ('queued', 'running');
CREATE INDEX report_run_kept ON report_run (keep_until) WHERE keep_until IS NOT NULL;

-- What was made, in the order of numbers.
CREATE TABLE report_run_part (
	run    TEXT COLLATE "C" NOT NULL REFERENCES report_run ON DELETE CASCADE,
	number BIGINT NOT NULL,
	data   BYTEA NOT NULL,
	PRIMARY KEY (run, number)
);

CREATE TABLE report_schedule (
	name       TEXT COLLATE "C" PRIMARY KEY,
	report     TEXT COLLATE "C" NOT NULL,
	wish       TEXT COLLATE "C" NOT NULL,
	format     TEXT COLLATE "C" NOT NULL,
	every      TEXT COLLATE "C" NOT NULL CHECK (every IN ('day', 'week', 'month')),
	minute     BIGINT NOT NULL, -- of the day
	weekday    BIGINT NOT NULL, -- 0 is Sunday; of weeks
	day        BIGINT NOT NULL, -- of months
	keep_days  BIGINT NOT NULL,
	made_by    TEXT COLLATE "C" NOT NULL,
	role       TEXT COLLATE "C" NOT NULL,
	created_at BIGINT NOT NULL,
	next_at    BIGINT NOT NULL,
	last_run   TEXT COLLATE "C" NOT NULL
);
CREATE INDEX report_schedule_next ON report_schedule (next_at);
