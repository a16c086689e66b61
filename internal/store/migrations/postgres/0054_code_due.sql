-- Codes that somebody waits for are sent before all other mail, also when they are tried again.

-- +goose Up
CREATE INDEX mail_message_code_due ON mail_message (next_at, id) WHERE state = 'waiting' AND event = 'on_demand_code';
