-- The token whose seed is in the answer: when the seed is destroyed, the answer is too.

-- +goose Up
ALTER TABLE reply ADD COLUMN serial TEXT;
CREATE INDEX reply_serial ON reply (serial) WHERE serial IS NOT NULL;
