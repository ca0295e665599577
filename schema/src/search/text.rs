//! What a person types -> what the index is asked for. It never fails: what makes no sense is left out.
//!
//! Words must all stand in the message, in any order. `"several words"` must stand there one after the other, `-word` and
//! `-"several words"` must not, `begin*` is the beginning of a word. A word with signs inside (`db.pool/users`) is the
//! sequence of its parts. An unclosed quote ends with the text.

use super::terms::{folded, terms};
use super::{Clause, TextQuery};
use std::ops::Range;

/// Clauses of one question; what comes after them is not looked at.
pub const MOST_CLAUSES: usize = 32;
/// Terms of one phrase; what comes after them is not looked at.
pub const MOST_PHRASE_TERMS: usize = 32;

impl TextQuery {
    /// Reads any text at all.
    pub fn parse(text: &str) -> Self {
        let mut query = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() && query.must.len() + query.must_not.len() < MOST_CLAUSES {
            let unsigned = rest.trim_start_matches('-');
            let is_refused = unsigned.len() < rest.len();
            let (clauses, behind) = piece(unsigned);
            let known = if is_refused { &mut query.must_not } else { &mut query.must };
            for clause in clauses {
                if !known.contains(&clause) {
                    known.push(clause);
                }
            }
            rest = behind.trim_start();
        }
        let refused = MOST_CLAUSES.saturating_sub(query.must.len());
        query.must.truncate(MOST_CLAUSES);
        query.must_not.truncate(refused);
        query
    }

    /// Whether every event is asked for.
    pub fn is_empty(&self) -> bool {
        self.must.is_empty() && self.must_not.is_empty()
    }

    /// The places of `message`, in bytes, that made it a hit: in order, apart from each other.
    pub fn places(&self, message: &str) -> Vec<Range<usize>> {
        let words: Vec<_> = terms(message).collect();
        let mut places = Vec::new();
        for clause in &self.must {
            match clause {
                Clause::Term(term) => {
                    places.extend(words.iter().filter(|word| word.text == *term).map(|word| word.place.clone()));
                }
                Clause::Prefix(start) => {
                    let found = words.iter().filter(|word| word.text.starts_with(start));
                    places.extend(found.map(|word| word.place.clone()));
                }
                Clause::Phrase(phrase) => {
                    let found = words
                        .windows(phrase.len().max(1))
                        .filter(|window| window.iter().map(|word| &word.text).eq(phrase.iter()));
                    places
                        .extend(found.filter_map(|window| Some(window.first()?.place.start..window.last()?.place.end)));
                }
            }
        }
        apart(places)
    }
}

/// Sorted, and those that touch each other as one.
fn apart(mut places: Vec<Range<usize>>) -> Vec<Range<usize>> {
    places.sort_unstable_by_key(|place| (place.start, place.end));
    let mut apart: Vec<Range<usize>> = Vec::with_capacity(places.len());
    for place in places {
        match apart.last_mut() {
            Some(last) if place.start <= last.end => last.end = last.end.max(place.end),
            _ => apart.push(place),
        }
    }
    apart
}

/// What the first quoted text or word says, and what stands behind it.
fn piece(text: &str) -> (Vec<Clause>, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        let (inside, behind) = quoted.split_once('"').unwrap_or((quoted, ""));
        return (sequence(inside).into_iter().collect(), behind);
    }
    let end = text.find(|letter: char| letter.is_whitespace() || letter == '"').unwrap_or(text.len());
    let (word, behind) = text.split_at_checked(end).unwrap_or((text, ""));
    (word_clauses(word), behind)
}

fn word_clauses(word: &str) -> Vec<Clause> {
    let bare = word.trim_end_matches('*');
    let is_open = bare.len() < word.len() && bare.ends_with(char::is_alphanumeric);
    if !is_open {
        return sequence(word).into_iter().collect();
    }
    let begin = bare.rfind(|letter: char| !letter.is_alphanumeric());
    // The sign before the beginning is cut off with the words before it; it may have several bytes.
    let start =
        begin.map_or(0, |at| at + bare.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8));
    let (before, beginning) = bare.split_at_checked(start).unwrap_or(("", bare));
    sequence(before).into_iter().chain([Clause::Prefix(folded(beginning))]).collect()
}

