//! What a client may ask of all events.

use super::super::list_query::own_project;
use super::super::query::{Query, invalid};
use super::cursor::SearchCursor;
use crate::error::Problem;
use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schema::fingerprint::template_route;
use schema::search::document::{index_time, keyword};
use schema::search::{Filters, Page, SearchRequest, TextQuery};
use utoipa::IntoParams;

const KNOWN: [&str; 13] = [
    "q",
    "project_id",
    "environment",
    "event_type",
    "severity",
    "route",
    "error_code",
    "fingerprint",
    "from",
    "to",
    "limit",
    "offset",
    "cursor",
];
/// Events on a page, unless the client says otherwise.
const USUAL_LIMIT: i64 = 50;
/// Events that a page may have.
const MOST_EVENTS: i64 = 100;
/// Events that may be skipped; the cursor goes further.
const MOST_SKIPPED: i64 = 9_800;
/// Letters of the search text.
const LONGEST_TEXT: usize = 4_096;
/// Letters of a filter's value.
const LONGEST_VALUE: usize = 2_048;
/// Values of one filter.
const MOST_VALUES: usize = 50;
/// Values that a facet shows.
const FACET_SIZE: usize = 50;

/// The query parameters of `GET /v1/search/events`, as the documentation shows them.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI generator; `SearchQuery` is what the handler reads")]
pub(super) struct SearchParameters {
    /// Words that must all stand in the message, in upper or lower case; `"several words"` one after the other, `-word` not,
    /// `begin*` for the beginning of a word. No text is wrong. At most 4,096 letters; the first 32 words and phrases count.
    #[param(example = "timeout -checkout \"connection refused\" pool*")]
    q: Option<String>,
    /// Only to say it aloud: a key speaks for one project, and another one is refused with 403.
    project_id: Option<String>,
    /// Environment; repeat the parameter for several.
    #[param(example = "prod")]
    environment: Option<String>,
    /// `error`, `http_request`, `signup`, `deploy`, `feedback` or `custom`; several with commas or by repeating the parameter.
    #[param(example = "error")]
    event_type: Option<String>,
    /// `debug`, `info`, `warn`, `error` or `critical`; several with commas or by repeating the parameter.
    severity: Option<String>,
    /// Route, as its template or as one of its paths (`/users/42` is `/users/:id`); repeat the parameter for several.
    #[param(example = "/api/checkout")]
    route: Option<String>,
    /// Error code; repeat the parameter for several.
    error_code: Option<String>,
    /// An incident's fingerprint, 64 hex digits; several with commas or by repeating the parameter.
    fingerprint: Option<String>,
    /// Earliest `occurred_at`, inclusive.
    #[param(example = "2026-01-31T12:00:00Z")]
    from: Option<DateTime<Utc>>,
    /// Latest `occurred_at`, exclusive.
    to: Option<DateTime<Utc>>,
    /// Events on a page, 1 to 100; 50 if not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Events to skip; not together with `cursor`.
    #[param(minimum = 0, maximum = 9_800)]
    offset: Option<i64>,
    /// `next_cursor` of the page before, with the same words, filters and times.
    cursor: Option<String>,
}

/// A search that makes sense.
#[derive(Clone, Debug)]
pub(super) struct SearchQuery {
    /// For the index; without a histogram, and one event more than the page shows: it tells whether another page follows.
    pub(super) request: SearchRequest,
    /// The words as they were typed; a cursor is bound to them.
    pub(super) q: String,
    /// Events before the page: skipped, or on the pages before.
    pub(super) offset: i64,
    /// Events on the page, 1 to 100.
    pub(super) limit: i64,
}

