-- Users whose IDs may be mail addresses, in any case: nobody of another security domain gets such an address.

-- +goose Up
CREATE INDEX user_account_address ON user_account (lower(id)) WHERE replace(id, '@', '') <> id;
