//! What the imagined application does and how it fails.

use super::scenario::{Kind, Scenario};
use super::words::{fill, one_of};
use crate::event::ClientEvent;
use chrono::{DateTime, Utc};
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IndexedRandom;
use schema::event::{EventType, Severity};
use serde_json::{Map, Value, json};

/// Releases in the order in which they are deployed.
pub(super) const RELEASES: &[&str] = &["v1.8.0", "v1.9.0", "v1.10.0"];

const ROUTES: &[(&str, &str)] = &[
    ("GET", "/api/users/{n}"),
    ("PATCH", "/api/users/{n}/settings"),
    ("GET", "/api/orders/{uuid}"),
    ("POST", "/api/orders"),
    ("POST", "/api/checkout"),
    ("GET", "/api/products/{hex}/reviews"),
    ("GET", "/api/search?q={name}&page={n}"),
    ("POST", "/api/sessions/{ulid}/refresh"),
    ("GET", "/api/reports/{n}/export"),
];
/// Most traffic is production's.
const ENVIRONMENTS: &[&str] = &["prod", "prod", "prod", "prod", "prod", "prod", "staging", "dev"];
const REGIONS: &[&str] = &["eu-west-1", "us-east-1", "ap-south-1"];
const STATUSES: &[u16] = &[200, 200, 200, 200, 200, 200, 201, 204, 304, 404];
const PLANS: &[&str] = &["free", "free", "free", "team", "business"];
const SOURCES: &[&str] = &["organic", "invite", "campaign", "referral"];
const OPINIONS: &[&str] = &[
    "The export of report {n} never arrives",
    "Checkout is so much faster now, thank you",
    "I cannot find the invoice for order {uuid}",
    "Search shows nothing for {name}",
];

/// A way to fail. `error_code` and `route` are optional as they are in real code.
struct Fault {
    error_code: Option<&'static str>,
    route: Option<&'static str>,
    message: &'static str,
    severity: Severity,
    /// 0 where no request was being served.
    status_code: u16,
    /// The client's own grouping, if it has one.
    fingerprint: &'static [&'static str],
}

const fn coded(error_code: &'static str, route: &'static str, message: &'static str, status_code: u16) -> Fault {
    let (error_code, route) = (Some(error_code), Some(route));
    Fault { error_code, route, message, severity: Severity::Error, status_code, fingerprint: &[] }
}

const fn uncoded(route: Option<&'static str>, message: &'static str, severity: Severity) -> Fault {
    Fault { error_code: None, route, message, severity, status_code: 0, fingerprint: &[] }
}

const FAULTS: &[Fault] = &[
    coded("DB_TIMEOUT", "/api/users/{n}", "query took {ms} ms, limit is 5000 ms", 500),
    coded("DB_TIMEOUT", "/api/orders/{uuid}", "query took {ms} ms, limit is 5000 ms", 500),
    coded("USER_NOT_FOUND", "/api/users/{n}", "user {n} does not exist", 404),
    coded("VALIDATION_FAILED", "/api/orders", "field '{field}' of order {uuid} is not valid", 422),
    coded("RATE_LIMITED", "/api/search?q={name}", "client {ip} asked too often", 429),
    coded("SESSION_EXPIRED", "/api/sessions/{ulid}/refresh", "session {ulid} has ended", 401),
    coded("UPSTREAM_502", "/api/products/{hex}/reviews", "reviews service answered 502 after {ms} ms", 502),
    Fault { severity: Severity::Critical, ..coded("CARD_DECLINED", "/api/checkout", "card of {email} declined", 402) },
    uncoded(Some("/api/reports/{n}/export"), "cannot write report {n}: disk quota exceeded", Severity::Error),
    uncoded(None, "connection to {ip}:5432 refused after {n} attempts", Severity::Critical),
    uncoded(None, "job {uuid} gave up after {ms} ms", Severity::Error),
    uncoded(None, "mail to {email} bounced", Severity::Warn),
    Fault {
        fingerprint: &["payments", "gateway"],
        ..coded("GATEWAY_503", "/api/checkout", "gateway {ip} is down", 503)
    },
];

/// The error of [`Scenario::SpikeErrors`].
const SPIKE: Fault = Fault {
    severity: Severity::Critical,
    ..coded("PAYMENT_TIMEOUT", "/api/checkout", "payment of order {uuid} timed out after {ms} ms", 504)
};
/// The error that the last release of [`Scenario::DeployThenSpike`] brings.
const REGRESSION: Fault =
    coded("NULL_REFERENCE", "/api/orders/{uuid}", "cannot read 'total' of null (order {uuid})", 500);

/// What an event is told about its circumstances.
pub(super) struct Moment {
    pub(super) scenario: Scenario,
    /// Deploys so far.
    pub(super) release: usize,
    pub(super) occurred_at: DateTime<Utc>,
    pub(super) event_id: String,
}

impl Moment {
    fn release(&self) -> &'static str {
        RELEASES.get(self.release).or(RELEASES.last()).copied().unwrap_or_default()
    }

    fn previous_release(&self) -> &'static str {
        self.release.checked_sub(1).and_then(|before| RELEASES.get(before)).copied().unwrap_or_default()
    }
}

/// The variable parts of an event.
struct Body {
    event_type: EventType,
    severity: Severity,
    message: String,
    attributes: Value,
    payload: Value,
}

