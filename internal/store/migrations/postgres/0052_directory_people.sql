-- Who a directory's people are: what never changes of an entry tells somebody who got the user ID of another from who had it. Those of a directory
-- that was deleted are remembered, for the next one that takes them over.

-- +goose Up
ALTER TABLE directory_user ALTER COLUMN directory DROP NOT NULL; -- NULL where it was deleted
ALTER TABLE directory_user DROP CONSTRAINT directory_user_directory_fkey;
ALTER TABLE directory_user ADD FOREIGN KEY (directory) REFERENCES directory ON DELETE SET NULL;
ALTER TABLE directory_user ADD COLUMN missing BOOLEAN NOT NULL DEFAULT FALSE; -- the directory shows her no more
ALTER TABLE directory_user ADD COLUMN entry_id TEXT COLLATE "C" NOT NULL DEFAULT ''; -- that of her entry, with the attribute; '' for none known
ALTER TABLE directory_user ADD COLUMN other_id TEXT COLLATE "C" NOT NULL DEFAULT ''; -- that of who has her user ID there now; '' for nobody else
