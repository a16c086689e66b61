-- +goose Up
CREATE TABLE radius_client (
	name                  TEXT COLLATE "C" PRIMARY KEY,
	address               TEXT COLLATE "C" UNIQUE, -- prefix
	certificate           TEXT COLLATE "C" UNIQUE,
	key_id                BIGINT REFERENCES data_key,
	sealed                BYTEA,
	prompt_set            TEXT COLLATE "C" NOT NULL,
	challenges            BOOLEAN NOT NULL,
	message_authenticator TEXT COLLATE "C" NOT NULL,
	attributes            TEXT COLLATE "C" NOT NULL, -- JSON
	strip_realm           TEXT COLLATE "C" NOT NULL,
	max_qps               BIGINT NOT NULL,
	created_at            BIGINT NOT NULL,
	version               BIGINT NOT NULL
);
CREATE INDEX radius_client_key ON radius_client (key_id);
