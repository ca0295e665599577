//! What one project's events add up to, by minute. Pure.

use schema::event::EventType;
use std::collections::BTreeMap;

/// The name under which events of a type are counted in `metrics_bucket`.
pub fn metric_name(event_type: EventType) -> &'static str {
    match event_type {
        EventType::Error => "events.error",
        EventType::HttpRequest => "events.http_request",
        EventType::Signup => "events.signup",
        EventType::Deploy => "events.deploy",
        EventType::Feedback => "events.feedback",
        EventType::Custom => "events.custom",
    }
}

/// (environment, unix minute, type) of a bucket.
pub type BucketKey = (Box<str>, i64, EventType);

/// Events per bucket since the last cut.
#[derive(Clone, Debug, Default)]
pub struct ProjectState {
    pending: BTreeMap<BucketKey, i64>,
}

impl ProjectState {
    /// Adds `events` to a bucket.
    pub fn add(&mut self, key: BucketKey, events: i64) {
        let sum = self.pending.entry(key).or_insert(0);
        *sum = sum.saturating_add(events);
    }

    /// Takes what was added since the last cut.
    #[must_use]
    pub fn take_changes(&mut self) -> BTreeMap<BucketKey, i64> {
        std::mem::take(&mut self.pending)
    }
}
