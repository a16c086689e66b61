-- Times are microseconds since 1970 UTC, and NULL where there is none; lengths of time are microseconds.
-- COLLATE "C" compares bytes, as SQLite does: both databases list in the same order.
-- A sealed column stands beside the key_id that seals it, so that no data key goes while it is needed.

-- +goose Up
CREATE TABLE schema_release (
	schema_version BIGINT PRIMARY KEY,
	name           TEXT COLLATE "C" NOT NULL
);

CREATE TABLE data_key (
	id         BIGINT PRIMARY KEY,
	master_id  TEXT COLLATE "C" NOT NULL,
	wrapped    BYTEA NOT NULL,
	created_at BIGINT NOT NULL
);

CREATE TABLE secret (
	name   TEXT COLLATE "C" PRIMARY KEY,
	key_id BIGINT NOT NULL REFERENCES data_key,
	sealed BYTEA NOT NULL
);
CREATE INDEX secret_key ON secret (key_id);

CREATE TABLE user_account (
	id         TEXT COLLATE "C" PRIMARY KEY,
	name       TEXT COLLATE "C" NOT NULL,
	mail       TEXT COLLATE "C" NOT NULL,
	enabled    BOOLEAN NOT NULL,
	created_at BIGINT NOT NULL,
	version    BIGINT NOT NULL,
	search     TEXT COLLATE "C" NOT NULL -- what is searched in, in lower case
);

CREATE TABLE profile (
	name             TEXT COLLATE "C" PRIMARY KEY,
	device_type      TEXT COLLATE "C" NOT NULL,
	digits           BIGINT NOT NULL,
	interval_seconds BIGINT NOT NULL,
	pin_type         TEXT COLLATE "C" NOT NULL,
	method           TEXT COLLATE "C" NOT NULL,
	ctf_version      BIGINT NOT NULL,
	binding          TEXT COLLATE "C" NOT NULL,
	protection       TEXT COLLATE "C" NOT NULL,
	activation_life  BIGINT NOT NULL,
	switch_over      TEXT COLLATE "C" NOT NULL,
	grace            BIGINT NOT NULL,
	notes            TEXT COLLATE "C" NOT NULL,
	created_at       BIGINT NOT NULL,
	version          BIGINT NOT NULL
);

CREATE TABLE token (
	serial           TEXT COLLATE "C" PRIMARY KEY,
	origin           TEXT COLLATE "C" NOT NULL,
	birth            BIGINT,
	expiry           BIGINT NOT NULL,
	effective_expiry BIGINT NOT NULL,
	user_id          TEXT COLLATE "C" REFERENCES user_account,
	assigned_at      BIGINT,
	assigned_by      TEXT COLLATE "C" NOT NULL,
	enabled          BOOLEAN NOT NULL,
	pin_hash         BYTEA,
	pin_length       BIGINT NOT NULL,
	pin_set_at       BIGINT,
	pending_until    BIGINT,
	last_number      BIGINT NOT NULL,
	tainted          BOOLEAN NOT NULL,
	distribution     TEXT COLLATE "C" NOT NULL,
	profile          TEXT COLLATE "C" REFERENCES profile,
	method           TEXT COLLATE "C" NOT NULL,
	device_id        TEXT COLLATE "C" NOT NULL,
	nickname         TEXT COLLATE "C" NOT NULL,
	distributed_at   BIGINT,
	confirmed_at     BIGINT,
	issue_count      BIGINT NOT NULL,
	created_at       BIGINT NOT NULL,
	version          BIGINT NOT NULL,
	search           TEXT COLLATE "C" NOT NULL -- what is searched in, in lower case
);
CREATE INDEX token_user ON token (user_id, serial) WHERE user_id IS NOT NULL;
CREATE INDEX token_free ON token (effective_expiry, serial) WHERE user_id IS NULL;
CREATE INDEX token_expiry ON token (effective_expiry);
CREATE INDEX token_profile ON token (profile, serial);
CREATE INDEX token_distribution ON token (distribution, serial);
CREATE INDEX token_pending ON token (pending_until) WHERE pending_until IS NOT NULL;

-- Every seed that ever was: rows stay when the token goes, so that no seed is used twice.
CREATE TABLE seed_fingerprint (
	fingerprint BYTEA PRIMARY KEY,
	serial      TEXT COLLATE "C" NOT NULL,
	number      BIGINT NOT NULL
);

-- version and live repeat what the token says, so that accepting a code is one write to one row,
-- which finds room on its page (fillfactor) and touches no index.
CREATE TABLE token_generation (
	serial           TEXT COLLATE "C" NOT NULL REFERENCES token ON DELETE CASCADE,
	number           BIGINT NOT NULL,
	state            TEXT COLLATE "C" NOT NULL CHECK (state IN ('current', 'pending')),
	key_id           BIGINT NOT NULL REFERENCES data_key,
	sealed           BYTEA NOT NULL,
	fingerprint      BYTEA NOT NULL REFERENCES seed_fingerprint,
	digits           BIGINT NOT NULL,
	interval_seconds BIGINT NOT NULL,
	pin_type         TEXT COLLATE "C" NOT NULL,
	made_at          BIGINT NOT NULL,
	delivered        BOOLEAN NOT NULL,
	last_interval    BIGINT NOT NULL,
	clock_offset     BIGINT NOT NULL,
	bad_passcodes    BIGINT NOT NULL,
	last_used_at     BIGINT,
	version          BIGINT NOT NULL,
	live             BOOLEAN NOT NULL,
	PRIMARY KEY (serial, number),
	UNIQUE (serial, state)
) WITH (fillfactor = 70);
CREATE INDEX token_generation_key ON token_generation (key_id);

