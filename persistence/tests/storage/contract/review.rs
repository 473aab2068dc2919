//! Reviews of ordered items, their pages, and their ratings.

use std::sync::Arc;

use domain::catalog::ProductId;
use domain::checkout::LineId;
use domain::fault::Failure;
use domain::idempotency::{Answer, KeyRefusal, Write};
use domain::order::OrderId;
use domain::page::Limit;
use domain::review::{
    NewReview, Ratings, Review, ReviewChange, ReviewContent, ReviewRefusal, ReviewState, ReviewStore,
};
use persistence::review::SqlReviewStore;
use tokio::task::JoinSet;

use crate::kit::data::{buyer, claim, hours, noon, sku, task};
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

async fn ordered(shop: &Shop, name: &str, key: &str) -> (SqlReviewStore, OrderId) {
    (SqlReviewStore(shop.database.clone()), shop.bought(&[(name, 1)], key).await.order.expect("an order").id)
}

async fn created(reviews: &SqlReviewStore, order: &OrderId, rating: i64, write: Write) -> Review {
    reviews.create(&buyer(order), write, new(order, "song", rating)).await.expect("created").outcome
}

async fn ratings(reviews: &SqlReviewStore) -> (i64, i64) {
    let listed = reviews.list(&task(), ProductId("song".into()), None, Limit::new(1)).await.expect("listed");
    listed.map(|(ratings, _)| (ratings.count, ratings.sum)).expect("a product")
}

/// Stores `count` copies of an order, each with another id, and returns their ids.
fn copies(place: &Place, count: u32) -> Vec<OrderId> {
    place.raw().execute(&format!(
        "INSERT INTO orders SELECT 'ord_{:028}' || (1000 + i), checkout_id || i, \
         owner, page || i, currency, expectations, totals, attribution, placed_at FROM orders, \
         (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n) AS n",
        0
    ));
    (1..=count).map(|i| OrderId::parse(&format!("ord_{:032}", 1_000 + i)).expect("an id")).collect()
}

async fn review_is_created_once_for_each_item_and_key(place: Place) {
    let shop = place.shop().await;
    let (reviews, order) = ordered(&shop, "song", "k1").await;
    let ctx = buyer(&order);
    let first = reviews.create(&ctx, write("r1"), new(&order, "song", 4)).await.expect("created");
    let Answer { outcome: review, replayed: false } = first else { panic!("replayed") };
    let again = reviews.create(&ctx, write("r1"), new(&order, "song", 4)).await.expect("replayed");
    assert_eq!(again, Answer { outcome: review.clone(), replayed: true });
    let other = Write {
        claim: domain::idempotency::KeyClaim { fingerprint: claim("", "", "x").fingerprint, ..write("r1").claim },
        now: noon(),
    };
    let reused = refusal(reviews.create(&ctx, other, new(&order, "song", 5)).await);
    assert_eq!(reused, ReviewRefusal::Key(KeyRefusal::Reused));
    let repeated = refusal(reviews.create(&ctx, write("r2"), new(&order, "song", 5)).await);
    assert_eq!(repeated, ReviewRefusal::AlreadyReviewed);
    let unsold = refusal(reviews.create(&ctx, write("r2"), new(&order, "unheard-of", 5)).await);
    assert_eq!(unsold, ReviewRefusal::NoSuchProduct);

    assert_eq!(reviews.read(&ctx, review.id.clone()).await.expect("read"), Some(review.clone()));
    let of_item = reviews.read_of_item(&ctx, order.clone(), review.line.clone()).await.expect("read");
    assert_eq!(of_item, Some(review));
    assert_eq!(reviews.read_of_item(&ctx, order, LineId("li_2".into())).await.expect("read"), None);
    assert_eq!(ratings(&reviews).await, (1, 4));
    let missing = reviews.list(&ctx, ProductId("\0".into()), None, Limit::new(1)).await.expect("listed");
    assert_eq!(missing, None);
}

