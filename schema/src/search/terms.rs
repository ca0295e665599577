//! What of a text can be found: its terms. Both backends index these and nothing else, so that they agree exactly.

use std::ops::Range;

/// Characters of a term that count; the rest of a longer word is cut off, in messages and in questions alike.
pub const TERM_CHARS: usize = 100;

/// One word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// In lower case, bounded.
    pub text: String,
    /// Where the whole word stands in the text, in bytes.
    pub place: Range<usize>,
}

/// The words of a text, in order: the longest runs of letters and digits.
pub fn terms(text: &str) -> impl Iterator<Item = Term> {
    words(text).map(|place| Term { text: folded(text.get(place.clone()).unwrap_or_default()), place })
}

/// The terms of a text with a blank between each two, as the field is indexed; a term holds none.
pub fn joined(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for place in words(text) {
        if !all.is_empty() {
            all.push(' ');
        }
        all.extend(fold(text.get(place).unwrap_or_default()));
    }
    all
}

/// One word, or the beginning of one, as a term. Letters are folded one by one, so that the beginning of a word folds to the
/// beginning of its term.
pub fn folded(word: &str) -> String {
    fold(word).collect()
}

fn fold(word: &str) -> impl Iterator<Item = char> {
    word.chars().flat_map(char::to_lowercase).take(TERM_CHARS)
}

fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rest = text.char_indices();
    std::iter::from_fn(move || {
        let (start, _) = rest.by_ref().find(|(_, character)| character.is_alphanumeric())?;
        let end = rest.by_ref().find(|(_, character)| !character.is_alphanumeric());
        Some(start..end.map_or(text.len(), |(end, _)| end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(text: &str) -> Vec<String> {
        terms(text).map(|term| term.text).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        assert_eq!(
            texts("DB_TIMEOUT: 3,5 s at /api/Users?id=7"),
            ["db", "timeout", "3", "5", "s", "at", "api", "users", "id", "7"]
        );
        assert_eq!(texts("ÜBER-Straße ΣΑΣ İ"), ["über", "straße", "σασ", "i\u{307}"]);
        assert!(texts(" \n\u{1f600} -- ").is_empty());
        assert_eq!(texts("end"), ["end"]);
    }

    #[test]
    fn a_term_says_where_its_word_stands_and_a_long_one_is_cut() {
        let long = "É".repeat(TERM_CHARS + 5);
        let text = format!("a {long}!");
        let found: Vec<_> = terms(&text).collect();
        assert_eq!(text.get(found[1].place.clone()), Some(long.as_str()));
        assert_eq!(found[1].text, "é".repeat(TERM_CHARS));
    }

    proptest! {
        #[test]
        fn the_joined_terms_are_the_terms(text in any::<String>()) {
            let all = texts(&text);
            prop_assert_eq!(joined(&text), all.join(" "));
            // U+0307 comes of folding, and is no blank.
            prop_assert!(all.iter().all(|term| !term.contains(char::is_whitespace) && term.chars().count() <= TERM_CHARS));
        }

        #[test]
        fn the_beginning_of_a_word_folds_to_the_beginning_of_its_term(word in "\\w{1,200}", chars in 0_usize..200) {
            let beginning: String = word.chars().take(chars).collect();
            prop_assert!(folded(&word).starts_with(&folded(&beginning)));
        }
    }
}
