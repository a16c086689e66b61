-- Jobs that a second person is to approve, and the key that each API key goes back to. Who made those that are there is not known: each goes back
-- to itself.

-- +goose Up
ALTER TABLE job ADD COLUMN new_state TEXT NOT NULL DEFAULT 'queued' CHECK (new_state IN ('awaiting_approval', 'queued', 'running', 'done', 'done_with_errors', 'failed', 'cancelled'));
UPDATE job SET new_state = state;
DROP INDEX job_open;
ALTER TABLE job DROP COLUMN state;
ALTER TABLE job RENAME COLUMN new_state TO state;
CREATE INDEX job_open ON job (id) WHERE state IN ('queued', 'running');
CREATE INDEX job_awaiting ON job (id) WHERE state = 'awaiting_approval';

ALTER TABLE job ADD COLUMN about TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN origin TEXT NOT NULL DEFAULT ''; -- of who started it
ALTER TABLE job ADD COLUMN approve_until INTEGER;
ALTER TABLE job ADD COLUMN approved_by TEXT NOT NULL DEFAULT '';

ALTER TABLE api_key ADD COLUMN origin TEXT NOT NULL DEFAULT '';
UPDATE api_key SET origin = id;
