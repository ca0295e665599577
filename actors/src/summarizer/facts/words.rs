//! How times, numbers and texts stand in the facts.

use chrono::{DateTime, SecondsFormat, Utc};

/// RFC 3339 in UTC, whole seconds.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A number of things.
pub fn count(things: usize) -> i64 {
    i64::try_from(things).unwrap_or(i64::MAX)
}

/// At most so many characters, without control characters and those that change the direction of text. What was cut off
/// shows as an ellipsis.
pub fn text(raw: &str, longest: usize) -> String {
    let is_plain = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut letters = raw.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(is_plain);
    let mut text: String = letters.by_ref().take(longest).collect();
    if letters.next().is_some() {
        text.pop();
        text.push('…');
    }
    text
}
