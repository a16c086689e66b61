-- What authentication remembers beside the tokens.

-- +goose Up
ALTER TABLE token ADD COLUMN pin_change INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token ADD COLUMN pin_history BLOB;
ALTER TABLE token_generation ADD COLUMN last_agent TEXT NOT NULL DEFAULT '';

-- One row for each user, locked while something is decided about her.
CREATE TABLE user_guard (
	user_id           TEXT PRIMARY KEY REFERENCES user_account ON DELETE CASCADE,
	own_count         INTEGER NOT NULL DEFAULT 0,
	own_since         INTEGER,
	own_locked_at     INTEGER,
	strange_count     INTEGER NOT NULL DEFAULT 0,
	strange_since     INTEGER,
	strange_locked_at INTEGER,
	sources           BLOB
) STRICT;
INSERT INTO user_guard (user_id) SELECT id FROM user_account;

-- Attempts and decisions live for minutes and data keys for an hour longer, so these do not refer to their keys: they are written often.
CREATE TABLE attempt (
	id         TEXT PRIMARY KEY,
	agent      TEXT NOT NULL,
	user_id    TEXT NOT NULL, -- as the agent gave it: there need be no such user
	turn       INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	key_id     INTEGER NOT NULL,
	sealed     BLOB NOT NULL
) STRICT;
CREATE INDEX attempt_expires ON attempt (expires_at);

-- Decisions by the key of their request, so that the same request again gets the same one.
CREATE TABLE decision (
	request_key BLOB PRIMARY KEY,
	expires_at  INTEGER NOT NULL,
	key_id      INTEGER NOT NULL,
	sealed      BLOB NOT NULL
) STRICT;
CREATE INDEX decision_expires ON decision (expires_at);
