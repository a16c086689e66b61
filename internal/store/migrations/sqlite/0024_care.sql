-- The care of tokens: longer lifetimes.

-- +goose Up
ALTER TABLE token ADD COLUMN extension_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token ADD COLUMN extended_by TEXT NOT NULL DEFAULT ''; -- serial of the record that the last extension consumed

CREATE TABLE token_extension (
	serial      TEXT NOT NULL REFERENCES token ON DELETE CASCADE,
	number      INTEGER NOT NULL, -- of the token's extensions, from 1
	was         INTEGER NOT NULL, -- last valid day before
	until       INTEGER NOT NULL, -- and since
	device      INTEGER NOT NULL, -- the one that the device knew
	donor       TEXT NOT NULL, -- serial of the record that was consumed, '' for none
	extended_by TEXT NOT NULL,
	extended_at INTEGER NOT NULL,
	job         TEXT NOT NULL, -- correlation ID
	PRIMARY KEY (serial, number)
) STRICT;
CREATE INDEX token_extension_job ON token_extension (job, serial, number);
CREATE INDEX token_extension_at ON token_extension (extended_at);
