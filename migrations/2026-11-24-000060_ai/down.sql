DROP TABLE ai_spend;
DROP INDEX ai_outputs_input_hash;
DROP INDEX ai_outputs_project_created;
ALTER TABLE ai_outputs DROP COLUMN project_id, DROP COLUMN asked;
ALTER TABLE ai_jobs DROP COLUMN claims, DROP COLUMN cause;
DROP TABLE ai_summaries;
ALTER TABLE incidents ADD COLUMN ai_summary jsonb;