fn sequence(text: &str) -> Option<Clause> {
    let mut words: Vec<_> = terms(text).take(MOST_PHRASE_TERMS).map(|term| term.text).collect();
    match words.len() {
        0 => None,
        1 => words.pop().map(Clause::Term),
        _ => Some(Clause::Phrase(words)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::terms::TERM_CHARS;
    use super::*;
    use proptest::prelude::*;

    fn term(text: &str) -> Clause {
        Clause::Term(text.into())
    }

    fn prefix(text: &str) -> Clause {
        Clause::Prefix(text.into())
    }

    fn phrase(words: &[&str]) -> Clause {
        Clause::Phrase(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn every_way_to_ask_is_understood() {
        for (text, must, must_not) in [
            ("", vec![], vec![]),
            ("Timeout", vec![term("timeout")], vec![]),
            ("db  timeout\tdb", vec![term("db"), term("timeout")], vec![]),
            ("\"Connection refused\"", vec![phrase(&["connection", "refused"])], vec![]),
            ("\"one\" two", vec![term("one"), term("two")], vec![]),
            ("time* -slow", vec![prefix("time")], vec![term("slow")]),
            ("-\"a b\" -c* x", vec![term("x")], vec![phrase(&["a", "b"]), prefix("c")]),
            ("/api/Users", vec![phrase(&["api", "users"])], vec![]),
            ("foo-ba*", vec![term("foo"), prefix("ba")], vec![]),
            ("a.b–cÄ*", vec![phrase(&["a", "b"]), prefix("cä")], vec![]),
            ("x\"y z\"w", vec![term("x"), phrase(&["y", "z"]), term("w")], vec![]),
            ("\"never closed", vec![phrase(&["never", "closed"])], vec![]),
            ("--odd", vec![], vec![term("odd")]),
            ("a - b", vec![term("a"), term("b")], vec![]),
            ("*out", vec![term("out")], vec![]),
        ] {
            assert_eq!(TextQuery::parse(text), TextQuery { must, must_not }, "{text}");
        }
    }

    #[test]
    fn what_says_nothing_asks_for_every_event() {
        for text in ["*", "-", "\"", "\"\"", "-\"", "***", "- - -", "-*", "(.*)+$", "\u{1f600}", "\"*\""] {
            assert!(TextQuery::parse(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn places_are_whole_words_and_phrases_in_order() {
        let message = "Timeout: DB timeout after a database timed out";
        let shown = |text: &str| {
            let places = TextQuery::parse(text).places(message);
            places.into_iter().map(|place| message.get(place).unwrap()).collect::<Vec<_>>().join("|")
        };
        assert_eq!(shown("timeout"), "Timeout|timeout");
        assert_eq!(shown("\"db timeout\" timed"), "DB timeout|timed");
        assert_eq!(shown("d* \"timeout after\""), "DB|timeout after|database");
        assert_eq!(shown("-slow"), "");
        assert_eq!(shown("\"out of\""), "");
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_the_question_is_bounded(text in r#"([\PC]|["*\- ]|[a-c]{1,3}){0,400}"#) {
            let query = TextQuery::parse(&text);
            prop_assert!(query.must.len() + query.must_not.len() <= MOST_CLAUSES);
            for clause in query.must.iter().chain(&query.must_not) {
                let words = match clause {
                    Clause::Term(word) | Clause::Prefix(word) => std::slice::from_ref(word),
                    Clause::Phrase(words) => { prop_assert!(words.len() > 1); words }
                };
                prop_assert!(words.len() <= MOST_PHRASE_TERMS);
                for word in words {
                    prop_assert!(!word.is_empty() && word.chars().count() <= TERM_CHARS);
                }
            }
            let mut behind = 0;
            for place in query.places(&text) {
                prop_assert!(behind <= place.start && place.start < place.end && text.get(place.clone()).is_some());
                behind = place.end + 1;
            }
        }

        #[test]
        fn a_message_is_found_by_its_own_words(message in r"\PC{0,60}") {
            let found = TextQuery::parse(&message.replace(['-', '*', '"'], " "));
            let words: Vec<_> = terms(&message).map(|term| term.text).collect();
            for clause in &found.must {
                let is_there = match clause {
                    Clause::Term(word) => words.contains(word),
                    Clause::Phrase(phrase) => words.windows(phrase.len()).any(|window| window == phrase.as_slice()),
                    Clause::Prefix(_) => false,
                };
                prop_assert!(is_there, "{:?}", clause);
            }
        }
    }
}
