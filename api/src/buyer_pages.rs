//! Read-only HTML pages: the home page, and the pages of a buyer's checkout and order. The address of a buyer's page is
//! secret, because it contains a page token.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use askama::Template;
use domain::checkout::{Checkout, CheckoutStore, Status, Totals};
use domain::clock::Clock;
use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};
use domain::id::PageToken;
use domain::money::{Amount, Currency, Money};
use domain::order::{LineStatus, Order, OrderStore};

use crate::http::{Problem, Routes, fault_problem, html};

#[derive(Clone)]
pub struct Pages {
    pub shop: String,
    pub checkouts: Arc<dyn CheckoutStore>,
    pub orders: Arc<dyn OrderStore>,
    pub clock: Arc<dyn Clock>,
    pub home: Home,
}

/// The content of the home page.
#[derive(Clone, Template)]
#[template(path = "home.html")]
pub struct Home {
    pub shop: String,
    /// The shop's public URL.
    pub url: String,
    pub terms: String,
    pub privacy: String,
    pub development: bool,
    pub payments: &'static str,
}

pub const CHECKOUT_PATH: &str = "/pages/checkouts/";
pub const ORDER_PATH: &str = "/pages/orders/";

pub fn routes(routes: &mut Routes) {
    routes.get("/", home);
    routes.get("/pages/checkouts/{token}", checkout);
    routes.get("/pages/orders/{token}", order);
}

#[derive(Template)]
#[template(path = "receipt.html")]
struct Receipt<'a> {
    shop: &'a str,
    /// The address of the order's page. `None` for a checkout.
    order_page: Option<String>,
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

async fn home(pages: web::Data<Pages>, ctx: web::ReqData<RequestContext>) -> Result<HttpResponse, Problem> {
    page(&ctx, StatusCode::OK, &pages.home)
}

async fn checkout(
    pages: web::Data<Pages>,
    ctx: web::ReqData<RequestContext>,
    token: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let Some(token) = PageToken::parse(&token) else { return missing_page(&ctx, &pages.shop) };
    match pages.checkouts.read_page(&ctx, token).await.map_err(|fault| fault_problem(&ctx, &fault))? {
        Some(checkout) => {
            let checkout = checkout.as_of(pages.clock.now());
            page(&ctx, StatusCode::OK, &checkout_receipt(&pages.shop, &checkout))
        }
        None => missing_page(&ctx, &pages.shop),
    }
}

async fn order(
    pages: web::Data<Pages>,
    ctx: web::ReqData<RequestContext>,
    token: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let Some(token) = PageToken::parse(&token) else { return missing_page(&ctx, &pages.shop) };
    match pages.orders.read_page(&ctx, token).await.map_err(|fault| fault_problem(&ctx, &fault))? {
        Some(order) => page(&ctx, StatusCode::OK, &order_receipt(&pages.shop, &order)),
        None => missing_page(&ctx, &pages.shop),
    }
}

fn checkout_receipt<'a>(shop: &'a str, checkout: &'a Checkout) -> Receipt<'a> {
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
    Receipt {
        shop,
        order_page: None,
        heading: "Your checkout",
        id: checkout.id.as_str(),
        status,
        lines: lines.collect(),
        totals: totals(&checkout.details.totals, checkout.currency),
        delivery: delivery.map(|(_, option)| option.title.as_str()),
        notes: checkout.details.messages.iter().map(|message| message.content.as_str()).collect(),
    }
}

fn order_receipt<'a>(shop: &'a str, order: &'a Order) -> Receipt<'a> {
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
    Receipt {
        shop,
        order_page: Some(order_page(order)),
        heading: "Your order",
        id: order.id.as_str(),
        status: "placed",
        lines: lines.collect(),
        totals: totals(&order.totals, order.currency),
        delivery: order.expectations.first().map(|expectation| expectation.description.as_str()),
        notes: Vec::new(),
    }
}

/// The address of the page of an order.
pub fn order_page(order: &Order) -> String {
    format!("{ORDER_PATH}{}", order.page.as_str())
}

fn totals(totals: &Totals, currency: Currency) -> Vec<(&str, Money)> {
    totals.iter().map(|total| (total.label.as_str(), money(total.amount, currency))).collect()
}

fn money(amount: Amount, currency: Currency) -> Money {
    Money { amount, currency }
}

/// The page that says that there is no such page.
pub fn missing_page(ctx: &RequestContext, shop: &str) -> Result<HttpResponse, Problem> {
    page(ctx, StatusCode::NOT_FOUND, &Missing { shop })
}

/// Renders the page. If that fails, the response is 500 and not an empty page.
pub fn page(ctx: &RequestContext, status: StatusCode, page: &impl Template) -> Result<HttpResponse, Problem> {
    let text = page.render().map_err(|error| {
        let fault = Fault::new(FaultKind::Internal, "page.render").caused_by(error);
        fault_problem(ctx, &fault)
    })?;
    Ok(html(status, text))
}

#[cfg(test)]
#[path = "buyer_pages_tests.rs"]
mod tests;
