//! Realistic events: about 520 bytes of JSON, errors spread at random over fingerprints and projects.
//!
//! The n-th event of a mix is always the same but for its time, so what an engine must have counted is known.

use chrono::{DateTime, TimeDelta, Utc};
use schema::envelope::Envelope;
use schema::event::{EventType, Severity};
use schema::names::SCHEMA_VERSION;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use ulid::Ulid;

/// What is to be produced.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Events in all.
    pub events: u64,
    /// Fingerprints that they are spread over, evenly but at random.
    pub fingerprints: u64,
    /// Projects that the fingerprints belong to.
    pub projects: u64,
    /// Minutes of event time from the first event to the last.
    pub minutes: u64,
    /// Distinguishes mixes that go to one topic.
    pub seed: u64,
}

const ROUTES: [&str; 4] = ["/api/users/:id", "/api/checkout", "/api/search", "/internal/jobs/:id/run"];
const CODES: [&str; 4] = ["DB_TIMEOUT", "UPSTREAM_5XX", "NULL_DEREFERENCE", "RATE_LIMITED"];
const PAYLOAD: &str = r#"{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","host":"web-7"}"#;

/// SplitMix64: evenly spread, the same on every machine.
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn pick<'a>(choices: &[&'a str], number: u64) -> &'a str {
    let index = usize::try_from(number % 4).unwrap_or(0);
    choices.get(index).copied().unwrap_or_default()
}

impl Mix {
    /// Number of the fingerprint of the n-th event.
    pub fn fingerprint(&self, number: u64) -> u64 {
        scatter(number ^ self.seed) % self.fingerprints.max(1)
    }

    /// The fingerprint of this number as it stands in a record.
    pub fn fingerprint_text(&self, fingerprint: u64) -> String {
        let head = scatter(fingerprint ^ 0xf1f1);
        format!("{head:016x}{:016x}{:016x}{fingerprint:016x}", scatter(head), scatter(head ^ 1))
    }

    /// Events of each fingerprint, sorted by fingerprint.
    pub fn expected(&self) -> Vec<(String, i64)> {
        let mut counts = BTreeMap::new();
        for number in 0..self.events {
            *counts.entry(self.fingerprint(number)).or_insert(0) += 1;
        }
        let mut texts: Vec<_> =
            counts.into_iter().map(|(number, events)| (self.fingerprint_text(number), events)).collect();
        texts.sort();
        texts
    }

    /// When the n-th event occurred.
    pub fn happened(&self, number: u64) -> DateTime<Utc> {
        let span = self.minutes.saturating_mul(60_000);
        let millis = i64::try_from(number.saturating_mul(span) / self.events.max(1)).unwrap_or(0);
        DateTime::UNIX_EPOCH + TimeDelta::milliseconds(1_790_000_000_000_i64.saturating_add(millis))
    }

    /// Writes the n-th event into `into`, which is emptied first. Returns the record's key: its project.
    ///
    /// # Errors
    /// If serde cannot write it.
    pub fn write(&self, number: u64, into: &mut Vec<u8>) -> serde_json::Result<String> {
        let fingerprint = self.fingerprint(number);
        let project = format!("proj_{:03}", fingerprint % self.projects.max(1));
        let occurred_at = self.happened(number);
        let received_at = occurred_at + TimeDelta::milliseconds(35);
        let id = Ulid::from_parts(
            u64::try_from(received_at.timestamp_millis()).unwrap_or(0),
            (u128::from(self.seed) << 64) | u128::from(number),
        );
        let (route, code) = (pick(&ROUTES, fingerprint), pick(&CODES, fingerprint / 4));
        let attributes = format!(
            r#"{{"route":"{route}","error_code":"{code}","status_code":500,"release":"v2.{}"}}"#,
            fingerprint % 10
        );
        let event = Envelope {
            schema_version: SCHEMA_VERSION.into(),
            event_id: id.to_string().into(),
            occurred_at,
            received_at,
            org_id: "org_bench".into(),
            project_id: project.as_str().into(),
            environment: "prod".into(),
            event_type: EventType::Error,
            severity: if number.is_multiple_of(50) { Severity::Critical } else { Severity::Error },
            message: format!("request {number} to {route} failed after 1503 ms").into(),
            fingerprint: self.fingerprint_text(fingerprint).into(),
            attributes: serde_json::from_str::<&RawValue>(&attributes)?,
            payload: serde_json::from_str::<&RawValue>(PAYLOAD)?,
        };
        into.clear();
        serde_json::to_writer(into, &event)?;
        Ok(project)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actors::consumer::decode::decode_event;

    const MIX: Mix = Mix { events: 10_000, fingerprints: 200, projects: 20, minutes: 10, seed: 1 };

    #[test]
    fn events_are_what_the_engine_reads_and_of_the_size_that_the_floors_were_measured_with() {
        let mut bytes = Vec::new();
        let project = MIX.write(4_711, &mut bytes).unwrap();
        let event = decode_event(&bytes).unwrap();
        assert_eq!(event.project_id, project);
        assert_eq!(event.fingerprint, MIX.fingerprint_text(MIX.fingerprint(4_711)));
        assert!((480..=580).contains(&bytes.len()), "{} bytes", bytes.len());
    }

    #[test]
    fn what_is_expected_adds_up() {
        let expected = MIX.expected();
        assert_eq!(expected.len(), 200);
        assert_eq!(expected.iter().map(|(_, events)| events).sum::<i64>(), 10_000);
    }
}
