//! Pages of a list: how a caller reads a list of any length in parts of bounded size.

/// The largest number of items in one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    /// The largest limit, which bounds the memory of one page.
    pub const MAX: u32 = 10_000;

    /// The limit `items`, or the nearest one from 1 to [`Limit::MAX`].
    pub fn new(items: u32) -> Self {
        Self(items.clamp(1, Self::MAX))
    }

    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// The position after one item of a list: the value by which the list sorts that item. A page that begins after a
/// cursor repeats no item and skips none, whatever was added or removed before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub String);

/// A part of a list, in the order of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins. `None` if this page is the last one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The page of rows that were read with a limit of `limit + 1`: the additional row shows that there are more, and
    /// belongs to the next page. `key` returns the value by which the list sorts a row.
    pub fn of(mut rows: Vec<T>, limit: Limit, key: impl FnOnce(&T) -> String) -> Self {
        let has_more = rows.len() > limit.get();
        rows.truncate(limit.get());
        let next = rows.last().filter(|_| has_more).map(|last| Cursor(key(last)));
        Self { items: rows, next }
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
