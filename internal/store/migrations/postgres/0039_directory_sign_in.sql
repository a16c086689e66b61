-- Wrong passwords of users that directories were asked about, so that nobody is locked there by what is typed here.

-- +goose Up
CREATE TABLE directory_try (
	user_id TEXT COLLATE "C" PRIMARY KEY REFERENCES user_account ON DELETE CASCADE,
	tries   BIGINT NOT NULL,
	since   BIGINT NOT NULL
);
