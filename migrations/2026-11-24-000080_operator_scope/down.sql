UPDATE project_api_keys SET scopes = array_remove(scopes, 'operator');
ALTER TABLE project_api_keys
    DROP CONSTRAINT project_api_keys_scopes_check,
    ADD CONSTRAINT project_api_keys_scopes_check CHECK (scopes <@ ARRAY['ingest', 'read', 'write', 'admin']);
