//! Records of one partition as they came off the wire, bytes side by side in one buffer.

use schema::trace::TraceParent;
use std::ops::Range;

/// Some records of one partition in log order. Shared by reference between router and its children, so that a
/// record's bytes are copied once, out of librdkafka's buffer.
#[derive(Debug, Default)]
pub struct RecordBatch {
    bytes: Vec<u8>,
    records: Vec<RawRecord>,
    /// Few records carry one, so they do not make the others larger. By index, rising.
    traces: Vec<(usize, TraceParent)>,
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
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}

impl RecordBatch {
    /// With room for so many records and bytes: growing from nothing copies each byte once more.
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), records: Vec::with_capacity(records), ..Self::default() }
    }

    /// Gives back most of the room that it turned out not to need: a batch lives until the next cut.
    pub fn shrink(&mut self) {
        if self.bytes.len() < self.bytes.capacity() / 2 {
            self.bytes.shrink_to_fit();
            self.records.shrink_to_fit();
        }
    }

    /// Appends a record.
    pub fn push(&mut self, offset: i64, labels: Labels, key: &[u8], payload: &[u8]) {
        if let Some(trace) = labels.trace {
            self.traces.push((self.records.len(), trace));
        }
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

    /// The trace of the record at `index`, if its client sent one.
    pub fn trace(&self, index: usize) -> Option<TraceParent> {
        let found = self.traces.binary_search_by_key(&index, |(known, _)| *known).ok()?;
        self.traces.get(found).map(|(_, trace)| *trace)
    }

    /// All traces that its records belong to, in log order.
    pub fn traces(&self) -> impl Iterator<Item = TraceParent> {
        self.traces.iter().map(|(_, trace)| *trace)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_its_place_and_its_trace() {
        let mut batch = RecordBatch::default();
        let trace = TraceParent { trace_id: 7, span_id: 9, is_sampled: true };
        for (offset, trace) in [(5, None), (6, Some(trace)), (7, None)] {
            batch.push(offset, Labels { trace, ..Labels::default() }, b"key", format!("payload {offset}").as_bytes());
        }
        assert_eq!((batch.key(1), batch.payload(1)), (&b"key"[..], &b"payload 6"[..]));
        assert_eq!([0, 1, 2, 3].map(|index| batch.trace(index)), [None, Some(trace), None, None]);
        assert_eq!(batch.traces().collect::<Vec<_>>(), [trace]);
    }
}
