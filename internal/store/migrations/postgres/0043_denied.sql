-- What makes a request that was denied recognised when it comes again after its reason has ended.

-- +goose Up
ALTER TABLE user_guard ADD COLUMN denied BYTEA; -- requests that were denied lately (authentication/again.go)
