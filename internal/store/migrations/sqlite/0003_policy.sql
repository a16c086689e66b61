-- One policy of each kind has the name 'default' and holds for the whole deployment. Settings are a JSON object; what is
-- not in it is the default of the release that reads it.

-- +goose Up
CREATE TABLE policy (
	kind     TEXT NOT NULL CHECK (kind IN ('token', 'lockout')),
	name     TEXT NOT NULL,
	settings TEXT NOT NULL,
	version  INTEGER NOT NULL,
	PRIMARY KEY (kind, name)
) STRICT;
INSERT INTO policy (kind, name, settings, version) VALUES ('token', 'default', '{}', 1), ('lockout', 'default', '{}', 1);
