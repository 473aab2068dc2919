//! Tests of `modules.rs`.

use super::*;

/// The rules and the texts that are reported for one file, without the exceptions that the file does not use.
fn found(path: &str, text: &str) -> Vec<(&'static str, String)> {
    found_in(&[Source::new(path, text)])
}

fn found_in(sources: &[Source]) -> Vec<(&'static str, String)> {
    let own = check(sources).into_iter().filter(|violation| violation.file != TABLES);
    own.map(|violation| (violation.rule, violation.found)).collect()
}

#[test]
fn query_of_several_rows_without_a_limit_is_reported() {
    let path = "persistence/src/review.rs";
    for macro_name in ["load", "lock_all", "lock_free", "keep_all"] {
        let text = format!("fn list() {{ let rows = {macro_name}!(tx, query.select(id)); }}");
        assert_eq!(found(path, &text), [("limit", "list".to_owned())]);
    }
    for limited in [
        "fn list() { load!(tx, query.limit(10)) }",
        "fn list() { let query = Statement::new(\"SELECT id LIMIT $1\"); load!(tx, query) }",
        "fn find() { first!(tx, query) }",
    ] {
        assert_eq!(found(path, limited), []);
    }
    assert_eq!(found("persistence/tests/storage/state.rs", "fn list() { load!(tx, query) }"), []);
    assert_eq!(found("persistence/src/stock.rs", "fn read() { load!(tx, query) }"), []);
}

#[test]
fn refusal_that_falls_to_a_default_is_reported() {
    let path = "api/src/storefront/review.rs";
    let default = "fn refused(refusal: R) -> Problem { match refusal { R::NotFound => a(), _ => b() } }";
    assert_eq!(found(path, default), [("refusals", "_ =>".to_owned())]);
    let named = "fn refused(refusal: R) -> Problem { match refusal { R::Key(_) => a(), R::Gone => b() } }";
    assert_eq!(found(path, named), []);
}

#[test]
fn body_that_ignores_unknown_members_is_reported() {
    let path = "api/src/storefront/review.rs";
    let lenient = "use a::B;\n/// A body.\n#[derive(Deserialize, Validate)] #[serde(expecting = \"an object\")] struct Create { a: B }";
    assert_eq!(found(path, lenient), [("unknown members", "Create".to_owned())]);
    for other in [
        "#[derive(Deserialize, Validate)] #[serde(deny_unknown_fields)] struct Create { a: B }",
        "#[derive(Deserialize)] struct Form { a: B } #[derive(Serialize, Validate)] struct Other;",
    ] {
        assert_eq!(found(path, other), []);
    }
}

#[test]
fn prefix_of_two_ids_is_reported() {
    let text = "pub type OrderId = Id<'o', 'r', 'd'>; pub type EntryId = Id<'o', 'r', 'd'>; type RefundId = Id<'r', 'e', 'f'>; \
                impl<const A: char> Id<A> {}";
    assert_eq!(found("domain/src/id.rs", text), [("id prefix", "ord".to_owned())]);
}

#[test]
fn operation_of_two_files_is_reported() {
    let of = |name: &str| {
        let text = "fn f() { Operation::write(\"review.purge\"); Operation::write(\"review.purge\") } \
                    fn g() { once(&db, ctx, \"review.create\", write) }";
        Source::new(&format!("persistence/src/{name}.rs"), &text.replace("review.purge", &format!("{name}.purge")))
    };
    let twice = [("operation", "\"review.create\"".to_owned())];
    assert_eq!(found_in(&[of("review"), of("wish_list")]), twice);
    assert_eq!(found_in(&[of("review")]), []);
}

#[test]
fn keyed_write_whose_operation_no_store_has_is_reported() {
    let store = || Source::new("persistence/src/review.rs", "fn f() { once(&db, ctx, \"review.create\", write) }");
    let handler = |name: &str| {
        let text = format!("fn f() {{ write.run(&shop.writes, (\"{name}\", \"\"), parse, command).await }}");
        Source::new("api/src/storefront/review.rs", &text)
    };
    assert_eq!(found_in(&[store(), handler("review.create")]), []);
    assert_eq!(found_in(&[store(), handler("review.add")]), [("operation", "\"review.add\"".to_owned())]);
}
