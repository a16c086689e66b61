-- Users by their IDs in any case of letters: nobody of another security domain gets one that differs by case alone.

-- +goose Up
DROP INDEX user_account_address;
CREATE INDEX user_account_folded ON user_account (lower(id));
