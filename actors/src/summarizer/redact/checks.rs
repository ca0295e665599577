//! Whether digits are a card number, and hex digits an address.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether the text is a card number: digits, perhaps in groups, of an issuer's range and length, with a right check digit.
pub(super) fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let is_written_so = text.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | '-'));
    is_written_so && is_issued(&digits) && luhn(&digits)
}

/// The check digit of ISO/IEC 7812.
fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether an issuer gives out numbers that begin so and are so long. Keeps times in nanoseconds and the like from being cards.
fn is_issued(digits: &[u32]) -> bool {
    let first = |length: usize| digits.iter().take(length).fold(0, |number, digit| number * 10 + digit);
    let length = digits.len();
    match first(1) {
        4 => matches!(length, 13 | 16 | 19),
        5 => matches!(first(2), 51..=55) && length == 16 || first(2) == 50 && (12..=19).contains(&length),
        2 => (2_221..=2_720).contains(&first(4)) && length == 16,
        3 => match first(2) {
            34 | 37 => length == 15,
            35 => (16..=19).contains(&length),
            30 | 36 | 38 | 39 => (14..=19).contains(&length),
            _ => false,
        },
        6 => matches!(first(2), 60 | 62 | 63 | 64 | 65 | 67) && (14..=19).contains(&length),
        _ => false,
    }
}

/// Whether it is an address of a machine; not this machine itself (127.0.0.1, ::1) and not "any" (0.0.0.0).
pub(super) fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok_and(|address| !address.is_loopback() && !address.is_unspecified())
}

/// The same for IPv6. `a::b` is a name in a program rather than an address: one has a digit or three groups.
pub(super) fn is_ipv6(text: &str) -> bool {
    let is_address = text.parse::<Ipv6Addr>().is_ok_and(|address| !address.is_loopback() && !address.is_unspecified());
    let groups = text.split(':').filter(|group| !group.is_empty()).count();
    is_address && (groups >= 3 || text.bytes().any(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_told_from_other_numbers() {
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "5555-5555-5555-4444",
            "378282246310005",
            "6011111111111117",
            "3530111333300000",
            "4222222222222",
            "30569309025904",
        ] {
            assert!(is_card(card), "{card}");
        }
        for other in [
            "4111111111111112",
            "1732417200000000000",
            "1234567890123456",
            "",
            "12",
            "411111111111111x",
            "9999999999999995",
        ] {
            assert!(!is_card(other), "{other}");
        }
    }

    #[test]
    fn addresses_are_told_from_other_words() {
        assert!(is_ipv4("10.1.2.3") && is_ipv4("203.0.113.9"));
        assert!(!is_ipv4("127.0.0.1") && !is_ipv4("0.0.0.0") && !is_ipv4("300.1.1.1"));
        for address in ["2001:db8::1", "fe80::1ff:fe23:4567:890a", "::ffff:10.0.0.1", "abcd:ef::ab"] {
            assert!(is_ipv6(address), "{address}");
        }
        for other in ["::1", "::", "12:34:56", "a::b", "dead::beef", "std::io"] {
            assert!(!is_ipv6(other), "{other}");
        }
    }
}
