-- A token that was taken from its user while a redistribution waited for its first good code went on with the seed that she has, and without the mark
-- that says so: whoever got the token next could be signed in for by her. Of tokens that were made here and are not delivered to whom they belong to,
-- a seed that left the house is that of a former user. Of imported ones it may be what a later import brought.

-- +goose Up
UPDATE token SET tainted = TRUE
WHERE NOT tainted AND NOT hardware AND origin = 'generated' AND distribution = 'not_distributed' AND issue_count > 0
    AND serial IN (SELECT serial FROM token_generation WHERE state = 'current' AND delivered);
