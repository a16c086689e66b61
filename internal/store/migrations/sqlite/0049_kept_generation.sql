-- The generation of its token that something is kept of: it goes with that one, and not with an older one that gives way to it. What has none, because it was kept before
-- or is about no seed, goes with any.

-- +goose Up
ALTER TABLE mail_message ADD COLUMN generation INTEGER;
ALTER TABLE job_result ADD COLUMN generation INTEGER;
ALTER TABLE reply ADD COLUMN generation INTEGER;
