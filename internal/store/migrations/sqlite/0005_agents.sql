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
