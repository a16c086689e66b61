-- LDAP directories that users come from.

-- +goose Up
CREATE TABLE directory (
	name          TEXT PRIMARY KEY,
	kind          TEXT NOT NULL,
	settings      TEXT NOT NULL, -- a JSON object
	key_id        INTEGER REFERENCES data_key,
	sealed        BLOB,
	domain        TEXT NOT NULL,
	every         INTEGER NOT NULL,
	next_at       INTEGER, -- NULL for only when asked
	claimed_until INTEGER NOT NULL,
	last          TEXT NOT NULL, -- a JSON object
	created_at    INTEGER NOT NULL,
	version       INTEGER NOT NULL
) STRICT;
CREATE INDEX directory_key ON directory (key_id);
CREATE INDEX directory_domain ON directory (domain) WHERE domain <> '';

-- Users whom a directory has brought.
CREATE TABLE directory_user (
	user_id   TEXT PRIMARY KEY REFERENCES user_account ON DELETE CASCADE,
	directory TEXT NOT NULL REFERENCES directory ON DELETE CASCADE,
	dn        TEXT NOT NULL,
	disabled  INTEGER NOT NULL CHECK (disabled IN (0, 1)) -- by the directory, and not by an administrator
) STRICT;
CREATE INDEX directory_user_directory ON directory_user (directory, user_id);

-- Members whom a directory has brought into groups.
CREATE TABLE directory_member (
	directory  TEXT NOT NULL REFERENCES directory ON DELETE CASCADE,
	group_name TEXT NOT NULL REFERENCES user_group ON DELETE CASCADE,
	user_id    TEXT NOT NULL REFERENCES user_account ON DELETE CASCADE,
	PRIMARY KEY (directory, group_name, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX directory_member_group ON directory_member (group_name);
CREATE INDEX directory_member_user ON directory_member (user_id);
