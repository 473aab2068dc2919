//! Reviews of products, and the ratings that they add up to.

use diesel::prelude::*;
use diesel::upsert::excluded;
use domain::PortFuture;
use domain::catalog::{ProductId, Sku};
use domain::checkout::LineId;
use domain::clock::Timestamp;
use domain::context::{Caller, RequestContext};
use domain::fault::{Failure, Fault};
use domain::id::OrderId;
use domain::idempotency::{Answer, Write};
use domain::page::{Cursor, Limit, Page};
use domain::review::{
    NewReview, Ratings, Review, ReviewChange, ReviewContent, ReviewId, ReviewRefusal, ReviewState, ReviewStore,
};

use crate::database::{Database, Decided, Operation, Tx, execute, first, load, lock, refuse, update};
use crate::idempotency;
use crate::schema::{product, variant};
use crate::stored::{id, instant, malformed, millis, one_more_than, storable, word};

diesel::table! {
    review (id) {
        id -> Text,
        order_id -> Text,
        line_id -> Text,
        product_id -> Text,
        rating -> BigInt,
        body -> Text,
        state -> Text,
        version -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}
diesel::table! {
    product_rating (product_id) {
        product_id -> Text,
        reviews -> BigInt,
        rating_sum -> BigInt,
    }
}
diesel::allow_tables_to_appear_in_same_query!(product, product_rating);

/// The [`ReviewStore`] in the database.
pub struct SqlReviewStore(pub Database);

impl ReviewStore for SqlReviewStore {
    fn create(
        &self,
        ctx: &RequestContext,
        write: Write,
        new: NewReview,
    ) -> PortFuture<Answer<Review>, Failure<ReviewRefusal>> {
        idempotency::once(&self.0, ctx, "review.create", write, move |tx, now| create(tx, &new, now))
    }

    fn read(&self, ctx: &RequestContext, id: ReviewId) -> PortFuture<Option<Review>, Fault> {
        self.0.run(ctx, Operation::read_one("review.read"), move |tx| {
            let row: Option<Row> = first!(tx, review::table.find(id.as_str()))?;
            Ok(row.map(Row::review).transpose()?)
        })
    }

    fn read_of_item(&self, ctx: &RequestContext, order: OrderId, line: LineId) -> PortFuture<Option<Review>, Fault> {
        self.0.run(ctx, Operation::read_one("review.read_of_item"), move |tx| {
            let item = review::order_id.eq(order.as_str()).and(review::line_id.eq(&line.0));
            let row: Option<Row> = first!(tx, review::table.filter(item))?;
            Ok(row.map(Row::review).transpose()?)
        })
    }

    fn list(
        &self,
        ctx: &RequestContext,
        product: ProductId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> PortFuture<Option<(Ratings, Page<Review>)>, Fault> {
        self.0.run(ctx, Operation::read("review.list"), move |tx| Ok(list(tx, &product, after.as_ref(), limit)?))
    }

    fn change(
        &self,
        ctx: &RequestContext,
        id: ReviewId,
        change: ReviewChange,
        now: Timestamp,
    ) -> PortFuture<Review, Failure<ReviewRefusal>> {
        let op = Operation::repeatable_write("review.change", "it locks the review, whose version shows the change");
        let caller = ctx.caller().clone();
        self.0.run(ctx, op, move |tx| self::change(tx, &id, &caller, &change, now))
    }
}

fn create(tx: &mut Tx<'_>, new: &NewReview, now: Timestamp) -> Decided<Review, ReviewRefusal> {
    let product = product_of(tx, &new.sku)?.ok_or_else(|| refuse(ReviewRefusal::NoSuchProduct))?;
    let review = Review {
        id: ReviewId::generate(now),
        order: new.order.clone(),
        line: new.line.clone(),
        product,
        content: new.content.clone(),
        state: ReviewState::Published,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let insert = diesel::insert_into(review::table)
        .values(Row::of(&review))
        .on_conflict((review::order_id, review::line_id))
        .do_nothing();
    if execute!(tx, insert)? == 0 {
        return Err(refuse(ReviewRefusal::AlreadyReviewed));
    }
    count(tx, &review.product, Ratings::default(), review.ratings())?;
    Ok(review)
}

fn change(
    tx: &mut Tx<'_>,
    id: &ReviewId,
    caller: &Caller,
    change: &ReviewChange,
    now: Timestamp,
) -> Decided<Review, ReviewRefusal> {
    let row: Option<Row> = lock!(tx, review::table.find(id.as_str()))?;
    let before = row.ok_or_else(|| refuse(ReviewRefusal::NotFound))?.review()?;
    let after = before.clone().apply(caller, change.clone(), now).map_err(refuse)?;
    if after.version > before.version {
        execute!(tx, update(review::table.find(id.as_str())).set(Row::of(&after)))?;
        count(tx, &after.product, before.ratings(), after.ratings())?;
    }
    Ok(after)
}

fn product_of(tx: &mut Tx<'_>, sku: &Sku) -> QueryResult<Option<ProductId>> {
    let query = variant::table.find(sku.as_str()).select(variant::product_id);
    let id: Option<String> = first!(tx, query)?;
    Ok(id.map(ProductId))
}

/// Adds the difference of a review's ratings to the ratings of its product. The row of the ratings is the most
/// contended one, so each transaction locks it last.
fn count(tx: &mut Tx<'_>, product: &ProductId, before: Ratings, after: Ratings) -> QueryResult<()> {
    let added = (
        product_rating::reviews.eq(product_rating::reviews + (after.count - before.count)),
        product_rating::rating_sum.eq(product_rating::rating_sum + (after.sum - before.sum)),
    );
    if execute!(tx, update(product_rating::table.find(&product.0)).set(added))? > 0 {
        return Ok(());
    }
    // The first review of the product, or one of several first reviews at the same time.
    let first = (
        product_rating::product_id.eq(&product.0),
        product_rating::reviews.eq(after.count),
        product_rating::rating_sum.eq(after.sum),
    );
    let added = (
        product_rating::reviews.eq(product_rating::reviews + excluded(product_rating::reviews)),
        product_rating::rating_sum.eq(product_rating::rating_sum + excluded(product_rating::rating_sum)),
    );
    let insert = diesel::insert_into(product_rating::table).values(first).on_conflict(product_rating::product_id);
    execute!(tx, insert.do_update().set(added)).map(drop)
}

fn list(
    tx: &mut Tx<'_>,
    product: &ProductId,
    after: Option<&Cursor>,
    limit: Limit,
) -> QueryResult<Option<(Ratings, Page<Review>)>> {
    if !storable(&product.0) {
        return Ok(None);
    }
    let query = product::table
        .left_join(product_rating::table.on(product_rating::product_id.eq(product::id)))
        .filter(product::id.eq(&product.0))
        .select((product_rating::reviews.nullable(), product_rating::rating_sum.nullable()));
    let counted: Option<(Option<i64>, Option<i64>)> = first!(tx, query)?;
    let Some((count, sum)) = counted else { return Ok(None) };
    let ratings = Ratings { count: count.unwrap_or(0), sum: sum.unwrap_or(0) };

    let after = after.map_or_else(ReviewId::after_all, |cursor| cursor.0.clone());
    let published = review::product_id.eq(&product.0).and(review::state.eq(ReviewState::Published.into_str()));
    let query = review::table
        .filter(published.and(review::id.lt(after)))
        .order(review::id.desc())
        .limit(one_more_than(limit.get()));
    let rows: Vec<Row> = load!(tx, query)?;
    let reviews = rows.into_iter().map(Row::review).collect::<QueryResult<_>>()?;
    Ok(Some((ratings, Page::of(reviews, limit, |review: &Review| review.id.to_string()))))
}

#[derive(Queryable, Insertable, AsChangeset)]
#[diesel(table_name = review, treat_none_as_default_value = false)]
struct Row {
    id: String,
    order_id: String,
    line_id: String,
    product_id: String,
    rating: i64,
    body: String,
    state: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl Row {
    fn of(review: &Review) -> Self {
        Self {
            id: review.id.to_string(),
            order_id: review.order.to_string(),
            line_id: review.line.0.clone(),
            product_id: review.product.0.clone(),
            rating: review.content.rating(),
            body: review.content.text().to_owned(),
            state: review.state.into_str().to_owned(),
            version: review.version,
            created_at: millis(review.created_at),
            updated_at: millis(review.updated_at),
        }
    }

    fn review(self) -> QueryResult<Review> {
        Ok(Review {
            id: id(&self.id)?,
            order: id(&self.order_id)?,
            line: LineId(self.line_id),
            product: ProductId(self.product_id),
            content: ReviewContent::new(self.rating, self.body).ok_or_else(|| malformed("a review without bounds"))?,
            state: word(&self.state)?,
            version: self.version,
            created_at: instant(self.created_at)?,
            updated_at: instant(self.updated_at)?,
        })
    }
}
