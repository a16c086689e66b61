-- What authentication remembers beside the tokens.

-- +goose Up
ALTER TABLE token ADD COLUMN pin_change BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE token ADD COLUMN pin_history BYTEA;
ALTER TABLE token_generation ADD COLUMN last_agent TEXT COLLATE "C" NOT NULL DEFAULT '';

-- One row for each user, locked while something is decided about her.
CREATE TABLE user_guard (
	user_id           TEXT COLLATE "C" PRIMARY KEY REFERENCES user_account ON DELETE CASCADE,
	own_count         BIGINT NOT NULL DEFAULT 0,
	own_since         BIGINT,
	own_locked_at     BIGINT,
	strange_count     BIGINT NOT NULL DEFAULT 0,
	strange_since     BIGINT,
	strange_locked_at BIGINT,
	sources           BYTEA
) WITH (fillfactor = 70);
INSERT INTO user_guard (user_id) SELECT id FROM user_account;

-- Attempts and decisions live for minutes and data keys for an hour longer, so these do not refer to their keys: they are written often.
CREATE TABLE attempt (
	id         TEXT COLLATE "C" PRIMARY KEY,
	agent      TEXT COLLATE "C" NOT NULL,
	user_id    TEXT COLLATE "C" NOT NULL, -- as the agent gave it: there need be no such user
	turn       BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	key_id     BIGINT NOT NULL,
	sealed     BYTEA NOT NULL
);
CREATE INDEX attempt_expires ON attempt (expires_at);

-- Decisions by the key of their request, so that the same request again gets the same one.
CREATE TABLE decision (
	request_key BYTEA PRIMARY KEY,
	expires_at  BIGINT NOT NULL,
	key_id      BIGINT NOT NULL,
	sealed      BYTEA NOT NULL
);
CREATE INDEX decision_expires ON decision (expires_at);
