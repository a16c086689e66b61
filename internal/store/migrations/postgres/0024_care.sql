-- The care of tokens: longer lifetimes, corrected clocks, labels.

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

-- Corrections of clock offsets, and what they did. Offsets are intervals.
CREATE TABLE clock_correction (
	id         TEXT COLLATE "C" PRIMARY KEY,
	seconds    BIGINT NOT NULL,
	used_since BIGINT,
	used_until BIGINT,
	note       TEXT COLLATE "C" NOT NULL,
	made_by    TEXT COLLATE "C" NOT NULL,
	made_at    BIGINT NOT NULL,
	undone_by  TEXT COLLATE "C" NOT NULL, -- '' until somebody begins to undo it
	undone_at  BIGINT
);
CREATE TABLE clock_moved (
	correction TEXT COLLATE "C" NOT NULL REFERENCES clock_correction ON DELETE CASCADE,
	serial     TEXT COLLATE "C" NOT NULL REFERENCES token ON DELETE CASCADE,
	number     BIGINT NOT NULL, -- of the generation
	was        BIGINT NOT NULL,
	shifted    BIGINT NOT NULL, -- and what it was then
	undone     BOOLEAN NOT NULL,
	PRIMARY KEY (correction, serial, number)
);
CREATE INDEX clock_moved_serial ON clock_moved (serial);

-- What administrators write on tokens.
CREATE TABLE token_note (
	serial TEXT COLLATE "C" PRIMARY KEY REFERENCES token ON DELETE CASCADE,
	notes  TEXT COLLATE "C" NOT NULL,
	search TEXT COLLATE "C" NOT NULL -- the same in lower case
);
CREATE TABLE token_tag (
	serial TEXT COLLATE "C" NOT NULL REFERENCES token ON DELETE CASCADE,
	tag    TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (serial, tag)
);
CREATE INDEX token_tag_tag ON token_tag (tag, serial);
CREATE TABLE token_attribute (
	serial TEXT COLLATE "C" NOT NULL REFERENCES token ON DELETE CASCADE,
	name   TEXT COLLATE "C" NOT NULL,
	value  TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (serial, name)
);
CREATE INDEX token_attribute_value ON token_attribute (name, value, serial);
