//! Recorded events as they stand in a file, one JSON object a line.
//!
//! A line is an event as clients send it or a record of the log; members that ingest does not take from clients
//! (`org_id`, `fingerprint`, ...) are left out. Everything else is passed on byte for byte.

use crate::event::Outgoing;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bad lines that are described; the rest is counted.
const DESCRIBED: usize = 5;

/// How recorded events are changed on their way.
#[derive(Clone, Copy, Debug)]
pub struct Playback {
    /// So many times as fast as recorded; 0 for no pauses.
    pub speed: f64,
    /// The time of the start, if events are to be dated at their sending.
    pub redate_from: Option<DateTime<Utc>>,
    /// Whether every event gets a new id.
    pub new_ids: bool,
}

/// Lines that could not be read as events. Shared between the reading and the report.
#[derive(Clone, Debug, Default)]
pub struct BadLines(Arc<Mutex<Bad>>);

#[derive(Debug, Default)]
struct Bad {
    count: u64,
    described: Vec<String>,
}

impl BadLines {
    fn add(&self, line: u64, reason: impl fmt::Display) {
        let mut bad = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bad.count += 1;
        if bad.described.len() < DESCRIBED {
            bad.described.push(format!("line {line}: {reason}"));
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }
}

impl fmt::Display for BadLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bad = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "{:<12} {} lines were no events and were left out", "unreadable", bad.count)?;
        bad.described.iter().try_for_each(|line| write!(f, "\n{:<12} {line}", ""))
    }
}

/// What a client may say of an event. Texts are kept as they are written.
#[derive(Deserialize, Serialize)]
struct Line<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    event_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    occurred_at: Option<DateTime<Utc>>,
    #[serde(borrow)]
    event_type: &'a RawValue,
    #[serde(borrow)]
    message: &'a RawValue,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    severity: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    environment: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
}

/// The events of a recording, in its order. A time that lies before the one above it counts as that one.
#[derive(Debug)]
pub struct Recording<R> {
    lines: std::io::Lines<R>,
    playback: Playback,
    bad: BadLines,
    number: u64,
    first: Option<DateTime<Utc>>,
    at: Duration,
}

impl<R: BufRead> Recording<R> {
    /// Reads from `reader` as the events are asked for; what is no event goes into `bad`.
    pub fn new(reader: R, playback: Playback, bad: BadLines) -> Self {
        Self { lines: reader.lines(), playback, bad, number: 0, first: None, at: Duration::ZERO }
    }

    fn event(&mut self, text: &str) -> serde_json::Result<Outgoing> {
        let mut line: Line<'_> = serde_json::from_str(text)?;
        if let Some(recorded) = line.occurred_at {
            self.at = self.at.max(self.distance(recorded));
        }
        if let Some(start) = self.playback.redate_from {
            let since = TimeDelta::from_std(self.at).unwrap_or_default();
            line.occurred_at = start.checked_add_signed(since);
        }
        // Without an id of its own an event could not be sent again without being counted twice.
        let event_id = line.event_id.take().filter(|_| !self.playback.new_ids);
        let event_id = event_id.unwrap_or_else(|| ulid::Ulid::generate().to_string().into()).into_owned();
        line.event_id = Some(event_id.as_str().into());
        let json = serde_json::to_string(&line)?;
        Ok(Outgoing { at: self.at, event_id, json, group: None })
    }

    /// From the first event to this one, at the playback's speed.
    fn distance(&mut self, recorded: DateTime<Utc>) -> Duration {
        let first = *self.first.get_or_insert(recorded);
        let recorded = recorded.signed_duration_since(first).to_std().unwrap_or_default();
        let seconds = recorded.as_secs_f64() / self.playback.speed;
        // Division by the speed 0 gives no finite number: no pause.
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}

impl<R: BufRead> Iterator for Recording<R> {
    type Item = Outgoing;

