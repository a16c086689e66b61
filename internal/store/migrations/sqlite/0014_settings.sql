-- The deployment's settings are kept as a policy of their own kind.

-- +goose Up
CREATE TABLE policy_kinds (
	kind     TEXT NOT NULL CHECK (kind IN ('token', 'lockout', 'settings')),
	name     TEXT NOT NULL,
	settings TEXT NOT NULL,
	version  INTEGER NOT NULL,
	PRIMARY KEY (kind, name)
) STRICT;
INSERT INTO policy_kinds (kind, name, settings, version) SELECT kind, name, settings, version FROM policy;
INSERT INTO policy_kinds (kind, name, settings, version) VALUES ('settings', 'default', '{}', 1);
DROP TABLE policy;
ALTER TABLE policy_kinds RENAME TO policy;

ALTER TABLE token ADD COLUMN issues_forgiven INTEGER NOT NULL DEFAULT 0; -- those that the issue limit does not count
