-- The run that delivered a token last: a job, or what the events of a single delivery have in common. Times would not tell: servers' clocks differ. Of tokens
-- that are there, they are all that is known.

-- +goose Up
ALTER TABLE token ADD COLUMN delivered_by TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE token SET delivered_by = d.job FROM (
	SELECT t.serial AS serial, MAX(j.id) AS job FROM job AS j JOIN job_item AS i ON i.job_id = j.id AND i.state = 'done' JOIN token AS t ON t.serial = i.key
	WHERE j.kind IN ('distribute', 'redistribute') AND NOT j.dry_run AND t.distributed_at BETWEEN j.created_at AND COALESCE(j.ended_at, t.distributed_at) GROUP BY t.serial
) AS d WHERE d.serial = token.serial;
