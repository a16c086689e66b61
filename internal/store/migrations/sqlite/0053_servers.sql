-- What a ping writes, so that it needs the disk as a decision does. And servers have an ID that stays while the names of hosts and folders change.

-- +goose Up
ALTER TABLE schema_release ADD COLUMN pinged_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE server_clock ADD COLUMN name TEXT NOT NULL DEFAULT ''; -- that people are shown for the server
UPDATE server_clock SET name = server;
