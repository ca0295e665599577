-- An admin's key shows what belongs to its project; who runs the installation sees all projects by a scope of its own. The
-- key of the first start is such a person's, and keeps what it could do.
ALTER TABLE project_api_keys
    DROP CONSTRAINT project_api_keys_scopes_check,
    ADD CONSTRAINT project_api_keys_scopes_check
        CHECK (scopes <@ ARRAY['ingest', 'read', 'write', 'admin', 'operator']);
UPDATE project_api_keys SET scopes = array_append(scopes, 'operator')
WHERE id LIKE 'key\_seed\_%' AND 'admin' = ANY (scopes) AND NOT 'operator' = ANY (scopes);
