-- Tokens that are devices of their own and not apps: their seeds are delivered to nobody.

-- +goose Up
ALTER TABLE token ADD COLUMN hardware INTEGER NOT NULL DEFAULT 0 CHECK (hardware IN (0, 1));

-- The next available token, and what consumes a record, take software tokens.
DROP INDEX token_free;
CREATE INDEX token_free ON token (effective_expiry, serial) WHERE user_id IS NULL AND NOT hardware;
CREATE INDEX token_hardware ON token (serial) WHERE hardware;

-- Statistics count them with the others, and beside that as kinds 'hardware free' and 'hardware held'.
-- +goose StatementBegin
CREATE TRIGGER hardware_tally_insert AFTER INSERT ON token WHEN NEW.hardware BEGIN
	INSERT INTO moment_tally VALUES (CASE WHEN NEW.user_id IS NULL AND NEW.lost_at IS NULL THEN 'hardware free' ELSE 'hardware held' END, NEW.effective_expiry / 86400000000, 1)
		ON CONFLICT DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER hardware_tally_delete AFTER DELETE ON token WHEN OLD.hardware BEGIN
	UPDATE moment_tally SET n = n - 1
		WHERE kind = CASE WHEN OLD.user_id IS NULL AND OLD.lost_at IS NULL THEN 'hardware free' ELSE 'hardware held' END AND span = OLD.effective_expiry / 86400000000;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER hardware_tally_update AFTER UPDATE OF hardware, effective_expiry, user_id, lost_at ON token
WHEN (NEW.hardware OR OLD.hardware) AND (NEW.hardware, NEW.effective_expiry, NEW.user_id IS NULL AND NEW.lost_at IS NULL) IS NOT
	(OLD.hardware, OLD.effective_expiry, OLD.user_id IS NULL AND OLD.lost_at IS NULL)
BEGIN
	UPDATE moment_tally SET n = n - 1
		WHERE OLD.hardware AND kind = CASE WHEN OLD.user_id IS NULL AND OLD.lost_at IS NULL THEN 'hardware free' ELSE 'hardware held' END AND span = OLD.effective_expiry / 86400000000;
	INSERT INTO moment_tally SELECT CASE WHEN NEW.user_id IS NULL AND NEW.lost_at IS NULL THEN 'hardware free' ELSE 'hardware held' END, NEW.effective_expiry / 86400000000, 1
		WHERE NEW.hardware ON CONFLICT DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
