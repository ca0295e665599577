DROP INDEX ai_jobs_project_id;
DROP INDEX incidents_resolved_at;
ALTER TABLE incidents DROP COLUMN count_magnitude, DROP COLUMN last_seen_hour;
