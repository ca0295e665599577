-- A summary stands beside its incident, not in it: the engine alone writes incidents, no flush waits for a summary's
-- transaction, and the hot rows stay as short as their pages were laid out for.
-- What the incident was like when the summary was written tells when it is due to be renewed.
ALTER TABLE incidents DROP COLUMN ai_summary;
CREATE TABLE ai_summaries (
    incident_id  text PRIMARY KEY REFERENCES incidents (id) ON DELETE CASCADE,
    output_id    text NOT NULL,
    model        text NOT NULL,
    content      jsonb NOT NULL,
    generated_at timestamptz NOT NULL,
    event_count  bigint NOT NULL,
    severity     text NOT NULL,
    status       text NOT NULL,
    releases     text[] NOT NULL,
    written_at   timestamptz NOT NULL DEFAULT now()
);

-- `claims` numbers the claims of a job and fences every write: a worker of the past changes nothing. Of these,
-- `attempt_count` are those in which work was tried; a claim that was put off because the model's breaker was open is
-- no attempt. `cause`: what the summary is wanted for.
ALTER TABLE ai_jobs
    ADD COLUMN claims integer NOT NULL DEFAULT 0,
    ADD COLUMN cause  text    NOT NULL DEFAULT 'opened';

-- `asked`: the models that were asked, in order; `model` is the name of the one that answered, as it calls itself.
ALTER TABLE ai_outputs ADD COLUMN project_id text NOT NULL, ADD COLUMN asked text NOT NULL DEFAULT '';
CREATE INDEX ai_outputs_project_created ON ai_outputs (project_id, created_at);
CREATE INDEX ai_outputs_input_hash ON ai_outputs (input_hash);

-- Tokens that the model was asked for, per incident and day (UTC). What a call may cost is entered before it is made and
-- corrected after it: a process that dies in between has spent it.
CREATE TABLE ai_spend (
    incident_id text NOT NULL,
    day         date NOT NULL,
    calls       bigint NOT NULL,
    tokens      bigint NOT NULL,
    PRIMARY KEY (incident_id, day)
);
CREATE INDEX ai_spend_day ON ai_spend (day);
