//! The outcome of a proof, and its words.

use super::compare::{Comparison, Standing};
use super::ledger::Balance;
use crate::tally::Tally;
use indicatif::HumanCount;
use std::fmt;

/// All that one look showed about a run: its error events by fingerprint, and all its events together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Error events.
    pub comparison: Comparison,
    /// All events.
    pub balance: Balance,
}

impl Findings {
    /// Where the counts stand. The ledger is never [`Standing::TooMany`]: others may have sent events, too.
    pub fn standing(&self) -> Standing {
        match self.comparison.standing() {
            Standing::Matches if self.balance.missing() > 0 => Standing::TooFew,
            standing => standing,
        }
    }

    /// Events of unknown outcome, errors or not.
    fn unknown(&self) -> u64 {
        self.balance.sent.unknown.max(self.comparison.uncertain)
    }
}

/// One line after the other, each after a line break; nothing for a run that met its counts alone.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = (!self.comparison.rows.is_empty()).then(|| self.comparison.to_string());
        let found = self.balance.missing_line().into_iter().chain(table);
        let meanwhile = self.balance.notes().into_iter().chain(self.comparison.strangers_line());
        found.chain(meanwhile).try_for_each(|line| write!(f, "\n{line}"))
    }
}

/// The outcome of a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every incident shows exactly what was acknowledged, and no other event is missing.
    Exact {
        /// Error events counted.
        events: u64,
        /// Fingerprints they fell into.
        fingerprints: usize,
        /// All events together, and what others did meanwhile.
        findings: Findings,
    },
    /// Nothing contradicts what was sent, but for some events no acknowledgement came: exactness is not proved.
    Uncertain(Findings),
    /// The counts differ.
    Different(Findings),
}

impl Verdict {
    /// Of counts that match.
    pub(super) fn of(tally: &Tally, findings: Findings) -> Self {
        if findings.unknown() > 0 {
            return Self::Uncertain(findings);
        }
        let fingerprints = tally.iter().filter(|(_, expected)| expected.certain > 0).count();
        Self::Exact { events: tally.certain(), fingerprints, findings }
    }

    /// Whether the counts are proved.
    pub const fn is_exact(&self) -> bool {
        matches!(self, Self::Exact { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { events, fingerprints, findings } => {
                let all = HumanCount(findings.balance.sent.acknowledged);
                let events = HumanCount(*events);
                write!(f, "all counts exact: {events} error events in {fingerprints} fingerprints, ")?;
                write!(f, "{all} events in all{findings}")
            }
            Self::Uncertain(findings) => {
                let (all, errors) = (HumanCount(findings.unknown()), HumanCount(findings.comparison.uncertain));
                write!(f, "not proved: {all} events, {errors} of them errors, got no acknowledgement and may or may ")?;
                write!(f, "not count{findings}")
            }
            Self::Different(findings) => write!(f, "the counts differ{findings}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{Ledger, Sent};
    use super::*;
    use crate::event::Group;
    use crate::verify::{Incidents, compare};

    fn tally() -> Tally {
        let mut tally = Tally::default();
        tally.add_certain(&Group { fingerprint: "a".into(), title: "T".into(), environment: "prod".into() });
        tally
    }

    /// Of 2,000 acknowledged events, one of them an error.
    fn findings(unknown: u64, counted: i64, shown: &[(&str, u64)]) -> Findings {
        let found: Incidents = shown.iter().map(|(name, count)| ((*name).into(), (*name).into(), *count)).collect();
        let sent = Sent { acknowledged: 2_000, unknown };
        let ledger = Ledger { counted, ..Ledger::default() };
        Findings {
            comparison: compare(&tally(), &Incidents::default(), &found),
            balance: Balance::new(sent, &Ledger::default(), &ledger),
        }
    }

    #[test]
    fn exact_counts_say_how_many_and_what_others_did() {
        let text = |counted, shown| Verdict::of(&tally(), findings(0, counted, shown)).to_string();
        let exact = "all counts exact: 1 error events in 1 fingerprints, 2,000 events in all";
        assert_eq!(text(2_001, &[("a", 1)]), exact);
        let text = text(2_004, &[("a", 1), ("x", 3)]);
        let [first, surplus, strangers] = text.lines().collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(first, exact);
        assert!(surplus.starts_with("3 more events than this run sent were counted meanwhile"), "{surplus}");
        assert_eq!(strangers, "1 other fingerprints, which this run did not send, changed meanwhile");
    }

    #[test]
    fn one_event_too_few_differs_whether_it_is_an_error_or_not() {
        assert_eq!(findings(0, 2_001, &[("a", 1)]).standing(), Standing::Matches);
        assert_eq!(findings(0, 2_001, &[]).standing(), Standing::TooFew);
        assert_eq!(findings(0, 2_000, &[("a", 2)]).standing(), Standing::TooMany);
        let short = findings(0, 2_000, &[("a", 1)]);
        assert_eq!(short.standing(), Standing::TooFew);
        let text = Verdict::Different(short).to_string();
        assert_eq!(text, "the counts differ\n1 of 2,000 acknowledged events are not counted", "and no empty table");
    }

    #[test]
    fn an_event_of_unknown_outcome_prevents_the_proof_whether_it_is_an_error_or_not() {
        let verdict = Verdict::of(&tally(), findings(2, 2_002, &[("a", 1)]));
        let text = "not proved: 2 events, 0 of them errors, got no acknowledgement and may or may not count";
        assert!(!verdict.is_exact() && verdict.to_string() == text, "{verdict}");
    }
}
