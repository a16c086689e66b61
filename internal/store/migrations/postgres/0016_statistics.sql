-- Statistics are read from tallies, which triggers keep: how many tokens there are of each kind, and how many moments of a kind fall
-- into a span. Transactions that counted the same row up would wait for each other, and one that did it often would leave a version
-- of the row each time: they write what is to be added to it, and from time to time that is added up (internal/store/statistics.go).

-- +goose Up
ALTER TABLE token ADD COLUMN pin_used BOOLEAN NOT NULL DEFAULT TRUE; -- what the current generation's pin_type says
UPDATE token SET pin_used = FALSE WHERE serial IN (SELECT serial FROM token_generation WHERE state = 'current' AND pin_type = 'none');

CREATE TABLE token_tally_sum (
	assigned     BOOLEAN NOT NULL,
	enabled      BOOLEAN NOT NULL,
	lost         BOOLEAN NOT NULL,
	replacement  BOOLEAN NOT NULL, -- takes over from another token
	replaced     BOOLEAN NOT NULL, -- another token takes over from it
	issues       BIGINT NOT NULL,  -- that the issue limit counts
	new_pin      BOOLEAN NOT NULL, -- assigned, and without a PIN that may stay; PINs that are too old are not among them
	distribution TEXT COLLATE "C" NOT NULL,
	n            BIGINT NOT NULL,
	PRIMARY KEY (assigned, enabled, lost, replacement, replaced, issues, new_pin, distribution)
);
CREATE TABLE token_tally_new (LIKE token_tally_sum);
CREATE VIEW token_tally AS SELECT * FROM token_tally_sum UNION ALL SELECT * FROM token_tally_new;

-- kinds 'free' and 'held': last days of tokens that nobody has, lost ones aside, and of the others; 'pin': when PINs that may stay were
-- set; 'offer': when open activation codes expire.
CREATE TABLE moment_tally_sum (
	kind TEXT COLLATE "C" NOT NULL,
	span BIGINT NOT NULL, -- number of the day, for 'offer' of the 10 minutes, since 1970
	n    BIGINT NOT NULL,
	PRIMARY KEY (kind, span)
);
CREATE TABLE moment_tally_new (LIKE moment_tally_sum);
CREATE VIEW moment_tally AS SELECT * FROM moment_tally_sum UNION ALL SELECT * FROM moment_tally_new;

-- What is to be added comes and goes by the thousand.
ALTER TABLE token_tally_new SET (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_insert_threshold = -1);
ALTER TABLE moment_tally_new SET (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_insert_threshold = -1);

-- The spans that a moment cuts are counted through these, and what is rare. An authentication that leaves bad_passcodes and
-- own_locked_at as they were touches none of them.
CREATE INDEX token_pin_set ON token (pin_set_at) WHERE pin_set_at IS NOT NULL AND pin_hash IS NOT NULL AND NOT pin_change AND pin_used AND user_id IS NOT NULL;
CREATE INDEX offer_expires ON offer (expires_at) WHERE state = 'open';
CREATE INDEX token_generation_bad ON token_generation (live, state, bad_passcodes) WHERE bad_passcodes > 0;
CREATE INDEX user_guard_locked ON user_guard (own_locked_at) WHERE own_locked_at IS NOT NULL;

-- Reports list by last day, and what is rare.
DROP INDEX token_expiry;
CREATE INDEX token_expiry ON token (effective_expiry, serial);
CREATE INDEX token_lost ON token (serial) WHERE lost_at IS NOT NULL;
CREATE INDEX token_emergency ON token (serial) WHERE emergency IS NOT NULL;

-- +goose StatementBegin
CREATE FUNCTION token_tally_keep() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP <> 'INSERT' THEN
		INSERT INTO token_tally_new VALUES (OLD.user_id IS NOT NULL, OLD.enabled, OLD.lost_at IS NOT NULL, OLD.replaces <> '', OLD.replaced_by <> '', OLD.issue_count - OLD.issues_forgiven,
		OLD.user_id IS NOT NULL AND OLD.pin_used AND (OLD.pin_hash IS NULL OR OLD.pin_change), OLD.distribution, -1);
	END IF;
	IF TG_OP <> 'DELETE' THEN
		INSERT INTO token_tally_new VALUES (NEW.user_id IS NOT NULL, NEW.enabled, NEW.lost_at IS NOT NULL, NEW.replaces <> '', NEW.replaced_by <> '', NEW.issue_count - NEW.issues_forgiven,
		NEW.user_id IS NOT NULL AND NEW.pin_used AND (NEW.pin_hash IS NULL OR NEW.pin_change), NEW.distribution, 1);
	END IF;
	RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER token_tally_keep AFTER INSERT OR DELETE ON token FOR EACH ROW EXECUTE FUNCTION token_tally_keep();
CREATE TRIGGER token_tally_move AFTER UPDATE ON token FOR EACH ROW
WHEN ((NEW.user_id IS NOT NULL, NEW.enabled, NEW.lost_at IS NOT NULL, NEW.replaces <> '', NEW.replaced_by <> '', NEW.issue_count - NEW.issues_forgiven,
		NEW.user_id IS NOT NULL AND NEW.pin_used AND (NEW.pin_hash IS NULL OR NEW.pin_change), NEW.distribution) IS DISTINCT FROM
		(OLD.user_id IS NOT NULL, OLD.enabled, OLD.lost_at IS NOT NULL, OLD.replaces <> '', OLD.replaced_by <> '', OLD.issue_count - OLD.issues_forgiven,
		OLD.user_id IS NOT NULL AND OLD.pin_used AND (OLD.pin_hash IS NULL OR OLD.pin_change), OLD.distribution))
