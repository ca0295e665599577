//! What every backend must do, step by step on one loaded index.

use crate::corpus::{self, PROJECTS};
use crate::model::{Model, order};
use crate::requests::{all_of, any_request};
use chrono::{NaiveDate, TimeDelta};
use proptest::test_runner::{Config, TestRunner};
use rand::SeedableRng;
use rand::rngs::StdRng;
use schema::search::{
    Filters, IndexedEvent, ItemOutcome, Page, SearchAnswer, SearchError, SearchIndex, SearchRequest, SortKey, TextQuery,
};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Events of the corpus.
const EVENTS: usize = 50_000;
/// Events of one batch.
const BATCH: usize = 1_000;
/// Random questions.
const QUESTIONS: u32 = 250;
/// No single answer may take longer, on the most loaded machine; the backends' own deadlines are shorter.
const PATIENCE: Duration = Duration::from_secs(60);

/// An index under test, and what it should hold.
pub struct Suite<'a> {
    pub index: &'a dyn SearchIndex,
    pub runtime: &'a Runtime,
    pub model: Model,
    corpus: Vec<IndexedEvent>,
}

impl<'a> Suite<'a> {
    /// All of it.
    pub fn run(index: &'a dyn SearchIndex, runtime: &'a Runtime) {
        let mut suite = Self { index, runtime, model: Model::default(), corpus: corpus::events(5, EVENTS) };
        runtime.block_on(index.prepare()).unwrap();
        suite.everything_is_stored_once();
        suite.random_questions_are_answered_exactly();
        suite.the_three_uses();
        suite.an_event_is_found_by_its_id_by_its_owner_only();
        suite.nothing_of_another_tenant_appears();
        suite.hostile_questions_end_in_time();
        suite.pages_neither_skip_nor_repeat_while_events_come_in();
        suite.old_days_go();
    }

    fn store(&mut self, events: &[IndexedEvent]) -> Vec<ItemOutcome> {
        let mut outcomes = Vec::new();
        for batch in events.chunks(BATCH) {
            outcomes.extend(self.runtime.block_on(self.index.store(batch)).unwrap());
        }
        self.runtime.block_on(self.index.refresh()).unwrap();
        self.model.store(events);
        outcomes
    }

    fn ask(&self, request: &SearchRequest) -> SearchAnswer {
        self.try_ask(request).unwrap()
    }

    fn try_ask(&self, request: &SearchRequest) -> Result<SearchAnswer, SearchError> {
        let asked = async { tokio::time::timeout(PATIENCE, self.index.search(request)).await };
        self.runtime.block_on(asked).expect("an answer within a minute")
    }

    /// None if the answer is the right one, else what is wrong with it.
    fn mistake(&self, request: &SearchRequest) -> Option<String> {
        let (answer, right) = (self.ask(request), self.model.answer(request));
        let keys = |answer: &SearchAnswer| answer.hits.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        let texts = |answer: &SearchAnswer| {
            answer.hits.iter().map(|(_, event)| serde_json::to_string(event).unwrap()).collect::<Vec<_>>()
        };
        let mut mistakes = Vec::new();
        if answer.total != right.total {
            mistakes.push(format!("total {} instead of {}", answer.total, right.total));
        }
        if keys(&answer) != keys(&right) {
            let only = |one: &SearchAnswer, other: &SearchAnswer| {
                keys(one).into_iter().filter(|key| !keys(other).contains(key)).collect::<Vec<_>>()
            };
            mistakes.push(format!("too much {:?}, missing {:?}", only(&answer, &right), only(&right, &answer)));
        } else if texts(&answer) != texts(&right) {
            mistakes.push(format!("events differ: {:?} instead of {:?}", texts(&answer), texts(&right)));
        }
        if answer.facets != right.facets {
            mistakes.push(format!("facets {:?} instead of {:?}", answer.facets, right.facets));
        }
        if answer.histogram != right.histogram || answer.span != right.span {
            mistakes.push(format!(
                "bars {:?} of {:?} instead of {:?} of {:?}",
                answer.histogram, answer.span, right.histogram, right.span
            ));
        }
        if !answer.missing_days.is_empty() {
            mistakes.push(format!("days are missing: {:?}", answer.missing_days));
        }
        (!mistakes.is_empty()).then(|| mistakes.join("\n"))
    }

