ALTER TABLE partition_checkpoints DROP COLUMN caught_up_at;
