//! Reads the incidents of the core API, page by page, and then the ledger.

use super::VerifyConfig;
use super::ledger::Ledger;
use crate::client::endpoint;
use crate::key::KEY_HEADER;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Incidents a page.
const PAGE: &str = "100";
/// In an order that stays while events come in.
const SORT: &str = "opened_at:asc";
/// For one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Events per fingerprint.
pub type Counts = BTreeMap<String, u64>;

/// The events of all incidents of a fingerprint together, whatever their state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incidents {
    counts: Counts,
    complete_until: Option<DateTime<Utc>>,
}

impl Incidents {
    /// Events under a fingerprint; 0 if there is none.
    pub fn count(&self, fingerprint: &str) -> u64 {
        self.counts.get(fingerprint).copied().unwrap_or(0)
    }

    /// Whether every event that was received until then, by the server's clock, is counted.
    pub fn is_complete_until(&self, moment: DateTime<Utc>) -> bool {
        // The database keeps microseconds and may round either way.
        self.complete_until.is_some_and(|until| until.timestamp_micros() >= moment.timestamp_micros().saturating_sub(1))
    }

    /// Every fingerprint that has an incident.
    pub fn fingerprints(&self) -> impl Iterator<Item = &str> {
        self.counts.keys().map(String::as_str)
    }
}

/// From (incident id, fingerprint, count). An id that comes twice, because an incident moved from one page to
/// another between two requests, counts once, with the larger and therefore newer count.
impl FromIterator<(String, String, u64)> for Incidents {
    fn from_iter<T: IntoIterator<Item = (String, String, u64)>>(incidents: T) -> Self {
        let mut newest: BTreeMap<String, (String, u64)> = BTreeMap::new();
        for (id, fingerprint, count) in incidents {
            let known = newest.entry(id).or_insert((fingerprint, count));
            known.1 = known.1.max(count);
        }
        let mut counts = Counts::new();
        for (fingerprint, count) in newest.into_values() {
            let sum = counts.entry(fingerprint).or_default();
            *sum = sum.saturating_add(count);
        }
        Self { counts, complete_until: None }
    }
}

/// What one look showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Error events by fingerprint.
    pub incidents: Incidents,
    /// All events. Read after the incidents, and so no less complete.
    pub ledger: Ledger,
}

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The URL is not one of an HTTP server.
    #[error("'{0}' is not an http or https URL")]
    Url(Url),
    /// The key cannot stand in a header.
    #[error("the API key holds characters that no header may hold")]
    Key,
    /// The core API refuses, and will again.
    #[error("the core API answered {status}: {detail}")]
    Refused {
        /// 4xx, or anything else that is neither 200 nor 5xx.
        status: StatusCode,
        /// What it said.
        detail: String,
    },
    /// The core API cannot answer now.
    #[error("the core API answered {0}")]
    Unavailable(StatusCode),
    /// No answer, or one that was cut short.
    #[error("no answer came from the core API")]
    Http(#[from] reqwest::Error),
    /// Not the shape of what was asked for.
    #[error("the core API sent no {0}")]
    Shape(&'static str, #[source] serde_json::Error),
    /// The core API lists incidents but knows nothing of a ledger.
    #[error("the core API has no /v1/ledger, without which nothing is proved of events that are no errors: {0}")]
    NoLedger(String),
    /// The pages do not come to an end.
    #[error("the core API gave no way on, or the same one twice, from page to page")]
    Paging,
}

impl LookError {
    /// Whether another look cannot go better.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Url(_) | Self::Key | Self::Refused { .. } | Self::Shape(..) | Self::NoLedger(_) | Self::Paging => {
                true
            }
            Self::Http(error) => error.is_builder(),
            Self::Unavailable(_) => false,
        }
    }
}

/// The list of incidents and the ledger of one core API.
#[derive(Debug)]
pub struct CoreApi {
    http: Client,
    list: Url,
    ledger: Url,
}