    #[track_caller]
    fn agree(&self, request: &SearchRequest) {
        assert_eq!(self.mistake(request), None, "{request:#?}");
    }

    /// Also when the same batch is sent again, when an event stands in it twice, and when the batches mix days.
    fn everything_is_stored_once(&mut self) {
        let corpus = std::mem::take(&mut self.corpus);
        let outcomes = self.store(&corpus);
        assert!(outcomes.iter().all(|outcome| *outcome == ItemOutcome::Stored));
        let again: Vec<_> = corpus.iter().step_by(97).cloned().collect();
        assert!(self.store(&again).iter().all(|outcome| *outcome == ItemOutcome::AlreadyThere));
        let fresh = corpus::event(&mut StdRng::seed_from_u64(9), "twice", corpus::start());
        let outcomes = self.store(&[fresh.clone(), corpus[0].clone(), fresh]);
        assert_eq!(outcomes, [ItemOutcome::Stored, ItemOutcome::AlreadyThere, ItemOutcome::AlreadyThere]);
        assert_eq!(self.store(&[]), []);
        for project in PROJECTS {
            self.agree(&SearchRequest { facet_size: 1_000, interval: Some(TimeDelta::days(1)), ..all_of(project) });
        }
        self.corpus = corpus;
    }

    fn random_questions_are_answered_exactly(&self) {
        let keys = self.model.events.iter().step_by(111).map(|kept| kept.key.clone()).collect();
        let config = Config { cases: QUESTIONS, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
        let mut found = 0;
        let cell = std::cell::RefCell::new(&mut found);
        let run = TestRunner::new(config).run(&any_request(keys), |request| {
            if self.model.answer(&request).total > 0 {
                **cell.borrow_mut() += 1;
            }
            match self.mistake(&request) {
                None => Ok(()),
                Some(mistake) => Err(proptest::test_runner::TestCaseError::fail(mistake)),
            }
        });
        run.unwrap_or_else(|error| panic!("{error}"));
        assert!(found > QUESTIONS / 5, "only {found} questions had hits: they test nothing");
    }

    /// "All errors containing 'timeout'", "events from /api/checkout in the last hour", "error trends by route".
    fn the_three_uses(&self) {
        let errors = Filters { event_type: vec![schema::event::EventType::Error], ..Filters::default() };
        let timeouts =
            SearchRequest { text: TextQuery::parse("timeout"), filters: errors.clone(), ..all_of(PROJECTS[0]) };
        let answer = self.ask(&timeouts);
        assert!(answer.total > 100);
        for (_, event) in &answer.hits {
            assert!(event.message.to_lowercase().contains("timeout"), "{}", event.message);
        }
        self.agree(&timeouts);

        let now = corpus::start() + TimeDelta::days(3);
        let checkout = SearchRequest {
            filters: Filters { route: vec!["/api/checkout".into()], ..Filters::default() },
            from: Some(now - TimeDelta::hours(1)),
            to: Some(now),
            interval: Some(TimeDelta::minutes(1)),
            facet_size: 10,
            ..all_of(PROJECTS[0])
        };
        assert!(self.ask(&checkout).total > 0);
        self.agree(&checkout);

        let mut seen = 0;
        let by_route = SearchRequest { filters: errors, facet_size: 100, limit: 0, ..all_of(PROJECTS[0]) };
        for route in &self.ask(&by_route).facets[&schema::search::Facet::Route] {
            let mut trend = by_route.clone();
            trend.filters.route = vec![route.value.clone()];
            trend.interval = Some(TimeDelta::hours(6));
            let answer = self.ask(&trend);
            assert_eq!(answer.total, route.count, "{}", route.value);
            assert_eq!(answer.histogram.iter().map(|bar| bar.count).sum::<u64>(), route.count);
            self.agree(&trend);
            seen += 1;
        }
        assert!(seen > 3);
    }

    fn an_event_is_found_by_its_id_by_its_owner_only(&self) {
        let find =
            |project: &str, id: &str| self.runtime.block_on(self.index.event(&[project.to_owned()], id)).unwrap();
        for kept in self.model.events.iter().step_by(4_999) {
            let event = find(&kept.event.project_id, &kept.key.id).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), serde_json::to_string(&kept.event).unwrap());
            for other in PROJECTS.iter().chain(&["", "*", "proj_"]).filter(|other| **other != kept.event.project_id) {
                assert!(find(other, &kept.key.id).is_none(), "{other}");
            }
        }
        for id in ["", "*", "_all", "../x", "0", &"f".repeat(32), &"f".repeat(5_000), "é", "a b", "\"", "?pretty"] {
            assert!(find(PROJECTS[0], id).is_none(), "{id}");
        }
    }

    /// Whatever is asked for: of the small tenant nothing is seen by the others, and nothing of theirs by it.
    fn nothing_of_another_tenant_appears(&self) {
        let (mine, foreign) = (PROJECTS[2], PROJECTS[1]);
        let theirs = self.model.events.iter().find(|kept| kept.event.project_id == foreign).unwrap();
        let filters = Filters::default();
        let event = &theirs.event;
        let only_theirs = vec![format!("ONLY_{foreign}")];
        let mut attempts = vec![
            SearchRequest { text: TextQuery::parse(foreign), ..all_of(mine) },
            SearchRequest { text: TextQuery::parse(&format!("project_id:{foreign} OR *")), ..all_of(mine) },
            SearchRequest { text: TextQuery::parse(&event.message), ..all_of(mine) },
            SearchRequest { text: TextQuery::parse("-zzzz"), ..all_of(mine) },
            SearchRequest { page: Page::After(theirs.key.clone()), ..all_of(mine) },
            SearchRequest { page: Page::Offset(5), facet_size: 1_000, ..all_of(mine) },
            SearchRequest { from: Some(event.occurred_at), interval: Some(TimeDelta::hours(1)), ..all_of(mine) },
        ];
        let foreign_filters = [
            Filters { fingerprint: vec![event.fingerprint.clone()], ..filters.clone() },
            Filters { error_code: only_theirs.clone(), ..filters.clone() },
            Filters {
                environment: vec!["prod".into(), format!("prod\" OR project_id:\"{foreign}")],
                ..filters.clone()
            },
            Filters { route: vec!["*".into(), "/api/checkout".into()], ..filters.clone() },
            Filters { event_type: schema::event::EventType::ALL.to_vec(), ..filters.clone() },
            Filters { severity: schema::event::Severity::ALL.to_vec(), ..filters },
        ];
        attempts.extend(foreign_filters.into_iter().map(|filters| SearchRequest {
            filters,
            facet_size: 1_000,
            ..all_of(mine)
        }));
        for attempt in attempts {
            let answer = self.ask(&attempt);
            assert!(answer.hits.iter().all(|(_, event)| event.project_id == mine), "{attempt:?}");
            let values = answer.facets.values().flatten();
            assert!(values.into_iter().all(|count| count.value != only_theirs[0]), "{attempt:?}");
            self.agree(&attempt);
        }
        for projects in
            [vec!["proj_".to_owned()], vec!["*".to_owned()], vec!["".to_owned()], vec!["PROJ_SHOP".to_owned()]]
        {
            assert_eq!(self.ask(&SearchRequest { projects, ..all_of(mine) }).total, 0);
        }
    }

    fn hostile_questions_end_in_time(&self) {
        let letters = "abcdefghijklmnopqrstuvwxyz".chars();
        let texts = [
            "*".repeat(100_000),
            "(a+)+$".repeat(10_000),
            "\"".repeat(99_999),
            "-".repeat(100_000),
            "timeout ".repeat(100_000),
            format!("\"{}\"", "long words ".repeat(50_000)),
            letters.clone().map(|letter| format!("{letter}* ")).collect(),
            letters.map(|letter| format!("-{letter}* ")).collect(),
            "x".repeat(1_000_000),
            "\u{301}\u{202e}\u{0}\u{fffd}".repeat(10_000),
            "{\"match_all\":{}}".to_owned(),
            "message:* OR 1=1; DROP TABLE incidents --".to_owned(),
            "/.*.*.*.*.*.*x/ ~10000 AND NOT [* TO *] ^99999999999".to_owned(),
        ];
        for text in texts {
            let request = SearchRequest {
                text: TextQuery::parse(&text),
                facet_size: 1_000,
                interval: Some(TimeDelta::hours(1)),
                ..all_of(PROJECTS[0])
            };
            self.agree(&request);
        }
        let values: Vec<_> = (0..100).map(|number| format!("{number}{}", "v".repeat(250))).collect();
        let filters =
            Filters { route: values.clone(), error_code: values.clone(), environment: values, ..Filters::default() };
        self.agree(&SearchRequest { filters, facet_size: 1_000, ..all_of(PROJECTS[0]) });
    }

    /// Walks through everything while newer and older events are written at every step.
    fn pages_neither_skip_nor_repeat_while_events_come_in(&mut self) {
        let project = PROJECTS[2];
        let is_mine = |event: &IndexedEvent| event.project_id == project;
        let there: Vec<_> =
            self.model.events.iter().filter(|kept| is_mine(&kept.event)).map(|kept| kept.key.clone()).collect();
        let mut request = SearchRequest { limit: 37, ..all_of(project) };
        let mut seen: Vec<SortKey> = Vec::new();
        let mut chance = StdRng::seed_from_u64(77);
        for step in 0.. {
            let answer = self.ask(&request);
            let Some((last, _)) = answer.hits.last() else { break };
            request.page = Page::After(last.clone());
            seen.extend(answer.hits.into_iter().map(|(key, _)| key));
            let fresh: Vec<_> = (0..60)
                .map(|number| {
                    let received_at = corpus::start() + TimeDelta::seconds(step * 3_600 % 500_000);
                    let mut event = corpus::event(&mut chance, &format!("late{step}-{number}"), received_at);
                    event.project_id = project.to_owned();
                    event
                })
                .take(if step < 40 { 60 } else { 0 })
                .collect();
            self.store(&fresh);
        }
        assert!(there.len() > 500 && seen.len() >= there.len());
        for (one, other) in seen.iter().zip(&seen[1..]) {
            assert!(order(one, other).is_lt(), "{one:?} is repeated, or stands before {other:?}");
        }
        let missing: Vec<_> = there.iter().filter(|key| !seen.contains(key)).collect();
        assert!(missing.is_empty(), "skipped: {missing:?}");
    }

    fn old_days_go(&mut self) {
        let oldest = (corpus::start() + TimeDelta::days(2)).date_naive();
        let gone = self.runtime.block_on(self.index.drop_days_before(oldest)).unwrap();
        let wanted: Vec<NaiveDate> = corpus::start().date_naive().iter_days().take(2).collect();
        assert_eq!(gone, wanted);
        assert_eq!(self.runtime.block_on(self.index.drop_days_before(oldest)).unwrap(), []);
        self.model.drop_days_before(oldest);
        for project in PROJECTS {
            self.agree(&SearchRequest { facet_size: 1_000, interval: Some(TimeDelta::days(1)), ..all_of(project) });
        }
        self.runtime.block_on(self.index.ping()).unwrap();
    }
}