/// An event of the kind.
pub(super) fn event(kind: Kind, moment: Moment, rng: &mut Xoshiro256PlusPlus) -> ClientEvent {
    let body = match kind {
        Kind::Request => request(rng),
        Kind::Error => failure(FAULTS.choose(rng).unwrap_or(&SPIKE), rng),
        Kind::Surge if moment.scenario == Scenario::DeployThenSpike => failure(&REGRESSION, rng),
        Kind::Surge => failure(&SPIKE, rng),
        Kind::Signup => signup(rng),
        Kind::Feedback => feedback(rng),
        Kind::Custom => custom(rng),
        Kind::Deploy => deploy(&moment),
    };
    // What the scenario is about happens where it hurts.
    let environment = match kind {
        Kind::Surge | Kind::Deploy => "prod",
        _ => one_of(ENVIRONMENTS, rng),
    };
    let mut attributes = object(body.attributes);
    attributes.entry("release").or_insert_with(|| moment.release().into());
    attributes.insert("user_id".into(), format!("user_{}", rng.random_range(1..2_000u32)).into());
    attributes.insert("region".into(), one_of(REGIONS, rng).into());
    ClientEvent {
        event_id: moment.event_id,
        event_type: body.event_type,
        severity: body.severity,
        environment: environment.to_owned(),
        message: body.message,
        occurred_at: moment.occurred_at,
        attributes,
        payload: object(body.payload),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn plain(event_type: EventType, message: String, attributes: Value) -> Body {
    Body { event_type, severity: Severity::Info, message, attributes, payload: json!({}) }
}

fn request(rng: &mut Xoshiro256PlusPlus) -> Body {
    let (method, pattern) = ROUTES.choose(rng).copied().unwrap_or(("GET", "/"));
    let route = fill(pattern, rng);
    let status_code = STATUSES.choose(rng).copied().unwrap_or(200);
    let duration_ms = rng.random_range(3..450u32);
    let message = format!("{method} {route} {status_code} in {duration_ms} ms");
    let attributes = json!({"route": route, "method": method, "status_code": status_code, "duration_ms": duration_ms});
    plain(EventType::HttpRequest, message, attributes)
}

fn failure(fault: &Fault, rng: &mut Xoshiro256PlusPlus) -> Body {
    let mut attributes = Map::new();
    if let Some(code) = fault.error_code {
        attributes.insert("error_code".into(), code.into());
    }
    if let Some(route) = fault.route {
        attributes.insert("route".into(), fill(route, rng).into());
    }
    if fault.status_code != 0 {
        attributes.insert("status_code".into(), fault.status_code.into());
    }
    if !fault.fingerprint.is_empty() {
        attributes.insert("fingerprint".into(), json!(fault.fingerprint));
    }
    let line = rng.random_range(10..400u32);
    let payload = json!({
        "trace_id": fill("{hex}", rng),
        "stack": [format!("at handle (server.js:{line}:17)"), "at run (node:internal/async:12:3)"],
    });
    Body {
        event_type: EventType::Error,
        severity: fault.severity,
        message: fill(fault.message, rng),
        attributes: attributes.into(),
        payload,
    }
}

fn signup(rng: &mut Xoshiro256PlusPlus) -> Body {
    let attributes = json!({"plan": one_of(PLANS, rng), "source": one_of(SOURCES, rng)});
    plain(EventType::Signup, fill("{email} signed up", rng), attributes)
}

fn feedback(rng: &mut Xoshiro256PlusPlus) -> Body {
    let attributes = json!({"rating": rng.random_range(1..=5u8), "channel": "in_app"});
    plain(EventType::Feedback, fill(one_of(OPINIONS, rng), rng), attributes)
}

fn custom(rng: &mut Xoshiro256PlusPlus) -> Body {
    let cents = rng.random_range(500..50_000u32);
    plain(EventType::Custom, fill("cart {uuid} left behind", rng), json!({"name": "cart_abandoned", "cents": cents}))
}

fn deploy(moment: &Moment) -> Body {
    let (release, previous) = (moment.release(), moment.previous_release());
    let attributes = json!({"release": release, "previous_release": previous, "service": "shop"});
    plain(EventType::Deploy, format!("deployed {release}"), attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn every_hole_of_the_catalogue_is_known() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let faults = FAULTS.iter().chain([&SPIKE, &REGRESSION]).flat_map(|fault| [fault.route, Some(fault.message)]);
        let patterns = ROUTES.iter().map(|(_, route)| *route).chain(OPINIONS.iter().copied());
        for pattern in patterns.chain(faults.flatten()) {
            assert!(!fill(pattern, &mut rng).contains('{'), "{pattern}");
        }
    }

    #[test]
    fn a_fault_always_falls_into_the_same_group() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(9);
        for fault in FAULTS.iter().chain([&SPIKE, &REGRESSION]) {
            let fingerprints: std::collections::BTreeSet<_> = (0..200)
                .map(|n| {
                    let body = failure(fault, &mut rng);
                    let event = ClientEvent {
                        event_id: format!("{n}"),
                        event_type: body.event_type,
                        severity: body.severity,
                        environment: "prod".into(),
                        message: body.message,
                        occurred_at: DateTime::UNIX_EPOCH,
                        attributes: object(body.attributes),
                        payload: Map::new(),
                    };
                    event.group().expect("an error has a group").fingerprint
                })
                .collect();
            assert_eq!(fingerprints.len(), 1, "{}", fault.message);
        }
    }
}
