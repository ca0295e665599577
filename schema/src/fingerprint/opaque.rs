//! Texts that name one thing among many of its kind: they say which, not what.

/// Hex of this length or more is an id even if it is made of letters only.
const LONG_HEX: usize = 16;
/// Hex of this length or more is an id if digits and letters are mixed.
const MIXED_HEX: usize = 8;
/// A ULID is 26 digits of Crockford's base 32.
const ULID: usize = 26;

/// A number, a UUID, a ULID or long hex.
pub(super) fn is_id(text: &str) -> bool {
    is_number(text) || is_key(text)
}

/// A UUID, a ULID or long hex, with or without `0x`. Digits alone are a number however many they are: whether the next row's
/// number has sixteen digits must not make it another kind of error.
pub(super) fn is_key(text: &str) -> bool {
    !is_number(text) && (is_uuid(text) || is_ulid(text) || is_long_hex(text.strip_prefix("0x").unwrap_or(text)))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_uuid(text: &str) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    text.len() == 36
        && text.split('-').map(str::len).eq(GROUPS)
        && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

fn is_ulid(text: &str) -> bool {
    let base32 = |b: u8| b.is_ascii_alphanumeric() && !matches!(b.to_ascii_uppercase(), b'I' | b'L' | b'O' | b'U');
    text.len() == ULID && matches!(text.bytes().next(), Some(b'0'..=b'7')) && text.bytes().all(base32)
}

fn is_long_hex(text: &str) -> bool {
    if text.len() < MIXED_HEX || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return false;
    }
    let mixed = || text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().any(|b| b.is_ascii_alphabetic());
    text.len() >= LONG_HEX || mixed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_words() {
        for id in [
            "1",
            "0042",
            "550e8400-e29b-41d4-a716-446655440000",
            "550E8400-E29B-41D4-A716-446655440000",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "01arz3ndektsv4rrffq69g5fav",
            "507f1f77bcf86cd799439011",
            "a1b2c3d4",
            "0xdeadbeefdeadbeef",
            "deadbeefdeadbeef",
        ] {
            assert!(is_id(id), "{id}");
        }
        for word in ["", "v2", "users", "1a", "deadbeef", "facade", "-1", "3.14", "12a", "81ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            assert!(!is_id(word), "{word}");
        }
        assert!(!is_key("1000000000000000") && !is_key("01234567890123456789012345"), "numbers, though long");
        assert!(!is_id("550e8400-e29b-41d4-a716-44665544000"), "a group too short");
        assert!(!is_id("550e8400e-29b-41d4-a716-446655440000"), "groups of another length");
    }
}
