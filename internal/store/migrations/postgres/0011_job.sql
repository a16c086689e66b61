-- Jobs, their items, and what these left to be fetched.

-- +goose Up
CREATE TABLE job (
	id            TEXT COLLATE "C" PRIMARY KEY,
	name          TEXT COLLATE "C" NOT NULL UNIQUE,
	kind          TEXT COLLATE "C" NOT NULL,
	state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('queued', 'running', 'done', 'done_with_errors', 'failed', 'cancelled')),
	dry_run       BOOLEAN NOT NULL,
	rate          BIGINT NOT NULL,
	total         BIGINT NOT NULL,
	done          BIGINT NOT NULL,
	failed        BIGINT NOT NULL,
	message       TEXT COLLATE "C" NOT NULL,
	actor         TEXT COLLATE "C" NOT NULL, -- who started it, as JSON
	key_id        BIGINT REFERENCES data_key,
	sealed        BYTEA,
	created_at    BIGINT NOT NULL,
	started_at    BIGINT,
	progressed_at BIGINT,
	ended_at      BIGINT,
	results_until BIGINT
);
CREATE INDEX job_open ON job (id) WHERE state IN ('queued', 'running');
CREATE INDEX job_results_until ON job (results_until) WHERE results_until IS NOT NULL;
CREATE INDEX job_key ON job (key_id) WHERE key_id IS NOT NULL;

CREATE TABLE job_item (
	job_id  TEXT COLLATE "C" NOT NULL REFERENCES job ON DELETE CASCADE,
	number  BIGINT NOT NULL,
	key     TEXT COLLATE "C" NOT NULL,
	state   TEXT COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'done', 'failed')),
	code    TEXT COLLATE "C" NOT NULL,
	message TEXT COLLATE "C" NOT NULL,
	key_id  BIGINT REFERENCES data_key,
	sealed  BYTEA,
	PRIMARY KEY (job_id, number)
);
CREATE INDEX job_item_waiting ON job_item (job_id, number) WHERE state = 'waiting';
CREATE INDEX job_item_failed ON job_item (job_id, number) WHERE state = 'failed';
CREATE INDEX job_item_key ON job_item (key_id) WHERE key_id IS NOT NULL;

-- serial is the key of the item: what is kept for a token goes with its seed.
CREATE TABLE job_result (
	job_id TEXT COLLATE "C" NOT NULL REFERENCES job ON DELETE CASCADE,
	number BIGINT NOT NULL,
	serial TEXT COLLATE "C" NOT NULL,
	key_id BIGINT NOT NULL REFERENCES data_key,
	sealed BYTEA NOT NULL,
	PRIMARY KEY (job_id, number)
);
CREATE INDEX job_result_serial ON job_result (serial);
CREATE INDEX job_result_key ON job_result (key_id);
