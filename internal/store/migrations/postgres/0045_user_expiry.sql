-- The last day on which a user's tokens may authenticate. Users who have one are among those of whom a sign-in has to know more.

-- +goose Up
ALTER TABLE user_account ADD COLUMN expiry BIGINT; -- its beginning in microseconds since 1970, NULL for none
DROP INDEX user_exception;
CREATE INDEX user_exception ON user_account (id) WHERE NOT enabled OR domain <> '' OR reply_attributes <> '' OR expiry IS NOT NULL;
