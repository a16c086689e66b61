-- Who a directory's people are: what never changes of an entry tells somebody who got the user ID of another from who had it. Those of a directory
-- that was deleted are remembered, for the next one that takes them over.

-- +goose Up
CREATE TABLE directory_people (
	user_id   TEXT PRIMARY KEY REFERENCES user_account ON DELETE CASCADE,
	directory TEXT REFERENCES directory ON DELETE SET NULL, -- NULL where it was deleted
	dn        TEXT NOT NULL,
	disabled  INTEGER NOT NULL CHECK (disabled IN (0, 1)), -- by the directory, and not by an administrator
	missing   INTEGER NOT NULL DEFAULT 0 CHECK (missing IN (0, 1)), -- the directory shows her no more
	entry_id  TEXT NOT NULL DEFAULT '', -- that of her entry, with the attribute; '' for none known
	other_id  TEXT NOT NULL DEFAULT '' -- that of who has her user ID there now; '' for nobody else
) STRICT;
INSERT INTO directory_people (user_id, directory, dn, disabled) SELECT user_id, directory, dn, disabled FROM directory_user;
DROP TABLE directory_user;
ALTER TABLE directory_people RENAME TO directory_user;
CREATE INDEX directory_user_directory ON directory_user (directory, user_id);
