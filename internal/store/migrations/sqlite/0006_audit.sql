-- An event was a row with six indexes, written again when it got its place, and two more rows for its hashes. Now the events of
-- a transaction are one row, and nothing of it is written again.

-- +goose Up
CREATE TABLE audit_batch (
	id      BLOB PRIMARY KEY, -- UUIDv7 of the first event
	events  INTEGER NOT NULL,
	records BLOB NOT NULL     -- of the events, a line each
) STRICT;

-- Batches that have no places yet.
CREATE TABLE audit_waiting (
	id     BLOB PRIMARY KEY,
	events INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where the events of a batch stand in the log.
CREATE TABLE audit_place (
	first INTEGER PRIMARY KEY, -- place of the first event
	batch BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE audit_tile (
	position INTEGER PRIMARY KEY, -- level * 2^40 + number
	hashes   BLOB NOT NULL
) STRICT;

-- Which batches have events of which objects.
CREATE TABLE audit_object (
	position INTEGER PRIMARY KEY, -- bucket * 2^32 + run
	entries  BLOB NOT NULL
) STRICT;

INSERT INTO audit_batch (id, events, records) SELECT unhex(id, '-'), 1, record FROM audit_event ORDER BY id;
INSERT INTO audit_waiting (id, events) SELECT unhex(id, '-'), 1 FROM audit_event WHERE place IS NULL;
INSERT INTO audit_place (first, batch) SELECT place, unhex(id, '-') FROM audit_event WHERE place IS NOT NULL;

-- Number n of level l of the tiles is the hash n of height 8*l of the tree, and that is the one with which the leaf
-- m = (n+1) * 256^l - 1 completes it: l*8 after its own, which is number m + m/2 + m/4 + ... (tlog.StoredHashIndex).
WITH RECURSIVE
	halving (bits) AS (SELECT 0 UNION ALL SELECT bits + 1 FROM halving WHERE bits < 40),
	leaf (m) AS (SELECT place FROM audit_event WHERE place IS NOT NULL),
	node (height, m) AS (SELECT 0, m FROM leaf UNION ALL SELECT height + 8, m FROM node WHERE (m + 1) % (1 << (height + 8)) = 0)
INSERT INTO audit_tile (position, hashes)
SELECT (height / 8) * (1 << 40) + (m >> (height + 8)), unhex(group_concat(hex(hash), '' ORDER BY m))
FROM node JOIN audit_hash ON number = (SELECT SUM(m >> bits) FROM halving) + height
GROUP BY height, m >> (height + 8);

-- +goose StatementBegin
CREATE TRIGGER audit_batch_waits AFTER INSERT ON audit_batch BEGIN
	INSERT INTO audit_waiting (id, events) VALUES (NEW.id, NEW.events);
END;
-- +goose StatementEnd

DROP TABLE audit_event;
DROP TABLE audit_hash;
