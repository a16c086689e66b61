-- Tokens that are devices of their own and not apps: their seeds are delivered to nobody.

-- +goose Up
ALTER TABLE token ADD COLUMN hardware BOOLEAN NOT NULL DEFAULT FALSE;

-- The next available token, and what consumes a record, take software tokens.
DROP INDEX token_free;
CREATE INDEX token_free ON token (effective_expiry, serial) WHERE user_id IS NULL AND NOT hardware;
CREATE INDEX token_hardware ON token (serial) WHERE hardware;

-- Statistics count them with the others, and beside that as kinds 'hardware free' and 'hardware held'.
-- +goose StatementBegin
CREATE FUNCTION hardware_tally_keep() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP <> 'INSERT' AND OLD.hardware THEN
		INSERT INTO moment_tally_new VALUES (CASE WHEN OLD.user_id IS NULL AND OLD.lost_at IS NULL THEN 'hardware free' ELSE 'hardware held' END, OLD.effective_expiry / 86400000000, -1);
	END IF;
	IF TG_OP <> 'DELETE' AND NEW.hardware THEN
		INSERT INTO moment_tally_new VALUES (CASE WHEN NEW.user_id IS NULL AND NEW.lost_at IS NULL THEN 'hardware free' ELSE 'hardware held' END, NEW.effective_expiry / 86400000000, 1);
	END IF;
	RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER hardware_tally_insert AFTER INSERT ON token FOR EACH ROW WHEN (NEW.hardware) EXECUTE FUNCTION hardware_tally_keep();
CREATE TRIGGER hardware_tally_delete AFTER DELETE ON token FOR EACH ROW WHEN (OLD.hardware) EXECUTE FUNCTION hardware_tally_keep();
CREATE TRIGGER hardware_tally_move AFTER UPDATE ON token FOR EACH ROW
WHEN ((NEW.hardware OR OLD.hardware) AND (NEW.hardware, NEW.effective_expiry, NEW.user_id IS NULL AND NEW.lost_at IS NULL) IS DISTINCT FROM
	(OLD.hardware, OLD.effective_expiry, OLD.user_id IS NULL AND OLD.lost_at IS NULL))
EXECUTE FUNCTION hardware_tally_keep();
