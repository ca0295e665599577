//! The opaque cursor of a list: a place in it, bound to the list it was made for.
//!
//! It is not signed, because it grants nothing: whatever it says, the query names the project of the key.

use super::query::invalid;
use crate::error::Problem;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schema::incidents::{Filter, Place, Sort, SortField};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest cursor that is read, in bytes.
const LONGEST: usize = 512;
/// Version of the form below.
const VERSION: u8 = 1;
/// Unix microseconds of the years -4000 and 10000: what a time column surely takes.
const TIMES: std::ops::RangeInclusive<i64> = -188_395_000_000_000_000..=253_402_300_800_000_000;
/// Rows that a reader may have behind it.
const WALKED: std::ops::RangeInclusive<i64> = 0..=1_000_000_000_000;

/// Where a page begins that follows another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last row of the page before.
    pub place: Place,
    /// Rows on all pages before.
    pub walked: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u8,
    list: String,
    key: i64,
    id: String,
    walked: i64,
}

impl Cursor {
    /// As it is given to the client.
    pub fn encode(&self, project_id: &str, filter: &Filter, sort: Sort) -> String {
        let wire = Wire {
            v: VERSION,
            list: list_id(project_id, filter, sort),
            key: self.place.key,
            id: self.place.id.clone(),
            walked: self.walked,
        };
        seal(&wire)
    }

    /// Reads what a client sends back.
    ///
    /// # Errors
    /// `invalid_query` for `cursor`: not one of ours, or one of another list.
    pub fn decode(text: &str, project_id: &str, filter: &Filter, sort: Sort) -> Result<Self, Problem> {
        let wire: Option<Wire> = open(text).filter(|wire: &Wire| wire.v == VERSION);
        let wire = wire.ok_or_else(|| invalid("cursor", "is not a cursor of this list"))?;
        let keys = match sort.field {
            SortField::LastSeen | SortField::FirstSeen => TIMES,
            SortField::EventCount => 0..=i64::MAX,
        };
        if !keys.contains(&wire.key) || !WALKED.contains(&wire.walked) || !is_incident_id(&wire.id) {
            return Err(invalid("cursor", "is not a cursor of this list"));
        }
        if wire.list != list_id(project_id, filter, sort) {
            return Err(invalid("cursor", "belongs to a list with other filters or another sort"));
        }
        Ok(Self { place: Place { key: wire.key, id: wire.id }, walked: wire.walked })
    }
}

/// A cursor's wire form as text.
pub(super) fn seal(wire: &impl Serialize) -> String {
    // A struct of strings and numbers always has a JSON form.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(wire).unwrap_or_default())
}

/// The wire form back, if the text is one.
pub(super) fn open<T: DeserializeOwned>(text: &str) -> Option<T> {
    let bytes = (text.len() <= LONGEST).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten()?;
    serde_json::from_slice(&bytes).ok()
}

/// Whether `id` has the form of an incident's id; others need not be looked up.
pub fn is_incident_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Equal for equal lists, whatever the order of their filters.
fn list_id(project_id: &str, filter: &Filter, sort: Sort) -> String {
    let mut parts: Vec<(&str, &str)> = vec![("project", project_id)];
    parts.extend(filter.statuses.iter().map(|status| ("status", status.as_str())));
    parts.extend(filter.environments.iter().map(|environment| ("environment", environment.as_str())));
    parts.extend(filter.severities.iter().map(|severity| ("severity", severity.as_str())));
    parts.extend(filter.text.as_deref().map(|text| ("q", text)));
    parts.sort_unstable();
    parts.push((sort.field.as_str(), sort.direction.as_str()));
    fold(parts)
}

/// A short name for what a cursor is bound to.
pub(super) fn fold(parts: Vec<(&str, &str)>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, value) in parts {
        // No parameter contains a NUL, so it can stand between them.
        hasher.update(name.as_bytes()).update(&[0]).update(value.as_bytes()).update(&[0]);
    }
    hasher.finalize().to_hex().chars().take(12).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use schema::event::Severity;
    use schema::incidents::Direction;

    const BY_COUNT: Sort = Sort { field: SortField::EventCount, direction: Direction::Descending };

    fn cursor() -> Cursor {
        Cursor { place: Place { key: 7, id: "01INCIDENT".into() }, walked: 50 }
    }

    #[test]
    fn a_cursor_comes_back_whatever_the_order_of_the_filters() {
        let filter = |severities: [Severity; 2]| Filter { severities: severities.into(), ..Filter::default() };
        let text = cursor().encode("p", &filter([Severity::Warn, Severity::Error]), BY_COUNT);
        let back = Cursor::decode(&text, "p", &filter([Severity::Error, Severity::Warn]), BY_COUNT).unwrap();
        assert_eq!(back, cursor());
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let text = cursor().encode("p", &Filter::default(), BY_COUNT);
        let searched = Filter { text: Some("x".into()), ..Filter::default() };
        for (project, filter, sort) in [
            ("other", Filter::default(), BY_COUNT),
            ("p", searched, BY_COUNT),
            ("p", Filter::default(), Sort::default()),
        ] {
            assert_eq!(Cursor::decode(&text, project, &filter, sort).unwrap_err().code, "invalid_query");
        }
    }

    #[test]
    fn a_forged_cursor_never_reaches_the_database() {
        let list = list_id("p", &Filter::default(), Sort::default());
        for forged in [
            format!(r#"{{"v":1,"list":"{list}","key":9223372036854775807,"id":"A","walked":0}}"#),
            format!(r#"{{"v":1,"list":"{list}","key":-9223372036854775808,"id":"A","walked":0}}"#),
            format!(r#"{{"v":1,"list":"{list}","key":1,"id":"A\u0000","walked":0}}"#),
            format!(r#"{{"v":1,"list":"{list}","key":1,"id":"","walked":0}}"#),
            format!(r#"{{"v":1,"list":"{list}","key":1,"id":"A","walked":-1}}"#),
            format!(r#"{{"v":2,"list":"{list}","key":1,"id":"A","walked":0}}"#),
            format!(r#"{{"v":1,"list":"{list}","key":1.5,"id":"A","walked":0}}"#),
            format!(r#"{{"v":1,"list":"{list}","key":1,"id":"A","walked":0,"more":1}}"#),
            "null".to_owned(),
            String::new(),
        ] {
            let text = URL_SAFE_NO_PAD.encode(&forged);
            assert!(Cursor::decode(&text, "p", &Filter::default(), Sort::default()).is_err(), "{forged}");
        }
        assert!(Cursor::decode("%%%", "p", &Filter::default(), Sort::default()).is_err());
    }
}
