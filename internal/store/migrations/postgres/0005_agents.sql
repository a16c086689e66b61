-- Agents of the SecurID Authentication API.

-- +goose Up
CREATE TABLE agent (
	id           TEXT COLLATE "C" PRIMARY KEY, -- the name in lower case
	name         TEXT COLLATE "C" NOT NULL,
	retry        BOOLEAN NOT NULL,
	display_name TEXT COLLATE "C" NOT NULL,
	hmac         TEXT COLLATE "C" NOT NULL,
	networks     TEXT COLLATE "C" NOT NULL, -- with blanks between them
	note         TEXT COLLATE "C" NOT NULL,
	created_at   BIGINT NOT NULL,
	version      BIGINT NOT NULL
);

CREATE TABLE agent_credential (
	access_id  TEXT COLLATE "C" PRIMARY KEY,
	agent_id   TEXT COLLATE "C" NOT NULL REFERENCES agent ON DELETE CASCADE,
	hash       BYTEA NOT NULL UNIQUE,
	key_id     BIGINT REFERENCES data_key,
	sealed     BYTEA,
	deprecated BOOLEAN NOT NULL,
	note       TEXT COLLATE "C" NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT
);
CREATE INDEX agent_credential_agent ON agent_credential (agent_id, created_at);
CREATE INDEX agent_credential_key ON agent_credential (key_id);

-- Attempts that their agents asked to keep. Nothing refers to them, and they refer to nothing: they outlive both.
CREATE TABLE kept_attempt (
	id            TEXT COLLATE "C" PRIMARY KEY,
	access_id     TEXT COLLATE "C" NOT NULL,
	user_id       TEXT COLLATE "C" NOT NULL,
	attributes    TEXT COLLATE "C" NOT NULL, -- JSON
	methods       TEXT COLLATE "C" NOT NULL, -- with blanks between them
	response_code TEXT COLLATE "C" NOT NULL,
	reason_code   TEXT COLLATE "C" NOT NULL,
	life          BIGINT NOT NULL,
	expires_at    BIGINT NOT NULL
);
CREATE INDEX kept_attempt_expiry ON kept_attempt (expires_at);

-- Signatures of requests that were seen, so that each counts once.
CREATE TABLE agent_signature (
	signature BYTEA PRIMARY KEY,
	seen_at   BIGINT NOT NULL
);
CREATE INDEX agent_signature_seen ON agent_signature (seen_at);
