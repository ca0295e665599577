DROP INDEX incidents_count_magnitude;
ALTER TABLE incidents DROP COLUMN count_magnitude;
ALTER TABLE incidents ADD COLUMN count_magnitude smallint NOT NULL
    GENERATED ALWAYS AS (CASE WHEN event_count > 0
        THEN (64 - position(B'1' IN event_count::bit(64)))::smallint ELSE (-1)::smallint END) STORED;
CREATE INDEX incidents_count_magnitude ON incidents (project_id, count_magnitude);
DELETE FROM ai_jobs j WHERE NOT EXISTS (SELECT FROM incidents i WHERE i.id = j.incident_id);
ALTER TABLE ai_jobs ADD CONSTRAINT ai_jobs_incident_id_fkey
    FOREIGN KEY (incident_id) REFERENCES incidents (id) ON DELETE CASCADE;
INSERT INTO metrics_bucket (bucket_time, metric_name, value, project_id, environment, fingerprint)
    SELECT bucket_time, 'errors', value, project_id, environment, fingerprint FROM trend_minutes;
DROP FUNCTION add_minutes;
DROP VIEW trend_minutes;
DROP TABLE trend_hours;
