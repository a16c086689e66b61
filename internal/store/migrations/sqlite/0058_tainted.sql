-- Tokens that were taken from their users while a new seed was to take over: that one became the current one, and was not marked as a former user's. An imported
-- token that is assigned may have got the seed that it is in use with from another file since, and stays as it is.

-- +goose Up
UPDATE token SET tainted = TRUE WHERE NOT tainted AND NOT hardware AND issue_count > 0 AND distribution = 'not_distributed' AND (user_id IS NULL OR origin = 'generated')
	AND EXISTS (SELECT 1 FROM token_generation AS g WHERE g.serial = token.serial AND g.state = 'current' AND g.delivered);
