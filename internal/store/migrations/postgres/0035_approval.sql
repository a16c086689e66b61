-- Jobs that a second person is to approve, and the key that each API key goes back to. Who made those that are there is not known: each goes back
-- to itself.

-- +goose Up
ALTER TABLE job DROP CONSTRAINT job_state_check;
ALTER TABLE job ADD CONSTRAINT job_state_check CHECK (state IN ('awaiting_approval', 'queued', 'running', 'done', 'done_with_errors', 'failed', 'cancelled'));
CREATE INDEX job_awaiting ON job (id) WHERE state = 'awaiting_approval';

ALTER TABLE job ADD COLUMN about TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN origin TEXT COLLATE "C" NOT NULL DEFAULT ''; -- of who started it
ALTER TABLE job ADD COLUMN approve_until BIGINT;
ALTER TABLE job ADD COLUMN approved_by TEXT COLLATE "C" NOT NULL DEFAULT '';

ALTER TABLE api_key ADD COLUMN origin TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE api_key SET origin = id;