#[derive(Deserialize)]
struct Page {
    incidents: Vec<Incident>,
    pagination: Pagination,
    /// Null before the first event of all.
    #[serde(default)]
    complete_until: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Incident {
    id: String,
    fingerprint: String,
    event_count: u64,
}

#[derive(Deserialize)]
struct Pagination {
    has_more: bool,
    next_cursor: Option<String>,
}

impl CoreApi {
    /// Prepares to ask; sends nothing yet.
    ///
    /// # Errors
    /// If URL or key cannot be used.
    pub fn new(config: &VerifyConfig) -> Result<Self, LookError> {
        let route = |name: &str| {
            let mut url =
                endpoint(&config.core_url, &["v1", name]).ok_or_else(|| LookError::Url(config.core_url.clone()))?;
            if let Some(project) = &config.project {
                url.query_pairs_mut().append_pair("project_id", project);
            }
            Ok::<_, LookError>(url)
        };
        let (mut list, ledger) = (route("incidents")?, route("ledger")?);
        list.query_pairs_mut().append_pair("limit", PAGE).append_pair("sort", SORT);
        let mut headers = HeaderMap::new();
        headers.insert(KEY_HEADER, config.key.header().map_err(|_| LookError::Key)?);
        let http = Client::builder().default_headers(headers).timeout(TIMEOUT).build()?;
        Ok(Self { http, list, ledger })
    }

    /// The incidents, then the ledger.
    ///
    /// # Errors
    /// See [`LookError`].
    pub async fn look(&self) -> Result<Look, LookError> {
        let incidents = self.incidents().await?;
        Ok(Look { incidents, ledger: self.ledger().await? })
    }

    /// All incidents, of every state.
    ///
    /// # Errors
    /// See [`LookError`].
    pub async fn incidents(&self) -> Result<Incidents, LookError> {
        let mut incidents = Vec::new();
        let mut cursors = BTreeSet::new();
        let mut page = self.page(self.list.clone()).await?;
        // Of the first page: those that follow are read later and are no less complete.
        let complete_until = page.complete_until;
        loop {
            incidents.extend(page.incidents.into_iter().map(|found| (found.id, found.fingerprint, found.event_count)));
            if !page.pagination.has_more {
                return Ok(Incidents { complete_until, ..incidents.into_iter().collect() });
            }
            let cursor = page.pagination.next_cursor.ok_or(LookError::Paging)?;
            let mut url = self.list.clone();
            url.query_pairs_mut().append_pair("cursor", &cursor);
            if !cursors.insert(cursor) {
                return Err(LookError::Paging);
            }
            page = self.page(url).await?;
        }
    }

    /// What became of all events.
    ///
    /// # Errors
    /// See [`LookError`].
    pub async fn ledger(&self) -> Result<Ledger, LookError> {
        self.get(self.ledger.clone(), "ledger").await.map_err(|error| match error {
            LookError::Refused { status: StatusCode::NOT_FOUND, detail } => LookError::NoLedger(detail),
            error => error,
        })
    }

    async fn page(&self, url: Url) -> Result<Page, LookError> {
        self.get(url, "list of incidents").await
    }

    async fn get<T: DeserializeOwned>(&self, url: Url, what: &'static str) -> Result<T, LookError> {
        let response = self.http.get(url).send().await?;
        let status = response.status();
        if status == StatusCode::OK {
            return serde_json::from_slice(&response.bytes().await?).map_err(|error| LookError::Shape(what, error));
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(LookError::Unavailable(status));
        }
        let detail = response.text().await.unwrap_or_default().chars().take(200).collect();
        Err(LookError::Refused { status, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incidents(list: &[(&str, &str, u64)]) -> Incidents {
        list.iter().map(|(id, fingerprint, count)| ((*id).into(), (*fingerprint).into(), *count)).collect()
    }

    #[test]
    fn both_routes_are_asked_for_the_same_project() {
        let urls = |project: Option<&str>| {
            let core_url = Url::parse("http://h:1/signals/").unwrap();
            let (key, project) = ("sk_test".into(), project.map(str::to_owned));
            let core = CoreApi::new(&VerifyConfig { core_url, key, project, timeout: TIMEOUT }).unwrap();
            (core.list.to_string(), core.ledger.to_string())
        };
        let (list, ledger) = urls(Some("p"));
        assert_eq!(list, "http://h:1/signals/v1/incidents?project_id=p&limit=100&sort=opened_at%3Aasc");
        assert_eq!(ledger, "http://h:1/signals/v1/ledger?project_id=p");
        assert_eq!(urls(None).1, "http://h:1/signals/v1/ledger");
    }

    #[test]
    fn incidents_of_a_fingerprint_are_added_up() {
        let found = incidents(&[("i1", "a", 3), ("i2", "a", 4), ("i3", "b", 1)]);
        assert_eq!((found.count("a"), found.count("b"), found.count("c")), (7, 1, 0));
        assert_eq!(found.fingerprints().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn an_incident_seen_on_two_pages_counts_once() {
        assert_eq!(incidents(&[("i1", "a", 3), ("i1", "a", 5)]).count("a"), 5);
    }
}
