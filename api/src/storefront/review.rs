//! Reviews of ordered items: the routes of the storefront.

use actix_web::http::Method;
use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use domain::catalog::ProductId;
use domain::checkout::LineId;
use domain::clock::Timestamp;
use domain::context::RequestContext;
use domain::fault::Failure;
use domain::idempotency::Answer;
use domain::order::OrderLine;
use domain::review::{NewReview, Review, ReviewChange, ReviewContent, ReviewId, ReviewRefusal, ReviewState};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};
use validator::Validate;

use super::{Buyer, Storefront};
use crate::http::validation::{Violation, invalid_fields, must_be_none, must_be_valid, violations};
use crate::http::{
    Authenticated, KeyedWrite, PageParams, PageQuery, Problem, Routes, VersionedWrite, etag, fault_problem, json,
    key_refused, mark_replayed,
};

pub(super) fn routes(routes: &mut Routes) {
    routes.get("/store/v1/products/{product}/reviews", list);
    routes.write(Method::POST, "/store/v1/reviews", create);
    routes.get("/store/v1/reviews/{id}", read);
    routes.write(Method::PUT, "/store/v1/reviews/{id}", revise);
    routes.write(Method::DELETE, "/store/v1/reviews/{id}", withdraw);
}

#[derive(OpenApi)]
#[openapi(paths(list, create, read, revise, withdraw))]
pub(super) struct Api;

const MAX_ITEM: u64 = LineId::MAX_LENGTH as u64;
const MAX_TEXT: u64 = ReviewContent::MAX_TEXT as u64;

/// A review of an item that the buyer bought.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct CreateReview {
    /// The id of the item in the order.
    #[validate(required, length(max = MAX_ITEM))]
    #[schema(required, value_type = String, max_length = 64)]
    item: Option<String>,
    #[validate(required, range(min = ReviewContent::MIN_RATING, max = ReviewContent::MAX_RATING))]
    #[schema(required, value_type = i64, minimum = 1, maximum = 5)]
    rating: Option<i64>,
    #[validate(length(max = MAX_TEXT))]
    #[schema(max_length = 2_000)]
    text: Option<String>,
}

/// The content that replaces the content of a review.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct ReviseReview {
    #[validate(required, range(min = ReviewContent::MIN_RATING, max = ReviewContent::MAX_RATING))]
    #[schema(required, value_type = i64, minimum = 1, maximum = 5)]
    pub rating: Option<i64>,
    #[validate(length(max = MAX_TEXT))]
    #[schema(max_length = 2_000)]
    pub text: Option<String>,
}

/// A review. Its version is in the header `ETag`.
#[derive(Serialize, ToSchema)]
#[schema(as = Review)]
struct ReviewDto {
    id: String,
    product: String,
    rating: i64,
    text: String,
    /// `published`, or `hidden` by the merchant.
    state: &'static str,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// The published reviews of a product, the newest first, with its ratings at the same moment.
#[derive(Serialize, ToSchema)]
#[schema(as = ReviewPage)]
struct ReviewPageDto {
    /// The number of all published reviews of the product.
    count: i64,
    /// The mean rating, rounded to hundredths. `null` without a review.
    average: Option<f64>,
    reviews: Vec<ReviewDto>,
    /// The `cursor` of the next page. `null` on the last page.
    next: Option<String>,
}

/// Lists the published reviews of a product
#[utoipa::path(
    get, path = "/store/v1/products/{product}/reviews", operation_id = "review.list",
    params(("product" = String, Path), PageParams), responses((status = 200, body = ReviewPageDto))
)]
async fn list(
    storefront: web::Data<Storefront>,
    ctx: web::ReqData<RequestContext>,
    product: web::Path<String>,
    query: PageQuery<ReviewId>,
) -> Result<HttpResponse, Problem> {
    let (product, limit) = (ProductId(product.into_inner()), query.limit());
    let listed = storefront.reviews.list(&ctx, product, query.after(), limit).await;
    let listed = listed.map_err(|fault| fault_problem(&ctx, &fault))?;
    let missing = || Problem::not_found("product_not_found", "There is no such product");
    let (ratings, page) = listed.ok_or_else(missing)?;
    Ok(HttpResponse::Ok().json(ReviewPageDto {
        count: ratings.count,
        average: ratings.average().map(|hundredths| hundredths as f64 / 100.0),
        reviews: page.items.iter().map(dto).collect(),
        next: page.next.map(|cursor| cursor.0),
    }))
}

/// Writes the review of an item
#[utoipa::path(
    post, path = "/store/v1/reviews", operation_id = "review.create", request_body = CreateReview,
    security(("page_token" = [])), params(("Idempotency-Key" = String, Header)),
    responses((status = 201, body = ReviewDto))
)]
async fn create(storefront: web::Data<Storefront>, write: KeyedWrite<Buyer>) -> Result<HttpResponse, Problem> {
    let parse = |body: &[u8]| {
        let request: CreateReview = json(body)?;
        let line = write.caller.order.lines.iter().find(|line| request.item.as_ref() == Some(&line.id.0));
        let mut mistakes = violations(&request);
        if line.is_none() && !mistakes.iter().any(|mistake| mistake.path == "item") {
            mistakes.push(Violation::new("item", "is no item of the order"));
        }
        must_be_none(mistakes)?;
        let CreateReview { rating, text, .. } = request;
        new_review(&write.caller, line, content(ReviseReview { rating, text })?)
    };
    let command = |ctx: &RequestContext, write, new| storefront.reviews.create(ctx, write, new);
    let outcome = write.run(&storefront.writes, ("review.create", ""), parse, command).await?;
    let Answer { outcome: review, replayed } = outcome.map_err(|failure| refused(write.ctx(), failure))?;
    let mut response = HttpResponse::Created()
        .insert_header((LOCATION, format!("/store/v1/reviews/{}", review.id)))
        .insert_header(etag(review.version))
        .json(dto(&review));
    mark_replayed(&mut response, replayed);
    Ok(response)
}

