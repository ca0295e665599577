//! A page of a router's children, in an order, without sorting them all. Pure.

use crate::supervision::view::Place;
use std::collections::BinaryHeap;

/// The first `limit` places behind `after`, and whether there are more.
pub(super) fn select(places: impl Iterator<Item = Place>, after: Option<Place>, limit: usize) -> (Vec<Place>, bool) {
    // One more than asked tells whether another page follows. The top of the heap is the last of the page.
    let mut heap = BinaryHeap::with_capacity(limit.saturating_add(2));
    for place in places.filter(|place| after.is_none_or(|after| *place > after)) {
        if heap.len() <= limit {
            heap.push(place);
        } else if heap.peek().is_some_and(|last| place < *last) {
            heap.pop();
            heap.push(place);
        }
    }
    let mut page = heap.into_sorted_vec();
    let has_more = page.len() > limit;
    page.truncate(limit);
    (page, has_more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pages_in_a_row_are_the_whole_in_order(keys in prop::collection::vec(0_u64..20, 0..200), limit in 1_usize..30) {
            let places: Vec<Place> = keys.iter().enumerate().map(|(slot, key)| Place { key: *key, slot }).collect();
            let mut whole = places.clone();
            whole.sort_by_key(|place| (std::cmp::Reverse(place.key), place.slot));
            let mut walked = Vec::new();
            loop {
                let (page, has_more) = select(places.iter().copied(), walked.last().copied(), limit);
                prop_assert!(page.len() == limit || !has_more);
                walked.extend(page);
                if !has_more {
                    break;
                }
            }
            prop_assert_eq!(walked, whole);
        }
    }

    #[test]
    fn a_page_of_nothing_says_that_there_is_more() {
        let places = [Place { key: 1, slot: 0 }];
        assert_eq!(select(places.into_iter(), None, 0), (vec![], true));
        assert_eq!(select(std::iter::empty(), None, 0), (vec![], false));
    }
}