EXECUTE FUNCTION token_tally_keep();

-- +goose StatementBegin
CREATE FUNCTION expiry_tally_keep() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP <> 'INSERT' THEN
		INSERT INTO moment_tally_new VALUES (CASE WHEN OLD.user_id IS NULL AND OLD.lost_at IS NULL THEN 'free' ELSE 'held' END, OLD.effective_expiry / 86400000000, -1);
	END IF;
	IF TG_OP <> 'DELETE' THEN
		INSERT INTO moment_tally_new VALUES (CASE WHEN NEW.user_id IS NULL AND NEW.lost_at IS NULL THEN 'free' ELSE 'held' END, NEW.effective_expiry / 86400000000, 1);
	END IF;
	RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER expiry_tally_keep AFTER INSERT OR DELETE ON token FOR EACH ROW EXECUTE FUNCTION expiry_tally_keep();
CREATE TRIGGER expiry_tally_move AFTER UPDATE ON token FOR EACH ROW
WHEN ((NEW.effective_expiry, CASE WHEN NEW.user_id IS NULL AND NEW.lost_at IS NULL THEN 'free' ELSE 'held' END) IS DISTINCT FROM
	(OLD.effective_expiry, CASE WHEN OLD.user_id IS NULL AND OLD.lost_at IS NULL THEN 'free' ELSE 'held' END))
EXECUTE FUNCTION expiry_tally_keep();

-- +goose StatementBegin
CREATE FUNCTION pin_tally_keep() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP <> 'INSERT' AND OLD.pin_set_at IS NOT NULL AND OLD.pin_hash IS NOT NULL AND NOT OLD.pin_change AND OLD.pin_used AND OLD.user_id IS NOT NULL THEN
		INSERT INTO moment_tally_new VALUES ('pin', OLD.pin_set_at / 86400000000, -1);
	END IF;
	IF TG_OP <> 'DELETE' AND NEW.pin_set_at IS NOT NULL AND NEW.pin_hash IS NOT NULL AND NOT NEW.pin_change AND NEW.pin_used AND NEW.user_id IS NOT NULL THEN
		INSERT INTO moment_tally_new VALUES ('pin', NEW.pin_set_at / 86400000000, 1);
	END IF;
	RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER pin_tally_insert AFTER INSERT ON token FOR EACH ROW
WHEN (NEW.pin_set_at IS NOT NULL AND NEW.pin_hash IS NOT NULL AND NOT NEW.pin_change AND NEW.pin_used AND NEW.user_id IS NOT NULL) EXECUTE FUNCTION pin_tally_keep();
CREATE TRIGGER pin_tally_delete AFTER DELETE ON token FOR EACH ROW
WHEN (OLD.pin_set_at IS NOT NULL AND OLD.pin_hash IS NOT NULL AND NOT OLD.pin_change AND OLD.pin_used AND OLD.user_id IS NOT NULL) EXECUTE FUNCTION pin_tally_keep();
CREATE TRIGGER pin_tally_move AFTER UPDATE ON token FOR EACH ROW
WHEN ((NEW.pin_set_at, NEW.pin_set_at IS NOT NULL AND NEW.pin_hash IS NOT NULL AND NOT NEW.pin_change AND NEW.pin_used AND NEW.user_id IS NOT NULL) IS DISTINCT FROM
	(OLD.pin_set_at, OLD.pin_set_at IS NOT NULL AND OLD.pin_hash IS NOT NULL AND NOT OLD.pin_change AND OLD.pin_used AND OLD.user_id IS NOT NULL))
EXECUTE FUNCTION pin_tally_keep();

-- +goose StatementBegin
CREATE FUNCTION offer_tally_keep() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP <> 'INSERT' AND OLD.state = 'open' THEN
		INSERT INTO moment_tally_new VALUES ('offer', OLD.expires_at / 600000000, -1);
	END IF;
	IF TG_OP <> 'DELETE' AND NEW.state = 'open' THEN
		INSERT INTO moment_tally_new VALUES ('offer', NEW.expires_at / 600000000, 1);
	END IF;
	RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER offer_tally_keep AFTER INSERT OR DELETE ON offer FOR EACH ROW EXECUTE FUNCTION offer_tally_keep();
CREATE TRIGGER offer_tally_move AFTER UPDATE OF state, expires_at ON offer FOR EACH ROW
WHEN ((NEW.state, NEW.expires_at) IS DISTINCT FROM (OLD.state, OLD.expires_at)) EXECUTE FUNCTION offer_tally_keep();

INSERT INTO token_tally_sum
SELECT user_id IS NOT NULL, enabled, lost_at IS NOT NULL, replaces <> '', replaced_by <> '', issue_count - issues_forgiven,
		user_id IS NOT NULL AND pin_used AND (pin_hash IS NULL OR pin_change), distribution, count(*)
FROM token GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
INSERT INTO moment_tally_sum SELECT CASE WHEN user_id IS NULL AND lost_at IS NULL THEN 'free' ELSE 'held' END, effective_expiry / 86400000000, count(*) FROM token GROUP BY 1, 2;
INSERT INTO moment_tally_sum SELECT 'pin', pin_set_at / 86400000000, count(*) FROM token
WHERE pin_set_at IS NOT NULL AND pin_hash IS NOT NULL AND NOT pin_change AND pin_used AND user_id IS NOT NULL GROUP BY 2;
INSERT INTO moment_tally_sum SELECT 'offer', expires_at / 600000000, count(*) FROM offer WHERE state = 'open' GROUP BY 2;
