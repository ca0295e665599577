//! Orders of children, and places in them.

use serde::{Deserialize, Serialize};
use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

/// The order of a page; the greatest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The most recently used first.
    #[default]
    LastUsed,
    /// Those with most letters that no cut contains first.
    Letters,
    /// Those that died most often first.
    Restarts,
}

impl Order {
    /// All orders.
    pub const ALL: [Self; 3] = [Self::LastUsed, Self::Letters, Self::Restarts];

    /// As in a query.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LastUsed => "last_used",
            Self::Letters => "letters",
            Self::Restarts => "restarts",
        }
    }
}

impl FromStr for Order {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|order| order.as_str() == text);
        known.ok_or("must be last_used, letters or restarts")
    }
}

/// A place in a page's order: greater keys come first, then lower slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What is sorted by.
    pub key: u64,
    /// The child's place with its router.
    pub slot: usize,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        (Reverse(self.key), self.slot).cmp(&(Reverse(other.key), other.slot))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a page begins: behind a place, in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The order that the place belongs to.
    pub order: Order,
    /// The last place of the page before.
    pub after: Place,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}.{:x}", self.order.as_str(), self.after.key, self.after.slot)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (order, place) = text.split_once('.')?;
            let (key, slot) = place.split_once('.')?;
            let key = u64::from_str_radix(key, 16).ok()?;
            let slot = usize::from_str_radix(slot, 16).ok()?;
            Some(Self { order: order.parse().ok()?, after: Place { key, slot } })
        };
        parse().ok_or("is not a cursor of this list")
    }
}

/// Which children to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// In which order.
    pub order: Order,
    /// At most so many.
    pub limit: usize,
    /// Only those behind this place.
    pub after: Option<Place>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_a_forged_one_does_not_pass() {
        for order in Order::ALL {
            let cursor = Cursor { order, after: Place { key: u64::MAX, slot: 17 } };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for forged in ["", "last_used", "last_used.1", "used.1.1", "letters.x.1", "letters.1.-1", "letters.1.1.1"] {
            assert!(forged.parse::<Cursor>().is_err(), "{forged}");
        }
    }
}
