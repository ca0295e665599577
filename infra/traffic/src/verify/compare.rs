//! What was sent against what is shown. Pure.

use super::core_api::Incidents;
use crate::tally::Tally;
use std::fmt;

/// Rows of the printed table; the rest is counted.
const TABLE_ROWS: usize = 40;
/// Digits of a fingerprint that are printed.
const FINGERPRINT_DIGITS: usize = 12;
/// Characters of a title that are printed.
const TITLE_WIDTH: usize = 48;

/// One fingerprint whose count is not, or not certainly, what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// 64 hex digits.
    pub fingerprint: String,
    /// A name for people.
    pub title: String,
    /// Acknowledged events.
    pub wanted: u64,
    /// Events beyond those that may count too.
    pub uncertain: u64,
    /// What the core API shows more than before the run; below zero if it shows less.
    pub found: i128,
}

impl Difference {
    fn is_too_many(&self) -> bool {
        self.found > i128::from(self.wanted) + i128::from(self.uncertain)
    }

    fn is_too_few(&self) -> bool {
        self.found < i128::from(self.wanted)
    }
}

/// Where the counts stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Each lies where it should, as far as that is known.
    Matches,
    /// Some are not there yet.
    TooFew,
    /// At least one is beyond what was sent.
    TooMany,
}

/// All that is noteworthy about one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Fingerprints that differ or are uncertain.
    pub rows: Vec<Difference>,
    /// Events of unknown outcome, over all fingerprints.
    pub uncertain: u64,
    /// Other fingerprints, sent by nobody we know of, that grew meanwhile.
    pub strangers: usize,
}

impl Comparison {
    /// Where the counts stand.
    pub fn standing(&self) -> Standing {
        if self.rows.iter().any(Difference::is_too_many) {
            Standing::TooMany
        } else if self.rows.iter().any(Difference::is_too_few) {
            Standing::TooFew
        } else {
            Standing::Matches
        }
    }

    /// That there are strangers; `None` if there is none.
    pub(super) fn strangers_line(&self) -> Option<String> {
        let strangers = self.strangers;
        (strangers > 0)
            .then(|| format!("{strangers} other fingerprints, which this run did not send, changed meanwhile"))
    }
}

