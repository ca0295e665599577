//! The name of a child as its router keeps it: once, and small. There may be 100,000 of them.

use hashbrown::DefaultHashBuilder;
use hashbrown::{Equivalent, HashSet, HashTable};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// (project, fingerprint) as they are written; a ProjectActor's fingerprint is empty.
pub type Key = (Box<str>, Box<str>);

/// A [`Key`] to look with.
#[derive(Debug, Hash)]
pub(super) struct KeyRef<'a>(pub &'a str, pub &'a str);

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.1 == &*key.1 && self.0 == &*key.0
    }
}

/// A fingerprint is 64 hex digits; a record that was written past our ingest may hold any text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Print {
    Hex([u8; 32]),
    Text(Box<str>),
}

impl Print {
    fn of(text: &str) -> Self {
        Self::hex(text.as_bytes()).map_or_else(|| Self::Text(text.into()), Self::Hex)
    }

    /// Only lower case: each text has one form. Without a branch for each digit, since every record comes through here.
    fn hex(text: &[u8]) -> Option<[u8; 32]> {
        let digits: &[u8; 64] = text.try_into().ok()?;
        let (mut nibbles, mut is_hex) = ([0; 64], true);
        for (nibble, digit) in nibbles.iter_mut().zip(digits) {
            let (number, letter) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a'));
            is_hex &= number < 10 || letter < 6;
            *nibble = if number < 10 { number } else { letter.wrapping_add(10) };
        }
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(nibbles.as_chunks().0) {
            *byte = high << 4 | low;
        }
        is_hex.then_some(bytes)
    }

    fn text(&self) -> Box<str> {
        match self {
            Self::Hex(bytes) => bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect(),
            Self::Text(text) => text.clone(),
        }
    }
}

fn digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

/// The name of one child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    project: Arc<str>,
    fingerprint: Print,
}

impl Name {
    /// Whether it is the project's.
    pub(super) fn is_of(&self, project: &str) -> bool {
        *self.project == *project
    }

    /// As it is written.
    pub(super) fn key(&self) -> Key {
        (Box::from(&*self.project), self.fingerprint.text())
    }
}

/// What is looked for.
pub(super) struct Wanted<'a> {
    project: &'a str,
    fingerprint: Print,
    hash: u64,
}

impl Wanted<'_> {
    fn is(&self, name: &Name) -> bool {
        self.fingerprint == name.fingerprint && *self.project == *name.project
    }
}

/// Which child is in which slot. The names themselves are with the children, so that each is kept once.
#[derive(Debug, Default)]
pub(super) struct Slots {
    table: HashTable<(u64, usize)>,
    hasher: DefaultHashBuilder,
    projects: HashSet<Arc<str>>,
}

impl Slots {
    /// To look up, or to enter.
    pub(super) fn wanted<'a>(&self, project: &'a str, fingerprint: &str) -> Wanted<'a> {
        let fingerprint = Print::of(fingerprint);
        let hash = self.hasher.hash_one((project, &fingerprint));
        Wanted { project, fingerprint, hash }
    }

    /// Its slot, where `name` tells whose a slot is.
    pub(super) fn find<'n>(&self, wanted: &Wanted<'_>, name: impl Fn(usize) -> Option<&'n Name>) -> Option<usize> {
        let is = |(hash, slot): &(u64, usize)| *hash == wanted.hash && name(*slot).is_some_and(|name| wanted.is(name));
        self.table.find(wanted.hash, is).map(|(_, slot)| *slot)
    }

    /// Its name, to be kept with the child.
    pub(super) fn name(&mut self, wanted: &Wanted<'_>) -> Name {
        let project = self.projects.get_or_insert_with(wanted.project, |name| Arc::from(name));
        Name { project: Arc::clone(project), fingerprint: wanted.fingerprint.clone() }
    }

    /// It is in this slot from now on.
    pub(super) fn enter(&mut self, wanted: &Wanted<'_>, slot: usize) {
        self.table.insert_unique(wanted.hash, (wanted.hash, slot), |(hash, _)| *hash);
    }

    /// The child of this name has left its slot.
    pub(super) fn leave(&mut self, name: &Name, slot: usize) {
        let hash = self.hasher.hash_one((&*name.project, &name.fingerprint));
        if let Ok(entry) = self.table.find_entry(hash, |(_, known)| *known == slot) {
            entry.remove();
        }
    }

    /// Forgets the names of projects that no child has any more.
    pub(super) fn tidy(&mut self) {
        self.projects.retain(|name| Arc::strong_count(name) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_fingerprint_comes_back_as_it_was_written(text in "[0-9a-f]{64}|[0-9a-fA-F]{63,65}|.{0,70}") {
            prop_assert_eq!(&*Print::of(&text).text(), text.as_str());
        }

        #[test]
        fn each_name_is_found_in_its_own_slot_until_it_leaves(
            names in proptest::collection::hash_set(("[a-c]{1,2}", "[0-9a-f]{64}|[a-c]{0,2}"), 0..60),
        ) {
            let names: Vec<_> = names.into_iter().collect();
            let (mut slots, mut kept) = (Slots::default(), Vec::new());
            for (slot, (project, fingerprint)) in names.iter().enumerate() {
                let wanted = slots.wanted(project, fingerprint);
                kept.push(slots.name(&wanted));
                slots.enter(&wanted, slot);
            }
            for (slot, (project, fingerprint)) in names.iter().enumerate() {
                prop_assert_eq!(slots.find(&slots.wanted(project, fingerprint), |slot| kept.get(slot)), Some(slot));
                prop_assert_eq!(kept[slot].key(), (project.as_str().into(), fingerprint.as_str().into()));
                slots.leave(&kept[slot], slot);
                prop_assert_eq!(slots.find(&slots.wanted(project, fingerprint), |slot| kept.get(slot)), None);
            }
        }
    }

    #[test]
    fn a_projects_name_is_kept_once_and_no_longer_than_its_children() {
        let mut slots = Slots::default();
        let (one, two) = (slots.wanted("p", "f"), slots.wanted("p", "g"));
        let names = [slots.name(&one), slots.name(&two)];
        assert!(Arc::ptr_eq(&names[0].project, &names[1].project));
        slots.tidy();
        assert_eq!(slots.projects.len(), 1);
        drop(names);
        slots.tidy();
        assert!(slots.projects.is_empty());
    }
}
