//! The page on which a buyer writes, revises and withdraws the review of an item. It works without JavaScript.

use actix_web::http::header::{HeaderValue, LOCATION};
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
use crate::buyer_pages::{self, missing_page, page};
use crate::http::{Authenticated, KeyedForm, Problem, Routes, fault_problem, html};

/// The address of the page. The number of an item counts from 1.
const PAGE: &str = "/pages/orders/{token}/items/{number}/review";

/// The page on which a buyer writes, revises or withdraws the review of an item.
#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage<'a> {
    shop: &'a str,
    order_page: String,
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
    path: web::Path<(String, String)>,
    buyer: Buyer,
) -> Result<HttpResponse, Problem> {
    render(&storefront, &buyer, &path.1, None).await
}

/// Writes what the form says, and then shows the page again. A refused form is shown with the reason.
async fn submit(
    storefront: web::Data<Storefront>,
    path: web::Path<(String, String)>,
    form: KeyedForm<Buyer>,
) -> Result<HttpResponse, Problem> {
    let mut fields: ReviewForm = form.fields()?;
    // A browser counts a line break as one character and sends it as two.
    fields.text = fields.text.map(|text| text.replace("\r\n", "\n"));
    match write(&storefront, &path.1, &form, &fields).await {
        Ok(()) => {
            let mut seen = html(StatusCode::SEE_OTHER, String::new());
            seen.headers_mut().insert(LOCATION, HeaderValue::from_static("review"));
            Ok(seen)
        }
        Err(problem) => {
            let refused = Refused { problem: &problem, fields: &fields, key: form.key() };
            render(&storefront, &form.0.caller, &path.1, Some(refused)).await
        }
    }
}

async fn write(
    storefront: &Storefront,
    number: &str,
    form: &KeyedForm<Buyer>,
    fields: &ReviewForm,
) -> Result<(), Problem> {
    let (buyer, ctx, reviews) = (&form.0.caller, form.0.ctx(), &storefront.reviews);
    let line = item(buyer, number);
    let revised = ReviseReview { rating: fields.rating, text: fields.text.clone() };
    let Some(version) = fields.version else {
        if fields.withdraw == Some(true) {
            return Err(no_such_review());
        }
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

/// A form that was refused.
struct Refused<'a> {
    problem: &'a Problem,
    fields: &'a ReviewForm,
    key: &'a str,
}

/// The page, with the fields of a refused form.
async fn render(
    storefront: &Storefront,
    buyer: &Buyer,
    number: &str,
    refused: Option<Refused<'_>>,
) -> Result<HttpResponse, Problem> {
    let line = item(buyer, number);
    let review = read_of_item(storefront, buyer, line).await?;
    let Some(line) = line else { return missing_page(buyer.ctx(), &storefront.shop) };
    let stored = review.as_ref().map(|review| (review.content.rating(), review.content.text()));
    let typed = refused.as_ref().map(|refused| refused.fields).filter(|fields| fields.withdraw.is_none());
    let typed = typed.map(|fields| (fields.rating.unwrap_or_default(), fields.text.as_deref().unwrap_or_default()));
    let (rating, text) = typed.or(stored).unwrap_or_default();
    let error = refused.as_ref().map(|refused| refused.problem);
    let status = error.map_or(StatusCode::OK, |problem| problem.status);
    // After a fault the same key finds out whether the write happened.
    let kept = refused.filter(|refused| refused.problem.status.is_server_error()).map(|refused| refused.key.to_owned());
    let key = kept.unwrap_or_else(|| Uuid::new_v4().to_string());
    let (shop, title, order_page) = (&storefront.shop, &line.title, buyer_pages::order_page(&buyer.order));
    let shown = ReviewPage { shop, order_page, title, error, key, review: review.as_ref(), rating, text };
    let mut response = page(buyer.ctx(), status, &shown)?;
    if let Some(problem) = error {
        problem.add_headers(&mut response);
    }
    Ok(response)
}

/// The item with this number, written without leading zeros.
fn item<'b>(buyer: &'b Buyer, number: &str) -> Option<&'b OrderLine> {
    (1..).zip(&buyer.order.lines).find(|(at, _): &(usize, _)| at.to_string() == number).map(|(_, line)| line)
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
