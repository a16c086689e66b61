-- A security domain may have policies of its own. The deployment's are those of the root of the domains, whose name is ''. A row without
-- settings is of a domain that had a policy and inherits again: the version goes on, so that an old one never comes back.

-- +goose Up
ALTER TABLE policy RENAME COLUMN name TO domain;
UPDATE policy SET domain = '' WHERE domain = 'default';
ALTER TABLE policy ALTER COLUMN settings DROP NOT NULL;
ALTER TABLE policy ADD CONSTRAINT policy_domain_check CHECK (domain = '' AND settings IS NOT NULL OR domain <> '' AND kind <> 'settings');
