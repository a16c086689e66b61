-- +goose Up
CREATE TABLE radius_client (
	name                  TEXT PRIMARY KEY,
	address               TEXT UNIQUE, -- prefix
	certificate           TEXT UNIQUE,
	key_id                INTEGER REFERENCES data_key,
	sealed                BLOB,
	prompt_set            TEXT NOT NULL,
	challenges            INTEGER NOT NULL CHECK (challenges IN (0, 1)),
	message_authenticator TEXT NOT NULL,
	attributes            TEXT NOT NULL, -- JSON
	strip_realm           TEXT NOT NULL,
	max_qps               INTEGER NOT NULL,
	created_at            INTEGER NOT NULL,
	version               INTEGER NOT NULL
) STRICT;
CREATE INDEX radius_client_key ON radius_client (key_id);
