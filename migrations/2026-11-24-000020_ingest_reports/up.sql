-- How many events each ingest process has seen acknowledged by the log, per project: cumulative, reported about once a
-- second and at its end. It is the other side of the ledger: what went into the log, told by those who put it there.
-- `closed_at` stays empty if the process was killed; then its last second may be missing here.
CREATE TABLE ingest_reports (
    instance_id text NOT NULL,
    project_id  text NOT NULL,
    accepted    bigint NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT now(),
    closed_at   timestamptz,
    PRIMARY KEY (project_id, instance_id)
);
