-- Jobs, reports that are made and kept, and corrections of clocks have the security domain of who started them: '' for the whole deployment.

-- +goose Up
ALTER TABLE job ADD COLUMN domain TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE report_run ADD COLUMN domain TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE report_schedule ADD COLUMN domain TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE clock_correction ADD COLUMN domain TEXT COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX job_domain ON job (domain, id) WHERE domain <> '';
CREATE INDEX report_run_domain ON report_run (domain, id) WHERE domain <> '';
