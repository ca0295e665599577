//! A question as the server's query. Pure.
//!
//! Tenancy, words, times and fingerprints are the query itself. The filters of fields that are also facets come after it
//! (`post_filter`), so that each facet can be counted under the filters of the others in the same request.

use schema::search::{Clause, Facet, Filters, Page, SearchRequest, TextQuery};
use serde_json::{Map, Value, json};

/// All facets.
pub(super) const FACETS: [Facet; 5] =
    [Facet::EventType, Facet::Severity, Facet::Environment, Facet::ErrorCode, Facet::Route];
/// Values that a shard counts of a facet: the counts are exact as long as no day has more different ones.
const VALUES_OF_A_SHARD: usize = 20_000;

/// The field of a facet, in the index and in the answer.
pub(super) fn field(facet: Facet) -> &'static str {
    match facet {
        Facet::EventType => "event_type",
        Facet::Severity => "severity",
        Facet::Environment => "environment",
        Facet::ErrorCode => "error_code",
        Facet::Route => "route",
    }
}

/// The body of a search. `timeout` is how long a shard may take, as `2s`.
pub(super) fn body(request: &SearchRequest, timeout: &str) -> Value {
    let mut body = json!({
        "query": query(request),
        "size": request.limit,
        "track_total_hits": true,
        "timeout": timeout,
        "sort": [{"occurred_us": "desc"}, {"id": "asc"}],
        "aggs": aggregations(request),
    });
    if let Some(map) = body.as_object_mut() {
        page(request, map);
        let filters = facet_filters(&request.filters, None);
        if !filters.is_empty() {
            map.insert("post_filter".to_owned(), all_of(filters));
        }
    }
    body
}

fn page(request: &SearchRequest, body: &mut Map<String, Value>) {
    match &request.page {
        Page::Offset(0) => {}
        Page::Offset(offset) => {
            body.insert("from".to_owned(), json!(offset));
        }
        Page::After(last) if request.limit > 0 => {
            body.insert("search_after".to_owned(), json!([last.occurred_at.timestamp_micros(), last.id]));
        }
        Page::After(_) => {}
    }
}

/// Nothing is scored: the newest come first.
fn query(request: &SearchRequest) -> Value {
    let mut must = vec![of_projects(&request.projects)];
    let mut times = Map::new();
    for (bound, at) in [("gte", request.from), ("lt", request.to)] {
        times.extend(at.map(|at| (bound.to_owned(), json!(at.timestamp_micros()))));
    }
    if !times.is_empty() {
        must.push(json!({"range": {"occurred_us": times}}));
    }
    if !request.filters.fingerprint.is_empty() {
        must.push(json!({"terms": {"fingerprint": request.filters.fingerprint}}));
    }
    let TextQuery { must: words, must_not } = &request.text;
    must.extend(words.iter().map(clause));
    json!({"bool": {"filter": must, "must_not": must_not.iter().map(clause).collect::<Vec<_>>()}})
}

/// No project, no event.
pub(super) fn of_projects(projects: &[String]) -> Value {
    json!({"terms": {"project_id": projects}})
}

fn clause(clause: &Clause) -> Value {
    match clause {
        Clause::Term(term) => json!({"term": {"terms": term}}),
        Clause::Prefix(prefix) => json!({"prefix": {"terms": {"value": prefix}}}),
        Clause::Phrase(terms) => {
            json!({"match_phrase": {"terms": {"query": terms.join(" "), "analyzer": "whitespace"}}})
        }
    }
}

