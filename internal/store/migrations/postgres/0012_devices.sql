-- Device definitions that were imported: definition is the JSON form of a definition file. The one row of device_guard is
-- locked by whoever changes definitions or profiles, so that no profile comes to rest on a definition that goes.

-- +goose Up
CREATE TABLE device_definition (
	name        TEXT COLLATE "C" PRIMARY KEY,
	version     BIGINT NOT NULL,
	definition  TEXT COLLATE "C" NOT NULL,
	imported_at BIGINT NOT NULL
);

CREATE TABLE device_guard (id BIGINT PRIMARY KEY CHECK (id = 1));
INSERT INTO device_guard (id) VALUES (1);

ALTER TABLE profile ADD COLUMN url_style TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE profile ADD COLUMN self_service TEXT COLLATE "C" NOT NULL DEFAULT '{}'; -- what the portal shows, a JSON object
