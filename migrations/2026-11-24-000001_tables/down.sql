DROP TABLE outbox, quarantine, log_gaps, ledger, partition_checkpoints, ai_outputs, ai_jobs, metrics_bucket,
    command_outcomes, incident_transitions, incident_events, incidents, project_api_keys, projects, orgs;
