//! What the core API should show: events per fingerprint, by what their delivery ended with.

use crate::event::Group;
use std::collections::BTreeMap;

/// What should be counted under one fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// A name for people.
    pub title: String,
    /// The environment.
    pub environment: String,
    /// Events that were acknowledged.
    pub certain: u64,
    /// Events that may have been taken in, although no acknowledgement came.
    pub uncertain: u64,
}

/// Expected counts of error events per fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    groups: BTreeMap<String, Expected>,
}

impl Tally {
    /// Counts an acknowledged event.
    pub fn add_certain(&mut self, group: &Group) {
        self.entry(group).certain += 1;
    }

    /// Counts an event of which nobody knows whether it was taken in.
    pub fn add_uncertain(&mut self, group: &Group) {
        self.entry(group).uncertain += 1;
    }

    fn entry(&mut self, group: &Group) -> &mut Expected {
        self.groups.entry(group.fingerprint.clone()).or_insert_with(|| Expected {
            title: group.title.clone(),
            environment: group.environment.clone(),
            ..Expected::default()
        })
    }

    /// Adds another tally's counts to this one's.
    pub fn merge(&mut self, other: Self) {
        for (fingerprint, theirs) in other.groups {
            let ours = self.groups.entry(fingerprint).or_default();
            *ours = Expected {
                certain: ours.certain + theirs.certain,
                uncertain: ours.uncertain + theirs.uncertain,
                ..theirs
            };
        }
    }

    /// Fingerprints in order, with what is expected of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Expected)> {
        self.groups.iter().map(|(fingerprint, expected)| (fingerprint.as_str(), expected))
    }

    /// What is expected of one fingerprint.
    pub fn get(&self, fingerprint: &str) -> Option<&Expected> {
        self.groups.get(fingerprint)
    }

    /// Acknowledged error events per fingerprint.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.groups.iter().map(|(fingerprint, expected)| (fingerprint.clone(), expected.certain)).collect()
    }

    /// All acknowledged error events.
    pub fn certain(&self) -> u64 {
        self.groups.values().map(|expected| expected.certain).sum()
    }

    /// All error events of unknown outcome.
    pub fn uncertain(&self) -> u64 {
        self.groups.values().map(|expected| expected.uncertain).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(fingerprint: &str) -> Group {
        Group { fingerprint: fingerprint.into(), title: format!("t-{fingerprint}"), environment: "prod".into() }
    }

    #[test]
    fn merging_adds_and_keeps_the_names() {
        let (mut left, mut right) = (Tally::default(), Tally::default());
        left.add_certain(&group("a"));
        right.add_certain(&group("a"));
        right.add_uncertain(&group("a"));
        right.add_certain(&group("b"));
        left.merge(right);
        let a = left.get("a").unwrap();
        assert_eq!((a.certain, a.uncertain, a.title.as_str()), (2, 1, "t-a"));
        assert_eq!((left.certain(), left.uncertain()), (3, 1));
        assert_eq!(left.counts().into_iter().collect::<Vec<_>>(), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        assert_eq!(left.get("b").unwrap().title, "t-b");
    }
}
