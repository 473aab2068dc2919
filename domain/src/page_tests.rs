//! Tests of `page.rs`.

use super::*;

#[test]
fn page_ends_at_its_limit_and_names_the_next_one_if_there_are_more_rows() {
    for (rows, limit, items, next) in [
        (vec!["a", "b", "c"], 2, vec!["a", "b"], Some("b")),
        (vec!["a", "b"], 2, vec!["a", "b"], None),
        (vec!["a"], 2, vec!["a"], None),
        (vec![], 2, vec![], None),
        (vec!["a", "b"], 0, vec!["a"], Some("a")),
    ] {
        let page = Page::of(rows, Limit::new(limit), |row| (*row).to_owned());
        assert_eq!(page, Page { items, next: next.map(|key| Cursor(key.to_owned())) }, "limit {limit}");
    }
    assert_eq!(Limit::new(u32::MAX).get(), Limit::MAX as usize);
}
