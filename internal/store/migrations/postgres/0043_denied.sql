-- What makes a request that was denied recognised when it comes again after its reason has ended, and an attempt that an agent looks at later know how far it is.

-- +goose Up
ALTER TABLE user_guard ADD COLUMN denied BYTEA; -- requests that were denied lately (authentication/again.go)
ALTER TABLE kept_attempt ADD COLUMN turn BIGINT NOT NULL DEFAULT 0; -- of the decision that the row tells of
