//! The page on which a buyer writes, revises and withdraws the review of an item. It works without JavaScript.

use actix_web::http::header::LOCATION;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};
use askama::Template;
use domain::context::RequestContext;
use domain::order::OrderLine;
use domain::review::{Review, ReviewChange, ReviewState};
use serde::Deserialize;
use uuid::Uuid;

use super::review::{ReviseReview, content, new_review, no_such_review, refused};
use super::{Buyer, Storefront};
use crate::buyer_pages::{missing_page, page};
use crate::http::{Authenticated, KeyedForm, Problem, Routes, fault_problem};

/// The address of the page. The number of an item counts from 1.
const PAGE: &str = "/pages/orders/{token}/items/{number}/review";

/// The page on which a buyer writes, revises or withdraws the review of an item.
#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage<'a> {
    shop: &'a str,
    title: &'a str,
    /// Why the form was refused.
    error: Option<&'a Problem>,
    /// The idempotency key of the next submission.
    key: String,
    review: Option<&'a Review>,
    rating: i64,
    text: &'a str,
}

/// The fields of the page's form. A new review has no version.
#[derive(Deserialize)]
struct ReviewForm {
    version: Option<i64>,
    withdraw: Option<bool>,
    rating: Option<i64>,
    text: Option<String>,
}

pub(super) fn routes(routes: &mut Routes) {
    routes.get(PAGE, show);
    routes.write(Method::POST, PAGE, submit);
}

async fn show(
    storefront: web::Data<Storefront>,
    path: web::Path<(String, usize)>,
    buyer: Buyer,
) -> Result<HttpResponse, Problem> {
    render(&storefront, &buyer, path.1, None).await
}

/// Writes what the form says, and then shows the page again. A refused form is shown with the reason.
async fn submit(
    storefront: web::Data<Storefront>,
    path: web::Path<(String, usize)>,
    form: KeyedForm<Buyer>,
) -> Result<HttpResponse, Problem> {
    let mut fields: ReviewForm = form.fields()?;
    // A browser counts a line break as one character and sends it as two.
    fields.text = fields.text.map(|text| text.replace("\r\n", "\n"));
    match write(&storefront, path.1, &form, &fields).await {
        Ok(()) => Ok(HttpResponse::SeeOther().insert_header((LOCATION, "review")).finish()),
        Err(problem) => render(&storefront, &form.0.caller, path.1, Some((&problem, &fields))).await,
    }
}

async fn write(
    storefront: &Storefront,
    number: usize,
    form: &KeyedForm<Buyer>,
    fields: &ReviewForm,
) -> Result<(), Problem> {
    let (buyer, ctx, reviews) = (&form.0.caller, form.0.ctx(), &storefront.reviews);
    let line = item(buyer, number);
    let revised = ReviseReview { rating: fields.rating, text: fields.text.clone() };
    let Some(version) = fields.version else {
        let parse = |_: &[u8]| new_review(buyer, line, content(revised)?);
        let command = |ctx: &RequestContext, write, new| reviews.create(ctx, write, new);
        let outcome = form.0.run(&storefront.writes, ("review.create", ""), parse, command).await?;
        return outcome.map(drop).map_err(|failure| refused(ctx, failure));
    };
    let known = read_of_item(storefront, buyer, line).await?.ok_or_else(no_such_review)?;
    let change = match fields.withdraw {
        Some(true) => ReviewChange::Withdraw { version },
        _ => ReviewChange::Revise { version, content: content(revised)? },
    };
    let now = storefront.writes.clock.now();
    let outcome = storefront.writes.run(ctx, "review.change", |ctx| reviews.change(&ctx, known.id, change, now)).await;
    outcome.map(drop).map_err(|failure| refused(ctx, failure))
}

/// The page, with the fields of a refused form.
async fn render(
    storefront: &Storefront,
    buyer: &Buyer,
    number: usize,
    failed: Option<(&Problem, &ReviewForm)>,
) -> Result<HttpResponse, Problem> {
    let line = item(buyer, number);
    let review = read_of_item(storefront, buyer, line).await?;
    let Some(line) = line else { return missing_page(buyer.ctx(), &storefront.shop) };
    let stored = review.as_ref().map(|review| (review.content.rating(), review.content.text()));
    let (rating, text) = match failed {
        Some((_, fields)) => (fields.rating.unwrap_or_default(), fields.text.as_deref().unwrap_or_default()),
        None => stored.unwrap_or_default(),
    };
    let (shop, title, key) = (&storefront.shop, &line.title, Uuid::new_v4().to_string());
    let error = failed.map(|(problem, _)| problem);
    let status = error.map_or(StatusCode::OK, |problem| problem.status);
    page(buyer.ctx(), status, &ReviewPage { shop, title, error, key, review: review.as_ref(), rating, text })
}

fn item(buyer: &Buyer, number: usize) -> Option<&OrderLine> {
    buyer.order.lines.get(number.checked_sub(1)?)
}

async fn read_of_item(
    storefront: &Storefront,
    buyer: &Buyer,
    line: Option<&OrderLine>,
) -> Result<Option<Review>, Problem> {
    let Some(line) = line else { return Ok(None) };
    let read = storefront.reviews.read_of_item(buyer.ctx(), buyer.order.id.clone(), line.id.clone()).await;
    read.map_err(|fault| fault_problem(buyer.ctx(), &fault))
}
