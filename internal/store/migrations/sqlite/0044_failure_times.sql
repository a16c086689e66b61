-- When each wrong passcode came that counts towards a lock: those of the last day lock, whenever the first of all was.

-- +goose Up
ALTER TABLE user_guard ADD COLUMN own_times BLOB; -- seconds since 1970, four bytes each (authentication/guard.go)
ALTER TABLE user_guard ADD COLUMN strange_times BLOB;
