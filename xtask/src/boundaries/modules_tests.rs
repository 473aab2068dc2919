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
    for unlimited in [
        "fn list() { let rows = load!(tx, query.select(id)); }",
        "fn list() { lock_all!(tx, query) }",
        "fn list() { lock_free!(tx, query) }",
        "fn list() { keep_all!(tx, query) }",
        "fn list() { on_backend!(tx, |conn| query.load(*conn)) }",
        "fn list() { let one = load!(tx, query.limit(10)); load!(tx, other) }",
    ] {
        assert_eq!(found(path, unlimited), [("limit", "list".to_owned())], "{unlimited}");
    }
    for limited in [
        "fn list() { load!(tx, query.limit(10)) }",
        "fn list() { let query = Statement::new(\"SELECT id LIMIT $1\"); load!(tx, query) }",
        "fn find() { first!(tx, query) }",
        "fn flag() -> bool { self.0.load(Ordering::Acquire) }",
    ] {
        assert_eq!(found(path, limited), [], "{limited}");
    }
    assert_eq!(found("persistence/tests/storage/state.rs", "fn list() { load!(tx, query) }"), []);
    assert_eq!(found("persistence/src/stock.rs", "fn read() { load!(tx, query) }"), []);
}

#[test]
fn refusal_that_falls_to_a_default_is_reported() {
    let path = "api/src/storefront/review.rs";
    for default in ["_", "other"] {
        let text = "fn refused(refusal: R) -> Problem { match refusal { R::NotFound => a(), other => b() } }";
        assert_eq!(found(path, &text.replace("other", default)), [("refusals", "_ =>".to_owned())]);
    }
    let named = "fn refused(refusal: R) -> Problem { match refusal { R::Key(_) => a(), R::Gone { by } => b(), } }";
    assert_eq!(found(path, named), []);
}

#[test]
fn body_that_ignores_unknown_members_is_reported() {
    let path = "api/src/storefront/review.rs";
    for lenient in [
        "use a::B; /// A body.\n#[derive(Deserialize, Validate)] #[serde(expecting = \"x\")] struct Create { a: B }",
        "#[derive(Deserialize, Validate)] #[schema(example = json!({\"a\": 4}))] pub(super) struct Create;",
    ] {
        assert_eq!(found(path, lenient), [("unknown members", "Create".to_owned())], "{lenient}");
    }
    for other in [
        "#[derive(Deserialize, Validate)] #[serde(deny_unknown_fields)] struct Create { a: B }",
        "#[serde(deny_unknown_fields)] #[schema(example = json!({\"a\": 4}))] #[derive(Deserialize, Validate)] struct A;",
        "#[derive(Deserialize)] struct Form { a: B } #[derive(Serialize, Validate)] struct Other;",
    ] {
        assert_eq!(found(path, other), [], "{other}");
    }
}

#[test]
fn prefix_of_two_ids_is_reported_at_both() {
    let text = "pub type OrderId = Id<'o', 'r', 'd'>; pub type EntryId = Id<'o', 'r', 'd'>; type RefundId = Id<'r', 'e', 'f'>; \
                impl<const A: char> Id<A> {}";
    let both = ["ord", "ord"].map(|prefix| ("id prefix", prefix.to_owned()));
    assert_eq!(found("domain/src/id.rs", text), both);
}

#[test]
fn operation_of_two_files_or_two_keyed_writes_is_reported_at_both() {
    let of = |name: &str| {
        let text = "fn f() { Operation::write(\"NAME.purge\"); Operation::write(\"NAME.purge\") } \
                    fn g() { once(&db, ctx, \"review.create\", write) }";
        Source::new(format!("persistence/src/{name}.rs"), text.replace("NAME", name))
    };
    let create = || ("operation", "\"review.create\"".to_owned());
    assert_eq!(found_in(&[of("review"), of("alert")]), [create(), create()]);
    assert_eq!(found_in(&[of("review")]), []);
    let twice = "fn f() { once(&db, ctx, \"review.create\", a) } fn g() { once(&db, ctx, \"review.create\", b) }";
    assert_eq!(found("persistence/src/review.rs", twice), [create(), create()]);
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
