//! Tests of `golden.rs`.

use super::*;

#[test]
fn keyed_write_without_a_golden_outcome_is_reported() {
    let text = "fn create(&self) { once(&self.0, ctx, \"review.create\", write, move |tx, now| create(tx, now)) }\n\
                fn archive(&self) { idempotency::once(&self.0, ctx, \"review.archive\", write, archive) }\n\
                fn read(&self) { text.split_once(\"a.b\") }";
    let sources = [
        Source::new("persistence/src/review.rs", text),
        Source::new("persistence/src/idempotency/mod.rs", "fn once(db: &Database) { std::iter::once(first) }"),
        Source::new("api/src/store/review.rs", "fn f() { once(\"not.storage\") }"),
    ];
    let missing = |set: &str| check(&sources, set).iter().map(Violation::to_string).collect::<Vec<_>>();
    let both = "{\"operation\":\"review.create\"},{\"operation\":\"review.archive\"}";
    assert_eq!(missing(both), Vec::<String>::new());
    let without_archive = missing("{\"operation\":\"review.create\"}");
    assert_eq!(without_archive.len(), 1, "{without_archive:?}");
    let expected = "persistence/src/review.rs:2: [golden] `review.archive`: the newest golden set has no outcome";
    assert!(without_archive[0].starts_with(expected), "{without_archive:?}");
    assert!(without_archive[0].contains("golden! in the contract tests"), "{without_archive:?}");
}
