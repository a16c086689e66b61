-- Statistics are read from tallies, which triggers keep: how many tokens there are of each kind, and how many moments of a kind fall
-- into a span. A transaction has the database for itself, so the tallies are counted up and down where they are.

-- +goose Up
ALTER TABLE token ADD COLUMN pin_used INTEGER NOT NULL DEFAULT 1; -- what the current generation's pin_type says
UPDATE token SET pin_used = 0 WHERE serial IN (SELECT serial FROM token_generation WHERE state = 'current' AND pin_type = 'none');

CREATE TABLE token_tally (
	assigned     INTEGER NOT NULL,
	enabled      INTEGER NOT NULL,
	lost         INTEGER NOT NULL,
	replacement  INTEGER NOT NULL, -- takes over from another token
	replaced     INTEGER NOT NULL, -- another token takes over from it
	issues       INTEGER NOT NULL, -- that the issue limit counts
	new_pin      INTEGER NOT NULL, -- assigned, and without a PIN that may stay; PINs that are too old are not among them
	distribution TEXT NOT NULL,
	n            INTEGER NOT NULL,
	PRIMARY KEY (assigned, enabled, lost, replacement, replaced, issues, new_pin, distribution)
) STRICT, WITHOUT ROWID;

-- kinds 'free' and 'held': last days of tokens that nobody has, lost ones aside, and of the others; 'pin': when PINs that may stay were
-- set; 'offer': when open activation codes expire.
CREATE TABLE moment_tally (
	kind TEXT NOT NULL,
	span INTEGER NOT NULL, -- number of the day, for 'offer' of the 10 minutes, since 1970
	n    INTEGER NOT NULL,
	PRIMARY KEY (kind, span)
) STRICT, WITHOUT ROWID;

