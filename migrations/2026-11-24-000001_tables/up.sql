-- Organisations, their projects and the keys by which clients speak for a project.
CREATE TABLE orgs (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE projects (
    id         text PRIMARY KEY,
    org_id     text NOT NULL REFERENCES orgs (id),
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX projects_org_id ON projects (org_id);

-- Only the SHA-256 of a key is kept; the prefix lets a person recognise it in a list.
CREATE TABLE project_api_keys (
    id           text PRIMARY KEY,
    project_id   text NOT NULL REFERENCES projects (id),
    name         text NOT NULL,
    prefix       text NOT NULL,
    key_hash     text NOT NULL UNIQUE,
    scopes       text[] NOT NULL CHECK (scopes <@ ARRAY['ingest', 'read', 'write', 'admin']),
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX project_api_keys_project_id ON project_api_keys (project_id);

-- The engine's tables carry no foreign key to projects: the log is the truth, and a record of a project
-- that was deleted meanwhile must not stop a partition.
-- `generation` numbers the incidents of one fingerprint: 1, 2, ... after each resolution.
-- `applied_through` is the offset of the last record of `partition` that this row contains.
-- A flush updates every incident of a page at once: with more than half of the page free, the new versions fit beside the
-- old ones. Those whose indexed columns did not change then enter no index.
CREATE TABLE incidents (
    id                   text PRIMARY KEY,
    org_id               text NOT NULL,
    project_id           text NOT NULL,
    environment          text NOT NULL,
    fingerprint          text NOT NULL,
    fingerprint_version  smallint NOT NULL DEFAULT 1,
    generation           integer NOT NULL,
    title                text NOT NULL,
    error_code           text,
    route                text,
    status               text NOT NULL CHECK (status IN ('open', 'investigating', 'resolved')),
    severity             text NOT NULL CHECK (severity IN ('debug', 'info', 'warn', 'error', 'critical')),
    event_count          bigint NOT NULL,
    first_seen           timestamptz NOT NULL,
    last_seen            timestamptz NOT NULL,
    resolved_at          timestamptz,
    previous_incident_id text,
    ai_summary           jsonb,
    partition            integer NOT NULL,
    applied_through      bigint NOT NULL
) WITH (fillfactor = 45);
CREATE UNIQUE INDEX incidents_generation ON incidents (project_id, fingerprint, generation);
CREATE UNIQUE INDEX incidents_unresolved ON incidents (project_id, fingerprint) WHERE status <> 'resolved';
CREATE INDEX incidents_first_seen ON incidents (project_id, first_seen, id);

-- A ring of the newest samples of an incident: the slot is the event's ordinal modulo the ring's size, so a
-- newer sample replaces the oldest in place. `attributes` is json, not jsonb: it must take any text that a
-- client could send, also escapes that jsonb refuses.
CREATE TABLE incident_events (
    incident_id text NOT NULL,
    slot        smallint NOT NULL,
    ordinal     bigint NOT NULL,
    event_id    text NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    event_type  text NOT NULL,
    severity    text NOT NULL,
    message     text NOT NULL,
    attributes  json NOT NULL,
    log_offset  bigint NOT NULL,
    PRIMARY KEY (incident_id, slot)
) WITH (fillfactor = 80);

-- Every step of an incident's life and what caused it. One record of the log causes at most one step.
CREATE TABLE incident_transitions (
    incident_id text NOT NULL,
    log_offset  bigint NOT NULL,
    from_status text,
    to_status   text NOT NULL,
    cause       text NOT NULL CHECK (cause IN ('event', 'command')),
    event_id    text,
    command_id  text,
    principal   text,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (incident_id, log_offset)
);

-- What became of each command that a person gave; the API waits for this row.
CREATE TABLE command_outcomes (
    command_id  text PRIMARY KEY,
    incident_id text NOT NULL,
    applied     boolean NOT NULL,
    detail      text NOT NULL,
    occurred_at timestamptz NOT NULL
);

-- Events by minute of their event time. An empty fingerprint means the whole project.
CREATE TABLE metrics_bucket (
    bucket_time timestamptz NOT NULL,
    metric_name text NOT NULL,
    value       bigint NOT NULL,
    project_id  text NOT NULL,
    environment text NOT NULL,
    fingerprint text NOT NULL DEFAULT '',
    PRIMARY KEY (project_id, fingerprint, metric_name, environment, bucket_time)
) PARTITION BY RANGE (bucket_time);
-- Event time comes from clients, so a day may be one that no partition was made for.
-- The minute at hand is updated by flush after flush: a third of a page kept free lets most of that pass by the index.
CREATE TABLE metrics_bucket_other PARTITION OF metrics_bucket DEFAULT WITH (fillfactor = 70);

CREATE TABLE ai_jobs (
    id            text PRIMARY KEY,
    incident_id   text NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    project_id    text NOT NULL,
    job_type      text NOT NULL,
    status        text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'succeeded', 'failed')),
    attempt_count integer NOT NULL DEFAULT 0,
    max_attempts  integer NOT NULL DEFAULT 3,
    run_after     timestamptz NOT NULL DEFAULT now(),
    lease_owner   text,
    leased_until  timestamptz,
    last_error    text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ai_jobs_incident_id ON ai_jobs (incident_id);
CREATE INDEX ai_jobs_pending ON ai_jobs (run_after) WHERE status IN ('queued', 'running');

CREATE TABLE ai_outputs (
    id             text PRIMARY KEY,
    job_id         text NOT NULL REFERENCES ai_jobs (id) ON DELETE CASCADE,
    incident_id    text NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    output_type    text NOT NULL,
    model          text NOT NULL,
    prompt_version text NOT NULL,
    input_hash     text NOT NULL,
    content        jsonb NOT NULL,
    confidence     double precision NOT NULL,
    tokens_in      integer NOT NULL DEFAULT 0,
    tokens_out     integer NOT NULL DEFAULT 0,
    latency_ms     integer NOT NULL DEFAULT 0,
    dropped        jsonb NOT NULL DEFAULT '[]',
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ai_outputs_job_id ON ai_outputs (job_id);
CREATE INDEX ai_outputs_incident_id ON ai_outputs (incident_id);

-- How far each partition is durable, and whose tenure it is. The flush that moves `next_offset` demands the
-- value it started from and its own epoch, so an owner of the past cannot write.
-- `complete_until`: received time of the last record contained; `high_watermark`: the log's end as the owner
-- last saw it.
CREATE TABLE partition_checkpoints (
    consumer_group text NOT NULL,
    topic          text NOT NULL,
    partition      integer NOT NULL,
    next_offset    bigint NOT NULL,
    epoch          bigint NOT NULL,
    complete_until timestamptz,
    high_watermark bigint NOT NULL DEFAULT 0,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic, partition)
);

-- What became of every accepted event, per project and partition.
CREATE TABLE ledger (
    project_id text NOT NULL,
    topic      text NOT NULL,
    partition  integer NOT NULL,
    outcome    text NOT NULL,
    events     bigint NOT NULL,
    PRIMARY KEY (project_id, topic, partition, outcome)
);

-- Offsets [from_offset, to_offset) that the log no longer held when they were needed.
CREATE TABLE log_gaps (
    topic       text NOT NULL,
    partition   integer NOT NULL,
    from_offset bigint NOT NULL,
    to_offset   bigint NOT NULL,
    reason      text NOT NULL,
    detected_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, from_offset)
);

CREATE TABLE quarantine (
    project_id  text NOT NULL,
    fingerprint text NOT NULL,
    reason      text NOT NULL,
    records     bigint NOT NULL DEFAULT 0,
    since_at    timestamptz NOT NULL DEFAULT now(),
    lifted_at   timestamptz,
    PRIMARY KEY (project_id, fingerprint)
);

CREATE TABLE outbox (
    id           text PRIMARY KEY,
    project_id   text NOT NULL,
    incident_id  text NOT NULL,
    kind         text NOT NULL,
    payload      jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz
);
CREATE INDEX outbox_pending ON outbox (created_at) WHERE delivered_at IS NULL;
