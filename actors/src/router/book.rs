//! What bounds a project: new fingerprints in a window of received time, and environments counted by name. Pure.
//!
//! A project that invents routes or environments without end must fill neither our memory nor the tables. Decisions
//! are made record by record in log order and their sums are durable, so a new owner decides alike (G9).

use chrono::{DateTime, TimeDelta, Utc};
use hashbrown::{HashMap, HashSet};
use schema::snapshot::ProjectLimits;
use slab::Slab;
use std::sync::Arc;

/// The environment under which those beyond the bound are counted.
pub const OTHER: &str = "other";

/// Bounds of one project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookPolicy {
    /// Fingerprints that it may open...
    pub newcomers: i64,
    /// ...in one window of this length, received time.
    pub window: TimeDelta,
    /// Environments that are counted by their own names.
    pub environments: usize,
}

impl Default for BookPolicy {
    fn default() -> Self {
        Self { newcomers: 1_000, window: TimeDelta::hours(1), environments: 100 }
    }
}

#[derive(Debug)]
struct Page {
    window: i64,
    newcomers: i64,
    environments: HashSet<Arc<str>>,
    is_dirty: bool,
    /// Where the project's actor was last seen; it may have moved.
    home: Option<usize>,
}

/// An open page, until pages make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageNumber(usize);

/// A page for each project that is at work.
#[derive(Debug)]
pub struct Book {
    policy: BookPolicy,
    other: Arc<str>,
    numbers: HashMap<Box<str>, PageNumber>,
    pages: Slab<Page>,
    dirty: Vec<Box<str>>,
}

impl Book {
    /// Without a page.
    pub fn new(policy: BookPolicy) -> Self {
        Self { policy, other: OTHER.into(), numbers: HashMap::new(), pages: Slab::new(), dirty: Vec::new() }
    }

    /// Opens a project's page with what an earlier owner wrote, if it wrote anything.
    pub fn open(&mut self, project: &str, limits: Option<&ProjectLimits>) {
        let page = Page {
            window: limits.map_or(i64::MIN, |limits| self.window(limits.window_start)),
            newcomers: limits.map_or(0, |limits| limits.newcomers),
            environments: limits
                .iter()
                .flat_map(|limits| &limits.environments)
                .map(|name| name.as_str().into())
                .collect(),
            is_dirty: false,
            home: None,
        };
        match self.numbers.get(project).and_then(|number| self.pages.get_mut(number.0)) {
            Some(open) => *open = page,
            None => {
                self.numbers.insert(project.into(), PageNumber(self.pages.insert(page)));
            }
        }
    }

    /// Whether the project's page is open.
    pub fn knows(&self, project: &str) -> bool {
        self.numbers.contains_key(project)
    }

    /// The project's page and the name under which an environment is counted, from now on. None if the page is not open.
    pub fn admit_environment(&mut self, project: &str, name: &str) -> Option<(PageNumber, Arc<str>)> {
        let number = *self.numbers.get(project)?;
        let page = self.pages.get_mut(number.0)?;
        if let Some(known) = page.environments.get(name) {
            return Some((number, Arc::clone(known)));
        }
        if page.environments.len() >= self.policy.environments {
            return Some((number, Arc::clone(&self.other)));
        }
        let fresh: Arc<str> = name.into();
        page.environments.insert(Arc::clone(&fresh));
        if !std::mem::replace(&mut page.is_dirty, true) {
            self.dirty.push(project.into());
        }
        Some((number, fresh))
    }

    /// Where the actor of a page's project was last seen.
    pub fn home(&mut self, number: PageNumber) -> Option<&mut Option<usize>> {
        self.pages.get_mut(number.0).map(|page| &mut page.home)
    }

    fn page(&self, project: &str) -> Option<&Page> {
        self.numbers.get(project).and_then(|number| self.pages.get(number.0))
    }

    fn page_mut(&mut self, project: &str) -> Option<&mut Page> {
        self.numbers.get(project).and_then(|number| self.pages.get_mut(number.0))
    }

    /// The name under which an environment that was admitted or not is counted.
    pub fn environment(&self, project: &str, name: &str) -> Arc<str> {
        let known = self.page(project).and_then(|page| page.environments.get(name));
        Arc::clone(known.unwrap_or(&self.other))
    }

    /// Whether the project may open one more fingerprint with a record received then; if so, it is counted.
    #[must_use]
    pub fn admits_newcomer(&mut self, project: &str, received_at: DateTime<Utc>) -> bool {
        let (window, most) = (self.window(received_at), self.policy.newcomers);
        let Some(page) = self.page_mut(project) else { return true };
        if window > page.window {
            (page.window, page.newcomers) = (window, 0);
        }
        if page.newcomers >= most {
            return false;
        }
        page.newcomers += 1;
        if !std::mem::replace(&mut page.is_dirty, true) {
            self.dirty.push(project.into());
        }
        true
    }

