//! Numbers, times and lists as a sentence has them. Pure.

use crate::summarizer::facts::plain_text;

/// With commas between thousands.
pub fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if number < 0 { format!("-{grouped}") } else { grouped }
}

/// `1 event`, `2 events`.
pub fn plural(count: i64, thing: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {thing}{s}", number(count))
}

/// Minutes as days, hours and minutes: the two largest that are there.
pub fn span(minutes: i64) -> String {
    let (days, hours, rest) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
    let parts = [(days, "day"), (hours, "hour"), (rest, "minute")];
    let said: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| plural(*n, unit)).take(2).collect();
    if said.is_empty() { "less than a minute".to_owned() } else { said.join(" ") }
}

/// `2026-11-24 02:57 UTC` of an RFC 3339 time in UTC.
pub fn when(time: &str) -> String {
    match (time.get(..10), time.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute} UTC"),
        _ => time.to_owned(),
    }
}

/// `02:57 UTC`.
pub fn clock(time: &str) -> String {
    time.get(11..16).map_or_else(|| time.to_owned(), |minute| format!("{minute} UTC"))
}

/// The later of two times, without its day if that is the earlier one's.
pub fn later(earlier: &str, later: &str) -> String {
    if earlier.get(..10) == later.get(..10) { clock(later) } else { when(later) }
}

/// When something began that did not begin after us: of minutes after us.
pub fn earlier(minutes_after: i64) -> String {
    match minutes_after {
        0 => "at about the same time".to_owned(),
        minutes => format!("{} earlier", span(minutes.saturating_neg())),
    }
}

/// A share as a quantity that `of the ...` can follow.
pub fn share(percent: i64) -> String {
    if percent >= 100 { "all".to_owned() } else { format!("{percent} %") }
}

/// With a capital letter, where it has one.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A sentence of its own.
pub fn sentence(text: &str) -> String {
    format!("{}.", capital(text))
}

/// At most so many characters.
pub fn excerpt(text: &str, longest: usize) -> String {
    plain_text(text, longest)
}

/// `event a`, `events a, b and c`.
pub fn list(thing: &str, items: &[String]) -> String {
    match items {
        [] => format!("no {thing}"),
        [one] => format!("{thing} {one}"),
        [most @ .., last] => format!("{thing}s {} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567, -1_000].map(number), ["0", "999", "1,000", "1,234,567", "-1,000"]);
        assert_eq!(
            [0, 1, 60, 61, 1_440, 19_672].map(span),
            ["less than a minute", "1 minute", "1 hour", "1 hour 1 minute", "1 day", "13 days 15 hours"]
        );
        assert_eq!((plural(1, "event"), plural(2, "event")), ("1 event".to_owned(), "2 events".to_owned()));
    }

    #[test]
    fn times_and_lists_read_well() {
        let (first, last) = ("2026-11-24T23:57:12Z", "2026-11-25T00:03:00Z");
        assert_eq!((when(first), clock(first)), ("2026-11-24 23:57 UTC".into(), "23:57 UTC".into()));
        assert_eq!((later(first, first), later(first, last)), ("23:57 UTC".into(), "2026-11-25 00:03 UTC".into()));
        assert_eq!(when("odd"), "odd");
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(
            [0, 1, 2, 3].map(|n| list("event", &items[..n])),
            ["no event", "event a", "events a and b", "events a, b and c"]
        );
        assert_eq!((earlier(0), earlier(-2)), ("at about the same time".into(), "2 minutes earlier".into()));
    }
}
