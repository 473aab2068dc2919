//! Tests of `ports.rs`: each applies a rule to a module `review`, and takes away what the rule asks for.

use super::*;

const PORT: &str = "//! Reviews.
pub trait ReviewStore: Send + Sync {
    /// A page of the reviews.
    fn list(&self, ctx: &RequestContext, after: Option<Cursor>, limit: Limit) -> PortFuture<Page<Review>, Fault>;
    fn write(&self, ctx: &RequestContext, write: Write, new: NewReview) -> PortFuture<Answer, Failure<Refused>>;
    fn claim_due(&self, ctx: &RequestContext, now: Timestamp, limit: u32) -> PortFuture<Vec<Review>, Fault>;
}
pub trait OrderStore { fn read(&self, ctx: &RequestContext) -> PortFuture<Order, Fault>; }
pub trait Reviewer { fn answer(&self, ctx: &RequestContext) -> PortFuture<(), Fault>; }";

const STORAGE: &str =
    "impl OrderStore for SqlOrderStore { fn read(&self) { run(Operation::read_one(\"order.read\")) } }
impl ReviewStore for SqlReviewStore {
    fn list(&self) { self.0.run(ctx, Operation::read(\"review.list\"), move |tx| list(tx)) }
    fn write(&self) { idempotency::once(&self.0, ctx, \"review.write\", write, move |tx, now| write(tx, now)) }
    fn claim_due(&self) { claim_due(self, now, limit) }
}";

const CONTRACT_TEST: &str = "use domain::{order::OrderStore, review::ReviewStore};
on_both_engines!(reviews_are_listed);
async fn reviews_are_listed(place: Place) {
    let reviews = place.shop().await.reviews;
    reviews.list(&task(), None, Limit::new(1)).await;
    reviews.write(&task(), write, new).await;
    reviews.claim_due(&task(), noon(), 1).await;
    shop.orders.read(&task()).await;
}";

const HANDLER: &str = "struct Reviews { reviews: Arc<dyn ReviewStore> }
async fn list(reviews: Data<Reviews>) { reviews.reviews.list(&ctx, None, limit).await }
async fn write(reviews: Data<Reviews>, write: KeyedWrite) {
    let command = |ctx: &RequestContext, write, new| reviews.reviews.write(ctx, write, new);
    write.run(&reviews, (\"review.write\", \"\"), parse, command).await
}
async fn close(reviews: Data<Reviews>) {
    let reviews = reviews.reviews.clone();
    commands.run(&ctx, |ctx| async move { reviews.claim_due(&ctx, now, 1).await }).await
}";

fn sources(port: &str, test: &str, handler: &str) -> Vec<Source> {
    let files = [
        ("domain/src/review.rs", port),
        ("persistence/src/review.rs", STORAGE),
        ("persistence/tests/kit/mod.rs", "pub struct Shop { pub reviews: SqlReviewStore, pub orders: SqlOrderStore }"),
        ("persistence/tests/storage/contract/review.rs", test),
        ("api/src/store/review.rs", handler),
    ];
    files.map(|(path, text)| Source::new(path, text)).into()
}

fn shown(violations: Vec<Violation>) -> Vec<String> {
    violations
        .iter()
        .map(|Violation { file, line, rule, found, .. }| format!("{file}:{line}: [{rule}] {found}"))
        .collect()
}

#[test]
fn method_of_a_store_without_contract_test_is_reported() {
    let untested = |test: &str| shown(untested(&sources(PORT, test, HANDLER)));
    assert_eq!(untested(CONTRACT_TEST), [""; 0]);
    let at = |line, method| format!("domain/src/review.rs:{line}: [contract] ReviewStore::{method}");
    for (test, expected) in [
        (CONTRACT_TEST.replace("reviews.list(&task(), None, Limit::new(1)).await;", ""), vec![at(4, "list")]),
        (CONTRACT_TEST.replace("reviews.write(&task(), write, new)", "file.write()"), vec![at(5, "write")]),
        (CONTRACT_TEST.replace("reviews.write(&task(), write, new)", "file.write(|line| line)"), vec![at(5, "write")]),
        (CONTRACT_TEST.replace("ReviewStore", "Review"), vec![at(4, "list"), at(5, "write"), at(6, "claim_due")]),
        // A call of another port that has a method of this name.
        (CONTRACT_TEST.replace("reviews.list(", "shop.orders.list("), vec![at(4, "list")]),
    ] {
        assert_eq!(untested(&test), expected, "{test}");
    }
    assert_eq!(untested(&CONTRACT_TEST.replace("on_both_engines", "on_sqlite")).len(), 4);
    // A port with another name is a store if the crate persistence implements it.
    let book = |source: Source| Source::new(source.path, source.text.replace("ReviewStore", "ReviewBook"));
    let renamed: Vec<Source> = sources(PORT, "", HANDLER).into_iter().map(book).collect();
    assert_eq!(super::untested(&renamed).len(), 4);
}

#[test]
fn list_without_limit_and_cursor_is_reported() {
    let unbounded = |port: &str| shown(unbounded(&sources(port, CONTRACT_TEST, HANDLER)));
    assert_eq!(unbounded(PORT), [""; 0]);
    for (before, after, line, method) in [
        ("after: Option<Cursor>, ", "", 4, "list"),
        ("limit: Limit", "limit: u32", 4, "list"),
        ("Page<Review>", "Vec<Review>", 4, "list"),
        ("fn list(&self, ctx: &RequestContext, after", "fn newest(&self, ctx: &RequestContext, from", 4, "newest"),
        ("now: Timestamp, limit: u32", "now: Timestamp", 6, "claim_due"),
    ] {
        let port = PORT.replacen(before, after, 1);
        let port = if method == "newest" { port.replace("Option<Cursor>", "Option<String>") } else { port };
        assert_eq!(unbounded(&port), [format!("domain/src/review.rs:{line}: [bounded list] ReviewStore::{method}")]);
    }
}

#[test]
fn write_that_a_handler_awaits_is_reported() {
    let awaited = |handler: &str| shown(awaited(&sources(PORT, CONTRACT_TEST, handler)));
    assert_eq!(awaited(HANDLER), [""; 0]);
    let direct =
        HANDLER.replace("reviews.reviews.write(ctx, write, new);", "reviews.reviews.write(ctx, write, new).await;");
    assert_eq!(awaited(&direct), ["api/src/store/review.rs:4: [detached write] reviews.write"]);
    for of in ["domain::Data<dyn ReviewStore>", "&dyn ReviewStore", "&impl ReviewStore"] {
        let parameter = format!("async fn write(store: {of}) {{ store.write(&ctx, write, new).await }}");
        assert_eq!(awaited(&parameter), ["api/src/store/review.rs:1: [detached write] store.write"], "{of}");
    }
    // A method that does not show that it only reads is a write.
    let direct = HANDLER.replace("async move {", "{");
    assert_eq!(awaited(&direct), ["api/src/store/review.rs:9: [detached write] reviews.claim_due"]);
    let mut in_a_tool = sources(PORT, CONTRACT_TEST, "");
    in_a_tool.push(Source::new("api/src/cli/review.rs", direct));
    assert_eq!(super::awaited(&in_a_tool), []);
}

#[test]
fn exception_that_permits_nothing_is_reported() {
    let violations = || unbounded(&sources(&PORT.replace("limit: u32", "most: u32"), "", ""));
    let permitted = ("domain/src/review.rs", "ReviewStore::claim_due", "bounded");
    let unused = ("domain/src/review.rs", "ReviewStore::list", "bounded");
    assert_eq!(shown(without_exceptions("x", violations(), &[permitted], TABLES)), [""; 0]);
    let found = without_exceptions("x", violations(), &[permitted, unused], TABLES);
    assert_eq!(shown(found), ["xtask/src/boundaries/ports.rs:1: [x] domain/src/review.rs: ReviewStore::list"]);
}
