-- Jobs, their items, and what these left to be fetched.

-- +goose Up
CREATE TABLE job (
	id            TEXT PRIMARY KEY,
	name          TEXT NOT NULL UNIQUE,
	kind          TEXT NOT NULL,
	state         TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'done_with_errors', 'failed', 'cancelled')),
	dry_run       INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
	rate          INTEGER NOT NULL,
	total         INTEGER NOT NULL,
	done          INTEGER NOT NULL,
	failed        INTEGER NOT NULL,
	message       TEXT NOT NULL,
	actor         TEXT NOT NULL, -- who started it, as JSON
	key_id        INTEGER REFERENCES data_key,
	sealed        BLOB,
	created_at    INTEGER NOT NULL,
	started_at    INTEGER,
	progressed_at INTEGER,
	ended_at      INTEGER,
	results_until INTEGER
) STRICT;
CREATE INDEX job_open ON job (id) WHERE state IN ('queued', 'running');
CREATE INDEX job_results_until ON job (results_until) WHERE results_until IS NOT NULL;
CREATE INDEX job_key ON job (key_id) WHERE key_id IS NOT NULL;

CREATE TABLE job_item (
	job_id  TEXT NOT NULL REFERENCES job ON DELETE CASCADE,
	number  INTEGER NOT NULL,
	key     TEXT NOT NULL,
	state   TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'failed')),
	code    TEXT NOT NULL,
	message TEXT NOT NULL,
	key_id  INTEGER REFERENCES data_key,
	sealed  BLOB,
	PRIMARY KEY (job_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_item_waiting ON job_item (job_id, number) WHERE state = 'waiting';
CREATE INDEX job_item_failed ON job_item (job_id, number) WHERE state = 'failed';
CREATE INDEX job_item_key ON job_item (key_id) WHERE key_id IS NOT NULL;

-- serial is the key of the item: what is kept for a token goes with its seed.
CREATE TABLE job_result (
	job_id TEXT NOT NULL REFERENCES job ON DELETE CASCADE,
	number INTEGER NOT NULL,
	serial TEXT NOT NULL,
	key_id INTEGER NOT NULL REFERENCES data_key,
	sealed BLOB NOT NULL,
	PRIMARY KEY (job_id, number)
) STRICT;
CREATE INDEX job_result_serial ON job_result (serial);
CREATE INDEX job_result_key ON job_result (key_id);
