//! What is said of an incident.

use serde::{Deserialize, Serialize};

/// The name that stands in the place of a model's where none was asked.
pub const DETERMINISTIC: &str = "deterministic";

/// What a model, or our own rules, have made of an incident's facts. Plain text throughout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// In a few words.
    pub title: String,
    /// Who is hit, and how.
    pub impact: String,
    /// Most likely first.
    pub likely_causes: Vec<String>,
    /// What speaks for them; each rests on facts that were sent.
    pub evidence: Vec<String>,
    /// What to do.
    pub next_steps: Vec<String>,
    /// 0 to 1.
    pub confidence: f64,
    /// Client's ids of the events that it rests on.
    pub cited_event_ids: Vec<String>,
}
