-- +goose Up
CREATE TABLE server_clock (
	server    TEXT COLLATE "C" PRIMARY KEY,
	latest    BIGINT NOT NULL, -- time that the server has seen on its clock
	ahead     BIGINT NOT NULL, -- of the database's clock
	said_at   BIGINT NOT NULL, -- by the database's clock
	confirmed BIGINT NOT NULL
);
