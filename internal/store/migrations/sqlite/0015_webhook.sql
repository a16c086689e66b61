-- +goose Up
-- Who is called when something happened, and how far each has come.
CREATE TABLE webhook (
	name         TEXT PRIMARY KEY,
	url          TEXT NOT NULL,
	allow_http   INTEGER NOT NULL CHECK (allow_http IN (0, 1)),
	ca           TEXT NOT NULL,
	key_id       INTEGER NOT NULL REFERENCES data_key,
	sealed       BLOB NOT NULL,
	actions      TEXT NOT NULL, -- JSON
	kinds        TEXT NOT NULL, -- JSON
	give_up      INTEGER NOT NULL,
	enabled      INTEGER NOT NULL CHECK (enabled IN (0, 1)),
	created_at   INTEGER NOT NULL,
	version      INTEGER NOT NULL,
	place        INTEGER NOT NULL, -- in the audit log, of the last event it has heard of
	delivered_at INTEGER,
	tried_at     INTEGER,
	status       INTEGER NOT NULL,
	trouble      TEXT NOT NULL,
	tries        INTEGER NOT NULL,
	failing_from INTEGER,
	next_at      INTEGER,
	lease_owner  TEXT NOT NULL,
	lease_until  INTEGER
) STRICT;
CREATE INDEX webhook_key ON webhook (key_id);
