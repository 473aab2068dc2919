//! Reviews: what a buyer writes about an item of an order. `docs/ADDING_A_MODULE.md` explains this module as the
//! pattern for new modules.
//!
//! An item is reviewed once. The buyer may revise the review and withdraw it; the merchant may hide it. Only published
//! reviews are listed and counted.

use serde::{Deserialize, Serialize};

use crate::PortFuture;
use crate::catalog::{ProductId, Sku};
use crate::checkout::LineId;
use crate::clock::Timestamp;
use crate::context::{Caller, RequestContext};
use crate::fault::{Failure, Fault, Refusal};
use crate::id::{Id, OrderId};
use crate::idempotency::{Answer, KeyRefusal, Write};
use crate::page::{Cursor, Limit, Page};

/// The id of a review.
pub type ReviewId = Id<'r', 'e', 'v'>;

/// The review of one item of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    pub id: ReviewId,
    pub order: OrderId,
    pub line: LineId,
    pub product: ProductId,
    pub content: ReviewContent,
    pub state: ReviewState,
    /// 1 for a new review. Each change adds 1.
    pub version: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: Timestamp,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: Timestamp,
}

/// The rating and the text of a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewContent {
    rating: i64,
    text: String,
}

impl ReviewContent {
    pub const MIN_RATING: i64 = 1;
    pub const MAX_RATING: i64 = 5;
    /// The most characters of a text.
    pub const MAX_TEXT: usize = 2_000;

    /// Returns the content, or `None` if the rating or the text is out of its bounds.
    pub fn new(rating: i64, text: String) -> Option<Self> {
        let fits = (Self::MIN_RATING..=Self::MAX_RATING).contains(&rating)
            && text.chars().count() <= Self::MAX_TEXT
            && !text.contains('\0');
        fits.then_some(Self { rating, text })
    }

    pub fn rating(&self) -> i64 {
        self.rating
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// How far a review is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ReviewState {
    /// Listed and counted.
    Published,
    /// Shown to the buyer only.
    Hidden,
    /// Shown to no caller. The state is final.
    Withdrawn,
}

/// A new review, before it has a version.
#[derive(Clone, Debug)]
pub struct NewReview {
    pub order: OrderId,
    pub line: LineId,
    /// The variant that the buyer bought.
    pub sku: Sku,
    pub content: ReviewContent,
}

/// A change of a review.
#[derive(Clone, Debug)]
pub enum ReviewChange {
    /// The buyer replaces the content of the version that the buyer has read.
    Revise { version: i64, content: ReviewContent },
    /// The buyer withdraws the version that the buyer has read. The text is deleted.
    Withdraw { version: i64 },
    /// The merchant hides the review.
    Hide,
}

/// The number of published reviews of a product and the sum of their ratings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ratings {
    pub count: i64,
    pub sum: i64,
}

impl Ratings {
    /// The mean rating in hundredths, rounded half up. `None` without a review.
    pub fn average(self) -> Option<i64> {
        (self.count > 0).then(|| (self.sum * 200 + self.count) / (self.count * 2))
    }
}

impl Review {
    /// What the review adds to the ratings of its product.
    pub fn ratings(&self) -> Ratings {
        match self.state {
            ReviewState::Published => Ratings { count: 1, sum: self.content.rating },
            ReviewState::Hidden | ReviewState::Withdrawn => Ratings::default(),
        }
    }

    /// Applies a change. A buyer may change the reviews of the buyer's order only. A change that was applied already
    /// changes nothing, so that a caller may repeat a request without an answer (RFC 9110, section 13.1.1).
    pub fn apply(self, caller: &Caller, change: ReviewChange, now: Timestamp) -> Result<Self, ReviewRefusal> {
        let is_buyer = matches!(caller, Caller::Buyer(order) if *order == self.order);
        let is_merchant = !matches!(caller, Caller::Buyer(_));
        let is_final = self.state == ReviewState::Withdrawn;
        let (content, state, version) = match change {
            ReviewChange::Revise { version, content } if is_buyer && !is_final => (content, self.state, version),
            ReviewChange::Withdraw { version } if is_buyer => {
                let emptied = ReviewContent { rating: self.content.rating, text: String::new() };
                (emptied, ReviewState::Withdrawn, version)
            }
            ReviewChange::Hide if is_merchant && !is_final => (self.content.clone(), ReviewState::Hidden, self.version),
            ReviewChange::Revise { .. } | ReviewChange::Withdraw { .. } | ReviewChange::Hide => {
                return Err(ReviewRefusal::NotFound);
            }
        };
        let is_applied = content == self.content && state == self.state;
        match version {
            known if is_applied && (known == self.version || known == self.version - 1) => Ok(self),
            known if known != self.version => Err(ReviewRefusal::Stale),
            _ => Ok(Self { content, state, version: self.version + 1, updated_at: now, ..self }),
        }
    }
}

/// The store of reviews. Each method is one transaction.
pub trait ReviewStore: Send + Sync {
    /// Stores the review of an item that has none, and counts it. Runs once for each idempotency key. Refuses with
    /// [`ReviewRefusal::NoSuchProduct`], `AlreadyReviewed` or `Key`.
    fn create(
        &self,
        ctx: &RequestContext,
        write: Write,
        new: NewReview,
    ) -> PortFuture<Answer<Review>, Failure<ReviewRefusal>>;

    /// The review with this id, in any state. The store does not check the caller.
    fn read(&self, ctx: &RequestContext, id: ReviewId) -> PortFuture<Option<Review>, Fault>;

    /// The review of this item of an order, in any state. The store does not check the caller.
    fn read_of_item(&self, ctx: &RequestContext, order: OrderId, line: LineId) -> PortFuture<Option<Review>, Fault>;

    /// A page of the published reviews of a product, the newest first, and its ratings at the same moment. `None` if
    /// there is no such product. The cursor is the id of a review.
    fn list(
        &self,
        ctx: &RequestContext,
        product: ProductId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> PortFuture<Option<(Ratings, Page<Review>)>, Fault>;

    /// Applies a change for the caller of the context, and counts it: see [`Review::apply`]. Refuses with
    /// [`ReviewRefusal::NotFound`] or `Stale`.
    fn change(
        &self,
        ctx: &RequestContext,
        id: ReviewId,
        change: ReviewChange,
        now: Timestamp,
    ) -> PortFuture<Review, Failure<ReviewRefusal>>;
}

/// Why a review is not written. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewRefusal {
    /// The review does not exist for this caller.
    NotFound,
    /// The shop does not sell the item any more.
    NoSuchProduct,
    /// The item has a review, perhaps a withdrawn one.
    AlreadyReviewed,
    /// The review has another version.
    Stale,
    Key(KeyRefusal),
}

impl Refusal for ReviewRefusal {}

impl From<KeyRefusal> for ReviewRefusal {
    fn from(refusal: KeyRefusal) -> Self {
        Self::Key(refusal)
    }
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
