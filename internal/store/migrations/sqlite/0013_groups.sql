-- Groups of users.

-- +goose Up
CREATE TABLE user_group (
	name       TEXT PRIMARY KEY,
	note       TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	version    INTEGER NOT NULL,
	search     TEXT NOT NULL -- what is searched in, in lower case
) STRICT;

CREATE TABLE group_member (
	group_name TEXT NOT NULL REFERENCES user_group ON DELETE CASCADE,
	user_id    TEXT NOT NULL REFERENCES user_account ON DELETE CASCADE,
	PRIMARY KEY (group_name, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_member_user ON group_member (user_id, group_name);
