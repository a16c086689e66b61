-- Wrong passcodes of users that the engine was asked about for a page that anybody may open, so that nobody is locked by what is typed there.

-- +goose Up
CREATE TABLE passcode_try (
	user_id  TEXT COLLATE "C" PRIMARY KEY REFERENCES user_account ON DELETE CASCADE,
	tries    BIGINT NOT NULL,
	tried_at BIGINT NOT NULL
);
