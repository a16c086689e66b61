-- +goose Up
-- How mail is sent: one row.
CREATE TABLE mail_settings (
	id          BIGINT PRIMARY KEY CHECK (id = 1),
	enabled     BOOLEAN NOT NULL,
	host        TEXT COLLATE "C" NOT NULL,
	port        BIGINT NOT NULL,
	security    TEXT COLLATE "C" NOT NULL,
	ca          TEXT COLLATE "C" NOT NULL,
	user_name   TEXT COLLATE "C" NOT NULL,
	password    BOOLEAN NOT NULL,
	mail_from   TEXT COLLATE "C" NOT NULL,
	reply_to    TEXT COLLATE "C" NOT NULL,
	per_minute  BIGINT NOT NULL,
	notify      TEXT COLLATE "C" NOT NULL, -- JSON
	expiry_days TEXT COLLATE "C" NOT NULL, -- JSON
	version     BIGINT NOT NULL,
	trouble     TEXT COLLATE "C" NOT NULL,
	trouble_at  BIGINT
);
-- What messages say, where that is not what came with the server.
CREATE TABLE mail_template (
	event   TEXT COLLATE "C" NOT NULL,
	profile TEXT COLLATE "C" NOT NULL,
	subject TEXT COLLATE "C" NOT NULL,
	text    TEXT COLLATE "C" NOT NULL,
	html    TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (event, profile)
);
-- What is to be sent, and what became of it. The body is sealed, and gone once it is of no use.
CREATE TABLE mail_message (
	id         TEXT COLLATE "C" PRIMARY KEY,
	event      TEXT COLLATE "C" NOT NULL,
	user_id    TEXT COLLATE "C",
	serial     TEXT COLLATE "C",
	recipient  TEXT COLLATE "C" NOT NULL,
	job        TEXT COLLATE "C",
	state      TEXT COLLATE "C" NOT NULL,
	key_id     BIGINT REFERENCES data_key,
	sealed     BYTEA,
	created_at BIGINT NOT NULL,
	next_at    BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	tries      BIGINT NOT NULL,
	claimed_by TEXT COLLATE "C" NOT NULL,
	claimed_at BIGINT,
	ended_at   BIGINT,
	code       BIGINT NOT NULL,
	trouble    TEXT COLLATE "C" NOT NULL
);
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
	serial TEXT COLLATE "C" NOT NULL,
	expiry BIGINT NOT NULL,
	days   BIGINT NOT NULL,
	PRIMARY KEY (serial, expiry, days)
);
