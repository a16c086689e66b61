-- +goose Up
-- Who is called when something happened, and how far each has come.
CREATE TABLE webhook (
	name         TEXT COLLATE "C" PRIMARY KEY,
	url          TEXT COLLATE "C" NOT NULL,
	allow_http   BOOLEAN NOT NULL,
	ca           TEXT COLLATE "C" NOT NULL,
	key_id       BIGINT NOT NULL REFERENCES data_key,
	sealed       BYTEA NOT NULL,
	actions      TEXT COLLATE "C" NOT NULL, -- JSON
	kinds        TEXT COLLATE "C" NOT NULL, -- JSON
	give_up      BIGINT NOT NULL,
	enabled      BOOLEAN NOT NULL,
	created_at   BIGINT NOT NULL,
	version      BIGINT NOT NULL,
	place        BIGINT NOT NULL, -- in the audit log, of the last event it has heard of
	delivered_at BIGINT,
	tried_at     BIGINT,
	status       BIGINT NOT NULL,
	trouble      TEXT COLLATE "C" NOT NULL,
	tries        BIGINT NOT NULL,
	failing_from BIGINT,
	next_at      BIGINT,
	lease_owner  TEXT COLLATE "C" NOT NULL,
	lease_until  BIGINT
);
CREATE INDEX webhook_key ON webhook (key_id);
