-- LDAP directories that users come from.

-- +goose Up
CREATE TABLE directory (
	name          TEXT COLLATE "C" PRIMARY KEY,
	kind          TEXT COLLATE "C" NOT NULL,
	settings      TEXT COLLATE "C" NOT NULL, -- a JSON object
	key_id        BIGINT REFERENCES data_key,
	sealed        BYTEA,
	domain        TEXT COLLATE "C" NOT NULL,
	every         BIGINT NOT NULL,
	next_at       BIGINT, -- NULL for only when asked
	claimed_until BIGINT NOT NULL,
	last          TEXT COLLATE "C" NOT NULL, -- a JSON object
	created_at    BIGINT NOT NULL,
	version       BIGINT NOT NULL
);
CREATE INDEX directory_key ON directory (key_id);
CREATE INDEX directory_domain ON directory (domain) WHERE domain <> '';

-- Users whom a directory has brought.
CREATE TABLE directory_user (
	user_id   TEXT COLLATE "C" PRIMARY KEY REFERENCES user_account ON DELETE CASCADE,
	directory TEXT COLLATE "C" NOT NULL REFERENCES directory ON DELETE CASCADE,
	dn        TEXT COLLATE "C" NOT NULL,
	disabled  BOOLEAN NOT NULL -- by the directory, and not by an administrator
);
CREATE INDEX directory_user_directory ON directory_user (directory, user_id);

-- Members whom a directory has brought into groups.
CREATE TABLE directory_member (
	directory  TEXT COLLATE "C" NOT NULL REFERENCES directory ON DELETE CASCADE,
	group_name TEXT COLLATE "C" NOT NULL REFERENCES user_group ON DELETE CASCADE,
	user_id    TEXT COLLATE "C" NOT NULL REFERENCES user_account ON DELETE CASCADE,
	PRIMARY KEY (directory, group_name, user_id)
);
CREATE INDEX directory_member_group ON directory_member (group_name);
CREATE INDEX directory_member_user ON directory_member (user_id);
