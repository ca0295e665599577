//! Which events are of the same kind: the fingerprint (DESIGN section 5).
//!
//! `hex SHA-256("v1" 0x1f error_code 0x1f route 0x1f environment)`, unique within a project. Pure and frozen: a
//! change of any template moves running incidents to new fingerprints, so it needs a new version word.

mod message;
mod opaque;

pub use message::template_message;

use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// First part of what is hashed; also `incidents.fingerprint_version`.
const VERSION: &str = "v1";
/// Stands between the parts. ASCII's own "unit separator".
const SEPARATOR: char = '\u{1f}';

/// What an event is grouped by.
#[derive(Clone, Debug, Default)]
pub struct Grouping<'a> {
    /// `attributes.error_code`; an empty one counts as none.
    pub error_code: Option<&'a str>,
    /// `attributes.route` as the client sent it; it is templated here.
    pub route: Option<&'a str>,
    /// `prod`, `dev`, ...
    pub environment: &'a str,
    /// Its template stands in the place of a missing error code.
    pub message: &'a str,
    /// `attributes.fingerprint`: replaces error code and route. An empty list counts as none.
    pub custom: Option<Vec<&'a str>>,
}

/// 64 lower-case hex digits.
pub fn fingerprint(grouping: &Grouping<'_>) -> String {
    let mut hasher = Sha256::new_with_prefix(VERSION);
    match grouping.custom.as_deref() {
        Some(parts @ [_, ..]) => parts.iter().for_each(|part| add(&mut hasher, part)),
        _ => {
            match grouping.error_code.filter(|code| !code.is_empty()) {
                Some(code) => add(&mut hasher, code),
                None => add(&mut hasher, &template_message(grouping.message)),
            }
            add(&mut hasher, &template_route(grouping.route.unwrap_or_default()));
        }
    }
    add(&mut hasher, grouping.environment);
    lower_hex(&hasher.finalize())
}

/// The fingerprint of the incident that takes in what a project's limit of new fingerprints turns away. It cannot be
/// that of an event: there the environment is the last of three parts, or follows the client's own.
pub fn overflow_fingerprint(environment: &str) -> String {
    let mut hasher = Sha256::new_with_prefix("overflow");
    add(&mut hasher, environment);
    lower_hex(&hasher.finalize())
}

/// A route with `:id` for each path segment that is a number, a UUID, a ULID or long hex; query string and
/// fragment are cut off.
pub fn template_route(route: &str) -> String {
    let end = route.find(['?', '#']).unwrap_or(route.len());
    let path = route.get(..end).unwrap_or(route);
    let mut template = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            template.push('/');
        }
        template.push_str(if opaque::is_id(segment) { ":id" } else { segment });
    }
    template
}

/// The separator and a part. A separator inside the part is replaced, so that no two lists of parts run together.
fn add(hasher: &mut Sha256, part: &str) {
    let part: Cow<'_, str> =
        if part.contains(SEPARATOR) { part.replace(SEPARATOR, "\u{fffd}").into() } else { part.into() };
    hasher.update([0x1f]);
    hasher.update(part.as_bytes());
}

/// Bytes as lower-case hex digits.
pub(crate) fn lower_hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

#[cfg(test)]
#[path = "fingerprint/tests.rs"]
mod tests;
