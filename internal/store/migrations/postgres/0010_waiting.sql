-- Whoever writes a batch also writes that it waits: a trigger took as long as all the rest of it.

-- +goose Up
DROP TRIGGER audit_batch_waits ON audit_batch;
DROP FUNCTION audit_batch_waits();
