//! The right answer, found by looking at every event. It shares with the backends what a term is, and nothing else.

use chrono::{DateTime, NaiveDate, Utc};
use schema::search::{
    Bar, Clause, Facet, FacetCount, Filters, IndexedEvent, Page, SearchAnswer, SearchRequest, SortKey, terms,
};
use std::collections::{BTreeMap, HashSet};

/// What was stored.
#[derive(Default)]
pub struct Model {
    pub events: Vec<Kept>,
    known: HashSet<(NaiveDate, String)>,
}

pub struct Kept {
    pub key: SortKey,
    pub event: IndexedEvent,
    terms: Vec<String>,
}

impl Model {
    pub fn store(&mut self, events: &[IndexedEvent]) {
        for event in events {
            let id = event.id();
            if self.known.insert((event.received_at.date_naive(), id.clone())) {
                let key = SortKey { occurred_at: event.occurred_at, id };
                let terms = terms::terms(&event.message).map(|term| term.text).collect();
                self.events.push(Kept { key, event: event.clone(), terms });
            }
        }
        self.events.sort_by(|one, other| order(&one.key, &other.key));
    }

    pub fn drop_days_before(&mut self, oldest: NaiveDate) {
        self.events.retain(|kept| kept.event.received_at.date_naive() >= oldest);
    }

    pub fn answer(&self, request: &SearchRequest) -> SearchAnswer {
        let hits: Vec<&Kept> = self.events.iter().filter(|kept| matches(kept, request, None)).collect();
        let behind = hits.iter().filter(|kept| match &request.page {
            Page::Offset(_) => true,
            Page::After(key) => order(&kept.key, key).is_gt(),
        });
        let skip = match request.page {
            Page::Offset(skip) => skip,
            Page::After(_) => 0,
        };
        let page = behind.skip(skip).take(request.limit).map(|kept| (kept.key.clone(), kept.event.clone()));
        let times = || hits.iter().map(|kept| kept.key.occurred_at);
        SearchAnswer {
            hits: page.collect(),
            total: hits.len().try_into().unwrap(),
            facets: self.facets(request),
            histogram: request
                .interval
                .map_or_else(Vec::new, |interval| bars(times(), interval.num_microseconds().unwrap())),
            span: times().min().zip(times().max()),
            missing_days: vec![],
        }
    }

    fn facets(&self, request: &SearchRequest) -> BTreeMap<Facet, Vec<FacetCount>> {
        let mut facets = BTreeMap::new();
        if request.facet_size == 0 {
            return facets;
        }
        for facet in [Facet::EventType, Facet::Severity, Facet::Environment, Facet::ErrorCode, Facet::Route] {
            let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
            for kept in self.events.iter().filter(|kept| matches(kept, request, Some(facet))) {
                if let Some(value) = value(&kept.event, facet) {
                    *counts.entry(value).or_default() += 1;
                }
            }
            let mut counts: Vec<_> = counts.into_iter().collect();
            // Stable: values stay in order where counts are equal.
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            counts.truncate(request.facet_size);
            let counts = counts.into_iter().map(|(value, count)| FacetCount { value: value.to_owned(), count });
            facets.insert(facet, counts.collect());
        }
        facets
    }
}

/// Newest first, then by id.
pub fn order(one: &SortKey, other: &SortKey) -> std::cmp::Ordering {
    other.occurred_at.cmp(&one.occurred_at).then_with(|| one.id.cmp(&other.id))
}

fn value(event: &IndexedEvent, facet: Facet) -> Option<&str> {
    match facet {
        Facet::EventType => Some(event.event_type.as_str()),
        Facet::Severity => Some(event.severity.as_str()),
        Facet::Environment => Some(&event.environment),
        Facet::ErrorCode => event.error_code.as_deref(),
        Facet::Route => event.route.as_deref(),
    }
}

/// Whether everything lets the event through, the filter of `but` aside.
fn matches(kept: &Kept, request: &SearchRequest, but: Option<Facet>) -> bool {
    let event = &kept.event;
    let Filters { environment, event_type, severity, route, error_code, fingerprint } = &request.filters;
    let any = |facet, is_one: bool, is_free: bool| but == Some(facet) || is_free || is_one;
    let one_of = |values: &[String], value: &Option<String>| value.as_ref().is_some_and(|value| values.contains(value));
    request.projects.contains(&event.project_id)
        && request.from.is_none_or(|from| event.occurred_at >= from)
        && request.to.is_none_or(|to| event.occurred_at < to)
        && any(Facet::Environment, environment.contains(&event.environment), environment.is_empty())
        && any(Facet::EventType, event_type.contains(&event.event_type), event_type.is_empty())
        && any(Facet::Severity, severity.contains(&event.severity), severity.is_empty())
        && any(Facet::Route, one_of(route, &event.route), route.is_empty())
        && any(Facet::ErrorCode, one_of(error_code, &event.error_code), error_code.is_empty())
        && (fingerprint.is_empty() || fingerprint.contains(&event.fingerprint))
        && request.text.must.iter().all(|clause| says(&kept.terms, clause))
        && !request.text.must_not.iter().any(|clause| says(&kept.terms, clause))
}

fn says(terms: &[String], clause: &Clause) -> bool {
    match clause {
        Clause::Term(word) => terms.contains(word),
        Clause::Prefix(start) => terms.iter().any(|term| term.starts_with(start)),
        Clause::Phrase(words) => (0..terms.len()).any(|place| terms[place..].starts_with(words)),
    }
}

fn bars(times: impl Iterator<Item = DateTime<Utc>>, interval: i64) -> Vec<Bar> {
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    for time in times {
        let micros = time.timestamp_micros();
        *counts.entry(micros - micros.rem_euclid(interval)).or_default() += 1;
    }
    let bar = |(start, count)| Bar { start: DateTime::from_timestamp_micros(start).unwrap(), count };
    counts.into_iter().map(bar).collect()
}
