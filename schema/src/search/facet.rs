//! The fields that hits are counted by, and filtered by, in one place for all backends.

use super::{Facet, Filters, IndexedEvent};

impl Facet {
    /// Every facet.
    pub const ALL: [Self; 5] = [Self::EventType, Self::Severity, Self::Environment, Self::ErrorCode, Self::Route];

    /// The field's name on the wire and in the index.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EventType => "event_type",
            Self::Severity => "severity",
            Self::Environment => "environment",
            Self::ErrorCode => "error_code",
            Self::Route => "route",
        }
    }
}

impl IndexedEvent {
    /// What the event has in that field; none counts nowhere.
    pub fn facet(&self, facet: Facet) -> Option<&str> {
        match facet {
            Facet::EventType => Some(self.event_type.as_str()),
            Facet::Severity => Some(self.severity.as_str()),
            Facet::Environment => Some(&self.environment),
            Facet::ErrorCode => self.error_code.as_deref(),
            Facet::Route => self.route.as_deref(),
        }
    }
}

impl Filters {
    /// The values that the field may have; empty: any, or none.
    pub fn of(&self, facet: Facet) -> Vec<&str> {
        match facet {
            Facet::EventType => self.event_type.iter().map(|value| value.as_str()).collect(),
            Facet::Severity => self.severity.iter().map(|value| value.as_str()).collect(),
            Facet::Environment => texts(&self.environment),
            Facet::ErrorCode => texts(&self.error_code),
            Facet::Route => texts(&self.route),
        }
    }
}

fn texts(values: &[String]) -> Vec<&str> {
    values.iter().map(String::as_str).collect()
}
