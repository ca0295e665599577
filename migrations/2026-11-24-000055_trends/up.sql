-- The minutes of a fingerprint, an hour of event time in a row: an incident that is counted in 50 minutes of an hour is one
-- row to insert, to find and to keep, not 50. Element n of `minutes` (n from 1) holds the errors of minute n - 1; a row that was
-- written once holds only the elements that it needs.
-- `metrics_bucket` keeps the minutes of whole projects.
CREATE TABLE trend_hours (
    hour        timestamptz NOT NULL,
    project_id  text NOT NULL,
    environment text NOT NULL,
    fingerprint text NOT NULL,
    minutes     bigint[] NOT NULL,
    PRIMARY KEY (project_id, fingerprint, environment, hour)
) PARTITION BY RANGE (hour);
-- Event time comes from clients, so a day may be one that no partition was made for.
CREATE TABLE trend_hours_other PARTITION OF trend_hours DEFAULT WITH (fillfactor = 50);

-- Errors by minute, as one reads them.
CREATE VIEW trend_minutes AS
    SELECT hour + make_interval(mins => n - 1) AS bucket_time, hour, project_id, environment, fingerprint,
        minutes[n] AS value
    FROM trend_hours, generate_subscripts(minutes, 1) AS n WHERE minutes[n] <> 0;

-- The sum of two such rows. Written out element by element, the planner puts it in place of the call.
DO $$ BEGIN EXECUTE (
    SELECT 'CREATE FUNCTION add_minutes(a bigint[], b bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN ARRAY['
        || string_agg(format('coalesce(a[%1$s], 0) + coalesce(b[%1$s], 0)', n), ', ' ORDER BY n) || ']'
    FROM generate_series(1, 60) AS n
); END $$;

INSERT INTO trend_hours (hour, project_id, environment, fingerprint, minutes)
    SELECT date_trunc('hour', bucket_time, 'UTC'), project_id, environment, fingerprint,
        ARRAY(SELECT coalesce(sum(o.value), 0)::bigint FROM generate_series(0, 59) AS n
              LEFT JOIN metrics_bucket o ON o.project_id = b.project_id AND o.fingerprint = b.fingerprint
                  AND o.environment = b.environment AND o.metric_name = 'errors'
                  AND o.bucket_time = date_trunc('hour', b.bucket_time, 'UTC') + make_interval(mins => n)
              GROUP BY n ORDER BY n)
    FROM (SELECT DISTINCT date_trunc('hour', bucket_time, 'UTC') AS bucket_time, project_id, environment, fingerprint
          FROM metrics_bucket WHERE metric_name = 'errors' AND fingerprint <> '') AS b;
DELETE FROM metrics_bucket WHERE fingerprint <> '';

-- A flush inserts the job of an incident that it has just inserted; to have that looked up again for each cost as much as the
-- insertion itself. Incidents are never deleted but with their project.
ALTER TABLE ai_jobs DROP CONSTRAINT ai_jobs_incident_id_fkey;

-- How often event_count has grown sixteenfold, not twofold: as long as this stays, an update is heap-only.
DROP INDEX incidents_count_magnitude;
ALTER TABLE incidents DROP COLUMN count_magnitude;
ALTER TABLE incidents ADD COLUMN count_magnitude smallint NOT NULL
    GENERATED ALWAYS AS (CASE WHEN event_count > 0
        THEN ((64 - position(B'1' IN event_count::bit(64))) / 4)::smallint ELSE (-1)::smallint END) STORED;
CREATE INDEX incidents_count_magnitude ON incidents (project_id, count_magnitude);
