DROP TABLE project_limits;
DROP TABLE poison_records;
DROP INDEX quarantine_active;
ALTER TABLE quarantine
    DROP COLUMN topic, DROP COLUMN partition, DROP COLUMN lifted_by, ALTER COLUMN since_at SET DEFAULT now();
