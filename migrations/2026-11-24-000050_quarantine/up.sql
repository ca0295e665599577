-- Quarantines and limits are decided by a partition's owner, record by record, and written in its flush: whoever owns
-- the partition next goes on from these rows and decides alike.
-- since_at and lifted_at are received times of records, never the database's clock.
ALTER TABLE quarantine
    ADD COLUMN topic     text NOT NULL DEFAULT '',
    ADD COLUMN partition integer NOT NULL DEFAULT 0,
    ADD COLUMN lifted_by text,
    ALTER COLUMN since_at DROP DEFAULT;
CREATE INDEX quarantine_active ON quarantine (topic, partition) WHERE lifted_at IS NULL;

-- Records that killed their incident's actor twice: the evidence for a quarantine, forgotten once it begins.
CREATE TABLE poison_records (
    topic       text NOT NULL,
    partition   integer NOT NULL,
    log_offset  bigint NOT NULL,
    project_id  text NOT NULL,
    fingerprint text NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, log_offset)
);

-- What bounds a project: how many new fingerprints it opened in the window that began at window_start, and the
-- environments that are counted by their own names.
CREATE TABLE project_limits (
    project_id   text NOT NULL,
    topic        text NOT NULL,
    partition    integer NOT NULL,
    window_start timestamptz NOT NULL,
    newcomers    bigint NOT NULL,
    environments text[] NOT NULL,
    PRIMARY KEY (project_id, topic, partition)
);
