//! Tests of `validation.rs`.

use serde::Serialize;

use super::*;

#[derive(Serialize, Validate)]
struct Entry {
    #[validate(length(min = 1, max = 2))]
    kind: Option<String>,
    #[validate(range(min = 1, max = 3))]
    count: i64,
}

#[derive(Serialize, Validate)]
struct Request {
    #[validate(length(max = 2), nested)]
    entries: Vec<Entry>,
}

fn shown(entries: Vec<Entry>) -> Vec<(String, String, bool)> {
    violations(&Request { entries }).into_iter().map(|it| (it.path, it.content, it.is_limit)).collect()
}

#[test]
fn violation_has_the_path_of_its_member_and_counts_characters() {
    let entry = |kind: &str, count| Entry { kind: Some(kind.to_owned()), count };
    for (entries, path, content, is_limit) in [
        (vec![entry("\u{e4}\u{e4}", 1), entry("abc", 1)], "entries[1].type", "is longer than 2 characters", true),
        (vec![entry("", 1)], "entries[0].type", "must not be empty", false),
        (vec![entry("a", 0)], "entries[0].count", "must be at least 1", false),
        (vec![entry("a", -1)], "entries[0].count", "must be at least 1", false),
        (vec![entry("a", 4)], "entries[0].count", "must be at most 3", false),
    ] {
        assert_eq!(shown(entries), [(path.to_owned(), content.to_owned(), is_limit)]);
    }
    let three = (0..3).map(|_| entry("a", 1)).collect();
    assert_eq!(shown(three), [("entries".to_owned(), "has more than 2 entries".to_owned(), true)]);
    assert_eq!(shown(vec![entry("\u{e4}\u{e4}", 1), Entry { kind: None, count: 2 }]), []);
}
