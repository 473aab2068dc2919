//! Plain pages: what this is, and for the buyer a checkout and an order, each behind a token that cannot be guessed.
//! Read-only.

use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};
use askama::Template;
use domain::checkout::{Checkout, CheckoutBook, Status, Totals};
use domain::clock::Clock;
use domain::context::RequestContext;
use domain::id::PageToken;
use domain::money::{Amount, Currency, Money};
use domain::order::{LineStatus, Order, OrderBook};

use crate::http::{Routes, fault_problem};

#[derive(Clone)]
pub struct Pages {
    pub shop: String,
    pub checkouts: Arc<dyn CheckoutBook>,
    pub orders: Arc<dyn OrderBook>,
    pub clock: Arc<dyn Clock>,
    pub home: Home,
}

/// What the page at the root says.
#[derive(Clone, Template)]
#[template(path = "home.html")]
pub struct Home {
    pub shop: String,
    /// Where the shop is.
    pub url: String,
    pub terms: String,
    pub privacy: String,
    pub development: bool,
    pub payments: &'static str,
}

pub const CHECKOUT_PATH: &str = "/pages/checkouts/";
pub const ORDER_PATH: &str = "/pages/orders/";

pub fn routes(routes: &mut Routes) {
    routes.on(Method::GET, "/", home);
    routes.on(Method::GET, "/pages/checkouts/{token}", checkout);
    routes.on(Method::GET, "/pages/orders/{token}", order);
}

#[derive(Template)]
#[template(path = "receipt.html")]
struct Receipt<'a> {
    shop: &'a str,
    heading: &'a str,
    id: &'a str,
    status: &'a str,
    lines: Vec<ReceiptLine<'a>>,
    totals: Vec<(&'a str, Money)>,
    delivery: Option<&'a str>,
    notes: Vec<&'a str>,
}

struct ReceiptLine<'a> {
    title: &'a str,
    quantity: i64,
    price: Money,
    status: &'a str,
}

#[derive(Template)]
#[template(path = "missing.html")]
struct Missing<'a> {
    shop: &'a str,
}

async fn home(pages: web::Data<Pages>) -> HttpResponse {
    html(StatusCode::OK, &render(&pages.home))
}

async fn checkout(
    pages: web::Data<Pages>,
    ctx: web::ReqData<RequestContext>,
    token: web::Path<String>,
) -> HttpResponse {
    let Some(token) = PageToken::parse(&token) else { return missing(&pages) };
    match pages.checkouts.read_page(&ctx, token).await {
        Ok(Some(checkout)) => html(StatusCode::OK, &checkout_receipt(&pages.shop, &checkout.as_of(pages.clock.now()))),
        Ok(None) => missing(&pages),
        Err(fault) => fault_problem(&ctx, &fault).respond(Some(ctx.request_id().as_str())),
    }
}

async fn order(pages: web::Data<Pages>, ctx: web::ReqData<RequestContext>, token: web::Path<String>) -> HttpResponse {
    let Some(token) = PageToken::parse(&token) else { return missing(&pages) };
    match pages.orders.read_page(&ctx, token).await {
        Ok(Some(order)) => html(StatusCode::OK, &order_receipt(&pages.shop, &order)),
        Ok(None) => missing(&pages),
        Err(fault) => fault_problem(&ctx, &fault).respond(Some(ctx.request_id().as_str())),
    }
}

fn checkout_receipt(shop: &str, checkout: &Checkout) -> String {
    let lines = checkout.details.lines.iter().map(|line| ReceiptLine {
        title: &line.title,
        quantity: line.quantity.into(),
        price: money(line.unit_price, checkout.currency),
        status: "",
    });
    let status = match checkout.status {
        Status::Incomplete => "not complete yet",
        Status::RequiresEscalation => "waiting for you",
        Status::ReadyForComplete => "ready to order",
        Status::CompleteInProgress => "being paid",
        Status::Completed => "ordered",
        Status::Canceled => "cancelled",
    };
    let delivery = checkout.details.delivery();
    render(&Receipt {
        shop,
        heading: "Your checkout",
        id: checkout.id.as_str(),
        status,
        lines: lines.collect(),
        totals: totals(&checkout.details.totals, checkout.currency),
        delivery: delivery.map(|(_, option)| option.title.as_str()),
        notes: checkout.details.messages.iter().map(|message| message.content.as_str()).collect(),
    })
}

fn order_receipt(shop: &str, order: &Order) -> String {
    let lines = order.lines.iter().map(|line| ReceiptLine {
        title: &line.title,
        quantity: line.total,
        price: money(line.unit_price, order.currency),
        status: match line.status() {
            LineStatus::Processing => "being prepared",
            LineStatus::Partial => "partly sent",
            LineStatus::Fulfilled => "sent",
            LineStatus::Removed => "removed",
        },
    });
    render(&Receipt {
        shop,
        heading: "Your order",
        id: order.id.as_str(),
        status: "placed",
        lines: lines.collect(),
        totals: totals(&order.totals, order.currency),
        delivery: order.expectations.first().map(|expectation| expectation.description.as_str()),
        notes: Vec::new(),
    })
}

fn totals(totals: &Totals, currency: Currency) -> Vec<(&str, Money)> {
    totals.iter().map(|total| (total.label.as_str(), money(total.amount, currency))).collect()
}

fn money(amount: Amount, currency: Currency) -> Money {
    Money { amount, currency }
}

fn missing(pages: &Pages) -> HttpResponse {
    html(StatusCode::NOT_FOUND, &render(&Missing { shop: &pages.shop }))
}

fn render(page: &impl Template) -> String {
    page.render().unwrap_or_default()
}

/// The pages hold what one buyer bought: no cache may keep them, no other site may learn their address.
fn html(status: StatusCode, page: &str) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((CACHE_CONTROL, "private, no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ))
        .body(page.to_owned())
}
