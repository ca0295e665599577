DELETE FROM incident_transitions a USING incident_transitions b
    WHERE a.incident_id = b.incident_id AND a.log_offset = b.log_offset AND a.occurred_at > b.occurred_at;
ALTER TABLE incident_transitions
    DROP CONSTRAINT incident_transitions_pkey,
    ADD PRIMARY KEY (incident_id, log_offset);
