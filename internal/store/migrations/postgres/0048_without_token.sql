-- What a user may sign in with that is no token: a passcode that stays the same, and codes that are sent to her.

-- +goose Up
ALTER TABLE user_guard ADD COLUMN fixed_passcode BYTEA; -- keyed hash (authentication/fixed.go)
ALTER TABLE user_guard ADD COLUMN fixed_passcode_at BIGINT; -- when it was set or taken away
ALTER TABLE user_guard ADD COLUMN on_demand BYTEA; -- the PIN that she asks for codes with: JSON (authentication/ondemand.go)
ALTER TABLE user_guard ADD COLUMN on_demand_code BYTEA; -- the code that was sent last, and when codes were: JSON
