-- Whoever writes a batch also writes that it waits, as on PostgreSQL, where a trigger took as long as all the rest of it.

-- +goose Up
DROP TRIGGER audit_batch_waits;
