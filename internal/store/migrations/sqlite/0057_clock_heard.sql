-- Which confirmation of the clocks a server has heard of: one that is given while it is down, or killed before its next beat, is still to come.

-- +goose Up
ALTER TABLE server_clock ADD COLUMN heard INTEGER NOT NULL DEFAULT 0;
UPDATE server_clock SET heard = confirmed;
