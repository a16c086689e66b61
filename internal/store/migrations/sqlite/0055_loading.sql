-- Jobs whose items are stored in several transactions, and until when others leave them alone meanwhile.

-- +goose Up
ALTER TABLE job ADD COLUMN new_state TEXT NOT NULL DEFAULT 'queued'
	CHECK (new_state IN ('loading', 'awaiting_approval', 'queued', 'running', 'done', 'done_with_errors', 'failed', 'cancelled'));
UPDATE job SET new_state = state;
DROP INDEX job_open;
DROP INDEX job_awaiting;
ALTER TABLE job DROP COLUMN state;
ALTER TABLE job RENAME COLUMN new_state TO state;
CREATE INDEX job_open ON job (id) WHERE state IN ('queued', 'running');
CREATE INDEX job_awaiting ON job (id) WHERE state = 'awaiting_approval';
CREATE INDEX job_loading ON job (id) WHERE state = 'loading';

ALTER TABLE job ADD COLUMN loading_until INTEGER;
