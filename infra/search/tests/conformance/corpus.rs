//! Events as a team's applications send them, and as nobody should: the same every time.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use schema::envelope::Envelope;
use schema::event::{EventType, Severity};
use schema::search::IndexedEvent;
use serde_json::{Map, Value, json};

/// Tenants, the last one small.
pub const PROJECTS: [&str; 3] = ["proj_shop", "proj_bank", "proj_tiny"];
/// Days of `received_at`.
pub const DAYS: i64 = 6;
/// Words that messages are made of; the first are the most frequent.
pub const WORDS: [&str; 40] = [
    "timeout",
    "error",
    "failed",
    "connection",
    "user",
    "request",
    "the",
    "of",
    "Timeout",
    "DB",
    "refused",
    "after",
    "ms",
    "42",
    "checkout",
    "payment",
    "card",
    "declined",
    "Grüße",
    "aus",
    "Köln",
    "ÜBER",
    "漢字",
    "検索エンジン",
    "İstanbul",
    "ΣΑΣ",
    "naïve",
    "e\u{301}clair",
    "\u{1f4a5}",
    "snake_case",
    "kebab-case",
    "a.b.c",
    "http://x.y/z?q=1",
    "100%",
    "it's",
    "\"quoted\"",
    "tim",
    "time",
    "timely",
    "zzz",
];
/// Values of the attributes.
pub const ROUTES: [&str; 8] = [
    "/api/checkout",
    "/api/users/42",
    "/",
    "/漢字",
    "/api/orders/01HZXW5T3Q8R9V2K4M6N7P0ABC?x=1",
    "/a b",
    "/API/checkout",
    "",
];
pub const ERROR_CODES: [&str; 6] = ["DB_TIMEOUT", "CARD_DECLINED", "db_timeout", "E", "", "Ünï"];
pub const ENVIRONMENTS: [&str; 4] = ["prod", "staging", "dev", "PROD"];

/// The first moment of the first day.
pub fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 17, 0, 0, 0).unwrap()
}

/// So many events, in the order in which they are received.
pub fn events(seed: u64, count: usize) -> Vec<IndexedEvent> {
    let mut chance = StdRng::seed_from_u64(seed);
    let length = TimeDelta::days(DAYS).num_microseconds().unwrap();
    let mut received: Vec<i64> = (0..count).map(|_| chance.random_range(0..length)).collect();
    received.sort_unstable();
    let at = received.into_iter().map(|micros| start() + TimeDelta::microseconds(micros));
    at.enumerate().map(|(number, at)| event(&mut chance, &format!("e{number}"), at)).collect()
}

/// An event of chance.
pub fn event(chance: &mut StdRng, event_id: &str, received_at: DateTime<Utc>) -> IndexedEvent {
    let project = PROJECTS[match chance.random_range(0..100) {
        0..60 => 0,
        60..97 => 1,
        _ => 2,
    }];
    let event_type = EventType::ALL[chance.random_range(0..EventType::ALL.len())];
    let record = json!({
        "schema_version": "1.0", "event_id": event_id, "org_id": "org",
        "occurred_at": occurred_at(chance, received_at), "received_at": received_at,
        "project_id": project, "environment": pick(chance, &ENVIRONMENTS), "event_type": event_type,
        "severity": Severity::ALL[chance.random_range(0..Severity::ALL.len())],
        "message": message(chance), "fingerprint": format!("{:064x}", chance.random_range(0..50)),
        "attributes": attributes(chance, project), "payload": {"n": chance.random_range(0..9)},
    });
    // Some clients send JSON over many lines.
    let record = if chance.random_bool(0.05) { format!("{record:#}") } else { record.to_string() };
    IndexedEvent::from(&serde_json::from_str::<Envelope<'_>>(&record).unwrap())
}

/// Mostly just before it was received; often at a whole second, so that many are of one moment; sometimes long ago.
fn occurred_at(chance: &mut StdRng, received_at: DateTime<Utc>) -> DateTime<Utc> {
    match chance.random_range(0..10) {
        0..5 => received_at - TimeDelta::milliseconds(chance.random_range(0..2_000)),
        5..8 => Utc.timestamp_opt(received_at.timestamp() / 60 * 60, 0).unwrap(),
        8 => received_at + TimeDelta::minutes(4),
        _ => received_at - TimeDelta::minutes(chance.random_range(0..100_000)),
    }
}

fn message(chance: &mut StdRng) -> String {
    match chance.random_range(0..1_000) {
        0 => return String::new(),
        1 => return "x".repeat(chance.random_range(90..120)),
        2 => return format!("{} {}", "long words ".repeat(700), "É".repeat(150)),
        3 => return "\u{202e}\u{0}\t\r\n\u{fffd} \u{10ffff}".to_owned(),
        _ => {}
    }
    let words = (0..chance.random_range(1..9)).map(|_| {
        // The smaller of two numbers is small most of the time.
        let word = chance.random_range(0..WORDS.len()).min(chance.random_range(0..WORDS.len()));
        WORDS[word]
    });
    words.collect::<Vec<_>>().join(" ")
}

fn attributes(chance: &mut StdRng, project: &str) -> Value {
    let mut all = Map::new();
    if chance.random_bool(0.8) {
        all.insert("route".into(), pick(chance, &ROUTES).into());
    }
    match chance.random_range(0..10) {
        0..5 => all.insert("error_code".into(), pick(chance, &ERROR_CODES).into()),
        5 => all.insert("error_code".into(), chance.random_range(500..504).into()),
        6 => all.insert("error_code".into(), json!({"not": "a text"})),
        7 => all.insert("error_code".into(), "L".repeat(300).into()),
        // One that only this tenant has.
        8 => all.insert("error_code".into(), format!("ONLY_{project}").into()),
        _ => None,
    };
    if chance.random_bool(0.1) {
        all.insert(format!("key{}", chance.random_range(0..500)), json!([{"deep": [1, "two", null]}]));
    }
    Value::Object(all)
}

fn pick<'a>(chance: &mut StdRng, from: &[&'a str]) -> &'a str {
    from[chance.random_range(0..from.len())]
}