/// The filters of the fields that are facets, but for one of them.
fn facet_filters(filters: &Filters, without: Option<Facet>) -> Vec<Value> {
    let texts = |facet: Facet| -> Vec<&str> {
        match facet {
            Facet::EventType => filters.event_type.iter().map(|kind| kind.as_str()).collect(),
            Facet::Severity => filters.severity.iter().map(|severity| severity.as_str()).collect(),
            Facet::Environment => filters.environment.iter().map(String::as_str).collect(),
            Facet::ErrorCode => filters.error_code.iter().map(String::as_str).collect(),
            Facet::Route => filters.route.iter().map(String::as_str).collect(),
        }
    };
    let others = FACETS.into_iter().filter(|facet| Some(*facet) != without);
    let asked = others.map(|facet| (field(facet), texts(facet))).filter(|(_, values)| !values.is_empty());
    asked.map(|(field, values)| json!({"terms": {field: values}})).collect()
}

fn all_of(filters: Vec<Value>) -> Value {
    json!({"bool": {"filter": filters}})
}

fn aggregations(request: &SearchRequest) -> Value {
    let mut all = Map::new();
    let mut matching = json!({
        "oldest": {"min": {"field": "occurred_us"}},
        "newest": {"max": {"field": "occurred_us"}},
    });
    if let (Some(interval), Some(map)) = (request.interval, matching.as_object_mut()) {
        let width = format!("{}ms", interval.num_milliseconds());
        let bars = json!({"field": "occurred_at", "fixed_interval": width, "min_doc_count": 1});
        map.insert("bars".to_owned(), json!({"date_histogram": bars}));
    }
    all.insert(
        "matching".to_owned(),
        json!({"filter": all_of(facet_filters(&request.filters, None)), "aggs": matching}),
    );
    for facet in FACETS.into_iter().filter(|_| request.facet_size > 0) {
        let values = json!({"terms": {
            "field": field(facet),
            "size": request.facet_size,
            "shard_size": VALUES_OF_A_SHARD.max(request.facet_size),
            "order": [{"_count": "desc"}, {"_key": "asc"}],
        }});
        let under = all_of(facet_filters(&request.filters, Some(facet)));
        all.insert(field(facet).to_owned(), json!({"filter": under, "aggs": {"values": values}}));
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::event::Severity;
    use schema::search::SortKey;

    fn request() -> SearchRequest {
        SearchRequest {
            projects: vec!["p".into()],
            text: TextQuery::default(),
            filters: Filters::default(),
            from: None,
            to: None,
            page: Page::Offset(0),
            limit: 10,
            interval: None,
            facet_size: 5,
        }
    }

    #[test]
    fn the_projects_are_part_of_the_query_itself() {
        let body = body(&request(), "2s");
        assert_eq!(body["query"]["bool"]["filter"][0], json!({"terms": {"project_id": ["p"]}}));
        assert_eq!(body.get("post_filter"), None);
    }

    #[test]
    fn a_facet_is_counted_under_the_filters_of_the_others() {
        let filters = Filters { severity: vec![Severity::Error], route: vec!["/a".into()], ..Filters::default() };
        let body = body(&SearchRequest { filters, ..request() }, "2s");
        let (severity, route) = (json!({"terms": {"severity": ["error"]}}), json!({"terms": {"route": ["/a"]}}));
        let under = |facet: &str| body["aggs"][facet]["filter"]["bool"]["filter"].clone();
        assert_eq!(under("severity"), json!([route]));
        assert_eq!(under("route"), json!([severity]));
        assert_eq!(under("environment"), json!([severity, route]));
        assert_eq!(
            (under("matching"), body["post_filter"]["bool"]["filter"].clone()),
            (json!([severity, route]), json!([severity, route]))
        );
    }

    #[test]
    fn a_page_behind_an_event_names_its_place() {
        let last = SortKey { occurred_at: "2026-11-24T05:00:00.000001Z".parse().unwrap(), id: "a".into() };
        let after = SearchRequest { page: Page::After(last), ..request() };
        assert_eq!(body(&after, "2s")["search_after"], json!([1_795_496_400_000_001_i64, "a"]));
        assert_eq!(body(&SearchRequest { limit: 0, ..after }, "2s").get("search_after"), None);
        assert_eq!(body(&SearchRequest { page: Page::Offset(7), ..request() }, "2s")["from"], 7);
    }
}
