-- +goose Up
CREATE TABLE server_clock (
	server    TEXT PRIMARY KEY,
	latest    INTEGER NOT NULL, -- time that the server has seen on its clock
	ahead     INTEGER NOT NULL, -- of the database's clock
	said_at   INTEGER NOT NULL, -- by the database's clock
	confirmed INTEGER NOT NULL
) STRICT;