    fn window(&self, at: DateTime<Utc>) -> i64 {
        at.timestamp_millis().div_euclid(self.policy.window.num_milliseconds().max(1))
    }

    /// Takes the bounds that moved since the last cut.
    #[must_use]
    pub fn take_changes(&mut self) -> Vec<ProjectLimits> {
        let length = self.policy.window.num_milliseconds().max(1);
        let changes = std::mem::take(&mut self.dirty).into_iter().filter_map(|project| {
            let page = self.page_mut(&project)?;
            page.is_dirty = false;
            Some(ProjectLimits {
                project_id: project.into(),
                window_start: DateTime::from_timestamp_millis(page.window.saturating_mul(length)).unwrap_or_default(),
                newcomers: page.newcomers,
                environments: page.environments.iter().map(|name| name.to_string()).collect(),
            })
        });
        changes.collect()
    }

    /// Closes pages until at most `most` are open, but none that `stays` or that holds what is not durable.
    pub fn make_room(&mut self, most: usize, stays: impl Fn(&str) -> bool) {
        if self.pages.len() > most {
            let Self { numbers, pages, .. } = self;
            numbers.retain(|project, number| {
                let is_kept = pages.get(number.0).is_some_and(|page| page.is_dirty) || stays(project);
                if !is_kept {
                    pages.try_remove(number.0);
                }
                is_kept
            });
        }
    }

    /// Open pages.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use proptest::prelude::*;

    const POLICY: BookPolicy = BookPolicy { newcomers: 3, window: TimeDelta::seconds(10), environments: 2 };

    fn at(second: i64) -> DateTime<Utc> {
        Utc.timestamp_opt(1_790_000_000 + second, 0).unwrap()
    }

    fn book() -> Book {
        let mut book = Book::new(POLICY);
        book.open("p", None);
        book.open("q", None);
        book
    }

    #[test]
    fn newcomers_are_bounded_by_project_and_window() {
        let mut book = book();
        assert_eq!([0, 1, 2, 3].map(|n| book.admits_newcomer("p", at(n))), [true, true, true, false]);
        assert!(book.admits_newcomer("q", at(3)), "another project has its own");
        assert!(book.admits_newcomer("p", at(10)), "another window too");
        assert_eq!([9, 8, 7].map(|n| book.admits_newcomer("p", at(n))), [true, true, false], "the past counts as now");
    }

    #[test]
    fn environments_beyond_the_bound_are_other_and_stay_so() {
        let mut book = book();
        let names = ["a", "b", "c", "a", "c"].map(|name| book.admit_environment("p", name).unwrap().1.to_string());
        assert_eq!(names, ["a", "b", "other", "a", "other"]);
        assert_eq!(&*book.environment("p", "c"), "other");
        assert_eq!(&*book.environment("p", "b"), "b");
        assert_eq!(book.admit_environment("unknown", "a"), None);
    }

    #[test]
    fn pages_make_room_once_they_are_durable() {
        let mut book = book();
        assert!(book.admits_newcomer("p", at(0)));
        book.make_room(0, |_| false);
        assert!(book.knows("p") && !book.knows("q"));
        assert_eq!(book.take_changes().len(), 1);
        book.make_room(0, |_| false);
        assert!(book.is_empty());
        book.open("r", None);
        assert!(book.knows("r") && !book.knows("p"), "its page may have the number of one that was closed");
    }

    proptest! {
        #[test]
        fn g9_a_new_owner_decides_like_one_that_never_died(
            seconds in proptest::collection::vec(0i64..60, 1..60),
            names in proptest::collection::vec("[a-e]", 60),
            cut in 0usize..60,
        ) {
            let run = |book: &mut Book, from: usize, to: usize| -> Vec<(bool, Arc<str>)> {
                (from..to)
                    .map(|n| (book.admits_newcomer("p", at(seconds[n])), book.admit_environment("p", &names[n]).unwrap().1))
                    .collect()
            };
            let cut = cut.min(seconds.len());
            let whole = run(&mut book(), 0, seconds.len());
            let mut first = book();
            let mut halves = run(&mut first, 0, cut);
            let mut second = Book::new(POLICY);
            second.open("p", first.take_changes().iter().find(|limits| limits.project_id == "p"));
            halves.extend(run(&mut second, cut, seconds.len()));
            prop_assert_eq!(whole, halves);
        }
    }
}
