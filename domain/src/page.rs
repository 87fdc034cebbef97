//! Pages of a list: by number, or by walking from row to row.
//!
//! A numbered page can be jumped to and knows the total; a walk (keyset pagination) costs the same at any depth and
//! meets every row that was there from start to end exactly once, while others come and go.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::invalid::Invalid;
use crate::user::SortKey;

/// How many rows a page has at most: 1–100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit(u32);

impl Limit {
    /// What a caller gets who does not say.
    pub const DEFAULT: Self = Self(10);
    /// The largest page.
    pub const MAX: Self = Self(100);

    /// Checks the bounds.
    pub fn parse(rows: u64) -> Result<Self, Invalid> {
        match u32::try_from(rows) {
            Ok(rows) if (1..=Self::MAX.0).contains(&rows) => Ok(Self(rows)),
            _ => Err(Invalid::new("out-of-range", "from 1 to 100")),
        }
    }

    /// The number of rows.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The direction of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Smallest, oldest, first in the alphabet first.
    Ascending,
    /// Largest, newest, last in the alphabet first.
    #[default]
    Descending,
}

/// The place of one row in an order: the walk goes on behind it, whether or not the row is still there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// What the row is ordered by.
    pub key: SortKey,
    /// Decides between rows with equal keys.
    pub id: Uuid,
}

/// Which page is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PageRequest {
    /// The page of this number, the first being 1.
    Numbered {
        /// From 1.
        page: u32,
        /// Rows on a page.
        limit: Limit,
    },
    /// The rows behind this position, or from the start of the order.
    Walk {
        /// The last row of the page before; `None` starts the walk.
        after: Option<Position>,
        /// Rows on a page.
        limit: Limit,
    },
}

impl PageRequest {
    /// Rows on a page.
    #[must_use]
    pub const fn limit(&self) -> Limit {
        match self {
            Self::Numbered { limit, .. } | Self::Walk { limit, .. } => *limit,
        }
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows, in order.
    pub rows: Vec<T>,
    /// What lies around them.
    pub rest: Rest,
}

/// What lies around a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rest {
    /// Of a numbered page: how many rows there are on all pages.
    Total(u64),
    /// Of a walk: where it goes on, or `None` at its end.
    Next(Option<Position>),
}

impl<T> Page<T> {
    /// The same page with other rows.
    #[must_use]
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { rows: self.rows.into_iter().map(change).collect(), rest: self.rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_from_1_to_100() {
        assert_eq!(Limit::parse(1).map(Limit::get), Ok(1));
        assert_eq!(Limit::parse(100), Ok(Limit::MAX));
        for rows in [0, 101, u64::from(u32::MAX) + 2] {
            assert!(Limit::parse(rows).is_err());
        }
    }
}
