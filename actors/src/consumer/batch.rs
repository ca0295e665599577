//! Records of one partition as they came off the wire, bytes side by side in a few large pieces.

use schema::trace::TraceParent;

/// A batch's first piece has room for so many bytes...
const SMALLEST_PIECE: usize = 4 << 10;
/// ...and each further one for as many as there are already, up to this. A buffer that grows would copy each byte once more,
/// into memory that nobody has touched before.
const LARGEST_PIECE: usize = 1 << 20;

/// Some records of one partition in log order. Shared by reference between router and its children, so that a
/// record's bytes are copied once, out of librdkafka's buffer.
#[derive(Debug, Default)]
pub struct RecordBatch {
    /// None ever grows beyond the room that it was made with.
    pieces: Vec<Vec<u8>>,
    bytes: usize,
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
    /// How often it was taken back out of the dead letters; 0 for a record that never was there.
    pub retries: u32,
    piece: u32,
    start: u32,
    payload: u32,
    key: u32,
    /// Whether its header says that it is a person's command.
    pub is_command: bool,
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
    /// Appends a record. Neither key nor payload may be longer than 4 GiB; Kafka's bound is half of that.
    pub fn push(&mut self, offset: i64, labels: Labels, key: &[u8], payload: &[u8]) {
        if let Some(trace) = labels.trace {
            self.traces.push((self.records.len(), trace));
        }
        let length = payload.len() + key.len();
        if self.pieces.last().is_none_or(|piece| piece.capacity() - piece.len() < length) {
            let room = self.bytes.clamp(SMALLEST_PIECE, LARGEST_PIECE).max(length);
            self.pieces.push(Vec::with_capacity(room));
        }
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let piece = number(self.pieces.len().saturating_sub(1));
        let Some(bytes) = self.pieces.last_mut() else { return };
        let start = number(bytes.len());
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(key);
        self.bytes += length;
        let (payload, key) = (number(payload.len()), number(key.len()));
        let Labels { is_command, retries, .. } = labels;
        self.records.push(RawRecord { offset, retries, piece, start, payload, key, is_command });
    }

    /// Payload and key.
    fn bytes_of(&self, record: &RawRecord) -> (&[u8], &[u8]) {
        let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let piece = self.pieces.get(number(record.piece)).map(Vec::as_slice).unwrap_or_default();
        let rest = piece.get(number(record.start)..).unwrap_or_default();
        let (payload, rest) = rest.split_at_checked(number(record.payload)).unwrap_or_default();
        (payload, rest.get(..number(record.key)).unwrap_or_default())
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// First offset behind its records; none if there is no record.
    pub fn next_offset(&self) -> Option<i64> {
        self.records.last().map(|record| record.offset.saturating_add(1))
    }

    /// Bytes of all records.
    pub fn byte_len(&self) -> usize {
        self.bytes
    }

    /// The records and their payloads, in log order.
    pub fn iter(&self) -> impl Iterator<Item = (&RawRecord, &[u8])> {
        self.records.iter().map(|record| (record, self.bytes_of(record).0))
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
        self.record(index).map(|record| self.bytes_of(record).0).unwrap_or_default()
    }

    /// The key of the record at `index`; empty if there is none.
    pub fn key(&self, index: usize) -> &[u8] {
        self.record(index).map(|record| self.bytes_of(record).1).unwrap_or_default()
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

    #[test]
    fn each_record_comes_back_whole_from_pieces_that_never_grow() {
        let mut batch = RecordBatch::default();
        let lengths = (0..3_000).map(|number| number * 7 % 2_000).chain([3 * LARGEST_PIECE, 0, 1]);
        let payloads: Vec<Vec<u8>> = lengths.enumerate().map(|(at, length)| vec![(at % 251) as u8; length]).collect();
        for (offset, payload) in (0_i64..).zip(&payloads) {
            batch.push(offset, Labels::default(), format!("key {offset}").as_bytes(), payload);
        }
        for (index, payload) in payloads.iter().enumerate() {
            assert_eq!((batch.payload(index), batch.key(index)), (&payload[..], format!("key {index}").as_bytes()));
        }
        assert!(batch.iter().map(|(_, payload)| payload).eq(payloads.iter().map(|payload| &payload[..])));
        let keys: usize = (0..payloads.len()).map(|index| batch.key(index).len()).sum();
        assert_eq!(batch.byte_len(), payloads.iter().map(Vec::len).sum::<usize>() + keys);
        let room: usize = batch.pieces.iter().map(Vec::capacity).sum();
        assert!(room <= 2 * batch.byte_len() + SMALLEST_PIECE, "{room} for {}", batch.byte_len());
        assert_eq!((batch.payload(payloads.len()), batch.key(payloads.len())), (&b""[..], &b""[..]));
    }
}
