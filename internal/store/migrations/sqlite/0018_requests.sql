-- What makes a request that is sent again recognised, and a decision that was made without a lock safe to write.

-- +goose Up
ALTER TABLE token_generation ADD COLUMN accepted BLOB; -- requests whose codes were accepted lately (authentication/again.go)
ALTER TABLE user_guard ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
