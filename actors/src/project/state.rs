//! What one project's events add up to, by minute. Pure.

use super::messages::{BucketKey, Observation};
use schema::event::EventType;
use std::collections::BTreeMap;
use std::sync::Arc;

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

/// Events per bucket since the last cut.
#[derive(Clone, Debug, Default)]
pub struct ProjectState {
    pending: BTreeMap<BucketKey, i64>,
}

impl ProjectState {
    /// Counts one event.
    pub fn observe(&mut self, event: &Observation) {
        let key = (event.minute, event.event_type, Arc::clone(&event.environment));
        let sum = self.pending.entry(key).or_insert(0);
        *sum = sum.saturating_add(1);
    }

    /// Whether something was counted since the last cut.
    pub fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Buckets and events counted since the last cut.
    pub fn pending(&self) -> (usize, i64) {
        (self.pending.len(), self.pending.values().sum())
    }

    /// Takes what was counted since the last cut.
    #[must_use]
    pub fn take_changes(&mut self) -> Vec<(BucketKey, i64)> {
        std::mem::take(&mut self.pending).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_add_up_by_minute_type_and_environment() {
        let mut state = ProjectState::default();
        let event = |minute, event_type, environment: &str| Observation {
            index: 0,
            offset: 0,
            minute,
            event_type,
            environment: environment.into(),
        };
        for _ in 0..3 {
            state.observe(&event(1, EventType::Signup, "prod"));
        }
        state.observe(&event(2, EventType::Signup, "prod"));
        state.observe(&event(1, EventType::Error, "prod"));
        state.observe(&event(1, EventType::Signup, "dev"));
        let sums: Vec<i64> = state.take_changes().into_iter().map(|(_, events)| events).collect();
        assert_eq!(sums, [1, 1, 3, 1]);
        assert!(!state.is_dirty());
    }
}
