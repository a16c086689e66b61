-- A security domain may have policies of its own. The deployment's are those of the root of the domains, whose name is ''. A row without
-- settings is of a domain that had a policy and inherits again: the version goes on, so that an old one never comes back.

-- +goose Up
CREATE TABLE policy_domains (
	kind     TEXT NOT NULL CHECK (kind IN ('token', 'lockout', 'settings')),
	domain   TEXT NOT NULL,
	settings TEXT,
	version  INTEGER NOT NULL,
	PRIMARY KEY (kind, domain),
	CHECK (domain = '' AND settings IS NOT NULL OR domain <> '' AND kind <> 'settings')
) STRICT;
INSERT INTO policy_domains (kind, domain, settings, version) SELECT kind, '', settings, version FROM policy WHERE name = 'default';
DROP TABLE policy;
ALTER TABLE policy_domains RENAME TO policy;