impl SearchQuery {
    /// Reads the query string of a request by a key of `project_id`.
    ///
    /// # Errors
    /// `invalid_query`; 403 `other_project` if it asks for another project.
    pub(super) fn parse(raw: &str, project_id: &str) -> Result<Self, Problem> {
        let mut query = Query::parse(raw, &KNOWN)?;
        own_project(&mut query, project_id)?;
        let q = query.one("q")?.unwrap_or_default();
        if q.chars().count() > LONGEST_TEXT {
            return Err(invalid("q", format!("must have at most {LONGEST_TEXT} letters")));
        }
        let (from, to) = (time(&mut query, "from")?, time(&mut query, "to")?);
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            return Err(invalid("from", "must be earlier than `to`"));
        }
        let limit = query.number("limit", 1, MOST_EVENTS)?.unwrap_or(USUAL_LIMIT);
        let mut request = SearchRequest {
            projects: vec![project_id.to_owned()],
            text: TextQuery::parse(&q),
            filters: filters(&mut query)?,
            from,
            to,
            page: Page::Offset(0),
            limit: usize::try_from(limit.saturating_add(1)).unwrap_or_default(),
            interval: None,
            facet_size: FACET_SIZE,
        };
        let offset = place(&mut query, &mut request, &q)?;
        Ok(Self { request, q, offset, limit })
    }
}

/// Sets where the page begins, and says how many events are before it.
fn place(query: &mut Query, request: &mut SearchRequest, q: &str) -> Result<i64, Problem> {
    let skipped = query.number("offset", 0, MOST_SKIPPED)?;
    match (query.one("cursor")?, skipped) {
        (Some(_), Some(_)) => Err(invalid("offset", "give either an offset or a cursor")),
        (Some(text), None) => {
            let cursor = SearchCursor::decode(&text, request, q)?;
            request.page = Page::After(cursor.place);
            Ok(cursor.walked)
        }
        (None, skipped) => {
            let skipped = skipped.unwrap_or(0);
            request.page = Page::Offset(usize::try_from(skipped).unwrap_or_default());
            Ok(skipped)
        }
    }
}

fn filters(query: &mut Query) -> Result<Filters, Problem> {
    let filters = Filters {
        environment: values(query, "environment")?,
        event_type: query.listed("event_type")?,
        severity: query.listed("severity")?,
        route: values(query, "route")?.iter().map(|route| keyword(&template_route(route))).collect(),
        error_code: values(query, "error_code")?,
        fingerprint: query.listed("fingerprint")?,
    };
    if filters.fingerprint.len() > MOST_VALUES {
        return Err(invalid("fingerprint", format!("at most {MOST_VALUES} can be asked for")));
    }
    let is_hex = |text: &String| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !filters.fingerprint.iter().all(is_hex) {
        return Err(invalid("fingerprint", "must be 64 lower-case hex digits"));
    }
    Ok(filters)
}

/// Values of a filter, as the index keeps them.
fn values(query: &mut Query, name: &str) -> Result<Vec<String>, Problem> {
    let values = query.many(name);
    if values.len() > MOST_VALUES {
        return Err(invalid(name, format!("at most {MOST_VALUES} can be asked for")));
    }
    if values.iter().any(|value| value.chars().count() > LONGEST_VALUE) {
        return Err(invalid(name, format!("must have at most {LONGEST_VALUE} letters")));
    }
    // A route is made a template first, which can shorten it.
    Ok(values.into_iter().map(|value| if name == "route" { value } else { keyword(&value) }).collect())
}

fn time(query: &mut Query, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
    let Some(text) = query.one(name)? else { return Ok(None) };
    // A plus that was not encoded arrives as a blank.
    let time = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
    let time = time.map_err(|_| invalid(name, "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z"))?;
    Ok(Some(index_time(time.to_utc())))
}

