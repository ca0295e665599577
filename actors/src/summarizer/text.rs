//! Characters that nobody sees.

/// The text without control characters (line ends and tabs stay) and without those that only steer how text is shown: they
/// could hide a secret from the rules, or one text behind another.
pub(super) fn visible(text: &str) -> String {
    text.chars().filter(|c| is_visible(*c)).collect()
}

fn is_visible(c: char) -> bool {
    let steers = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    matches!(c, '\n' | '\t') || !(c.is_control() || steers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_seen_stays() {
        assert_eq!(visible("a\u{202e}b\u{200b}\u{0}\u{1b}[31mc\r\n\tüe\u{301}"), "ab[31mc\n\tüe\u{301}");
    }
}
