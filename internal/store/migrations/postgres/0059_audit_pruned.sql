-- Up to which place of the audit log events were pruned, by their category: JSON, one row.

-- +goose Up
CREATE TABLE audit_pruned (
	id    BIGINT PRIMARY KEY,
	marks BYTEA NOT NULL
);
