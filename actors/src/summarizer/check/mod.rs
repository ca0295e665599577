//! placeholder
use serde_json::{Map, Value};
pub struct Checked {
    pub summary: Option<schema::ai::Summary>,
    pub dropped: Vec<String>,
}
pub fn check(_: &Map<String, Value>, _: &Value) -> Checked {
    Checked { summary: None, dropped: vec![] }
}
