//! Reviews of ordered items, their pages, and their ratings.

use std::sync::Arc;

use domain::catalog::ProductId;
use domain::checkout::LineId;
use domain::idempotency::{Answer, Fingerprint, KeyClaim, KeyRefusal, Write};
use domain::order::OrderId;
use domain::page::Limit;
use domain::review::{
    NewReview, Ratings, Review, ReviewChange, ReviewContent, ReviewId, ReviewRefusal, ReviewState, ReviewStore,
};
use persistence::review::SqlReviewStore;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::kit::data::{buyer, claim, hours, noon, sku, task};
use crate::kit::golden::{Set, rows, text};
use crate::kit::race::second;
use crate::kit::{Place, Shop, refusal};

crate::on_both_engines!(
    review_is_created_once_for_each_item_and_key,
    review_is_revised_hidden_and_withdrawn,
    pages_are_complete_while_reviews_are_written,
    second_review_of_an_item_waits_for_the_first,
    change_waits_for_the_change_before_it,
    rating_waits_for_the_rating_before_it,
    thousand_parallel_reviews_are_counted_exactly,
);

crate::golden!("review", history, replay, read);

fn content(rating: i64) -> ReviewContent {
    ReviewContent::new(rating, "Fine, and \"blue\" 🌱".into()).expect("content")
}

fn revise(version: i64, rating: i64) -> ReviewChange {
    ReviewChange::Revise { version, content: content(rating) }
}

fn new(order: &OrderId, name: &str, rating: i64) -> NewReview {
    NewReview { order: order.clone(), line: LineId("li_1".into()), sku: sku(name), content: content(rating) }
}

fn write(key: &str) -> Write {
    Write { claim: claim("review.create", "", key), now: noon() }
}

/// A shop in which a buyer has ordered a song.
async fn ordered(place: &Place) -> (SqlReviewStore, OrderId) {
    let shop = place.shop().await;
    let order = shop.bought(&[("song", 1)], "k1").await.order.expect("an order").id;
    (SqlReviewStore(shop.database), order)
}

async fn created(reviews: &SqlReviewStore, order: &OrderId, rating: i64, write: Write) -> Review {
    let created = reviews.create(&buyer(order), write, new(order, "song", rating)).await.expect("created");
    assert!(!created.replayed);
    created.outcome
}

async fn ratings(reviews: &SqlReviewStore) -> (i64, i64) {
    let listed = reviews.list(&task(), ProductId("song".into()), None, Limit::new(1)).await.expect("listed");
    listed.map(|(ratings, _)| (ratings.count, ratings.sum)).expect("a product")
}

async fn review_is_created_once_for_each_item_and_key(place: Place) {
    let (reviews, order) = ordered(&place).await;
    let (ctx, product) = (buyer(&order), ProductId("song".into()));
    let review = created(&reviews, &order, 4, write("r1")).await;
    assert_eq!((&review.product, review.version, ratings(&reviews).await), (&product, 1, (1, 4)));
    assert_eq!(reviews.read(&ctx, review.id.clone()).await.expect("read"), Some(review.clone()));
    for (line, expected) in [("li_1", Some(&review)), ("li_2", None)] {
        let read = reviews.read_of_item(&ctx, order.clone(), LineId(line.into())).await.expect("read");
        assert_eq!(read.as_ref(), expected);
    }
    assert_eq!(reviews.list(&ctx, ProductId("\0".into()), None, Limit::new(1)).await.expect("listed"), None);

    let before = place.raw().state();
    let again = reviews.create(&ctx, write("r1"), new(&order, "song", 4)).await.expect("replayed");
    assert_eq!(again, Answer { outcome: review, replayed: true });
    let mut other = write("r1");
    other.claim.fingerprint = Fingerprint("another request".into());
    for (write, name, expected) in [
        (other, "song", ReviewRefusal::Key(KeyRefusal::Reused)),
        (write("r2"), "song", ReviewRefusal::AlreadyReviewed),
        (write("r2"), "unheard-of", ReviewRefusal::NoSuchProduct),
    ] {
        assert_eq!(refusal(reviews.create(&ctx, write, new(&order, name, 5)).await), expected);
    }
    assert_eq!(place.raw().state(), before, "neither a replay nor a refusal changes anything");
}

