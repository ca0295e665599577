//! A dead letter as its headers tell it. Pure.

use chrono::{DateTime, Utc};
use rdkafka::message::{Headers, Message};
use schema::names;
use schema::trace::TraceParent;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// Where a record stands in the dead-letter topic; written `PARTITION:OFFSET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Partition of the dead-letter topic.
    pub partition: i32,
    /// Offset in it.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

/// A text that names no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be PARTITION:OFFSET, as `signals dlq list` shows it")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (partition, offset) = text.split_once(':').ok_or(NoPlace)?;
        let place =
            Self { partition: partition.parse().map_err(|_| NoPlace)?, offset: offset.parse().map_err(|_| NoPlace)? };
        if place.partition < 0 || place.offset < 0 { Err(NoPlace) } else { Ok(place) }
    }
}

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a dead letter came from. A crash between the letter and the transaction that counts it repeats the letter:
/// two of one origin are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Origin {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.topic, self.partition, self.offset)
    }
}

/// All of a dead letter but its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Where it stands; of several copies the first.
    pub place: Place,
    /// Where it came from.
    pub origin: Origin,
    /// `decode`, `incident`, `project`, `quarantine`, `flush` or `index`.
    pub stage: String,
    /// Why it is here.
    pub reason: String,
    /// How often it had been put back before.
    pub retries: u32,
    /// Whether it is a person's command.
    pub is_command: bool,
    /// Its key: the project.
    pub key: String,
    /// When it was written here, by the broker's or producer's clock.
    pub written_at: Option<DateTime<Utc>>,
    /// Whether it has been put back into the log since.
    pub is_retried: bool,
    /// Whether it holds the record's value; one that is too large for this topic stands at its origin only.
    pub is_whole: bool,
    /// The trace that it belongs to, as W3C `traceparent`.
    pub traceparent: Option<String>,
}

/// What a record of the dead-letter topic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A dead letter.
    Letter(Letter),
    /// The note that the letter of this origin was put back.
    Retried(Origin),
}

/// Reads a record's headers. None if somebody else wrote it: it names no origin.
pub fn read(message: &impl Message) -> Option<Entry> {
    let headers = message.headers()?;
    let text = |name: &str| {
        let found = headers.iter().find(|header| header.key == name)?;
        Some(String::from_utf8_lossy(found.value.unwrap_or_default()).into_owned())
    };
    let origin = Origin {
        topic: text(names::ORIGIN_TOPIC_HEADER)?,
        partition: text(names::ORIGIN_PARTITION_HEADER)?.parse().ok()?,
        offset: text(names::ORIGIN_OFFSET_HEADER)?.parse().ok()?,
    };
    if text(names::RETRIED_HEADER).is_some() {
        return Some(Entry::Retried(origin));
    }
    Some(Entry::Letter(Letter {
        place: Place { partition: message.partition(), offset: message.offset() },
        origin,
        stage: text(names::STAGE_HEADER).unwrap_or_default(),
        reason: text(names::REASON_HEADER).unwrap_or_default(),
        retries: text(names::RETRIES_HEADER).and_then(|retries| retries.parse().ok()).unwrap_or(0),
        is_command: text(names::KIND_HEADER).is_some_and(|kind| kind.as_bytes() == names::KIND_COMMAND),
        key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
        written_at: message.timestamp().to_millis().and_then(DateTime::from_timestamp_millis),
        is_retried: false,
        is_whole: message.payload().is_some(),
        traceparent: text(names::TRACEPARENT_HEADER).filter(|text| text.parse::<TraceParent>().is_ok()),
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage, Timestamp};

    fn message(headers: &[(&str, &str)]) -> OwnedMessage {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(*value) }));
        OwnedMessage::new(None, Some(b"proj".to_vec()), "dlq".into(), Timestamp::NotAvailable, 2, 40, Some(headers))
    }

    const ORIGIN: [(&str, &str); 3] =
        [("__connect.errors.topic", "raw"), ("__connect.errors.partition", "3"), ("__connect.errors.offset", "17")];

    #[test]
    fn headers_tell_origin_stage_reason_and_attempts() {
        let rest = [("__connect.errors.stage", "incident"), ("__connect.errors.exception.message", "boom")];
        let trace = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let retries = [("signals-retries", "2"), ("signals-record-kind", "command"), trace];
        let Some(Entry::Letter(letter)) = read(&message(&[&ORIGIN[..], &rest, &retries].concat())) else {
            panic!("no letter")
        };
        assert_eq!((letter.place.to_string(), letter.origin.to_string()), ("2:40".into(), "raw:3:17".into()));
        assert_eq!((letter.stage.as_str(), letter.reason.as_str()), ("incident", "boom"));
        assert_eq!((letter.retries, letter.is_command, letter.key.as_str()), (2, true, "proj"));
        assert_eq!(letter.traceparent.as_deref(), Some(trace.1));
        // Put back, it is what it was, and has one attempt more.
        let back = super::super::retry::headers(&letter);
        let back: Vec<_> = back.iter().map(|header| (header.key, header.value.unwrap())).collect();
        let wanted = [("signals-retries", "3"), ("signals-record-kind", "command"), trace];
        assert_eq!(back, wanted.map(|(key, value)| (key, value.as_bytes())));
    }

    #[test]
    fn a_note_is_no_letter_and_a_stranger_is_neither() {
        let note = [&ORIGIN[..], &[("signals-retried", "1")]].concat();
        assert!(matches!(read(&message(&note)), Some(Entry::Retried(origin)) if origin.offset == 17));
        assert_eq!(read(&message(&[("x", "y")])), None);
    }

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let place = Place { partition: 0, offset: 12 };
        assert_eq!(place.to_string().parse(), Ok(place));
        for bad in ["", "1", "1:", ":1", "-1:2", "1:-2", "1:2:3", "a:b"] {
            assert_eq!(bad.parse::<Place>(), Err(NoPlace), "{bad}");
        }
    }
}
