//! What the kept events have in common. Pure.

use super::document::{ReleaseFact, RouteFact, StatusCodeFact, TemplateFact, UserFacts};
use super::words::{count, text, time};
use schema::fingerprint::{template_message, template_route};
use schema::incidents::SampleRow;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The attributes of an event; empty if they cannot be read.
pub type Attributes = serde_json::Map<String, Value>;

/// Items told of each kind.
const TOLD: usize = 10;
/// Events named with a template.
const NAMED: usize = 3;
/// Attributes of an event that are told, and the length of one.
const ATTRIBUTES: usize = 12;
const LONGEST_ATTRIBUTE: usize = 120;
/// Attributes that come before others when there are too many.
const PREFERRED: [&str; 8] =
    ["error_code", "route", "status_code", "release", "method", "service", "region", "exception"];
/// Where clients put their release, and whom an event hit.
const RELEASES: [&str; 3] = ["release", "version", "app_version"];
const USERS: [&str; 4] = ["user_id", "user", "customer_id", "account_id"];

type Kept<'a> = [(&'a SampleRow, Attributes)];

/// The attributes as they were sent.
pub fn attributes(raw: &str) -> Attributes {
    // What no parser reads is kept for people, not for the facts.
    serde_json::from_str(raw).unwrap_or_default()
}

/// The release that an event names.
pub fn release(attributes: &Attributes) -> Option<String> {
    RELEASES.iter().find_map(|key| single(attributes.get(*key)?)).map(|release| text(&release, 100))
}

/// All releases that these events name.
pub fn known_releases(samples: &[SampleRow]) -> Vec<String> {
    let named: BTreeSet<String> = samples.iter().filter_map(|row| release(&attributes(&row.attributes))).collect();
    named.into_iter().collect()
}

/// A text, number or truth value as text; anything else is none, and so is an empty text.
fn single(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Groups of kept events by what `key` says of each, the largest first; those of one group newest first.
fn groups<'a, 'k>(
    kept: &'a Kept<'k>,
    key: impl Fn(&SampleRow, &Attributes) -> Option<String>,
) -> Vec<(String, Vec<&'a (&'k SampleRow, Attributes)>)> {
    let mut groups: BTreeMap<String, Vec<&(&SampleRow, Attributes)>> = BTreeMap::new();
    for event in kept {
        if let Some(key) = key(event.0, &event.1) {
            groups.entry(key).or_default().push(event);
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, events)| Reverse(events.len()));
    groups.truncate(TOLD);
    groups
}

fn share(part: usize, whole: usize) -> i64 {
    let (part, whole) = (count(part), count(whole));
    part.saturating_mul(100).saturating_add(whole / 2).checked_div(whole).unwrap_or(0)
}

/// Kinds of messages.
pub fn templates(kept: &Kept<'_>) -> Vec<TemplateFact> {
    let groups = groups(kept, |row, _| Some(text(&template_message(&row.message), 500)));
    groups
        .into_iter()
        .map(|(template, events)| TemplateFact {
            template,
            samples: count(events.len()),
            share_percent: share(events.len(), kept.len()),
            event_ids: events.iter().take(NAMED).map(|(row, _)| text(&row.event_id, 200)).collect(),
        })
        .collect()
}

/// Routes.
pub fn routes(kept: &Kept<'_>) -> Vec<RouteFact> {
    let route = |_: &SampleRow, attributes: &Attributes| single(attributes.get("route")?);
    groups(kept, |row, attributes| route(row, attributes).map(|route| text(&template_route(&route), 200)))
        .into_iter()
        .map(|(route, events)| RouteFact {
            route,
            samples: count(events.len()),
            share_percent: share(events.len(), kept.len()),
        })
        .collect()
}

/// Releases.
pub fn releases(kept: &Kept<'_>) -> Vec<ReleaseFact> {
    groups(kept, |_, attributes| release(attributes))
        .into_iter()
        .map(|(release, events)| ReleaseFact {
            release,
            samples: count(events.len()),
            share_percent: share(events.len(), kept.len()),
            earliest: events.iter().map(|(row, _)| row.occurred_at).min().map(time).unwrap_or_default(),
        })
        .collect()
}

/// Status codes.
pub fn status_codes(kept: &Kept<'_>) -> Vec<StatusCodeFact> {
    let code = |attributes: &Attributes| single(attributes.get("status_code").or_else(|| attributes.get("status"))?);
    groups(kept, |_, attributes| code(attributes).map(|code| text(&code, 20)))
        .into_iter()
        .map(|(status_code, events)| StatusCodeFact { status_code, samples: count(events.len()) })
        .collect()
}

/// Who was hit; none if no event tells.
pub fn users(kept: &Kept<'_>) -> Option<UserFacts> {
    let user = |attributes: &Attributes| USERS.iter().find_map(|key| single(attributes.get(*key)?));
    let users: Vec<String> = kept.iter().filter_map(|(_, attributes)| user(attributes)).collect();
    let distinct: BTreeSet<&String> = users.iter().collect();
    let facts = UserFacts { distinct_in_samples: count(distinct.len()), samples_with_user: count(users.len()) };
    (!users.is_empty()).then_some(facts)
}

/// What is told of an event's attributes.
pub fn shown(attributes: &Attributes) -> BTreeMap<String, String> {
    let rank = |key: &str| PREFERRED.iter().position(|known| *known == key).unwrap_or(PREFERRED.len());
    let mut told: Vec<(&String, String)> =
        attributes.iter().filter_map(|(key, value)| Some((key, single(value)?))).collect();
    told.sort_by(|(a, _), (b, _)| (rank(a), a).cmp(&(rank(b), b)));
    told.truncate(ATTRIBUTES);
    told.into_iter().map(|(key, value)| (text(key, 60), text(&value, LONGEST_ATTRIBUTE))).collect()
}
