//! Reads the storage's file beside the storage.
//!
//! Its own way to a few records computes a running sum over all that follow, so that a long backlog takes time with
//! the square of its length; it reads one record's headers at a time; and while it reads it does not write. SQLite
//! lets us read what is committed without any of that. The tables are the storage's; its version is pinned, and
//! the tests would notice another shape.

use libsql::{Connection, params};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tansu_sans_io::record::{Header, Record, deflated, header, inflated};
use tansu_storage::Error;
use uuid::Uuid;

/// What a record costs beside its key and value, in bytes; roughly.
const OVERHEAD: usize = 16;

/// A connection that only reads; clones share it.
#[derive(Clone)]
pub(super) struct Records(Connection);

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Records")
    }
}

/// One partition as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    id: i64,
    /// Offset of the first record that retention has left; `None` if there is none.
    first: Option<i64>,
    /// Offset that the next record will get.
    pub(super) end: i64,
}

impl Partition {
    /// Where reading can begin.
    pub(super) fn start(&self) -> i64 {
        self.first.unwrap_or(self.end)
    }

    /// True if a consumer may ask for this offset: its records are there, or none are at all.
    pub(super) fn covers(&self, offset: i64) -> bool {
        offset <= self.end && self.first.is_none_or(|first| first <= offset)
    }
}

/// How a request names its topic: by name, or by the id that came with the metadata.
#[derive(Clone, Copy, Debug)]
pub(super) struct TopicName<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) id: Option<[u8; 16]>,
}

/// The headers of some records, by offset.
type HeadersOf = BTreeMap<i64, Vec<header::Builder>>;

impl Records {
    /// Opens the file, in which the storage has made its tables.
    pub(super) async fn open(file: &Path) -> Result<Self, libsql::Error> {
        let connection = libsql::Builder::new_local(file).build().await?.connect()?;
        connection.busy_timeout(Duration::from_secs(5))?;
        // The storage made none: each deleted record would read all headers there are.
        let index = "CREATE INDEX IF NOT EXISTS signals_header_of_record ON header (topition, offset_id)";
        connection.execute(index, ()).await?;
        connection.execute("PRAGMA query_only = ON", ()).await?;
        Ok(Self(connection))
    }

    /// `None` if there is no such topic or partition.
    pub(super) async fn partition(&self, topic: TopicName<'_>, index: i32) -> Result<Option<Partition>, Error> {
        const SQL: &str = "SELECT p.id, (SELECT min(offset_id) FROM record WHERE topition = p.id), coalesce(w.high, 0) \
                           FROM topic t JOIN topition p ON p.topic = t.id LEFT JOIN watermark w ON w.topition = p.id \
                           WHERE (t.name = ?1 OR t.uuid = ?2) AND p.partition = ?3";
        let id = topic.id.map(|id| Uuid::from_bytes(id).to_string());
        let mut rows = self.0.query(SQL, params![topic.name, id, index]).await?;
        let Some(row) = rows.next().await? else { return Ok(None) };
        Ok(Some(Partition { id: row.get(0)?, first: row.get(1)?, end: row.get(2)? }))
    }

    /// The records of `partition` from `offset` on, as many as fit into `budget` bytes, but one at least.
    pub(super) async fn read(
        &self,
        partition: &Partition,
        offset: i64,
        budget: usize,
    ) -> Result<Option<deflated::Batch>, Error> {
        const SQL: &str = "SELECT offset_id, timestamp, k, v FROM record \
                           WHERE topition = ?1 AND offset_id >= ?2 AND offset_id < ?3 ORDER BY offset_id";
        let mut rows = self.0.query(SQL, params![partition.id, offset, partition.end]).await?;
        let (mut found, mut bytes) = (Vec::new(), 0_usize);
        while let Some(row) = rows.next().await? {
            let record =
                StoredRecord { offset: row.get(0)?, timestamp: row.get(1)?, key: row.get(2)?, value: row.get(3)? };
            bytes = bytes.saturating_add(record.bytes());
            if bytes > budget && !found.is_empty() {
                break;
            }
            found.push(record);
        }
        drop(rows);
        let (Some(first), Some(last)) = (found.first(), found.last()) else { return Ok(None) };
        let headers = self.headers(partition, first.offset, last.offset).await?;
        Ok(Some(batch(found, headers)?))
    }

    async fn headers(&self, partition: &Partition, first: i64, last: i64) -> Result<HeadersOf, Error> {
        const SQL: &str = "SELECT offset_id, k, v FROM header \
                           WHERE topition = ?1 AND offset_id BETWEEN ?2 AND ?3 ORDER BY rowid";
        let mut rows = self.0.query(SQL, params![partition.id, first, last]).await?;
        let mut headers = HeadersOf::new();
        while let Some(row) = rows.next().await? {
            let (key, value): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
            let header = Header::builder().key(key.unwrap_or_default().into());
            let header = match value {
                Some(value) => header.value(value.into()),
                None => header,
            };
            headers.entry(row.get(0)?).or_default().push(header);
        }
        Ok(headers)
    }

    /// Offset and time of the first record that is not older than `timestamp`, in milliseconds since 1970.
    pub(super) async fn first_since(&self, partition: &Partition, timestamp: i64) -> Result<Option<(i64, i64)>, Error> {
        const SQL: &str = "SELECT offset_id, timestamp FROM record \
                           WHERE topition = ?1 AND timestamp >= ?2 ORDER BY offset_id LIMIT 1";
        let mut rows = self.0.query(SQL, params![partition.id, timestamp]).await?;
        let Some(row) = rows.next().await? else { return Ok(None) };
        Ok(Some((row.get(0)?, row.get(1)?)))
    }
}

struct StoredRecord {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

impl StoredRecord {
    fn bytes(&self) -> usize {
        [&self.key, &self.value].into_iter().flatten().map(Vec::len).sum::<usize>().saturating_add(OVERHEAD)
    }
}

/// Uncompressed: over loopback the time is better spent otherwise.
fn batch(records: Vec<StoredRecord>, mut headers: HeadersOf) -> Result<deflated::Batch, Error> {
    let (base, begun) = records.first().map_or((0, 0), |first| (first.offset, first.timestamp));
    let (mut last_delta, mut newest) = (0, begun);
    let mut batch =
        inflated::Batch::builder().base_offset(base).base_timestamp(begun).producer_id(-1).producer_epoch(-1);
    for record in records {
        last_delta = i32::try_from(record.offset.saturating_sub(base))?;
        newest = newest.max(record.timestamp);
        let mut built = Record::builder()
            .offset_delta(last_delta)
            .timestamp_delta(record.timestamp.saturating_sub(begun))
            .key(record.key.map(Into::into))
            .value(record.value.map(Into::into));
        for header in headers.remove(&record.offset).into_iter().flatten() {
            built = built.header(header);
        }
        batch = batch.record(built);
    }
    let batch = batch.last_offset_delta(last_delta).max_timestamp(newest).build()?;
    Ok(batch.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_may_stand_anywhere_in_what_is_left() {
        let partition = Partition { id: 1, first: Some(10), end: 20 };
        assert_eq!((partition.covers(9), partition.covers(10), partition.covers(20)), (false, true, true));
        assert!(!partition.covers(21), "the log was thrown away");
        let emptied = Partition { first: None, ..partition };
        assert_eq!(emptied.start(), 20);
        assert!(emptied.covers(3), "nothing is missed until a record comes");
    }
}
