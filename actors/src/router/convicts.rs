//! Records that the database has refused for what they say, as an earlier tenure learned: they go to the dead letters
//! before they are counted. Pure.

use crate::flusher::messages::Conviction;

/// What is known of one partition. Each conviction is for a range of offsets; those behind it are tried again.
#[derive(Clone, Debug, Default)]
pub struct Convicts(Vec<Conviction>);

impl Convicts {
    /// Takes over what was found out, but not what the checkpoint has passed.
    pub fn from_offset(convictions: &[Conviction], next_offset: i64) -> Self {
        Self(convictions.iter().filter(|known| known.to_offset > next_offset).cloned().collect())
    }

    /// Notes what a flush of this tenure has brought out. One that is convicted again although its records were taken out
    /// is not to be told from its project's other records: the whole project's are taken out. False if those were, too.
    #[must_use]
    pub fn add(&mut self, convictions: Vec<Conviction>) -> bool {
        let mut is_progress = true;
        for mut new in convictions {
            let is_known = |known: &Conviction, fingerprint: &str| {
                known.project == new.project
                    && known.fingerprint == fingerprint
                    && known.from_offset < new.to_offset
                    && new.from_offset < known.to_offset
            };
            if self.0.iter().any(|known| is_known(known, "")) {
                is_progress = false;
            } else if self.0.iter().any(|known| is_known(known, &new.fingerprint)) {
                new.fingerprint.clear();
            }
            self.0.push(new);
        }
        is_progress
    }

    /// All of them.
    pub fn all(&self) -> &[Conviction] {
        &self.0
    }

    /// Why this record must not be counted; none if it may.
    pub fn holds(&self, project: &str, fingerprint: &str, offset: i64) -> Option<&str> {
        let holds = |known: &&Conviction| {
            known.project == project
                && (known.fingerprint.is_empty() || known.fingerprint == fingerprint)
                && (known.from_offset..known.to_offset).contains(&offset)
        };
        self.0.iter().find(holds).map(|known| known.reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conviction(project: &str, fingerprint: &str, from_offset: i64, to_offset: i64) -> Conviction {
        let (project, fingerprint) = (project.to_owned(), fingerprint.to_owned());
        Conviction { project, fingerprint, from_offset, to_offset, reason: "why".to_owned() }
    }

    #[test]
    fn a_conviction_holds_its_own_fingerprint_in_its_own_range() {
        let mut convicts = Convicts::default();
        assert!(convicts.add(vec![conviction("p", "f", 10, 20)]));
        assert_eq!(convicts.holds("p", "f", 10), Some("why"));
        for (project, fingerprint, offset) in [("p", "f", 20), ("p", "f", 9), ("p", "g", 10), ("q", "f", 10)] {
            assert_eq!(convicts.holds(project, fingerprint, offset), None, "{project} {fingerprint} {offset}");
        }
        assert_eq!(Convicts::from_offset(convicts.all(), 19).all().len(), 1);
        assert!(Convicts::from_offset(convicts.all(), 20).all().is_empty());
    }

    #[test]
    fn one_that_is_convicted_again_takes_its_project_along_and_then_there_is_no_progress() {
        let mut convicts = Convicts::default();
        assert!(convicts.add(vec![conviction("p", "f", 10, 20)]));
        assert!(convicts.add(vec![conviction("p", "f", 20, 30)]), "another range is another matter");
        assert_eq!(convicts.holds("p", "g", 15), None);
        assert!(convicts.add(vec![conviction("p", "f", 10, 15)]));
        assert_eq!((convicts.holds("p", "g", 14), convicts.holds("p", "g", 15)), (Some("why"), None));
        assert!(!convicts.add(vec![conviction("p", "f", 10, 15)]));
    }
}
