-- Groups of users.

-- +goose Up
CREATE TABLE user_group (
	name       TEXT COLLATE "C" PRIMARY KEY,
	note       TEXT COLLATE "C" NOT NULL,
	created_at BIGINT NOT NULL,
	version    BIGINT NOT NULL,
	search     TEXT COLLATE "C" NOT NULL -- what is searched in, in lower case
);

CREATE TABLE group_member (
	group_name TEXT COLLATE "C" NOT NULL REFERENCES user_group ON DELETE CASCADE,
	user_id    TEXT COLLATE "C" NOT NULL REFERENCES user_account ON DELETE CASCADE,
	PRIMARY KEY (group_name, user_id)
);
CREATE INDEX group_member_user ON group_member (user_id, group_name);
