//! Sentences, lengths and addresses in plain text.

use crate::summarizer::pattern::pattern;
use crate::summarizer::text::visible;
use regex::Regex;
use std::sync::LazyLock;

/// What stands where an address was.
const REMOVED: &str = "(address removed)";

/// URLs of any scheme, and hosts that a reader would take for one.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r#"(?i)\b(?:[a-z][a-z0-9+.-]*://|www\.|(?:mailto|javascript|data|tel|file|vbscript):)[^\s<>"'`\])}]+"#,
        r#"|\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+"#,
        r#"(?:com|net|org|io|dev|app|ai|co|info|biz|xyz|me|ru|cn|de|uk|fr|eu|us|tk|top|site|online|shop|link|click|example|test)"#,
        r#"\b(?:[:/][^\s<>"'`\])}]*)?"#
    ))
});

/// One line without what cannot be seen.
pub(super) fn cleaned(text: &str) -> String {
    visible(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text with the addresses replaced that are not `known`, and these.
pub(super) fn without_addresses(text: &str, known: impl Fn(&str) -> bool) -> (String, Vec<String>) {
    let mut foreign = Vec::new();
    let replaced = ADDRESS.replace_all(text, |found: &regex::Captures<'_>| {
        let whole = found.get(0).map_or("", |found| found.as_str());
        let address = whole.trim_end_matches(['.', ',', ';', ':', '!', '?']);
        if known(address) {
            return whole.to_owned();
        }
        foreign.push(address.to_owned());
        format!("{REMOVED}{}", whole.strip_prefix(address).unwrap_or_default())
    });
    (replaced.into_owned(), foreign)
}

/// The sentences of one line, with their marks.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut begin = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let ends =
            matches!(c, '.' | '!' | '?' | '。') && characters.peek().is_none_or(|(_, next)| next.is_whitespace());
        if ends {
            let end = at + c.len_utf8();
            sentences.push(text.get(begin..end).unwrap_or_default());
            begin = end;
        }
    }
    sentences.push(text.get(begin..).unwrap_or_default());
    sentences.into_iter().map(str::trim).filter(|sentence| !sentence.is_empty()).collect()
}

/// As many sentences as fit into so many characters, and the rest. A first sentence that does not fit is cut at a blank.
pub(super) fn split_at_sentence(text: &str, longest: usize) -> (&str, &str) {
    let Some((limit, _)) = text.char_indices().nth(longest) else { return (text, "") };
    let fitting = text.get(..limit).unwrap_or(text);
    let ends = fitting.char_indices().filter(|(at, c)| {
        matches!(c, '.' | '!' | '?') && text.get(at + 1..).is_some_and(|rest| rest.starts_with(char::is_whitespace))
    });
    let end = ends.max().map(|(at, _)| at + 1).or_else(|| fitting.rfind(' ')).unwrap_or(limit);
    let (fits, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (fits.trim(), rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        assert_eq!(
            sentences("v2.4.1 broke it. Was it slow? Yes!  end"),
            ["v2.4.1 broke it.", "Was it slow?", "Yes!", "end"]
        );
        assert!(sentences(" ").is_empty());
    }

    #[test]
    fn long_texts_lose_whole_sentences_if_they_can() {
        assert_eq!(split_at_sentence("One. Two is long.", 10), ("One.", "Two is long."));
        assert_eq!(split_at_sentence("no end in sight", 9), ("no end", "in sight"));
        assert_eq!(split_at_sentence("üüüüü", 3), ("üüü", "üü"));
        assert_eq!(split_at_sentence("short", 5), ("short", ""));
    }

    #[test]
    fn addresses_go_unless_they_are_known() {
        let known = |address: &str| address == "https://status.example/a";
        let table = [
            ("see https://evil.example/x?y=1.", "see (address removed).", 1),
            ("see https://status.example/a, ok", "see https://status.example/a, ok", 0),
            ("[fix](http://evil.example)", "[fix]((address removed))", 1),
            ("run javascript:alert(1) or www.evil.ru/a", "run (address removed)) or (address removed)", 2),
            ("pay at evil-pay.com/now", "pay at (address removed)", 1),
            ("std::io, node.js, app.py, e.g. this, 10:30, a/b", "std::io, node.js, app.py, e.g. this, 10:30, a/b", 0),
        ];
        for (text, expected, foreign) in table {
            let (without, removed) = without_addresses(text, known);
            assert_eq!((without.as_str(), removed.len()), (expected, foreign), "{text}");
        }
    }
}
