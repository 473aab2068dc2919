//! Pages of a list: how a caller reads a list of any length in parts of bounded size.

/// The largest number of items in one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    /// The largest value of a limit. It bounds the memory of one page.
    pub const MAX: u32 = 10_000;

    /// A limit of `items`, or of the nearest number from 1 to [`Limit::MAX`].
    pub fn new(items: u32) -> Self {
        Self(items.clamp(1, Self::MAX))
    }

    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// A position in a list, directly after one item. Its text is the value by which the list sorts that item. So the next
/// page repeats no item and skips none, even if earlier items were added or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub String);

/// A part of a list, in the order of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The cursor after which the next page begins. `None` if this page is the last one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Builds a page from rows that were read with a limit of `limit + 1`. If the additional row exists, it is left
    /// out, and the page gets a cursor to the next page. `key` returns the value by which the list sorts a row.
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
