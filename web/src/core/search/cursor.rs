//! Where the next page of a search begins, bound to the question that it was made for. Like the other cursors it is not
//! signed: whatever it says, the search names the project of the key.

use super::super::cursor::{fold, open, seal};
use super::super::query::invalid;
use crate::error::Problem;
use chrono::DateTime;
use schema::search::{Facet, SearchRequest, SortKey};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;
/// Unix microseconds of the years 0 and 10000: what every index takes.
const TIMES: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_800_000_000;
/// Events that a reader may have behind it.
const WALKED: std::ops::RangeInclusive<i64> = 0..=1_000_000_000_000;

/// Where a page begins that follows another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SearchCursor {
    /// The last event of the page before.
    pub(super) place: SortKey,
    /// Events on all pages before.
    pub(super) walked: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u8,
    search: String,
    at: i64,
    id: String,
    walked: i64,
}

impl SearchCursor {
    /// As it is given to the client.
    pub(super) fn encode(&self, request: &SearchRequest, q: &str) -> String {
        seal(&Wire {
            v: VERSION,
            search: question(request, q),
            at: self.place.occurred_at.timestamp_micros(),
            id: self.place.id.clone(),
            walked: self.walked,
        })
    }

    /// Reads what a client sends back.
    ///
    /// # Errors
    /// `invalid_query` for `cursor`: not one of ours, or one of another search.
    pub(super) fn decode(text: &str, request: &SearchRequest, q: &str) -> Result<Self, Problem> {
        let refused = || invalid("cursor", "is not a cursor of this search");
        let wire = open::<Wire>(text).filter(|wire| wire.v == VERSION).ok_or_else(refused)?;
        let is_id = wire.id.len() == 32 && wire.id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_id || !TIMES.contains(&wire.at) || !WALKED.contains(&wire.walked) {
            return Err(refused());
        }
        if wire.search != question(request, q) {
            return Err(invalid("cursor", "belongs to a search with other words, filters or times"));
        }
        let occurred_at = DateTime::from_timestamp_micros(wire.at).ok_or_else(refused)?;
        Ok(Self { place: SortKey { occurred_at, id: wire.id }, walked: wire.walked })
    }
}

/// Equal for equal questions, whatever the order of their filters.
fn question(request: &SearchRequest, q: &str) -> String {
    let times = [("from", request.from), ("to", request.to)]
        .map(|(name, time)| (name, time.map(|time| time.timestamp_micros().to_string()).unwrap_or_default()));
    let mut parts: Vec<(&str, &str)> = vec![("q", q)];
    parts.extend(times.iter().map(|(name, time)| (*name, time.as_str())));
    parts.extend(request.projects.iter().map(|project| ("project", project.as_str())));
    parts.extend(request.filters.fingerprint.iter().map(|fingerprint| ("fingerprint", fingerprint.as_str())));
    for facet in Facet::ALL {
        parts.extend(request.filters.of(facet).into_iter().map(|value| (facet.as_str(), value)));
    }
    parts.sort_unstable();
    fold(parts)
}
