-- A notice that a token ends was given to one user: whoever has the token after her is told anew.

-- +goose Up
CREATE TABLE mail_notice_user (
	serial  TEXT NOT NULL,
	user_id TEXT NOT NULL,
	expiry  INTEGER NOT NULL,
	days    INTEGER NOT NULL,
	PRIMARY KEY (serial, user_id, expiry, days)
) STRICT;
INSERT INTO mail_notice_user (serial, user_id, expiry, days)
	SELECT n.serial, t.user_id, n.expiry, n.days FROM mail_notice AS n JOIN token AS t ON t.serial = n.serial WHERE t.user_id IS NOT NULL;
DROP TABLE mail_notice;
ALTER TABLE mail_notice_user RENAME TO mail_notice;
