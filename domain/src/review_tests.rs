//! Tests of the rules of reviews.

use time::Duration;

use super::ReviewChange::{Hide, Revise, Withdraw};
use super::ReviewRefusal::{NotFound, Stale};
use super::ReviewState::{Hidden, Published, Withdrawn};
use super::*;

fn content(rating: i64) -> ReviewContent {
    ReviewContent::new(rating, "Good".to_owned()).expect("content")
}

fn review(state: ReviewState) -> Review {
    let at = Timestamp::UNIX_EPOCH;
    Review {
        id: ReviewId::generate(at),
        order: OrderId::generate(at),
        line: LineId("li_1".to_owned()),
        product: ProductId("rose".to_owned()),
        content: if state == Withdrawn { ReviewContent::new(4, String::new()).expect("content") } else { content(4) },
        state,
        version: 3,
        created_at: at,
        updated_at: at,
    }
}

#[test]
fn content_has_a_rating_and_a_text_within_bounds() {
    for (rating, text, fits) in [
        (1, String::new(), true),
        (5, "ö".repeat(2_000), true),
        (0, String::new(), false),
        (6, String::new(), false),
        (3, "ö".repeat(2_001), false),
        (3, "\0".to_owned(), false),
    ] {
        let content = ReviewContent::new(rating, text.clone());
        assert_eq!(content.is_some(), fits, "{rating} {text:.9}");
        assert!(content.is_none_or(|content| (content.rating(), content.text()) == (rating, &text)));
    }
}

#[test]
fn change_of_a_review_follows_state_version_and_caller() {
    let revise = |version, rating| Revise { version, content: content(rating) };
    // Each change with the state, version and ratings that it leads to. Version 3 is an unchanged review.
    for (state, change, expected) in [
        (Published, revise(3, 1), Ok((Published, 4, 1))),
        (Hidden, revise(3, 1), Ok((Hidden, 4, 0))),
        (Published, revise(2, 4), Ok((Published, 3, 4))),
        (Published, revise(2, 1), Err(Stale)),
        (Published, revise(4, 1), Err(Stale)),
        (Published, revise(1, 4), Err(Stale)),
        (Withdrawn, revise(3, 1), Err(NotFound)),
        (Withdrawn, revise(3, 4), Err(NotFound)),
        (Withdrawn, revise(2, 4), Err(NotFound)),
        (Published, revise(3, 4), Ok((Published, 3, 4))),
        (Published, Withdraw { version: 3 }, Ok((Withdrawn, 4, 0))),
        (Published, Withdraw { version: 2 }, Err(Stale)),
        (Withdrawn, Withdraw { version: 2 }, Ok((Withdrawn, 3, 0))),
        (Withdrawn, Withdraw { version: 1 }, Err(Stale)),
        (Published, Hide, Ok((Hidden, 4, 0))),
        (Hidden, Hide, Ok((Hidden, 3, 0))),
        (Withdrawn, Hide, Err(NotFound)),
    ] {
        let review = review(state);
        let (buyer, merchant) = (Caller::Buyer(review.order.clone()), Caller::Task("merchant"));
        let (caller, other) = if matches!(change, Hide) { (merchant, buyer) } else { (buyer, merchant) };
        let now = review.updated_at + Duration::HOUR;
        let changed = review.clone().apply(&caller, change.clone(), now);
        if let Ok(changed) = &changed {
            assert_eq!(changed.content.text().is_empty(), changed.state == Withdrawn, "{change:?}");
            assert_eq!(changed.updated_at == now, changed.version > review.version, "{change:?}");
        }
        let shown = changed.map(|changed| (changed.state, changed.version, changed.ratings().sum));
        assert_eq!(shown, expected, "{change:?} of a {state:?} review");
        assert_eq!(review.apply(&other, change, now), Err(NotFound), "another caller");
    }
    let stranger = Caller::Buyer(OrderId::generate(Timestamp::UNIX_EPOCH));
    let refused = review(Published).apply(&stranger, revise(3, 1), Timestamp::UNIX_EPOCH);
    assert_eq!(refused, Err(NotFound));
}

#[test]
fn average_is_rounded_half_up_to_hundredths() {
    for (count, sum, average) in
        [(0, 0, None), (1, 5, Some(500)), (3, 13, Some(433)), (3, 14, Some(467)), (8, 17, Some(213))]
    {
        assert_eq!(Ratings { count, sum }.average(), average, "{sum} / {count}");
    }
}
