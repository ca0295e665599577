//! Indices, their template and their names.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};

/// The day's index of an event, by when ingest took it.
pub(super) fn index_of(prefix: &str, received_at: DateTime<Utc>) -> String {
    format!("{prefix}-{}", received_at.format("%Y.%m.%d"))
}

/// The day of one of our indices; none for any other name.
pub(super) fn day_of(prefix: &str, index: &str) -> Option<NaiveDate> {
    let day = index.strip_prefix(prefix)?.strip_prefix('-')?;
    let day = NaiveDate::parse_from_str(day, "%Y.%m.%d").ok()?;
    // Chrono also reads `2026.1.2`, which is none of ours.
    (index == format!("{prefix}-{}", day.format("%Y.%m.%d"))).then_some(day)
}

/// What every day's index is made of.
///
/// Only the fields named here are ever searched, so no client can make the mapping grow: attributes are one field for all
/// their members, and what is unknown is kept without being looked at.
pub(super) fn template(prefix: &str) -> Value {
    let keyword = json!({"type": "keyword"});
    let kept = json!({"type": "object", "enabled": false});
    json!({
        "index_patterns": [format!("{prefix}-*")],
        "priority": 100,
        "template": {
            "settings": {
                "number_of_shards": 1,
                "auto_expand_replicas": "0-1",
                // Set, so that an index that nobody searches for a while is refreshed all the same.
                "refresh_interval": "1s",
            },
            "aliases": {prefix: {}},
            "mappings": {
                "dynamic": false,
                "properties": {
                    "id": keyword, "event_id": keyword, "org_id": keyword, "project_id": keyword,
                    // Milliseconds, for the histogram and for people; the microseconds order and bound.
                    "occurred_at": {"type": "date"},
                    "occurred_us": {"type": "long"},
                    "received_at": {"type": "date"},
                    "environment": keyword, "event_type": keyword, "severity": keyword,
                    "fingerprint": keyword, "route": keyword, "error_code": keyword, "release": keyword,
                    "message": {"type": "match_only_text"},
                    "terms": {"type": "text", "analyzer": "whitespace", "norms": false},
                    "attributes": {"type": "flat_object"},
                    "large_attributes": kept,
                    "payload": kept,
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_named_after_the_day_and_nothing_else_is_taken_for_one() {
        let at: DateTime<Utc> = "2026-01-02T23:59:59.999Z".parse().unwrap();
        assert_eq!(index_of("signals-events-v1", at), "signals-events-v1-2026.01.02");
        assert_eq!(day_of("signals-events-v1", "signals-events-v1-2026.01.02"), Some(at.date_naive()));
        for other in [
            "signals-events-v1-2026.1.2",
            "signals-events-v1-2026.01.02-copy",
            "signals-events-v1",
            "other-2026.01.02",
            "signals-events-v1-2026.02.30",
        ] {
            assert_eq!(day_of("signals-events-v1", other), None, "{other}");
        }
    }
}