async fn review_is_revised_hidden_and_withdrawn(place: Place) {
    let (reviews, order) = ordered(&place).await;
    let id = created(&reviews, &order, 4, write("r1")).await.id;
    let later = noon() + hours(1);
    for (ctx, change, state, counted) in [
        (buyer(&order), revise(1, 2), ReviewState::Published, (1, 2)),
        (buyer(&order), revise(1, 2), ReviewState::Published, (1, 2)),
        (task(), ReviewChange::Hide, ReviewState::Hidden, (0, 0)),
        (buyer(&order), ReviewChange::Withdraw { version: 3 }, ReviewState::Withdrawn, (0, 0)),
    ] {
        let changed = reviews.change(&ctx, id.clone(), change, later).await.expect("changed");
        assert_eq!((changed.state, changed.updated_at), (state, later));
        assert_eq!(reviews.read(&ctx, id.clone()).await.expect("read"), Some(changed));
        assert_eq!(ratings(&reviews).await, counted);
    }
    let before = place.raw().state();
    for id in [id, ReviewId::generate(noon())] {
        let refused = refusal(reviews.change(&buyer(&order), id, revise(4, 5), later).await);
        assert_eq!(refused, ReviewRefusal::NotFound);
    }
    assert_eq!(place.raw().state(), before, "a refused change changes nothing");
}

async fn pages_are_complete_while_reviews_are_written(place: Place) {
    let (reviews, _) = ordered(&place).await;
    let mut expected = Vec::new();
    let orders = place.copies_of_an_order(20);
    let at = |n: i64| Write { now: noon() + hours(n), ..write(&format!("r{n}")) };
    for (n, order) in (0..10).zip(&orders) {
        expected.insert(0, created(&reviews, order, 3, at(n)).await.id);
    }
    let (mut found, mut after) = (Vec::new(), None);
    for (n, order) in (10..).zip(&orders[10..]) {
        let listed = reviews.list(&task(), ProductId("song".into()), after, Limit::new(3)).await.expect("listed");
        let (counted, page) = listed.expect("a product");
        assert_eq!(counted, Ratings { count: n, sum: 3 * n });
        found.extend(page.items.into_iter().map(|review| review.id));
        created(&reviews, order, 3, at(n)).await;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, expected, "newest first, each once");
}

async fn second_review_of_an_item_waits_for_the_first(place: Place) {
    let (reviews, order) = ordered(&place).await;
    let first = format!("INSERT INTO review VALUES ('rev_1', '{order}', 'li_1', 'song', 5, '', 'published', 1, 0, 0)");
    let ctx = buyer(&order);
    let creating = reviews.create(&ctx, write("r1"), new(&order, "song", 4));
    assert_eq!(refusal(second(&place, &ctx, &first, creating).await), ReviewRefusal::AlreadyReviewed);
    assert_eq!((place.raw().count("review"), place.raw().count("product_rating")), (1, 0));
}

async fn change_waits_for_the_change_before_it(place: Place) {
    let (reviews, order) = ordered(&place).await;
    let id = created(&reviews, &order, 4, write("r1")).await.id;
    let ctx = buyer(&order);
    let changing = reviews.change(&ctx, id, revise(1, 2), noon());
    let changed = second(&place, &ctx, "UPDATE review SET version = 2, rating = 1", changing).await;
    assert_eq!(refusal(changed), ReviewRefusal::Stale);
    assert_eq!(place.raw().number("SELECT rating FROM review"), 1, "the first change is kept");
}

