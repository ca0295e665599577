-- When the owner last saw the log end exactly at `next_offset`: everything received before that moment is in the tables.
ALTER TABLE partition_checkpoints ADD COLUMN caught_up_at timestamptz;
