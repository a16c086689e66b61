-- Agents of the SecurID Authentication API.

-- +goose Up
CREATE TABLE agent (
	id           TEXT PRIMARY KEY, -- the name in lower case
	name         TEXT NOT NULL,
	retry        INTEGER NOT NULL CHECK (retry IN (0, 1)),
	display_name TEXT NOT NULL,
	hmac         TEXT NOT NULL,
	networks     TEXT NOT NULL, -- with blanks between them
	note         TEXT NOT NULL,
	created_at   INTEGER NOT NULL,
	version      INTEGER NOT NULL
) STRICT;

CREATE TABLE agent_credential (
	access_id  TEXT PRIMARY KEY,
	agent_id   TEXT NOT NULL REFERENCES agent ON DELETE CASCADE,
	hash       BLOB NOT NULL UNIQUE,
	key_id     INTEGER REFERENCES data_key,
	sealed     BLOB,
	deprecated INTEGER NOT NULL CHECK (deprecated IN (0, 1)),
	note       TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER
) STRICT;
CREATE INDEX agent_credential_agent ON agent_credential (agent_id, created_at);
CREATE INDEX agent_credential_key ON agent_credential (key_id);

-- Attempts that their agents asked to keep. Nothing refers to them, and they refer to nothing: they outlive both.
CREATE TABLE kept_attempt (
	id            TEXT PRIMARY KEY,
	access_id     TEXT NOT NULL,
	user_id       TEXT NOT NULL,
	attributes    TEXT NOT NULL, -- JSON
	methods       TEXT NOT NULL, -- with blanks between them
	response_code TEXT NOT NULL,
	reason_code   TEXT NOT NULL,
	life          INTEGER NOT NULL,
	expires_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX kept_attempt_expiry ON kept_attempt (expires_at);

-- Signatures of requests that were seen, so that each counts once.
CREATE TABLE agent_signature (
	signature BLOB PRIMARY KEY,
	seen_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX agent_signature_seen ON agent_signature (seen_at);
