-- Tokens that are lost, and tokens that take over from others.

-- +goose Up
ALTER TABLE token ADD COLUMN lost_at INTEGER;
ALTER TABLE token ADD COLUMN emergency TEXT; -- a JSON object: hashes of codes that stand in for the tokencode
ALTER TABLE token ADD COLUMN pin_serial TEXT NOT NULL DEFAULT ''; -- that the PIN's hashes are bound to, if it is not the token's own
ALTER TABLE token ADD COLUMN replaces TEXT NOT NULL DEFAULT ''; -- serial of the token that this one takes over from
ALTER TABLE token ADD COLUMN replaced_by TEXT NOT NULL DEFAULT '';