/// Compares the growth of each count since `baseline` with what was sent.
pub fn compare(tally: &Tally, baseline: &Incidents, found: &Incidents) -> Comparison {
    let growth = |fingerprint: &str| i128::from(found.count(fingerprint)) - i128::from(baseline.count(fingerprint));
    let rows = tally.iter().filter_map(|(fingerprint, expected)| {
        let found = growth(fingerprint);
        let is_exact = expected.uncertain == 0 && found == i128::from(expected.certain);
        (!is_exact).then(|| Difference {
            fingerprint: fingerprint.to_owned(),
            title: format!("{} [{}]", expected.title, expected.environment),
            wanted: expected.certain,
            uncertain: expected.uncertain,
            found,
        })
    });
    let strangers = found.fingerprints().filter(|known| tally.get(known).is_none() && growth(known) != 0);
    Comparison { rows: rows.collect(), uncertain: tally.uncertain(), strangers: strangers.count() }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// The table of the rows.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12}  {:<TITLE_WIDTH$}  {:>17}  {:>9}", "fingerprint", "incident", "wanted", "found")?;
        for row in self.rows.iter().take(TABLE_ROWS) {
            let wanted = match row.uncertain {
                0 => row.wanted.to_string(),
                uncertain => format!("{} to {}", row.wanted, row.wanted.saturating_add(uncertain)),
            };
            let (fingerprint, title) = (cut(&row.fingerprint, FINGERPRINT_DIGITS), cut(&row.title, TITLE_WIDTH));
            write!(f, "\n{fingerprint:<12}  {title:<TITLE_WIDTH$}  {wanted:>17}  {:>9}", row.found)?;
        }
        match self.rows.len().saturating_sub(TABLE_ROWS) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Group;
    use proptest::prelude::*;

    fn group(fingerprint: &str) -> Group {
        Group { fingerprint: fingerprint.into(), title: "T".into(), environment: "prod".into() }
    }

    fn tally(counts: &[(&str, u64, u64)]) -> Tally {
        let mut tally = Tally::default();
        for (fingerprint, certain, uncertain) in counts {
            (0..*certain).for_each(|_| tally.add_certain(&group(fingerprint)));
            (0..*uncertain).for_each(|_| tally.add_uncertain(&group(fingerprint)));
        }
        tally
    }

    fn shown(counts: &[(&str, u64)]) -> Incidents {
        counts
            .iter()
            .enumerate()
            .map(|(id, (fingerprint, count))| (id.to_string(), (*fingerprint).to_owned(), *count))
            .collect()
    }

    #[test]
    fn growth_is_compared_not_the_whole_count() {
        let (baseline, found) = (shown(&[("a", 10), ("z", 1)]), shown(&[("a", 13), ("b", 2), ("z", 1)]));
        let comparison = compare(&tally(&[("a", 3, 0), ("b", 2, 0)]), &baseline, &found);
        assert_eq!(comparison, Comparison::default());
        assert_eq!(comparison.standing(), Standing::Matches);
    }

    #[test]
    fn too_few_too_many_and_strangers_are_told() {
        let found = shown(&[("a", 2), ("b", 3), ("x", 1)]);
        let few = compare(&tally(&[("a", 3, 0), ("b", 3, 0)]), &shown(&[]), &found);
        assert_eq!((few.standing(), few.rows.len(), few.strangers), (Standing::TooFew, 1, 1));
        let many = compare(&tally(&[("a", 3, 0), ("b", 2, 0)]), &shown(&[]), &found);
        assert_eq!((many.standing(), many.rows.len()), (Standing::TooMany, 2), "too many outweighs too few");
        let text = many.to_string();
        assert!(text.contains("T [prod]") && !text.contains("other fingerprints"), "{text}");
        assert!(many.strangers_line().unwrap().starts_with("1 other fingerprints"));
        assert_eq!(Comparison::default().strangers_line(), None);
    }

    #[test]
    fn an_unknown_outcome_makes_a_range_and_is_always_shown() {
        let sent = tally(&[("a", 3, 2)]);
        for (count, standing) in
            [(2, Standing::TooFew), (3, Standing::Matches), (5, Standing::Matches), (6, Standing::TooMany)]
        {
            let comparison = compare(&sent, &shown(&[]), &shown(&[("a", count)]));
            assert_eq!((comparison.standing(), comparison.rows.len()), (standing, 1), "{count}");
            assert!(comparison.to_string().contains("3 to 5"));
        }
    }

    #[test]
    fn a_vanished_incident_is_a_difference() {
        let comparison = compare(&tally(&[("a", 0, 1)]), &shown(&[("a", 5)]), &shown(&[]));
        assert_eq!((comparison.standing(), comparison.rows[0].found), (Standing::TooFew, -5));
    }

    #[test]
    fn a_long_table_is_cut() {
        let names: Vec<_> = (0..100).map(|n| format!("{n:064}")).collect();
        let counts: Vec<_> = names.iter().map(|name| (name.as_str(), 1, 0)).collect();
        let text = compare(&tally(&counts), &shown(&[]), &shown(&[])).to_string();
        assert_eq!(text.lines().count(), TABLE_ROWS + 2);
        assert!(text.ends_with("and 60 more"));
    }

    proptest! {
        #[test]
        fn it_matches_exactly_when_every_count_lies_in_its_range(
            counts in proptest::collection::vec((0u64..6, 0u64..3, 0u64..6, 0u64..9), 1..8),
        ) {
            let names: Vec<_> = (0..counts.len()).map(|n| n.to_string()).collect();
            let of = |n: usize| names[n].as_str();
            let sent: Vec<_> = counts.iter().enumerate().map(|(n, c)| (of(n), c.0, c.1)).collect();
            let before: Vec<_> = counts.iter().enumerate().map(|(n, c)| (of(n), c.2)).collect();
            let after: Vec<_> = counts.iter().enumerate().map(|(n, c)| (of(n), c.2 + c.3)).collect();
            let sent = tally(&sent);
            let standing = compare(&sent, &shown(&before), &shown(&after)).standing();
            let known = |c: &&(u64, u64, u64, u64)| c.0 + c.1 > 0;
            let matches = counts.iter().filter(known).all(|c| (c.0..=c.0 + c.1).contains(&c.3));
            prop_assert_eq!(standing == Standing::Matches, matches);
        }
    }
}
