//! Questions of chance.

use crate::corpus::{DAYS, ENVIRONMENTS, ERROR_CODES, PROJECTS, ROUTES, WORDS, start};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use schema::event::{EventType, Severity};
use schema::fingerprint::template_route;
use schema::search::document::keyword;
use schema::search::{Filters, Page, SearchRequest, SortKey, TextQuery};

/// Everything of one project.
pub fn all_of(project: &str) -> SearchRequest {
    SearchRequest {
        projects: vec![project.to_owned()],
        text: TextQuery::default(),
        filters: Filters::default(),
        from: None,
        to: None,
        page: Page::Offset(0),
        limit: 100,
        interval: None,
        facet_size: 0,
    }
}

/// Any question that the API can ask. `keys` are places to go on behind.
pub fn any_request(keys: Vec<SortKey>) -> impl Strategy<Value = SearchRequest> {
    let projects = subsequence([&PROJECTS[..], &["proj_nobody"]].concat(), 1..=2);
    let page = prop_oneof![
        3 => (0_usize..300).prop_map(Page::Offset),
        1 => (9_000_usize..9_900).prop_map(Page::Offset),
        3 => select(keys).prop_map(Page::After),
        1 => (time(), "[0-9a-f]{32}").prop_map(|(occurred_at, id)| Page::After(SortKey { occurred_at, id })),
    ];
    let counted = (
        option::of(select(vec![1_i64, 60, 3_600, 86_400, 604_800]).prop_map(TimeDelta::seconds)),
        select(vec![0_usize, 1, 3, 1_000]),
    );
    (projects, text(), filters(), option::of(time()), option::of(time()), page, 0_usize..=100, counted).prop_map(
        |(projects, text, filters, from, to, page, limit, (interval, facet_size))| SearchRequest {
            projects: projects.into_iter().map(str::to_owned).collect(),
            text: TextQuery::parse(&text),
            filters,
            from,
            to,
            page,
            limit,
            // A bar a second over days is more than anybody asks for.
            interval: interval.filter(|interval| *interval > TimeDelta::minutes(1)),
            facet_size,
        },
    )
}

fn time() -> impl Strategy<Value = DateTime<Utc>> {
    let within = TimeDelta::days(DAYS + 1).num_microseconds().unwrap();
    prop_oneof![
        4 => (-within / 8..within).prop_map(|micros| start() + TimeDelta::microseconds(micros)),
        // Where many events are of one moment.
        1 => (0..DAYS * 1_440).prop_map(|minute| start() + TimeDelta::minutes(minute)),
    ]
}

/// What a person types.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        6 => select(WORDS.to_vec()).prop_map(str::to_owned),
        1 => select(WORDS.to_vec()).prop_flat_map(|word| {
            let letters: Vec<char> = word.chars().collect();
            (1..=letters.len()).prop_map(move |length| format!("{}*", letters[..length].iter().collect::<String>()))
        }),
        1 => vec(select(WORDS.to_vec()), 2..4).prop_map(|words| format!("\"{}\"", words.join(" "))),
        1 => "\\PC{0,6}",
    ];
    let signed = (prop_oneof![3 => Just(""), 1 => Just("-")], word).prop_map(|(sign, word)| format!("{sign}{word}"));
    prop_oneof![2 => Just(String::new()), 5 => vec(signed, 1..3).prop_map(|words| words.join(" "))]
}

fn filters() -> impl Strategy<Value = Filters> {
    let routes: Vec<_> = ROUTES.iter().map(|route| keyword(&template_route(route))).chain(["/none".into()]).collect();
    let codes = ERROR_CODES.iter().map(|code| (*code).to_owned());
    let codes: Vec<_> = codes.chain(["500".into(), keyword(&"L".repeat(300)), "ONLY_proj_bank".into()]).collect();
    let environments: Vec<_> = ENVIRONMENTS.iter().map(|name| (*name).to_owned()).chain(["none".into()]).collect();
    let fingerprints: Vec<_> = (0..60).map(|number| format!("{number:064x}")).collect();
    (
        some(environments),
        some(EventType::ALL.to_vec()),
        some(Severity::ALL.to_vec()),
        some(routes),
        some(codes),
        some(fingerprints),
    )
        .prop_map(|(environment, event_type, severity, route, error_code, fingerprint)| Filters {
            environment,
            event_type,
            severity,
            route,
            error_code,
            fingerprint,
        })
}

/// Mostly none, else a few.
fn some<T: Clone + std::fmt::Debug + 'static>(values: Vec<T>) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![3 => Just(vec![]), 1 => vec(select(values), 1..4)]
}
