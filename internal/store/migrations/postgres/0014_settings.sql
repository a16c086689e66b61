-- The deployment's settings are kept as a policy of their own kind.

-- +goose Up
ALTER TABLE policy DROP CONSTRAINT policy_kind_check;
ALTER TABLE policy ADD CONSTRAINT policy_kind_check CHECK (kind IN ('token', 'lockout', 'settings'));
INSERT INTO policy (kind, name, settings, version) VALUES ('settings', 'default', '{}', 1);

ALTER TABLE token ADD COLUMN issues_forgiven BIGINT NOT NULL DEFAULT 0; -- those that the issue limit does not count
