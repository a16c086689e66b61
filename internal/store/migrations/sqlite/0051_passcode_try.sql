-- Wrong passcodes of users that the engine was asked about for a page that anybody may open, so that nobody is locked by what is typed there.

-- +goose Up
CREATE TABLE passcode_try (
	user_id  TEXT PRIMARY KEY REFERENCES user_account ON DELETE CASCADE,
	tries    INTEGER NOT NULL,
	tried_at INTEGER NOT NULL
) STRICT;
