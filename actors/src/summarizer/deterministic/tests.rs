//! What is said in situations that people wake up to. The texts stand in `golden/`.

use super::*;
use serde_json::{Value, json};

/// The example document with some members replaced, by JSON pointer.
fn facts(changes: &[(&str, Value)]) -> Facts {
    let mut document: Value = serde_json::from_str(include_str!("../facts/example.json")).unwrap();
    for (pointer, value) in changes {
        *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
    }
    serde_json::from_value(document).unwrap()
}

fn told(summary: &Summary) -> String {
    let items = |name: &str, items: &[String]| items.iter().map(|item| format!("{name}: {item}\n")).collect::<String>();
    format!(
        "{}\n\n{}\n\n{}{}{}\nconfidence {:.2}, cites {}\n",
        summary.title,
        summary.impact,
        items("cause", &summary.likely_causes),
        items("evidence", &summary.evidence),
        items("next", &summary.next_steps),
        summary.confidence,
        summary.cited_event_ids.join(" ")
    )
}

/// `UPDATE_GOLDEN=1` writes the texts anew, for a person to read.
fn is_golden(name: &str, facts: &Facts, golden: &str) {
    let told = told(&summarize(facts));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/summarizer/deterministic/golden");
        std::fs::write(folder.join(format!("{name}.txt")), told).unwrap();
        return;
    }
    assert_eq!(told, golden, "\n--- {name}.txt should be\n{told}---");
}

#[test]
fn after_a_deploy_and_a_regression() {
    is_golden("deploy", &facts(&[]), include_str!("golden/deploy.txt"));
}

#[test]
fn one_single_event_without_code_or_route() {
    let facts = facts(&[
        ("/incident/error_code", Value::Null),
        ("/incident/route", Value::Null),
        ("/incident/severity", json!("error")),
        ("/incident/last_seen", json!("2026-11-24T02:57:12Z")),
        ("/incident/duration_minutes", json!(0)),
        ("/incident/is_regression", json!(false)),
        (
            "/counts",
            json!({"total": 1, "last_10_minutes": 1, "previous_10_minutes": 0, "change_factor": null,
            "peak_per_minute": 1, "peak_minute": "2026-11-24T02:57:00Z", "minutes_with_events": 1,
            "average_per_active_minute": 1}),
        ),
        (
            "/templates",
            json!([{"template": "card declined", "samples": 1, "share_percent": 100, "event_ids": ["evt-1"]}]),
        ),
        ("/incident/title", json!("card declined")),
        ("/routes", json!([])),
        ("/releases", json!([])),
        ("/status_codes", json!([])),
        ("/users", Value::Null),
        ("/samples_kept", json!(1)),
        (
            "/samples",
            json!([{"event_id": "evt-1", "number": 1, "occurred_at": "2026-11-24T02:57:12Z", "severity": "error",
            "message": "card declined", "attributes": {}}]),
        ),
        ("/deploys", json!([])),
        ("/nearby_incidents", json!([])),
        ("/previous_incident", Value::Null),
    ]);
    is_golden("single", &facts, include_str!("golden/single.txt"));
}

#[test]
fn a_long_one_that_is_ebbing_and_investigated() {
    let facts = facts(&[
        ("/incident/status", json!("investigating")),
        (
            "/incident/state_changes",
            json!([{"from": "open", "to": "investigating", "at": "2026-11-25T01:10:00Z", "by": "command"}]),
        ),
        ("/incident/last_seen", json!("2026-11-25T04:00:00Z")),
        ("/incident/duration_minutes", json!(1_502)),
        ("/incident/is_regression", json!(false)),
        (
            "/counts",
            json!({"total": 48_211, "last_10_minutes": 12, "previous_10_minutes": 60, "change_factor": 0.2,
            "peak_per_minute": 1_204, "peak_minute": "2026-11-25T00:31:00Z", "minutes_with_events": 1_400,
            "average_per_active_minute": 34}),
        ),
        ("/deploys", json!([{"minute": "2026-11-24T03:10:00Z", "deploys": 2, "minutes_before_first_event": -13}])),
        ("/previous_incident", Value::Null),
        (
            "/releases",
            json!([{"release": "v7", "samples": 19, "share_percent": 95, "earliest": "2026-11-25T03:50:00Z"}]),
        ),
        ("/nearby_incidents/0/minutes_after_this_began", json!(-5)),
        (
            "/routes",
            json!([{"route": "/a", "samples": 8, "share_percent": 40}, {"route": "/b", "samples": 6, "share_percent": 30},
            {"route": "/c", "samples": 3, "share_percent": 15}, {"route": "/d", "samples": 3, "share_percent": 15}]),
        ),
    ]);
    is_golden("ebbing", &facts, include_str!("golden/ebbing.txt"));
}

#[test]
fn one_that_grows_with_two_deploys_in_its_first_minute() {
    let facts = facts(&[
        ("/incident/last_seen", json!("2026-11-24T03:27:30Z")),
        ("/incident/duration_minutes", json!(30)),
        ("/incident/is_regression", json!(false)),
        ("/counts/change_factor", json!(4.5)),
        ("/previous_incident", Value::Null),
        ("/nearby_incidents", json!([])),
        ("/users", json!({"distinct_in_samples": 1, "samples_with_user": 20})),
        ("/routes", json!([{"route": "/api/orders/:id", "samples": 20, "share_percent": 100}])),
        ("/project/requests_last_hour", json!(0)),
        (
            "/deploys",
            json!([{"minute": "2026-11-24T02:40:00Z", "deploys": 1, "minutes_before_first_event": 17},
            {"minute": "2026-11-24T02:57:00Z", "deploys": 2, "minutes_before_first_event": 0}]),
        ),
    ]);
    is_golden("growing", &facts, include_str!("golden/growing.txt"));
}

#[test]
fn one_single_event_that_tells_everything() {
    let facts = facts(&[
        ("/incident/last_seen", json!("2026-11-24T02:57:12Z")),
        ("/incident/duration_minutes", json!(0)),
        ("/incident/is_regression", json!(false)),
        (
            "/counts",
            json!({"total": 1, "last_10_minutes": 1, "previous_10_minutes": 0, "change_factor": null,
            "peak_per_minute": 1, "peak_minute": "2026-11-24T02:57:00Z", "minutes_with_events": 1,
            "average_per_active_minute": 1}),
        ),
        (
            "/templates",
            json!([{"template": "card declined", "samples": 1, "share_percent": 100, "event_ids": ["evt-1"]}]),
        ),
        ("/routes", json!([{"route": "/api/orders/:id", "samples": 1, "share_percent": 100}])),
        (
            "/releases",
            json!([{"release": "v2", "samples": 1, "share_percent": 100, "earliest": "2026-11-24T02:57:12Z"}]),
        ),
        ("/status_codes", json!([{"status_code": "402", "samples": 1}])),
        ("/users", json!({"distinct_in_samples": 1, "samples_with_user": 1})),
        ("/samples_kept", json!(1)),
        (
            "/samples",
            json!([{"event_id": "evt-1", "number": 1, "occurred_at": "2026-11-24T02:57:12Z", "severity": "error",
            "message": "card declined", "attributes": {}}]),
        ),
        ("/deploys", json!([])),
        ("/previous_incident", Value::Null),
    ]);
    is_golden("single_full", &facts, include_str!("golden/single_full.txt"));
}

#[test]
fn facts_that_are_all_empty_still_give_sentences() {
    let summary = summarize(&Facts::default());
    assert!(!summary.title.is_empty() && !summary.likely_causes.is_empty() && !summary.next_steps.is_empty());
}