async fn review_is_revised_hidden_and_withdrawn(place: Place) {
    let shop = place.shop().await;
    let (reviews, order) = ordered(&shop, "song", "k1").await;
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
    let ended = refusal(reviews.change(&buyer(&order), id, revise(4, 5), later).await);
    let unknown = domain::review::ReviewId::generate(noon());
    let missing = refusal(reviews.change(&buyer(&order), unknown, revise(1, 5), later).await);
    assert_eq!((ended, missing), (ReviewRefusal::NotFound, ReviewRefusal::NotFound));
    assert_eq!(place.raw().state(), before, "a refused change changes nothing");
}

async fn pages_are_complete_while_reviews_are_written(place: Place) {
    let shop = place.shop().await;
    let (reviews, _) = ordered(&shop, "song", "k1").await;
    let mut expected = Vec::new();
    let orders = copies(&place, 20);
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
    let shop = place.shop().await;
    let (reviews, order) = ordered(&shop, "song", "k1").await;
    let first = format!("INSERT INTO review VALUES ('rev_1', '{order}', 'li_1', 'song', 5, '', 'published', 1, 0, 0)");
    let ctx = buyer(&order);
    let creating = reviews.create(&ctx, write("r1"), new(&order, "song", 4));
    assert_eq!(refusal(second(&place, &ctx, &first, creating).await), ReviewRefusal::AlreadyReviewed);
    assert_eq!((place.raw().count("review"), place.raw().count("product_rating")), (1, 0));
}

async fn change_waits_for_the_change_before_it(place: Place) {
    let shop = place.shop().await;
    let (reviews, order) = ordered(&shop, "song", "k1").await;
    let id = created(&reviews, &order, 4, write("r1")).await.id;
    let ctx = buyer(&order);
    let changing = reviews.change(&ctx, id, revise(1, 2), noon());
    let changed = second(&place, &ctx, "UPDATE review SET version = 2, rating = 1", changing).await;
    assert_eq!(refusal(changed), ReviewRefusal::Stale);
    assert_eq!(place.raw().number("SELECT rating FROM review"), 1, "the first change is kept");
}

async fn rating_waits_for_the_rating_before_it(place: Place) {
    let shop = place.shop().await;
    let (reviews, order) = ordered(&shop, "song", "k1").await;
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
    let shop = place.shop().await;
    let reviews = Arc::new(ordered(&shop, "song", "k1").await.0);
    // Every tenth item gets two reviews at the same time.
    let orders = copies(&place, 1_000);
    let mut writers = JoinSet::new();
    for n in 0..1_100 {
        let (reviews, order) = (reviews.clone(), orders[n % 1_000].clone());
        writers.spawn(async move {
            let new = new(&order, "song", (n % 5) as i64 + 1);
            reviews.create(&buyer(&order), write(&format!("r{n}")), new).await.map_err(|failure| match failure {
                Failure::Refused(ReviewRefusal::AlreadyReviewed) => "reviewed",
                other => panic!("{other:?}"),
            })
        });
    }
    let answers = writers.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 100);
    assert_eq!(ratings(&reviews).await, (1_000, 3_000));

    // Eight editors of one review change it five times each.
    let id = answers.into_iter().find_map(Result::ok).expect("a review").outcome;
    let mut editors = JoinSet::new();
    for editor in 0..8 {
        let (reviews, id, ctx) = (reviews.clone(), id.id.clone(), buyer(&id.order));
        editors.spawn(async move {
            let mut changes = 0;
            while changes < 5 {
                let known = reviews.read(&ctx, id.clone()).await.expect("read").expect("a review");
                // The text is new each time, so that each accepted change adds one version.
                let content = ReviewContent::new(5, format!("{editor} {changes}")).expect("content");
                let change = ReviewChange::Revise { version: known.version, content };
                match reviews.change(&ctx, id.clone(), change, noon()).await {
                    Ok(_) => changes += 1,
                    Err(Failure::Refused(ReviewRefusal::Stale)) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
    editors.join_all().await;
    let edited = reviews.read(&task(), id.id).await.expect("read").expect("a review");
    assert_eq!(edited.version, 1 + 8 * 5, "no change is lost");
    let mut raw = place.raw();
    let stored = (raw.number("SELECT count(*) FROM review"), raw.number("SELECT sum(rating) FROM review"));
    assert_eq!(ratings(&reviews).await, stored);
}
