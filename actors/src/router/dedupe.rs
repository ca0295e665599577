//! Which event ids have been seen (G2). Pure: a decision depends on the log alone.
//!
//! An event is a duplicate if the same (project, event id) stands in one of the `records` offsets before it and
//! was received at most `age_ms` before it. A new owner reads those offsets again and so decides alike.

use hashbrown::HashMap;
use smallvec::SmallVec;

/// 128 bits of BLAKE3 over project and event id.
pub type DedupeKey = u128;

/// The key of one event. One that was taken back out of the dead letters is another than the one that went there,
/// as many times as it was taken back.
pub fn dedupe_key(project_id: &str, event_id: &str, retries: u32) -> DedupeKey {
    // In one piece, so that a short text is hashed in one call and no hasher is kept.
    let mut text = SmallVec::<[u8; 128]>::new();
    text.extend_from_slice(project_id.as_bytes());
    text.push(0);
    text.extend_from_slice(event_id.as_bytes());
    if retries > 0 {
        text.push(0);
        text.extend_from_slice(&retries.to_le_bytes());
    }
    let hash = blake3::hash(&text);
    hash.as_bytes().first_chunk().map_or(0, |head| u128::from_le_bytes(*head))
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    offset: i64,
    received_ms: i64,
}

/// The memory of one partition. Two generations: when the young one spans the window, the old one is dropped.
#[derive(Debug)]
pub struct DedupeWindow {
    records: i64,
    age_ms: i64,
    young: HashMap<DedupeKey, Seen>,
    young_since: i64,
    old: HashMap<DedupeKey, Seen>,
}

impl DedupeWindow {
    /// Remembers the last `records` offsets, for at most `age_ms` of received time.
    pub fn new(records: i64, age_ms: i64) -> Self {
        Self { records, age_ms, young: HashMap::new(), young_since: 0, old: HashMap::new() }
    }

    /// First offset to read again so that decisions from `next_offset` on are those of an owner that never died.
    pub fn read_again_from(&self, next_offset: i64) -> i64 {
        next_offset.saturating_sub(self.records).max(0)
    }

    /// Remembers the event and says whether it had been seen. Offsets must come in rising order.
    pub fn observe(&mut self, key: DedupeKey, offset: i64, received_ms: i64) -> bool {
        if offset.saturating_sub(self.young_since) >= self.records {
            // The old generation's room is used again, so that the young one need not grow into it anew.
            std::mem::swap(&mut self.old, &mut self.young);
            self.young.clear();
            self.young_since = offset;
        }
        let before = self.young.insert(key, Seen { offset, received_ms }).or_else(|| self.old.get(&key).copied());
        before.is_some_and(|seen| {
            offset.saturating_sub(seen.offset) <= self.records
                && received_ms.saturating_sub(seen.received_ms) <= self.age_ms
        })
    }

    /// Ids held now.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_do_not_run_into_each_other() {
        assert_ne!(dedupe_key("ab", "c", 0), dedupe_key("a", "bc", 0));
        assert_ne!(dedupe_key("a", "b", 0), dedupe_key("a", "b", 1));
        assert_eq!(dedupe_key("a", "b", 0), dedupe_key("a", "b", 0));
    }

    #[test]
    fn the_window_ends_by_records_and_by_received_time() {
        let mut window = DedupeWindow::new(10, 1_000);
        assert!(!window.observe(1, 0, 0));
        assert!(window.observe(1, 10, 0), "ten records later it is still known");
        assert!(!window.observe(1, 21, 0), "eleven records later it is not");
        assert!(!window.observe(1, 22, 1_001), "nor after its time");
    }

    proptest! {
        #[test]
        fn g2_an_owner_that_reads_the_window_again_decides_like_one_that_never_died(
            keys in proptest::collection::vec(0u128..12, 1..200),
            span in 1i64..40,
            cut in 0usize..200,
        ) {
            let decide = |window: &mut DedupeWindow, from: usize| -> Vec<bool> {
                keys.iter().enumerate().skip(from)
                    .map(|(at, &key)| window.observe(key, at as i64, at as i64 * 7)).collect()
            };
            let cut = cut.min(keys.len());
            let whole = decide(&mut DedupeWindow::new(span, 150), 0);
            let mut reborn = DedupeWindow::new(span, 150);
            let from = reborn.read_again_from(cut as i64) as usize;
            let again = decide(&mut reborn, from);
            prop_assert_eq!(&whole[cut..], &again[cut - from..]);
        }
    }
}
