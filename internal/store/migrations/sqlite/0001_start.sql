-- Times are microseconds since 1970 UTC, and NULL where there is none; lengths of time are microseconds.
-- A sealed column stands beside the key_id that seals it, so that no data key goes while it is needed.

-- +goose Up
CREATE TABLE schema_release (
	schema_version INTEGER PRIMARY KEY,
	name           TEXT NOT NULL
) STRICT;

CREATE TABLE data_key (
	id         INTEGER PRIMARY KEY,
	master_id  TEXT NOT NULL,
	wrapped    BLOB NOT NULL,
	created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE secret (
	name   TEXT PRIMARY KEY,
	key_id INTEGER NOT NULL REFERENCES data_key,
	sealed BLOB NOT NULL
) STRICT;
CREATE INDEX secret_key ON secret (key_id);

CREATE TABLE user_account (
	id         TEXT PRIMARY KEY,
	name       TEXT NOT NULL,
	mail       TEXT NOT NULL,
	enabled    INTEGER NOT NULL CHECK (enabled IN (0, 1)),
	created_at INTEGER NOT NULL,
	version    INTEGER NOT NULL,
	search     TEXT NOT NULL -- what is searched in, in lower case
) STRICT;

CREATE TABLE profile (
	name             TEXT PRIMARY KEY,
	device_type      TEXT NOT NULL,
	digits           INTEGER NOT NULL,
	interval_seconds INTEGER NOT NULL,
	pin_type         TEXT NOT NULL,
	method           TEXT NOT NULL,
	ctf_version      INTEGER NOT NULL,
	binding          TEXT NOT NULL,
	protection       TEXT NOT NULL,
	activation_life  INTEGER NOT NULL,
	switch_over      TEXT NOT NULL,
	grace            INTEGER NOT NULL,
	notes            TEXT NOT NULL,
	created_at       INTEGER NOT NULL,
	version          INTEGER NOT NULL
) STRICT;

CREATE TABLE token (
	serial           TEXT PRIMARY KEY,
	origin           TEXT NOT NULL,
	birth            INTEGER,
	expiry           INTEGER NOT NULL,
	effective_expiry INTEGER NOT NULL,
	user_id          TEXT REFERENCES user_account,
	assigned_at      INTEGER,
	assigned_by      TEXT NOT NULL,
	enabled          INTEGER NOT NULL CHECK (enabled IN (0, 1)),
	pin_hash         BLOB,
	pin_length       INTEGER NOT NULL,
	pin_set_at       INTEGER,
	pending_until    INTEGER,
	last_number      INTEGER NOT NULL,
	tainted          INTEGER NOT NULL CHECK (tainted IN (0, 1)),
	distribution     TEXT NOT NULL,
	profile          TEXT REFERENCES profile,
	method           TEXT NOT NULL,
	device_id        TEXT NOT NULL,
	nickname         TEXT NOT NULL,
	distributed_at   INTEGER,
	confirmed_at     INTEGER,
	issue_count      INTEGER NOT NULL,
	created_at       INTEGER NOT NULL,
	version          INTEGER NOT NULL,
	search           TEXT NOT NULL -- what is searched in, in lower case
) STRICT;
CREATE INDEX token_user ON token (user_id, serial) WHERE user_id IS NOT NULL;
CREATE INDEX token_free ON token (effective_expiry, serial) WHERE user_id IS NULL;
CREATE INDEX token_expiry ON token (effective_expiry);
CREATE INDEX token_profile ON token (profile, serial);
CREATE INDEX token_distribution ON token (distribution, serial);
CREATE INDEX token_pending ON token (pending_until) WHERE pending_until IS NOT NULL;

-- Every seed that ever was: rows stay when the token goes, so that no seed is used twice.
CREATE TABLE seed_fingerprint (
	fingerprint BLOB PRIMARY KEY,
	serial      TEXT NOT NULL,
	number      INTEGER NOT NULL
) STRICT;

-- version and live repeat what the token says, so that accepting a code is one write to one row.
CREATE TABLE token_generation (
	serial           TEXT NOT NULL REFERENCES token ON DELETE CASCADE,
	number           INTEGER NOT NULL,
	state            TEXT NOT NULL CHECK (state IN ('current', 'pending')),
	key_id           INTEGER NOT NULL REFERENCES data_key,
	sealed           BLOB NOT NULL,
	fingerprint      BLOB NOT NULL REFERENCES seed_fingerprint,
	digits           INTEGER NOT NULL,
	interval_seconds INTEGER NOT NULL,
	pin_type         TEXT NOT NULL,
	made_at          INTEGER NOT NULL,
	delivered        INTEGER NOT NULL CHECK (delivered IN (0, 1)),
	last_interval    INTEGER NOT NULL,
	clock_offset     INTEGER NOT NULL,
	bad_passcodes    INTEGER NOT NULL,
	last_used_at     INTEGER,
	version          INTEGER NOT NULL,
	live             INTEGER NOT NULL CHECK (live IN (0, 1)),
	PRIMARY KEY (serial, number),
	UNIQUE (serial, state)
) STRICT;
CREATE INDEX token_generation_key ON token_generation (key_id);

CREATE TABLE serial_range (
	id           INTEGER PRIMARY KEY CHECK (id = 1),
	next_serial  INTEGER NOT NULL,
	first_serial INTEGER NOT NULL,
	last_serial  INTEGER NOT NULL
) STRICT;

-- User and profile are names here and no references: a code that is over outlives them.
CREATE TABLE offer (
	id               TEXT PRIMARY KEY,
	serial           TEXT NOT NULL REFERENCES token ON DELETE CASCADE,
	user_id          TEXT NOT NULL,
	profile          TEXT NOT NULL,
	code_hash        BLOB NOT NULL UNIQUE,
	generation       INTEGER NOT NULL,
	digits           INTEGER NOT NULL,
	interval_seconds INTEGER NOT NULL,
	pin_type         TEXT NOT NULL,
	device_id        TEXT NOT NULL,
	created_at       INTEGER NOT NULL,
	expires_at       INTEGER NOT NULL,
	issued_by        TEXT NOT NULL,
	state            TEXT NOT NULL CHECK (state IN ('open', 'used', 'revoked', 'locked')),
	failures         INTEGER NOT NULL,
	abandoned        INTEGER NOT NULL,
	correlation      TEXT NOT NULL
) STRICT;
CREATE INDEX offer_token ON offer (serial);
CREATE UNIQUE INDEX offer_open ON offer (serial) WHERE state = 'open';
CREATE INDEX offer_profile ON offer (profile);

CREATE TABLE exchange (
	id            BLOB PRIMARY KEY,
	offer_id      TEXT NOT NULL REFERENCES offer ON DELETE CASCADE,
	dialect       TEXT NOT NULL,
	nonce         BLOB NOT NULL,
	server_key_id TEXT NOT NULL,
	device_id     TEXT NOT NULL,
	begun_at      INTEGER NOT NULL,
	used_at       INTEGER,
	request       BLOB,
	key_id        INTEGER REFERENCES data_key,
	sealed        BLOB,
	replied_at    INTEGER
) STRICT;
CREATE INDEX exchange_offer ON exchange (offer_id, begun_at);
CREATE INDEX exchange_begun ON exchange (begun_at);
CREATE INDEX exchange_key ON exchange (key_id);

CREATE TABLE api_key (
	id         TEXT PRIMARY KEY,
	name       TEXT NOT NULL UNIQUE,
	role       TEXT NOT NULL,
	hash       BLOB NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER
) STRICT;

CREATE TABLE reply (
	actor       TEXT NOT NULL,
	request_key TEXT NOT NULL,
	request     BLOB NOT NULL,
	key_id      INTEGER NOT NULL REFERENCES data_key,
	sealed      BLOB NOT NULL,
	answered_at INTEGER NOT NULL,
	PRIMARY KEY (actor, request_key)
) STRICT;
CREATE INDEX reply_binding ON reply ((actor || '/' || request_key));
CREATE INDEX reply_answered ON reply (answered_at);
CREATE INDEX reply_key ON reply (key_id);

-- record is the event; the columns before it are copies to search in.
CREATE TABLE audit_event (
	id          TEXT PRIMARY KEY,
	place       INTEGER, -- NULL until the log has it
	happened_at INTEGER NOT NULL,
	actor       TEXT NOT NULL,
	action      TEXT NOT NULL,
	object      TEXT NOT NULL,
	outcome     TEXT NOT NULL,
	record      BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX audit_event_place ON audit_event (place) WHERE place IS NOT NULL;
CREATE INDEX audit_event_waiting ON audit_event (id) WHERE place IS NULL;
CREATE INDEX audit_event_object ON audit_event (object, place);
CREATE INDEX audit_event_actor ON audit_event (actor, place);
CREATE INDEX audit_event_action ON audit_event (action, place);
CREATE INDEX audit_event_time ON audit_event (happened_at);

CREATE TABLE audit_hash (
	number INTEGER PRIMARY KEY, -- in the order of tlog.StoredHashIndex
	hash   BLOB NOT NULL
) STRICT;

CREATE TABLE audit_checkpoint (
	size      INTEGER PRIMARY KEY,
	signed_at INTEGER, -- NULL if the checkpoint does not tell
	signed    BLOB NOT NULL
) STRICT;
