//! The answer's members, whatever their types are.

use super::Notes;
use serde_json::{Map, Value};

/// Citations of one item that are looked at.
const MOST_CITES: usize = 12;

/// The answer as it was meant.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub title: String,
    pub impact: String,
    pub likely_causes: Vec<String>,
    pub evidence: Vec<Evidence>,
    pub next_steps: Vec<String>,
    /// 0 to 1.
    pub confidence: f64,
}

/// An item of evidence.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub statement: String,
    pub cites: Vec<String>,
}

impl Draft {
    /// Takes what has the right type, or can be understood as such: one text for a list of one, a confidence in percent or as text.
    pub fn read(answer: &Map<String, Value>, notes: &mut Notes) -> Self {
        Self {
            title: text(answer, "title", notes),
            impact: text(answer, "impact", notes),
            likely_causes: texts(answer, "likely_causes", notes),
            evidence: evidence(answer, notes),
            next_steps: texts(answer, "next_steps", notes),
            confidence: confidence(answer.get("confidence"), notes),
        }
    }
}

fn text(answer: &Map<String, Value>, name: &str, notes: &mut Notes) -> String {
    match answer.get(name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => {
            notes.drop(name, "", "is missing");
            String::new()
        }
        Some(other) => {
            notes.drop(name, &other.to_string(), "is not a text");
            String::new()
        }
    }
}

/// The items of a list; one that is no list is its only item.
fn items<'a>(answer: &'a Map<String, Value>, name: &str, notes: &mut Notes) -> Vec<&'a Value> {
    match answer.get(name) {
        Some(Value::Array(items)) => items.iter().collect(),
        None | Some(Value::Null) => {
            notes.drop(name, "", "is missing");
            Vec::new()
        }
        Some(only) => vec![only],
    }
}

fn texts(answer: &Map<String, Value>, name: &str, notes: &mut Notes) -> Vec<String> {
    let mut texts = Vec::new();
    for item in items(answer, name, notes) {
        match item.as_str() {
            Some(text) => texts.push(unmarked(text).to_owned()),
            None => notes.drop(name, &item.to_string(), "is not a text"),
        }
    }
    texts
}

/// A list item without the number or bullet that a model puts before it.
fn unmarked(item: &str) -> &str {
    let item = item.trim();
    let bullet = item.strip_prefix(['-', '*', '•']);
    let number = item
        .split_once(['.', ')'])
        .filter(|(number, _)| (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()));
    let rest = bullet.or_else(|| number.map(|(_, rest)| rest)).filter(|rest| rest.starts_with(' '));
    rest.map_or(item, str::trim_start)
}

fn evidence(answer: &Map<String, Value>, notes: &mut Notes) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    for item in items(answer, "evidence", notes) {
        let statement = item.as_str().or_else(|| item.get("statement").and_then(Value::as_str));
        match statement {
            Some(statement) => {
                evidence.push(Evidence { statement: unmarked(statement).to_owned(), cites: cites(item) })
            }
            None => notes.drop("evidence", &item.to_string(), "has no statement"),
        }
    }
    evidence
}

fn cites(item: &Value) -> Vec<String> {
    match item.get("cites") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(cites)) => {
            cites.iter().filter_map(Value::as_str).take(MOST_CITES).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

fn confidence(value: Option<&Value>, notes: &mut Notes) -> f64 {
    let number = match value {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().trim_end_matches('%').trim_end().parse().ok(),
        _ => None,
    };
    let Some(number) = number.filter(|number: &f64| number.is_finite()) else {
        notes.drop(
            "confidence",
            &value.map(ToString::to_string).unwrap_or_default(),
            "is not a number and counts as 0",
        );
        return 0.0;
    };
    // Some say it in percent.
    let number = if number > 1.0 && number <= 100.0 { number / 100.0 } else { number };
    number.clamp(0.0, 1.0)
}
