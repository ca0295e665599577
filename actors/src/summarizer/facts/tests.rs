//! The document of an incident that could be real, and what clients may write into their events.

use super::*;
use chrono::{DateTime, TimeZone, Utc};
use schema::ai::{Gathered, Origin};
use schema::event::{EventType, Severity};
use schema::incidents::{IncidentRow, Kept, Minute, SampleRow, TransitionRow};
use schema::status::IncidentStatus;

fn at(hour: u32, minute: u32, second: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 24, hour, minute, second).unwrap()
}

fn incident(id: &str) -> IncidentRow {
    IncidentRow {
        id: id.to_owned(),
        org_id: "org".into(),
        project_id: "proj".into(),
        environment: "prod".into(),
        fingerprint: "f".repeat(64),
        title: "timeout after 3000 ms".into(),
        status: IncidentStatus::Open,
        severity: Severity::Critical,
        event_count: 133,
        first_seen: at(2, 57, 12),
        last_seen: at(3, 9, 48),
        resolved_at: None,
        previous_incident_id: None,
        applied_through: 5,
        version: "1".into(),
    }
}

fn sample(ordinal: i64, message: &str, attributes: &str) -> SampleRow {
    SampleRow {
        ordinal,
        event_id: format!("e{ordinal}"),
        occurred_at: at(3, 9, 0),
        event_type: EventType::Error,
        severity: Severity::Error,
        message: message.to_owned(),
        attributes: attributes.to_owned(),
    }
}