/// The path of a search by fingerprint.
pub(super) fn path(project_id: &str, fingerprint: &str, from: DateTime<Utc>, to: Option<DateTime<Utc>>) -> String {
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut path = format!(
        "/v1/search/events?project_id={}&fingerprint={fingerprint}&from={}",
        encoded(project_id),
        encoded(&time(from))
    );
    if let Some(to) = to {
        path.push_str(&format!("&to={}", encoded(&time(to))));
    }
    path
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use schema::event::{EventType, Severity};
    use schema::search::SortKey;

    #[test]
    fn every_parameter_is_understood() {
        let fingerprint = "a1".repeat(32);
        let raw = format!(
            "q=db+%22timed%20out%22&environment=prod&environment=a,b&event_type=error,custom&severity=warn&severity=error\
             &route=/users/42%3Fx%3D1&error_code=E1&fingerprint={fingerprint}&from=2026-01-31T12:00:00.1234567Z\
             &to=2026-01-31T14:00:00+01:00&limit=7&offset=14&project_id=p"
        );
        let query = SearchQuery::parse(&raw, "p").unwrap();
        let SearchRequest { projects, text, filters, from, to, page, limit, .. } = query.request;
        assert_eq!((projects, text.must.len()), (vec!["p".to_owned()], 2));
        assert_eq!(filters.environment, ["prod", "a,b"]);
        assert_eq!(filters.event_type, [EventType::Error, EventType::Custom]);
        assert_eq!(filters.severity, [Severity::Warn, Severity::Error]);
        assert_eq!((filters.route, filters.error_code), (vec!["/users/:id".to_owned()], vec!["E1".to_owned()]));
        assert_eq!(filters.fingerprint, [fingerprint]);
        assert_eq!(from.unwrap().to_rfc3339(), "2026-01-31T12:00:00.123456+00:00");
        assert_eq!(to.unwrap().to_rfc3339(), "2026-01-31T13:00:00+00:00");
        assert_eq!((page, limit, query.offset, query.limit), (Page::Offset(14), 8, 14, 7));
    }

    #[test]
    fn a_cursor_comes_back_to_its_own_search_only() {
        let query = SearchQuery::parse("q=a&severity=warn,error", "p").unwrap();
        let place = SortKey { occurred_at: "2026-01-31T12:00:00.000001Z".parse().unwrap(), id: "0f".repeat(16) };
        let cursor = SearchCursor { place: place.clone(), walked: 50 }.encode(&query.request, &query.q);
        let back = SearchQuery::parse(&format!("severity=error&q=a&severity=warn&cursor={cursor}"), "p").unwrap();
        assert_eq!((back.request.page, back.offset), (Page::After(place), 50));
        for other in ["q=b&severity=warn,error", "q=a", "q=a&severity=warn,error&from=2026-01-31T12:00:00Z"] {
            let problem = SearchQuery::parse(&format!("{other}&cursor={cursor}"), "p").unwrap_err();
            assert_eq!((problem.code, problem.errors[0].pointer.as_str()), ("invalid_query", "/cursor"), "{other}");
        }
        assert!(SearchQuery::parse(&format!("q=a&severity=warn,error&cursor={cursor}"), "other").is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name_and_no_text_is() {
        let long = "x".repeat(4_097);
        for (raw, name) in [
            ("from=yesterday", "/from"),
            ("to=2026-13-01T00:00:00Z", "/to"),
            ("from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "/from"),
            ("severity=bad", "/severity"),
            ("event_type=error,", "/event_type"),
            ("fingerprint=abc", "/fingerprint"),
            ("limit=0", "/limit"),
            ("limit=101", "/limit"),
            ("offset=9801", "/offset"),
            ("cursor=abc", "/cursor"),
            ("offset=1&cursor=abc", "/offset"),
            ("q=a&q=b", "/q"),
            ("quary=a", "/quary"),
            (&format!("q={long}"), "/q"),
            (&format!("route={long}"), "/route"),
        ] {
            let problem = SearchQuery::parse(raw, "p").unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.errors[0].pointer.as_str()), (400, name), "{raw}");
        }
        assert_eq!(SearchQuery::parse("project_id=q", "p").unwrap_err().code, "other_project");
        for text in ["%22", "-", "*", "AND+OR+%28", "a%3Ab", "%F0%9F%92%A5", "%5B1+TO+2%5D", "~%5E%21%7C%7C"] {
            assert!(SearchQuery::parse(&format!("q={text}"), "p").is_ok(), "{text}");
        }
    }

    #[test]
    fn the_path_of_an_incident_is_a_search_of_its_own_time() {
        let from = "2026-01-31T12:00:00.5Z".parse().unwrap();
        let fingerprint = "a1".repeat(32);
        let path = path("my proj&1", &fingerprint, from, Some("2026-01-31T13:00:00Z".parse().unwrap()));
        let query = SearchQuery::parse(path.split_once('?').unwrap().1, "my proj&1").unwrap();
        assert_eq!(query.request.filters.fingerprint, [fingerprint]);
        assert_eq!(query.request.from, Some(from));
        assert!(query.request.to.is_some());
    }
}
