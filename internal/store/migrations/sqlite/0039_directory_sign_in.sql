-- Wrong passwords of users that directories were asked about, so that nobody is locked there by what is typed here.

-- +goose Up
CREATE TABLE directory_try (
	user_id TEXT PRIMARY KEY REFERENCES user_account ON DELETE CASCADE,
	tries   INTEGER NOT NULL,
	since   INTEGER NOT NULL
) STRICT;