async fn rating_waits_for_the_rating_before_it(place: Place) {
    let (reviews, order) = ordered(&place).await;
    for (key, first, expected) in [
        ("r1", "INSERT INTO product_rating VALUES ('song', 1, 5)", (2, 9)),
        ("r2", "UPDATE product_rating SET reviews = reviews + 1, rating_sum = rating_sum + 5", (4, 18)),
    ] {
        let ctx = buyer(&order);
        second(&place, &ctx, first, reviews.create(&ctx, write(key), new(&order, "song", 4))).await.expect("created");
        assert_eq!(ratings(&reviews).await, expected);
        place.raw().execute("DELETE FROM review");
    }
}

async fn thousand_parallel_reviews_are_counted_exactly(place: Place) {
    let reviews = Arc::new(ordered(&place).await.0);
    // Every tenth item gets two reviews at the same time.
    let orders = place.copies_of_an_order(1_000);
    let mut writers = JoinSet::new();
    for n in 0..1_100 {
        let (reviews, order) = (reviews.clone(), orders[n % 1_000].clone());
        let new = new(&order, "song", (n % 5) as i64 + 1);
        writers.spawn(async move { reviews.create(&buyer(&order), write(&format!("r{n}")), new).await });
    }
    let (created, refused): (Vec<_>, Vec<_>) = writers.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((created.len(), refused.len()), (1_000, 100));
    assert!(refused.into_iter().all(|refused| refusal(refused) == ReviewRefusal::AlreadyReviewed));
    assert_eq!(ratings(&reviews).await, (1_000, 3_000));

    // Of four editors who have read the same version, one changes the review. Each writes another text, because a
    // repetition of the same change succeeds.
    let created: Vec<Review> = created.into_iter().flatten().map(|answer| answer.outcome).collect();
    let mut editors = JoinSet::new();
    for n in 0..400 {
        let (reviews, review) = (reviews.clone(), created[n / 4].clone());
        let content = ReviewContent::new(5, format!("by {n}")).expect("content");
        let change = ReviewChange::Revise { version: review.version, content };
        editors.spawn(async move { reviews.change(&buyer(&review.order), review.id, change, noon()).await });
    }
    let (changed, refused): (Vec<_>, Vec<_>) = editors.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((changed.len(), refused.len()), (100, 300));
    assert!(refused.into_iter().all(|refused| refusal(refused) == ReviewRefusal::Stale));
    let mut raw = place.raw();
    let stored = (raw.number("SELECT count(*) FROM review"), raw.number("SELECT sum(rating) FROM review"));
    assert_eq!(ratings(&reviews).await, stored);
}

/// Reviews each line of the order. One review is revised, hidden and withdrawn.
async fn history(shop: &Shop, order: &OrderId) {
    let (reviews, ctx) = (SqlReviewStore(shop.database.clone()), buyer(order));
    let created = async |line: &str, name| {
        let new = NewReview { line: LineId(line.into()), ..new(order, name, 4) };
        reviews.create(&ctx, write(name), new).await.expect("created").outcome.id
    };
    created("li_3", "rose").await;
    let id = created("li_4", "book").await;
    let withdrawal = ReviewChange::Withdraw { version: 3 };
    for (ctx, change) in [(&ctx, revise(1, 2)), (&task(), ReviewChange::Hide), (&ctx, withdrawal)] {
        reviews.change(ctx, id.clone(), change, noon() + hours(1)).await.expect("changed");
    }
}

async fn replay(shop: &Shop, claim: KeyClaim) -> Value {
    let (write, any) = (Write { claim, now: noon() }, new(&OrderId::generate(noon()), "any", 1));
    let answer = SqlReviewStore(shop.database.clone()).create(&task(), write, any).await.expect("an outcome");
    assert!(answer.replayed);
    json!(answer.outcome)
}

async fn read(shop: &Shop, set: &Set) {
    for row in rows(set, "review") {
        let id = ReviewId::parse(text(row, "id")).expect("an id");
        let read = SqlReviewStore(shop.database.clone()).read(&task(), id).await.expect("read").expect("a review");
        assert_eq!((read.content.text(), read.state.into_str()), (text(row, "body"), text(row, "state")));
    }
}