    fn next(&mut self) -> Option<Outgoing> {
        loop {
            self.number += 1;
            let text = match self.lines.next()? {
                Ok(text) => text,
                // Not UTF-8: the line is bad, the next one may not be. Anything else ends the file.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    self.bad.add(self.number, error);
                    continue;
                }
                Err(error) => {
                    self.bad.add(self.number, format!("cannot read on: {error}"));
                    return None;
                }
            };
            if text.trim().is_empty() {
                continue;
            }
            match self.event(&text) {
                Ok(event) => return Some(event),
                Err(error) => self.bad.add(self.number, error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const AS_RECORDED: Playback = Playback { speed: 1.0, redate_from: None, new_ids: false };

    fn play(text: &str, playback: Playback) -> (Vec<Outgoing>, BadLines) {
        let bad = BadLines::default();
        (Recording::new(text.as_bytes(), playback, bad.clone()).collect(), bad)
    }

    fn line(id: &str, second: u32) -> String {
        let occurred_at = format!("2026-01-01T00:00:{second:02}Z");
        json!({"event_id": id, "occurred_at": occurred_at, "event_type": "error", "message": id}).to_string() + "\n"
    }

    #[test]
    fn events_keep_their_distances_at_the_speed_asked_for() {
        let text = line("a", 10) + &line("b", 20) + &line("late", 15) + &line("c", 40);
        for (speed, times) in [(1.0, [0, 10_000, 10_000, 30_000]), (10.0, [0, 1_000, 1_000, 3_000]), (0.0, [0; 4])] {
            let (events, _) = play(&text, Playback { speed, ..AS_RECORDED });
            assert_eq!(events.iter().map(|event| event.at.as_millis()).collect::<Vec<_>>(), times, "{speed}");
        }
    }

    #[test]
    fn a_record_of_the_log_becomes_what_its_client_sent() {
        let record = json!({
            "schema_version": "1.0", "event_id": "e1", "occurred_at": "2026-01-01T00:00:00Z",
            "received_at": "2026-01-01T00:00:01Z", "org_id": "o", "project_id": "p", "environment": "prod",
            "event_type": "error", "severity": "critical", "message": "m \u{1F600}", "fingerprint": "f",
            "attributes": {"big": 1.5e300}, "payload": {"x": [1, null]},
        });
        let (events, bad) = play(&record.to_string(), AS_RECORDED);
        let sent: Value = serde_json::from_str(&events[0].json).unwrap();
        let mut expected = record;
        for name in ["schema_version", "received_at", "org_id", "project_id", "fingerprint"] {
            expected.as_object_mut().unwrap().remove(name);
        }
        assert_eq!((sent, bad.count()), (expected, 0));
        assert_eq!(events[0].event_id, "e1");
    }

    #[test]
    fn ids_are_kept_or_new_and_never_missing() {
        let text = line("a", 1) + r#"{"event_type":"custom","message":"no id"}"#;
        let (kept, _) = play(&text, AS_RECORDED);
        assert_eq!(kept[0].event_id, "a");
        assert!(kept[1].json.contains(&kept[1].event_id) && kept[1].event_id.len() == 26);
        let (new, _) = play(&text, Playback { new_ids: true, ..AS_RECORDED });
        assert!(new.iter().all(|event| event.event_id.len() == 26 && event.json.contains(&event.event_id)));
    }

    #[test]
    fn redated_events_happen_when_they_are_sent() {
        let start = DateTime::from_timestamp(1_900_000_000, 0).unwrap();
        let playback = Playback { speed: 2.0, redate_from: Some(start), new_ids: false };
        let (events, _) = play(&(line("a", 10) + &line("b", 20)), playback);
        let sent: Value = serde_json::from_str(&events[1].json).unwrap();
        assert_eq!(sent["occurred_at"], json!(start + TimeDelta::seconds(5)));
    }

    #[test]
    fn bad_lines_are_named_and_the_others_are_played() {
        let mut text = Vec::from("\n{}\nnot json\n[1]\n");
        text.extend(b"\xff\xfe\n");
        text.extend(line("good", 1).bytes());
        let bad = BadLines::default();
        let events: Vec<_> = Recording::new(text.as_slice(), AS_RECORDED, bad.clone()).collect();
        assert_eq!((events.len(), bad.count()), (1, 4));
        let report = bad.to_string();
        assert!(report.contains("4 lines") && report.contains("line 3: ") && report.contains("line 5: "), "{report}");
    }
}
