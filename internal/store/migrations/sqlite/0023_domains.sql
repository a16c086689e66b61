-- Security domains: a tree whose root has no row and the name ''.

-- +goose Up
CREATE TABLE security_domain (
	name       TEXT PRIMARY KEY CHECK (name <> ''),
	parent     TEXT NOT NULL,
	note       TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	version    INTEGER NOT NULL
) STRICT;

ALTER TABLE user_account ADD COLUMN domain TEXT NOT NULL DEFAULT '';
ALTER TABLE token ADD COLUMN domain TEXT NOT NULL DEFAULT '';
ALTER TABLE user_group ADD COLUMN domain TEXT NOT NULL DEFAULT '';
ALTER TABLE agent ADD COLUMN domain TEXT NOT NULL DEFAULT '';
ALTER TABLE radius_client ADD COLUMN domain TEXT NOT NULL DEFAULT '';
ALTER TABLE api_key ADD COLUMN domain TEXT NOT NULL DEFAULT ''; -- that the key is limited to

-- Most objects of most deployments are at the root, and nobody who is limited to a domain looks there.
CREATE INDEX user_account_domain ON user_account (domain, id) WHERE domain <> '';
CREATE INDEX token_domain ON token (domain, serial) WHERE domain <> '';
CREATE INDEX user_group_domain ON user_group (domain, name) WHERE domain <> '';
CREATE INDEX agent_domain ON agent (domain, id) WHERE domain <> '';
CREATE INDEX radius_client_domain ON radius_client (domain, name) WHERE domain <> '';
CREATE INDEX api_key_domain ON api_key (domain, name) WHERE domain <> '';
