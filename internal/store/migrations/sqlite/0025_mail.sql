-- +goose Up
-- How mail is sent: one row.
CREATE TABLE mail_settings (
	id          INTEGER PRIMARY KEY CHECK (id = 1),
	enabled     INTEGER NOT NULL CHECK (enabled IN (0, 1)),
	host        TEXT NOT NULL,
	port        INTEGER NOT NULL,
	security    TEXT NOT NULL,
	ca          TEXT NOT NULL,
	user_name   TEXT NOT NULL,
	password    INTEGER NOT NULL CHECK (password IN (0, 1)),
	mail_from   TEXT NOT NULL,
	reply_to    TEXT NOT NULL,
	per_minute  INTEGER NOT NULL,
	notify      TEXT NOT NULL, -- JSON
	expiry_days TEXT NOT NULL, -- JSON
	version     INTEGER NOT NULL,
	trouble     TEXT NOT NULL,
	trouble_at  INTEGER
) STRICT;
-- What messages say, where that is not what came with the server.
CREATE TABLE mail_template (
	event   TEXT NOT NULL,
	profile TEXT NOT NULL,
	subject TEXT NOT NULL,
	text    TEXT NOT NULL,
	html    TEXT NOT NULL,
	PRIMARY KEY (event, profile)
) STRICT;
-- What is to be sent, and what became of it. The body is sealed, and gone once it is of no use.
CREATE TABLE mail_message (
	id         TEXT PRIMARY KEY,
	event      TEXT NOT NULL,
	user_id    TEXT,
	serial     TEXT,
	recipient  TEXT NOT NULL,
	job        TEXT,
	state      TEXT NOT NULL,
	key_id     INTEGER REFERENCES data_key,
	sealed     BLOB,
	created_at INTEGER NOT NULL,
	next_at    INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	tries      INTEGER NOT NULL,
	claimed_by TEXT NOT NULL,
	claimed_at INTEGER,
	ended_at   INTEGER,
	code       INTEGER NOT NULL,
	trouble    TEXT NOT NULL
) STRICT;
CREATE INDEX mail_message_key ON mail_message (key_id);
CREATE INDEX mail_message_due ON mail_message (next_at, id) WHERE state = 'waiting';
CREATE INDEX mail_message_sending ON mail_message (claimed_at) WHERE state = 'sending';
CREATE INDEX mail_message_claimed ON mail_message (claimed_at);
CREATE INDEX mail_message_serial ON mail_message (serial, id);
CREATE INDEX mail_message_user ON mail_message (user_id, id);
CREATE INDEX mail_message_state ON mail_message (state, id);
CREATE INDEX mail_message_ended ON mail_message (ended_at);
-- Who was told that a token ends, and how many days before. It goes with the token, and starts anew when its end moves.
CREATE TABLE mail_notice (
	serial TEXT NOT NULL,
	expiry INTEGER NOT NULL,
	days   INTEGER NOT NULL,
	PRIMARY KEY (serial, expiry, days)
) STRICT;