/// Reads a review of the buyer
#[utoipa::path(
    get, path = "/store/v1/reviews/{id}", operation_id = "review.read", params(("id" = String, Path)),
    security(("page_token" = [])), responses((status = 200, body = ReviewDto))
)]
async fn read(storefront: web::Data<Storefront>, buyer: Buyer, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let review = storefront.reviews.read(buyer.ctx(), existing(&id)?).await;
    let review = review.map_err(|fault| fault_problem(buyer.ctx(), &fault))?;
    let visible = review.filter(|review| review.order == buyer.order.id && review.state != ReviewState::Withdrawn);
    Ok(with_version(&visible.ok_or_else(no_such_review)?))
}

/// Replaces the content of a review
#[utoipa::path(
    put, path = "/store/v1/reviews/{id}", operation_id = "review.revise", request_body = ReviseReview,
    security(("page_token" = [])), params(("id" = String, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = ReviewDto))
)]
async fn revise(
    storefront: web::Data<Storefront>,
    id: web::Path<String>,
    write: VersionedWrite<Buyer>,
) -> Result<HttpResponse, Problem> {
    let parse = |body: &[u8]| Ok((existing(&id)?, content(json(body)?)?));
    let command = |ctx: &RequestContext, version, (id, content)| {
        storefront.reviews.change(ctx, id, ReviewChange::Revise { version, content }, storefront.writes.clock.now())
    };
    let outcome = write.run(&storefront.writes, "review.revise", parse, command).await?;
    Ok(with_version(&outcome.map_err(|failure| refused(write.ctx(), failure))?))
}

/// Withdraws a review for ever
#[utoipa::path(
    delete, path = "/store/v1/reviews/{id}", operation_id = "review.withdraw", security(("page_token" = [])),
    params(("id" = String, Path), ("If-Match" = String, Header)), responses((status = 204))
)]
async fn withdraw(
    storefront: web::Data<Storefront>,
    id: web::Path<String>,
    write: VersionedWrite<Buyer>,
) -> Result<HttpResponse, Problem> {
    let command = |ctx: &RequestContext, version, id| {
        storefront.reviews.change(ctx, id, ReviewChange::Withdraw { version }, storefront.writes.clock.now())
    };
    let outcome = write.run(&storefront.writes, "review.withdraw", |_| existing(&id), command).await?;
    outcome.map_err(|failure| refused(write.ctx(), failure))?;
    Ok(HttpResponse::NoContent().finish())
}

fn existing(id: &str) -> Result<ReviewId, Problem> {
    ReviewId::parse(id).ok_or_else(no_such_review)
}

pub(super) fn no_such_review() -> Problem {
    Problem::not_found("review_not_found", "There is no such review")
}

pub(super) fn content(request: ReviseReview) -> Result<ReviewContent, Problem> {
    let ReviseReview { rating, text } = must_be_valid(request)?;
    let content = rating.and_then(|rating| ReviewContent::new(rating, text.unwrap_or_default()));
    // The rating and the length are valid, so the text has a NUL.
    content.ok_or_else(|| invalid_fields(vec![Violation::new("text", "contains a character that cannot be stored")]))
}

pub(super) fn new_review(
    buyer: &Buyer,
    line: Option<&OrderLine>,
    content: ReviewContent,
) -> Result<NewReview, Problem> {
    let line = line.ok_or_else(|| invalid_fields(vec![Violation::new("item", "is no item of the order")]))?;
    Ok(NewReview { order: buyer.order.id.clone(), line: line.id.clone(), sku: line.sku.clone(), content })
}

pub(super) fn refused(ctx: &RequestContext, failure: Failure<ReviewRefusal>) -> Problem {
    match failure {
        Failure::Fault(fault) => fault_problem(ctx, &fault),
        Failure::Refused(refusal) => match refusal {
            ReviewRefusal::NotFound => no_such_review(),
            ReviewRefusal::NoSuchProduct => {
                Problem::conflict("item_not_sold", "The shop does not sell this item any more")
            }
            ReviewRefusal::AlreadyReviewed => Problem::conflict("item_already_reviewed", "An item is reviewed once"),
            ReviewRefusal::Stale => Problem::stale_version(),
            ReviewRefusal::Key(refusal) => key_refused(refusal),
        },
    }
}

fn with_version(review: &Review) -> HttpResponse {
    HttpResponse::Ok().insert_header(etag(review.version)).json(dto(review))
}

fn dto(review: &Review) -> ReviewDto {
    ReviewDto {
        id: review.id.to_string(),
        product: review.product.0.clone(),
        rating: review.content.rating(),
        text: review.content.text().to_owned(),
        state: review.state.into_str(),
        created_at: review.created_at,
        updated_at: review.updated_at,
    }
}
