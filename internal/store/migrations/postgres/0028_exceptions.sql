-- Users of whom a sign-in has to know more than that they are there: few or none, so that a look at the others ends at once.

-- +goose Up
CREATE INDEX user_exception ON user_account (id) WHERE NOT enabled OR domain <> '';
