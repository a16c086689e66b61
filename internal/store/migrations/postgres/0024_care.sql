-- The care of tokens: longer lifetimes.

-- +goose Up
ALTER TABLE token ADD COLUMN extension_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE token ADD COLUMN extended_by TEXT COLLATE "C" NOT NULL DEFAULT ''; -- serial of the record that the last extension consumed

CREATE TABLE token_extension (
	serial      TEXT COLLATE "C" NOT NULL REFERENCES token ON DELETE CASCADE,
	number      BIGINT NOT NULL, -- of the token's extensions, from 1
	was         BIGINT NOT NULL, -- last valid day before
	until       BIGINT NOT NULL, -- and since
	device      BIGINT NOT NULL, -- the one that the device knew
	donor       TEXT COLLATE "C" NOT NULL, -- serial of the record that was consumed, '' for none
	extended_by TEXT COLLATE "C" NOT NULL,
	extended_at BIGINT NOT NULL,
	job         TEXT COLLATE "C" NOT NULL, -- correlation ID
	PRIMARY KEY (serial, number)
);
CREATE INDEX token_extension_job ON token_extension (job, serial, number);
CREATE INDEX token_extension_at ON token_extension (extended_at);