fn gathered() -> Gathered {
    let usual = r#"{"route":"/api/orders/81?a=b","release":"v2","status_code":500,"user_id":7,"nested":{"x":1}}"#;
    let mut samples: Vec<SampleRow> =
        (125..=133).rev().map(|ordinal| sample(ordinal, &format!("timeout after {ordinal} ms"), usual)).collect();
    samples.push(sample(124, "reset\u{202e} by\u{0000} peer\nsecond line", r#"{"version":"v1","user_id":"7"}"#));
    let minutes = (0..13)
        .map(|minute| Minute { bucket_time: at(2, 57, 0) + chrono::Duration::minutes(minute), value: 10 + minute % 3 });
    Gathered {
        incident: IncidentRow { previous_incident_id: Some("before".into()), ..incident("now") },
        origin: Origin {
            error_code: Some("DB_TIMEOUT".into()),
            route: Some("/api/orders/81?page=2".into()),
            first_event_id: Some("e1".into()),
        },
        kept: Kept {
            samples,
            summary: None,
            transitions: vec![TransitionRow {
                from_status: Some(IncidentStatus::Open),
                to_status: IncidentStatus::Investigating,
                cause: "command".into(),
                event_id: None,
                command_id: Some("c".into()),
                principal: Some("key".into()),
                occurred_at: at(3, 1, 0),
            }],
            trend: minutes.collect(),
            deploys_nearby: vec![
                Minute { bucket_time: at(2, 53, 0), value: 1 },
                Minute { bucket_time: at(3, 5, 0), value: 2 },
            ],
        },
        nearby: vec![IncidentRow { first_seen: at(2, 59, 30), ..incident("near") }],
        previous: Some((
            IncidentRow { resolved_at: Some(at(1, 27, 12)), event_count: 9, ..incident("before") },
            Some(serde_json::json!({"title": "Pool exhausted", "likely_causes": ["a leak"]})),
        )),
        errors_last_hour: 140,
        requests_last_hour: 9_000,
    }
}

#[test]
fn a_document_tells_what_happened() {
    let facts = build(&gathered());
    let (incident, counts) = (&facts.incident, &facts.counts);
    assert_eq!((incident.duration_minutes, incident.first_seen.as_str()), (12, "2026-11-24T02:57:12Z"));
    assert!(incident.is_regression && incident.first_event_id.as_deref() == Some("e1"));
    assert_eq!(incident.route.as_deref(), Some("/api/orders/:id"));
    assert_eq!((incident.state_changes.len(), incident.state_changes[0].to.as_str()), (1, "investigating"));
    // Minute n of thirteen has 10 + n % 3 events.
    assert_eq!((counts.total, counts.last_10_minutes, counts.previous_10_minutes), (133, 109, 33));
    assert_eq!((counts.change_factor, counts.peak_per_minute), (Some(3.3), 12));
    assert_eq!(counts.peak_minute.as_deref(), Some("2026-11-24T02:59:00Z"));
    assert_eq!((counts.minutes_with_events, counts.average_per_active_minute), (13, 11));
    let templates: Vec<_> =
        facts.templates.iter().map(|t| (t.template.as_str(), t.samples, t.share_percent, t.event_ids.len())).collect();
    assert_eq!(templates, [("timeout after <n> ms", 9, 90, 3), ("reset by peer second line", 1, 10, 1)]);
    let routes: Vec<_> = facts.routes.iter().map(|route| (route.route.as_str(), route.samples)).collect();
    assert_eq!(routes, [("/api/orders/:id", 9)]);
    let releases: Vec<_> = facts.releases.iter().map(|release| (release.release.as_str(), release.samples)).collect();
    assert_eq!(releases, [("v2", 9), ("v1", 1)]);
    assert_eq!((facts.status_codes[0].status_code.as_str(), facts.samples_kept), ("500", 10));
    let users = facts.users.as_ref().unwrap();
    assert_eq!((users.distinct_in_samples, users.samples_with_user), (1, 10));
    let numbers: Vec<i64> = facts.samples.iter().map(|sample| sample.number).collect();
    assert_eq!(numbers, [124, 125, 126, 131, 132, 133]);
    assert_eq!(facts.samples[1].attributes.get("status_code").map(String::as_str), Some("500"));
    assert!(!facts.samples[1].attributes.contains_key("nested"));
    let deploys: Vec<i64> = facts.deploys.iter().map(|deploy| deploy.minutes_before_first_event).collect();
    assert_eq!(deploys, [4, -8]);
    assert_eq!(facts.nearby_incidents[0].minutes_after_this_began, 2);
    let before = facts.previous_incident.unwrap();
    assert_eq!((before.minutes_until_return, before.summary_cause.as_deref()), (Some(90), Some("a leak")));
}

#[test]
fn the_same_incident_gives_the_same_document() {
    let json = |facts: &Facts| serde_json::to_string(facts).unwrap();
    let facts = build(&gathered());
    assert_eq!(json(&facts), json(&build(&gathered())));
    let back: Facts = serde_json::from_str(&json(&facts)).unwrap();
    assert_eq!(back, facts);
}

#[test]
fn what_clients_write_becomes_plain_short_text() {
    let odd = [r#"{"a":"\ud800"}"#, "not json", "[1]", r#"{"release":"  ","route":{"x":1},"user":null}"#];
    let mut gathered = gathered();
    let message = format!("\u{feff}{}\u{2066}", "x".repeat(9_000));
    gathered.kept.samples = odd.iter().zip(1..).map(|(attributes, n)| sample(n, &message, attributes)).collect();
    let facts = build(&gathered);
    assert!(facts.releases.is_empty() && facts.routes.is_empty() && facts.users.is_none());
    assert_eq!(facts.samples.len(), 4);
    for sample in &facts.samples {
        assert_eq!(sample.message.chars().count(), 500);
        assert!(sample.message.starts_with('x') && sample.message.ends_with('…'));
    }
}

#[test]
fn an_incident_of_which_nothing_is_kept_has_a_document() {
    let mut gathered = gathered();
    gathered.kept = Kept { samples: vec![], summary: None, transitions: vec![], trend: vec![], deploys_nearby: vec![] };
    gathered.nearby.clear();
    gathered.previous = None;
    let facts = build(&gathered);
    assert_eq!((facts.counts.peak_minute, facts.counts.change_factor, facts.samples_kept), (None, None, 0));
}

#[test]
fn the_example_is_a_document_of_today() {
    let example = include_str!("example.json");
    let facts: Facts = serde_json::from_str(example).unwrap();
    assert_eq!(serde_json::to_value(&facts).unwrap(), serde_json::from_str::<serde_json::Value>(example).unwrap());
}
