//! Figures as a person reads them.

/// With commas: 1,234,567.
pub(super) fn number(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value < 0 {
        text.push('-');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The same for a count.
pub(super) fn count(value: impl TryInto<i64>) -> String {
    number(value.try_into().unwrap_or(i64::MAX))
}

/// A span of time in its two greatest units at most: `850 ms`, `12 s`, `3 m 20 s`, `5 h 2 m`, `3 d 4 h`.
pub(super) fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// What there is, or a dash.
pub(super) fn or_dash<T>(value: Option<T>, shown: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_and_spans_have_two_units() {
        let numbers = [0, 999, 1_000, -1_234_567, i64::MIN].map(number);
        assert_eq!(numbers, ["0", "999", "1,000", "-1,234,567", "-9,223,372,036,854,775,808"]);
        assert_eq!(count(12_345_usize), "12,345");
        let spans = [0, 999, 1_500, 59_999, 200_000, 3_600_000, 90_061_000].map(span);
        assert_eq!(spans, ["0 ms", "999 ms", "1 s", "59 s", "3 m 20 s", "1 h 0 m", "1 d 1 h"]);
        assert_eq!((or_dash(Some(3), span), or_dash(None, span)), ("3 ms".to_owned(), "-".to_owned()));
    }
}