-- The spans that a moment cuts are counted through these, and what is rare.
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
CREATE TRIGGER token_tally_insert AFTER INSERT ON token BEGIN
	INSERT INTO token_tally VALUES (NEW.user_id IS NOT NULL, NEW.enabled, NEW.lost_at IS NOT NULL, NEW.replaces <> '', NEW.replaced_by <> '', NEW.issue_count - NEW.issues_forgiven,
		NEW.user_id IS NOT NULL AND NEW.pin_used AND (NEW.pin_hash IS NULL OR NEW.pin_change), NEW.distribution, 1)
		ON CONFLICT DO UPDATE SET n = n + 1;
	INSERT INTO moment_tally VALUES (CASE WHEN NEW.user_id IS NULL AND NEW.lost_at IS NULL THEN 'free' ELSE 'held' END, NEW.effective_expiry / 86400000000, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER token_tally_delete AFTER DELETE ON token BEGIN
	UPDATE token_tally SET n = n - 1 WHERE (assigned, enabled, lost, replacement, replaced, issues, new_pin, distribution) =
		(OLD.user_id IS NOT NULL, OLD.enabled, OLD.lost_at IS NOT NULL, OLD.replaces <> '', OLD.replaced_by <> '', OLD.issue_count - OLD.issues_forgiven,
		OLD.user_id IS NOT NULL AND OLD.pin_used AND (OLD.pin_hash IS NULL OR OLD.pin_change), OLD.distribution);
	UPDATE moment_tally SET n = n - 1 WHERE kind = CASE WHEN OLD.user_id IS NULL AND OLD.lost_at IS NULL THEN 'free' ELSE 'held' END AND span = OLD.effective_expiry / 86400000000;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER token_tally_update AFTER UPDATE ON token
WHEN (NEW.user_id IS NOT NULL, NEW.enabled, NEW.lost_at IS NOT NULL, NEW.replaces <> '', NEW.replaced_by <> '', NEW.issue_count - NEW.issues_forgiven,
		NEW.user_id IS NOT NULL AND NEW.pin_used AND (NEW.pin_hash IS NULL OR NEW.pin_change), NEW.distribution) IS NOT
		(OLD.user_id IS NOT NULL, OLD.enabled, OLD.lost_at IS NOT NULL, OLD.replaces <> '', OLD.replaced_by <> '', OLD.issue_count - OLD.issues_forgiven,
		OLD.user_id IS NOT NULL AND OLD.pin_used AND (OLD.pin_hash IS NULL OR OLD.pin_change), OLD.distribution)
BEGIN
	UPDATE token_tally SET n = n - 1 WHERE (assigned, enabled, lost, replacement, replaced, issues, new_pin, distribution) =
		(OLD.user_id IS NOT NULL, OLD.enabled, OLD.lost_at IS NOT NULL, OLD.replaces <> '', OLD.replaced_by <> '', OLD.issue_count - OLD.issues_forgiven,
		OLD.user_id IS NOT NULL AND OLD.pin_used AND (OLD.pin_hash IS NULL OR OLD.pin_change), OLD.distribution);
	INSERT INTO token_tally VALUES (NEW.user_id IS NOT NULL, NEW.enabled, NEW.lost_at IS NOT NULL, NEW.replaces <> '', NEW.replaced_by <> '', NEW.issue_count - NEW.issues_forgiven,
		NEW.user_id IS NOT NULL AND NEW.pin_used AND (NEW.pin_hash IS NULL OR NEW.pin_change), NEW.distribution, 1)
		ON CONFLICT DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER expiry_tally_update AFTER UPDATE OF effective_expiry, user_id, lost_at ON token
WHEN (NEW.effective_expiry, CASE WHEN NEW.user_id IS NULL AND NEW.lost_at IS NULL THEN 'free' ELSE 'held' END) IS NOT
	(OLD.effective_expiry, CASE WHEN OLD.user_id IS NULL AND OLD.lost_at IS NULL THEN 'free' ELSE 'held' END)
BEGIN
	UPDATE moment_tally SET n = n - 1 WHERE kind = CASE WHEN OLD.user_id IS NULL AND OLD.lost_at IS NULL THEN 'free' ELSE 'held' END AND span = OLD.effective_expiry / 86400000000;
	INSERT INTO moment_tally VALUES (CASE WHEN NEW.user_id IS NULL AND NEW.lost_at IS NULL THEN 'free' ELSE 'held' END, NEW.effective_expiry / 86400000000, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER pin_tally_insert AFTER INSERT ON token
WHEN NEW.pin_set_at IS NOT NULL AND NEW.pin_hash IS NOT NULL AND NOT NEW.pin_change AND NEW.pin_used AND NEW.user_id IS NOT NULL
BEGIN
	INSERT INTO moment_tally VALUES ('pin', NEW.pin_set_at / 86400000000, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER pin_tally_delete AFTER DELETE ON token
WHEN OLD.pin_set_at IS NOT NULL AND OLD.pin_hash IS NOT NULL AND NOT OLD.pin_change AND OLD.pin_used AND OLD.user_id IS NOT NULL
BEGIN
	UPDATE moment_tally SET n = n - 1 WHERE kind = 'pin' AND span = OLD.pin_set_at / 86400000000;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER pin_tally_update AFTER UPDATE ON token
WHEN (NEW.pin_set_at, NEW.pin_set_at IS NOT NULL AND NEW.pin_hash IS NOT NULL AND NOT NEW.pin_change AND NEW.pin_used AND NEW.user_id IS NOT NULL) IS NOT
	(OLD.pin_set_at, OLD.pin_set_at IS NOT NULL AND OLD.pin_hash IS NOT NULL AND NOT OLD.pin_change AND OLD.pin_used AND OLD.user_id IS NOT NULL)
BEGIN
	UPDATE moment_tally SET n = n - 1 WHERE kind = 'pin' AND span = OLD.pin_set_at / 86400000000
		AND OLD.pin_set_at IS NOT NULL AND OLD.pin_hash IS NOT NULL AND NOT OLD.pin_change AND OLD.pin_used AND OLD.user_id IS NOT NULL;
	INSERT INTO moment_tally SELECT 'pin', NEW.pin_set_at / 86400000000, 1
		WHERE NEW.pin_set_at IS NOT NULL AND NEW.pin_hash IS NOT NULL AND NOT NEW.pin_change AND NEW.pin_used AND NEW.user_id IS NOT NULL ON CONFLICT DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER offer_tally_insert AFTER INSERT ON offer WHEN NEW.state = 'open' BEGIN
	INSERT INTO moment_tally VALUES ('offer', NEW.expires_at / 600000000, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER offer_tally_delete AFTER DELETE ON offer WHEN OLD.state = 'open' BEGIN
	UPDATE moment_tally SET n = n - 1 WHERE kind = 'offer' AND span = OLD.expires_at / 600000000;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER offer_tally_update AFTER UPDATE OF state, expires_at ON offer WHEN (NEW.state = 'open', NEW.expires_at) IS NOT (OLD.state = 'open', OLD.expires_at) BEGIN
	UPDATE moment_tally SET n = n - 1 WHERE kind = 'offer' AND span = OLD.expires_at / 600000000 AND OLD.state = 'open';
	INSERT INTO moment_tally SELECT 'offer', NEW.expires_at / 600000000, 1 WHERE NEW.state = 'open' ON CONFLICT DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd

INSERT INTO token_tally
SELECT user_id IS NOT NULL, enabled, lost_at IS NOT NULL, replaces <> '', replaced_by <> '', issue_count - issues_forgiven,
		user_id IS NOT NULL AND pin_used AND (pin_hash IS NULL OR pin_change), distribution, count(*)
FROM token GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
INSERT INTO moment_tally SELECT CASE WHEN user_id IS NULL AND lost_at IS NULL THEN 'free' ELSE 'held' END, effective_expiry / 86400000000, count(*) FROM token GROUP BY 1, 2;
INSERT INTO moment_tally SELECT 'pin', pin_set_at / 86400000000, count(*) FROM token
WHERE pin_set_at IS NOT NULL AND pin_hash IS NOT NULL AND NOT pin_change AND pin_used AND user_id IS NOT NULL GROUP BY 2;
INSERT INTO moment_tally SELECT 'offer', expires_at / 600000000, count(*) FROM offer WHERE state = 'open' GROUP BY 2;
