-- One policy of each kind has the name 'default' and holds for the whole deployment. Settings are a JSON object; what is
-- not in it is the default of the release that reads it.

-- +goose Up
CREATE TABLE policy (
	kind     TEXT COLLATE "C" NOT NULL CHECK (kind IN ('token', 'lockout')),
	name     TEXT COLLATE "C" NOT NULL,
	settings TEXT COLLATE "C" NOT NULL,
	version  BIGINT NOT NULL,
	PRIMARY KEY (kind, name)
);
INSERT INTO policy (kind, name, settings, version) VALUES ('token', 'default', '{}', 1), ('lockout', 'default', '{}', 1);
