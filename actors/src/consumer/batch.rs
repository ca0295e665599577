//! Records of one partition as they came off the wire, bytes side by side in one buffer.

use std::ops::Range;

/// Some records of one partition in log order. Shared by reference between router and its children, so that a
/// record's bytes are copied once, out of librdkafka's buffer.
#[derive(Debug, Default)]
pub struct RecordBatch {
    bytes: Vec<u8>,
    records: Vec<RawRecord>,
    /// Whether the log had nothing more for this process when the batch was closed.
    pub caught_up: bool,
}

/// Place of one record in its batch.
#[derive(Clone, Debug)]
pub struct RawRecord {
    /// Offset in the partition.
    pub offset: i64,
    /// Whether its header says that it is a person's command.
    pub is_command: bool,
    /// How often it was taken back out of the dead letters; 0 for a record that never was there.
    pub retries: u32,
    key: Range<usize>,
    payload: Range<usize>,
}

/// What a record's headers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// See [`RawRecord::is_command`].
    pub is_command: bool,
    /// See [`RawRecord::retries`].
    pub retries: u32,
}

impl RecordBatch {
    /// Appends a record.
    pub fn push(&mut self, offset: i64, labels: Labels, key: &[u8], payload: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.records.push(RawRecord {
            offset,
            is_command: labels.is_command,
            retries: labels.retries,
            key: middle..self.bytes.len(),
            payload: start..middle,
        });
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all records.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The records and their payloads, in log order.
    pub fn iter(&self) -> impl Iterator<Item = (&RawRecord, &[u8])> {
        self.records.iter().map(|record| (record, self.bytes.get(record.payload.clone()).unwrap_or_default()))
    }

    /// The record at `index`.
    pub fn record(&self, index: usize) -> Option<&RawRecord> {
        self.records.get(index)
    }

    /// The payload of the record at `index`; empty if there is none.
    pub fn payload(&self, index: usize) -> &[u8] {
        self.record(index).and_then(|record| self.bytes.get(record.payload.clone())).unwrap_or_default()
    }

    /// The key of the record at `index`; empty if there is none.
    pub fn key(&self, index: usize) -> &[u8] {
        self.record(index).and_then(|record| self.bytes.get(record.key.clone())).unwrap_or_default()
    }
}
