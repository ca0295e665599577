//! The part of a message that made it a hit, for a person's eye: safe HTML with the found words in `<mark>`.

use schema::search::TextQuery;
use std::ops::Range;

/// Characters of an excerpt, about.
const LENGTH: usize = 240;
/// Of them before the first found word.
const BEFORE: usize = 60;

/// None if no word is to be shown: nothing was asked for, or only what must not be there.
pub(super) fn excerpt(message: &str, text: &TextQuery) -> Option<String> {
    let places = text.places(message);
    let shown = window(message, places.first()?.start);
    let mut excerpt = String::with_capacity(LENGTH * 2);
    if shown.start > 0 {
        excerpt.push('…');
    }
    let mut done = shown.start;
    for place in places.into_iter().filter(|place| place.start < shown.end && place.end > shown.start) {
        let (start, end) = (place.start.max(done), place.end.min(shown.end));
        escape(message.get(done..start).unwrap_or_default(), &mut excerpt);
        excerpt.push_str("<mark>");
        escape(message.get(start..end).unwrap_or_default(), &mut excerpt);
        excerpt.push_str("</mark>");
        done = end;
    }
    escape(message.get(done..shown.end).unwrap_or_default(), &mut excerpt);
    if shown.end < message.len() {
        excerpt.push('…');
    }
    Some(excerpt)
}

/// The bytes around the one at `first`, whole characters only.
fn window(message: &str, first: usize) -> Range<usize> {
    let before = message.get(..first).unwrap_or_default();
    let start = before.char_indices().rev().nth(BEFORE - 1).map_or(0, |(at, _)| at);
    let behind = message.get(start..).unwrap_or_default();
    let end = behind.char_indices().nth(LENGTH).map_or(message.len(), |(at, _)| start + at);
    start..end
}

fn escape(text: &str, into: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&#39;"),
            other => into.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(message: &str, q: &str) -> Option<String> {
        excerpt(message, &TextQuery::parse(q))
    }

    #[test]
    fn found_words_are_marked_and_nothing_else_is_markup() {
        assert_eq!(
            shown("<b>DB Timeout</b> & 'more' timeouts", "timeout* more").as_deref(),
            Some("&lt;b&gt;DB <mark>Timeout</mark>&lt;/b&gt; &amp; &#39;<mark>more</mark>&#39; <mark>timeouts</mark>")
        );
        assert_eq!(shown("a timeout", ""), None);
        assert_eq!(shown("a timeout", "-slow"), None);
    }

    #[test]
    fn of_a_long_message_the_part_with_the_first_word_is_shown() {
        let message = format!("{} needle {}", "é ".repeat(2_000), "ü ".repeat(2_000));
        let excerpt = shown(&message, "needle").unwrap_or_default();
        assert!(
            excerpt.starts_with("…") && excerpt.ends_with("…") && excerpt.contains("<mark>needle</mark>"),
            "{excerpt}"
        );
        assert!(excerpt.chars().count() < LENGTH + 20);
        let word = "w".repeat(8_000);
        assert!(shown(&word, "w*").is_some_and(|excerpt| excerpt.len() < LENGTH + 30));
    }

    proptest! {
        #[test]
        fn any_message_has_a_safe_excerpt(message in r"([\PC]|[<>&a ]){0,400}", q in "[a-c*\" -]{0,12}") {
            if let Some(excerpt) = shown(&message, &q) {
                let bare = excerpt.replace("<mark>", "").replace("</mark>", "");
                prop_assert!(!bare.contains(['<', '>']), "{}", excerpt);
            }
        }
    }
}
