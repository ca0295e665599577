//! What a client may put into `attributes` and `payload`: JSON that every reader behind us understands alike.
//!
//! The text is kept as it was sent, so it must be sound: not too deep, no member twice, no number beyond a
//! double, no half of a surrogate pair. One pass over the text, by the same parser that the engine uses.

use super::limits::{ERROR_CODE_BYTES, FINGERPRINT_PARTS, ROUTE_BYTES};
use crate::error::FieldError;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// Members up to this number are compared one by one.
const FEW: usize = 16;

/// What the grouping needs of `attributes`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown<'a> {
    pub(super) error_code: Option<Cow<'a, str>>,
    pub(super) route: Option<Cow<'a, str>>,
    pub(super) fingerprint: Option<Vec<Cow<'a, str>>>,
}

/// A string that borrows from the text where it can.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Parses an object. A list of a struct's members in their order, which serde takes for the struct, is none.
pub(super) fn read_object<'a, T: Deserialize<'a>>(json: &'a str) -> serde_json::Result<T> {
    if !json.starts_with('{') {
        serde_json::from_str::<&RawValue>(json)?;
        return Err(serde::de::Error::custom("must be an object"));
    }
    serde_json::from_str(json)
}

/// Checks that `raw` is a sound object of at most `depth` levels; `pointer` is where it stands.
pub(super) fn check_object(raw: &RawValue, pointer: &str, depth: usize) -> Result<(), FieldError> {
    if !raw.get().starts_with('{') {
        return Err(FieldError::new(pointer, "must be an object"));
    }
    let mut fault = Fault::default();
    let node = Node { depth, fault: &mut fault };
    let outcome = node.deserialize(&mut serde_json::Deserializer::from_str(raw.get()));
    outcome.map_err(|error| fault.at(pointer, &error))
}

/// What the grouping needs of a sound object.
pub(super) fn shown(attributes: &RawValue) -> Result<Shown<'_>, Vec<FieldError>> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Raw<'a> {
        #[serde(borrow)]
        error_code: Option<&'a RawValue>,
        #[serde(borrow)]
        route: Option<&'a RawValue>,
        #[serde(borrow)]
        fingerprint: Option<&'a RawValue>,
    }
    let raw: Raw<'_> = serde_json::from_str(attributes.get())
        .map_err(|error| vec![FieldError::new("/attributes", without_place(&error))])?;
    let mut errors = Vec::new();
    let mut keep = |name: &str, detail: String| errors.push(FieldError::new(format!("/attributes/{name}"), detail));
    let mut shown = Shown::default();
    match raw.error_code.map(code).transpose() {
        Ok(code) => shown.error_code = code,
        Err(detail) => keep("error_code", detail),
    }
    match raw.route.map(|raw| text(raw).and_then(|route| at_most(route, ROUTE_BYTES))).transpose() {
        Ok(route) => shown.route = route,
        Err(detail) => keep("route", detail),
    }
    match raw.fingerprint.map(parts).transpose() {
        Ok(parts) => shown.fingerprint = parts,
        Err(detail) => keep("fingerprint", detail),
    }
    if errors.is_empty() { Ok(shown) } else { Err(errors) }
}

/// The string that `raw` is.
pub(super) fn text(raw: &RawValue) -> Result<Cow<'_, str>, String> {
    let inside = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or("must be a string")?;
    if !inside.contains('\\') {
        return Ok(Cow::Borrowed(inside));
    }
    serde_json::from_str(raw.get()).map(Cow::Owned).map_err(|_| "is not valid Unicode".into())
}

fn code(raw: &RawValue) -> Result<Cow<'_, str>, String> {
    let code = if raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        let number: serde_json::Number = serde_json::from_str(raw.get()).map_err(|error| without_place(&error))?;
        Cow::Owned(number.to_string())
    } else {
        text(raw).map_err(|detail| detail.replace("must be a string", "must be a string or a number"))?
    };
    at_most(code, ERROR_CODE_BYTES)
}

fn parts(raw: &RawValue) -> Result<Vec<Cow<'_, str>>, String> {
    let parts = if raw.get().starts_with('"') {
        vec![text(raw)?]
    } else {
        let parts: Vec<Text<'_>> =
            serde_json::from_str(raw.get()).map_err(|_| "must be a string or a list of strings")?;
        parts.into_iter().map(|Text(part)| part).collect()
    };
    if parts.len() > FINGERPRINT_PARTS {
        return Err(format!("has more than {FINGERPRINT_PARTS} parts"));
    }
    parts.into_iter().map(|part| at_most(part, ERROR_CODE_BYTES)).collect()
}

fn at_most(text: Cow<'_, str>, bytes: usize) -> Result<Cow<'_, str>, String> {
    if text.len() > bytes { Err(format!("is longer than {bytes} bytes")) } else { Ok(text) }
}

/// The parser's words without line and column, which would be those of a part of the request.
pub(super) fn without_place(error: &serde_json::Error) -> String {
    let words = error.to_string();
    words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words).to_owned()
}

/// Where something is wrong (the members on the way there, innermost first) and what.
#[derive(Default)]
struct Fault {
    way: Vec<String>,
    detail: Option<String>,
}

impl Fault {
    fn at(self, pointer: &str, error: &serde_json::Error) -> FieldError {
        let mut place = pointer.to_owned();
        for member in self.way.iter().rev() {
            place.push('/');
            place.push_str(&member.replace('~', "~0").replace('/', "~1"));
        }
        FieldError::new(place, self.detail.unwrap_or_else(|| without_place(error)))
    }

    fn raise<E: serde::de::Error>(&mut self, detail: String) -> E {
        self.detail = Some(detail);
        E::custom("")
    }
}

/// A value that may hold so many levels of objects and lists.
struct Node<'f> {
    depth: usize,
    fault: &'f mut Fault,
}

impl Node<'_> {
    fn inner<E: serde::de::Error>(&mut self) -> Result<usize, E> {
        self.depth.checked_sub(1).ok_or_else(|| self.fault.raise("is nested too deeply".into()))
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let depth = self.inner()?;
        let mut seen = Seen::default();
        while let Some(Text(member)) = map.next_key()? {
            if let Err(error) = map.next_value_seed(Node { depth, fault: self.fault }) {
                self.fault.way.push(member.into_owned());
                return Err(error);
            }
            if let Err(member) = seen.add(member) {
                self.fault.way.push(member.into_owned());
                return Err(self.fault.raise("appears twice".into()));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let depth = self.inner()?;
        for index in 0_usize.. {
            match list.next_element_seed(Node { depth, fault: self.fault }) {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => {
                    self.fault.way.push(index.to_string());
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The members of one object.
#[derive(Default)]
struct Seen<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Seen<'a> {
    /// Gives the member back if it is there already.
    fn add(&mut self, member: Cow<'a, str>) -> Result<(), Cow<'a, str>> {
        if self.few.contains(&member) || self.many.contains(&member) {
            return Err(member);
        }
        if self.few.len() < FEW {
            self.few.push(member);
        } else {
            self.many.insert(member);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
