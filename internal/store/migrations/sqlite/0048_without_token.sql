-- What a user may sign in with that is no token: a passcode that stays the same, and codes that are sent to her.

-- +goose Up
ALTER TABLE user_guard ADD COLUMN fixed_passcode BLOB; -- keyed hash (authentication/fixed.go)
ALTER TABLE user_guard ADD COLUMN fixed_passcode_at INTEGER; -- when it was set or taken away
ALTER TABLE user_guard ADD COLUMN on_demand BLOB; -- the PIN that she asks for codes with: JSON (authentication/ondemand.go)
ALTER TABLE user_guard ADD COLUMN on_demand_code BLOB; -- the code that was sent last, and when codes were: JSON
