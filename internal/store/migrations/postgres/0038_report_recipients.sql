-- Who is sent a report that was made, and the digest that it can be told by.

-- +goose Up
ALTER TABLE report_run ADD COLUMN mail_to TEXT COLLATE "C" NOT NULL DEFAULT ''; -- addresses, one a line
ALTER TABLE report_run ADD COLUMN webhook TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE report_run ADD COLUMN digest TEXT COLLATE "C" NOT NULL DEFAULT '';  -- SHA-256, hex
ALTER TABLE report_schedule ADD COLUMN mail_to TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE report_schedule ADD COLUMN webhook TEXT COLLATE "C" NOT NULL DEFAULT '';
