#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use chrono::TimeZone;
use proptest::prelude::*;
use schema::keys::Scope;

fn principal() -> Principal {
    Principal { key_id: "key".into(), org_id: "org".into(), project_id: "proj".into(), scopes: vec![Scope::Ingest] }
}

fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 24, 12, 0, 0).unwrap()
}

fn take(json: &str) -> Result<serde_json::Value, Refused> {
    let principal = principal();
    let mut log = Vec::new();
    let id = take_in(json, Intake { principal: &principal, received_at: noon() }, &mut log)?;
    let envelope: serde_json::Value = serde_json::from_slice(&log).unwrap();
    assert_eq!(envelope["event_id"], id.as_str());
    Ok(envelope)
}

fn pointers(json: &str) -> Vec<String> {
    match take(json).unwrap_err() {
        Refused::Invalid(errors) => errors.into_iter().map(|error| error.pointer).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_smallest_event_gets_every_default() {
    let envelope = take(r#"{"event_type":"signup","message":"hello"}"#).unwrap();
    let id = envelope["event_id"].as_str().unwrap();
    assert_eq!(Ulid::from_string(id).unwrap().timestamp_ms(), 1_795_521_600_000);
    let fingerprint = fingerprint(&Grouping { environment: "dev", message: "hello", ..Grouping::default() });
    assert_eq!(
        envelope,
        serde_json::json!({
            "schema_version": "1.0", "event_id": id, "occurred_at": "2026-11-24T12:00:00Z",
            "received_at": "2026-11-24T12:00:00Z", "org_id": "org", "project_id": "proj", "environment": "dev",
            "event_type": "signup", "severity": "info", "message": "hello", "fingerprint": fingerprint,
            "attributes": {}, "payload": {},
        })
    );
    assert_eq!(take(r#"{"event_type":"error","message":""}"#).unwrap()["severity"], "error");
    let nulls = r#"{"event_type":"error","message":"","severity":null,"environment":null,"occurred_at":null,
        "event_id":null,"attributes":null,"payload":null}"#;
    assert_eq!(take(nulls).unwrap()["environment"], "dev");
}

#[test]
fn what_the_client_says_is_kept() {
    let envelope = take(
        r#"{"event_id":"a-1","event_type":"error","message":"it \"broke\" \u00e4","severity":"critical",
            "environment":"prod","occurred_at":"2026-11-24T13:03:00.5+01:00","unknown":[1],
            "attributes":{"error_code":"E","route":"/u/5?x","big":123456789012345678901234567890},"payload":{"a":[]}}"#,
    )
    .unwrap();
    assert_eq!(envelope["event_id"], "a-1");
    assert_eq!(envelope["message"], "it \"broke\" ä");
    assert_eq!(envelope["severity"], "critical");
    assert_eq!(envelope["occurred_at"], "2026-11-24T12:03:00.500Z");
    let expected =
        Grouping { error_code: Some("E"), route: Some("/u/:id"), environment: "prod", message: "", custom: None };
    assert_eq!(envelope["fingerprint"], fingerprint(&expected));
    assert_eq!(envelope["payload"], serde_json::json!({"a": []}));
}

#[test]
fn the_clients_fingerprint_decides_if_there_is_one() {
    let of = |attributes: &str| {
        let json = format!(r#"{{"event_type":"error","message":"m","attributes":{attributes}}}"#);
        take(&json).unwrap()["fingerprint"].clone()
    };
    assert_eq!(of(r#"{"fingerprint":"x","error_code":"a"}"#), of(r#"{"fingerprint":["x"],"error_code":"b"}"#));
    assert_ne!(of(r#"{"fingerprint":["x"]}"#), of(r#"{"fingerprint":["y"]}"#));
}

#[test]
fn every_wrong_member_is_named_at_once() {
    let json = r#"{"event_type":"oops","message":5,"severity":"bad","environment":"a b","occurred_at":"x",
        "event_id":"","attributes":[],"payload":{"a":1,"a":2}}"#;
    assert_eq!(
        pointers(json),
        [
            "/event_type",
            "/message",
            "/severity",
            "/environment",
            "/occurred_at",
            "/event_id",
            "/attributes",
            "/payload/a"
        ]
    );
    assert_eq!(pointers("{}"), ["/event_type", "/message"]);
    assert_eq!(pointers("5"), [""]);
    assert_eq!(pointers(r#"{"event_type":"error","event_type":"error","message":""}"#), [""], "twice");
}

#[test]
fn times_have_bounds() {
    let at = |time: &str| take(&format!(r#"{{"event_type":"custom","message":"m","occurred_at":"{time}"}}"#));
    assert!(at("2026-11-24T12:05:00Z").is_ok());
    assert!(at("2026-11-24T12:05:00.001Z").is_err());
    assert!(at("2000-01-01T00:00:00Z").is_ok());
    for bad in ["1999-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "+12026-01-01T00:00:00Z", "2026-02-30T00:00:00Z", ""] {
        assert!(at(bad).is_err(), "{bad}");
    }
    assert!(at("2016-12-31T23:59:60Z").is_ok(), "a leap second");
}

#[test]
fn a_long_message_is_cut_between_characters() {
    for text in ["ä".repeat(5_000), format!("x{}", "ä".repeat(5_000)), "\\u00e4".repeat(5_000)] {
        let envelope = take(&format!(r#"{{"event_type":"error","message":"{text}"}}"#)).unwrap();
        let length = envelope["message"].as_str().unwrap().len();
        assert!((MESSAGE_BYTES - 1..=MESSAGE_BYTES).contains(&length), "{length}");
    }
}

#[test]
fn an_event_has_a_size() {
    let event = |padding: usize| {
        format!(r#" {{"event_type":"error","message":"m","payload":{{"x":"{}"}}}} "#, "y".repeat(padding))
    };
    let frame = event(0).trim().len();
    assert!(take(&event(EVENT_BYTES - frame)).is_ok());
    assert_eq!(take(&event(EVENT_BYTES - frame + 1)), Err(Refused::TooLarge));
}

proptest! {
    /// The engine decodes what ingest wrote, whatever the client's text was.
    #[test]
    fn what_is_written_is_an_envelope(message in any::<String>(), code in any::<Option<String>>(), id in "[!-~]{1,128}") {
        let json = serde_json::json!({"event_type": "error", "message": message, "event_id": id,
            "attributes": {"error_code": code, "route": message}});
        let principal = principal();
        let mut log = Vec::new();
        let taken = take_in(&json.to_string(), Intake { principal: &principal, received_at: noon() }, &mut log);
        if code.as_ref().is_none_or(|code| code.len() <= 256) {
            prop_assert_eq!(taken, Ok(id));
            let envelope: Envelope<'_> = serde_json::from_slice(&log).unwrap();
            prop_assert!(envelope.message.as_ref() == message);
        }
    }

    #[test]
    fn no_text_at_all_makes_it_panic(json in any::<String>()) {
        let principal = principal();
        let taken = take_in(&json, Intake { principal: &principal, received_at: noon() }, &mut Vec::new());
        prop_assert!(taken.is_err());
    }
}
