-- Device definitions that were imported: definition is the JSON form of a definition file. The one row of device_guard is
-- locked by whoever changes definitions or profiles, so that no profile comes to rest on a definition that goes.

-- +goose Up
CREATE TABLE device_definition (
	name        TEXT PRIMARY KEY,
	version     INTEGER NOT NULL,
	definition  TEXT NOT NULL,
	imported_at INTEGER NOT NULL
) STRICT;

CREATE TABLE device_guard (id INTEGER PRIMARY KEY CHECK (id = 1)) STRICT;
INSERT INTO device_guard (id) VALUES (1);

ALTER TABLE profile ADD COLUMN url_style TEXT NOT NULL DEFAULT '';
ALTER TABLE profile ADD COLUMN self_service TEXT NOT NULL DEFAULT '{}'; -- what the portal shows, a JSON object
