-- A log that was made anew counts its offsets from 0 again: the same offset may bring about two steps of one incident.
ALTER TABLE incident_transitions
    DROP CONSTRAINT incident_transitions_pkey,
    ADD PRIMARY KEY (incident_id, log_offset, occurred_at);
