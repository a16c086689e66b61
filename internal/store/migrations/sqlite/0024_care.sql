-- The care of tokens: longer lifetimes, corrected clocks, labels.

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

-- Corrections of clock offsets, and what they did. Offsets are intervals.
CREATE TABLE clock_correction (
	id         TEXT PRIMARY KEY,
	seconds    INTEGER NOT NULL,
	used_since INTEGER,
	used_until INTEGER,
	note       TEXT NOT NULL,
	made_by    TEXT NOT NULL,
	made_at    INTEGER NOT NULL,
	undone_by  TEXT NOT NULL, -- '' until somebody begins to undo it
	undone_at  INTEGER
) STRICT;
CREATE TABLE clock_moved (
	correction TEXT NOT NULL REFERENCES clock_correction ON DELETE CASCADE,
	serial     TEXT NOT NULL REFERENCES token ON DELETE CASCADE,
	number     INTEGER NOT NULL, -- of the generation
	was        INTEGER NOT NULL,
	shifted    INTEGER NOT NULL, -- and what it was then
	undone     INTEGER NOT NULL CHECK (undone IN (0, 1)),
	PRIMARY KEY (correction, serial, number)
) STRICT;
CREATE INDEX clock_moved_serial ON clock_moved (serial);

-- What administrators write on tokens.
CREATE TABLE token_note (
	serial TEXT PRIMARY KEY REFERENCES token ON DELETE CASCADE,
	notes  TEXT NOT NULL,
	search TEXT NOT NULL -- the same in lower case
) STRICT;
CREATE TABLE token_tag (
	serial TEXT NOT NULL REFERENCES token ON DELETE CASCADE,
	tag    TEXT NOT NULL,
	PRIMARY KEY (serial, tag)
) STRICT;
CREATE INDEX token_tag_tag ON token_tag (tag, serial);
CREATE TABLE token_attribute (
	serial TEXT NOT NULL REFERENCES token ON DELETE CASCADE,
	name   TEXT NOT NULL,
	value  TEXT NOT NULL,
	PRIMARY KEY (serial, name)
) STRICT;
CREATE INDEX token_attribute_value ON token_attribute (name, value, serial);
