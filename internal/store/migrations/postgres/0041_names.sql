-- Users who are found by their mail addresses, and the RADIUS attributes of users. Users with attributes are among those of whom a sign-in has to know more.

-- +goose Up
ALTER TABLE user_account ADD COLUMN reply_attributes TEXT COLLATE "C" NOT NULL DEFAULT ''; -- JSON, '' for none
CREATE INDEX user_account_mail ON user_account (lower(mail), id) WHERE mail <> '';
DROP INDEX user_exception;
CREATE INDEX user_exception ON user_account (id) WHERE NOT enabled OR domain <> '' OR reply_attributes <> '';
