//! Fills the holes of a pattern: `/api/users/{n}` becomes `/api/users/48213`.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IndexedRandom;
use std::fmt::Write;
use ulid::Ulid;

const NAMES: &[&str] = &["ada", "grace", "linus", "edsger", "barbara", "donald", "margaret", "ken"];
const FIELDS: &[&str] = &["email", "amount", "currency", "postal_code", "quantity"];

/// The pattern with something random in each `{hole}`: `n` a number, `ms` a duration, `uuid`, `ulid`, `hex`
/// (24 digits), `ip`, `email`, `name`, `field`. An unknown hole stays as it is.
pub(super) fn fill(pattern: &str, rng: &mut Xoshiro256PlusPlus) -> String {
    let mut text = String::with_capacity(pattern.len() + 32);
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let (hole, after) = after.split_once('}').unwrap_or((after, ""));
        match word(hole, rng) {
            Some(word) => text.push_str(&word),
            None => {
                // Writing to a String has no error to report.
                let _ = write!(text, "{{{hole}}}");
            }
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// One of the texts, at random.
pub(super) fn one_of<'a>(texts: &[&'a str], rng: &mut Xoshiro256PlusPlus) -> &'a str {
    texts.choose(rng).copied().unwrap_or_default()
}

fn word(hole: &str, rng: &mut Xoshiro256PlusPlus) -> Option<String> {
    Some(match hole {
        "n" => rng.random_range(1..100_000u32).to_string(),
        "ms" => rng.random_range(200..30_000u32).to_string(),
        "uuid" => uuid(rng.random()),
        "ulid" => Ulid::from_parts(rng.random_range(1_600_000_000_000..1_800_000_000_000u64), rng.random()).to_string(),
        "hex" => format!("{:024x}", rng.random::<u128>() >> 32),
        "ip" => format!("10.{}.{}.{}", rng.random::<u8>(), rng.random::<u8>(), rng.random_range(1..255u8)),
        "email" => format!("{}{}@example.com", one_of(NAMES, rng), rng.random_range(1..1_000u32)),
        "name" => one_of(NAMES, rng).to_owned(),
        "field" => one_of(FIELDS, rng).to_owned(),
        _ => return None,
    })
}

/// A version 4 UUID out of random bits.
fn uuid(bits: u128) -> String {
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let mut text = String::with_capacity(36);
    for (index, digit) in hex.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn holes_are_filled_and_the_rest_stays() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let text = fill("/a/{n}/b/{uuid}?x={hex}", &mut rng);
        assert!(text.starts_with("/a/") && text.contains("/b/") && !text.contains('{'), "{text}");
        assert_eq!(fill("plain", &mut rng), "plain");
        assert_eq!(fill("{what}", &mut rng), "{what}");
    }

    #[test]
    fn a_uuid_looks_like_one() {
        let text = uuid(u128::MAX);
        assert_eq!(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
    }
}
