-- What agents and RADIUS clients are limited to, and how agents name users.

-- +goose Up
ALTER TABLE agent ADD COLUMN restriction TEXT NOT NULL DEFAULT '{}'; -- JSON
ALTER TABLE agent ADD COLUMN methods TEXT NOT NULL DEFAULT 'SECURID'; -- with blanks between them
ALTER TABLE agent ADD COLUMN also_named_by TEXT NOT NULL DEFAULT ''; -- with blanks between them
ALTER TABLE radius_client ADD COLUMN restriction TEXT NOT NULL DEFAULT '{}'; -- JSON
