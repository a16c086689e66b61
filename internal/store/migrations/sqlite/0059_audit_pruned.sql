-- Up to which place of the audit log events were pruned, by their category: JSON, one row.

-- +goose Up
CREATE TABLE audit_pruned (
	id    INTEGER PRIMARY KEY,
	marks BLOB NOT NULL
) STRICT;
