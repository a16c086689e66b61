-- Jobs whose items are stored in several transactions, and until when others leave them alone meanwhile.

-- +goose Up
ALTER TABLE job DROP CONSTRAINT job_state_check;
ALTER TABLE job ADD CONSTRAINT job_state_check
	CHECK (state IN ('loading', 'awaiting_approval', 'queued', 'running', 'done', 'done_with_errors', 'failed', 'cancelled'));
CREATE INDEX job_loading ON job (id) WHERE state = 'loading';

ALTER TABLE job ADD COLUMN loading_until BIGINT;