CREATE TABLE serial_range (
	id           BIGINT PRIMARY KEY CHECK (id = 1),
	next_serial  BIGINT NOT NULL,
	first_serial BIGINT NOT NULL,
	last_serial  BIGINT NOT NULL
);

-- User and profile are names here and no references: a code that is over outlives them.
CREATE TABLE offer (
	id               TEXT COLLATE "C" PRIMARY KEY,
	serial           TEXT COLLATE "C" NOT NULL REFERENCES token ON DELETE CASCADE,
	user_id          TEXT COLLATE "C" NOT NULL,
	profile          TEXT COLLATE "C" NOT NULL,
	code_hash        BYTEA NOT NULL UNIQUE,
	generation       BIGINT NOT NULL,
	digits           BIGINT NOT NULL,
	interval_seconds BIGINT NOT NULL,
	pin_type         TEXT COLLATE "C" NOT NULL,
	device_id        TEXT COLLATE "C" NOT NULL,
	created_at       BIGINT NOT NULL,
	expires_at       BIGINT NOT NULL,
	issued_by        TEXT COLLATE "C" NOT NULL,
	state            TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'used', 'revoked', 'locked')),
	failures         BIGINT NOT NULL,
	abandoned        BIGINT NOT NULL,
	correlation      TEXT COLLATE "C" NOT NULL
);
CREATE INDEX offer_token ON offer (serial);
CREATE UNIQUE INDEX offer_open ON offer (serial) WHERE state = 'open';
CREATE INDEX offer_profile ON offer (profile);

CREATE TABLE exchange (
	id            BYTEA PRIMARY KEY,
	offer_id      TEXT COLLATE "C" NOT NULL REFERENCES offer ON DELETE CASCADE,
	dialect       TEXT COLLATE "C" NOT NULL,
	nonce         BYTEA NOT NULL,
	server_key_id TEXT COLLATE "C" NOT NULL,
	device_id     TEXT COLLATE "C" NOT NULL,
	begun_at      BIGINT NOT NULL,
	used_at       BIGINT,
	request       BYTEA,
	key_id        BIGINT REFERENCES data_key,
	sealed        BYTEA,
	replied_at    BIGINT
);
CREATE INDEX exchange_offer ON exchange (offer_id, begun_at);
CREATE INDEX exchange_begun ON exchange (begun_at);
CREATE INDEX exchange_key ON exchange (key_id);

CREATE TABLE api_key (
	id         TEXT COLLATE "C" PRIMARY KEY,
	name       TEXT COLLATE "C" NOT NULL UNIQUE,
	role       TEXT COLLATE "C" NOT NULL,
	hash       BYTEA NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT
);

CREATE TABLE reply (
	actor       TEXT COLLATE "C" NOT NULL,
	request_key TEXT COLLATE "C" NOT NULL,
	request     BYTEA NOT NULL,
	key_id      BIGINT NOT NULL REFERENCES data_key,
	sealed      BYTEA NOT NULL,
	answered_at BIGINT NOT NULL,
	PRIMARY KEY (actor, request_key)
);
CREATE INDEX reply_binding ON reply ((actor || '/' || request_key));
CREATE INDEX reply_answered ON reply (answered_at);
CREATE INDEX reply_key ON reply (key_id);

-- record is the event; the columns before it are copies to search in.
CREATE TABLE audit_event (
	id          TEXT COLLATE "C" PRIMARY KEY,
	place       BIGINT, -- NULL until the log has it
	happened_at BIGINT NOT NULL,
	actor       TEXT COLLATE "C" NOT NULL,
	action      TEXT COLLATE "C" NOT NULL,
	object      TEXT COLLATE "C" NOT NULL,
	outcome     TEXT COLLATE "C" NOT NULL,
	record      BYTEA NOT NULL
);
CREATE UNIQUE INDEX audit_event_place ON audit_event (place) WHERE place IS NOT NULL;
CREATE INDEX audit_event_waiting ON audit_event (id) WHERE place IS NULL;
CREATE INDEX audit_event_object ON audit_event (object, place);
CREATE INDEX audit_event_actor ON audit_event (actor, place);
CREATE INDEX audit_event_action ON audit_event (action, place);
CREATE INDEX audit_event_time ON audit_event (happened_at);

CREATE TABLE audit_hash (
	number BIGINT PRIMARY KEY, -- in the order of tlog.StoredHashIndex
	hash   BYTEA NOT NULL
);

CREATE TABLE audit_checkpoint (
	size      BIGINT PRIMARY KEY,
	signed_at BIGINT, -- NULL if the checkpoint does not tell
	signed    BYTEA NOT NULL
);
