//! Checkout rows: columns for what is searched and locked by, one document for the content.

use diesel::prelude::*;
use domain::checkout::{Checkout, CheckoutId, OrderLink, Status};
use domain::context::PlatformId;
use domain::id::{Id, Named, PageToken};
use domain::order::OrderId;
use domain::payment::AttemptId;

use crate::schema::checkout;
use crate::stored::{currency, from_text, instant, malformed, millis, to_text};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = checkout, treat_none_as_null = true)]
pub(super) struct CheckoutRow {
    pub id: String,
    pub owner: String,
    pub status: String,
    pub version: i64,
    pub currency: String,
    pub page: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub expires_at: i64,
    pub attempt_id: Option<String>,
    pub order_id: Option<String>,
    pub order_page: Option<String>,
    pub details: String,
}

impl CheckoutRow {
    pub(super) fn new(checkout: &Checkout) -> QueryResult<Self> {
        Ok(Self {
            id: checkout.id.to_string(),
            owner: checkout.owner.0.clone(),
            status: status_word(checkout.status).to_owned(),
            version: checkout.version,
            currency: checkout.currency.code().to_owned(),
            page: checkout.page.as_str().to_owned(),
            created_at: millis(checkout.created_at),
            updated_at: millis(checkout.updated_at),
            expires_at: millis(checkout.expires_at),
            attempt_id: checkout.attempt.as_ref().map(ToString::to_string),
            order_id: checkout.order.as_ref().map(|order| order.id.to_string()),
            order_page: checkout.order.as_ref().map(|order| order.page.as_str().to_owned()),
            details: to_text(&checkout.details)?,
        })
    }
}

impl TryFrom<CheckoutRow> for Checkout {
    type Error = diesel::result::Error;

    fn try_from(row: CheckoutRow) -> QueryResult<Self> {
        let order = match (row.order_id, row.order_page) {
            (Some(id), Some(page)) => Some(OrderLink { id: parse_id::<_>(&id)?, page: parse_page(&page)? }),
            _ => None,
        };
        Ok(Self {
            id: parse_id(&row.id)?,
            owner: PlatformId(row.owner),
            status: parse_status(&row.status)?,
            version: row.version,
            currency: currency(&row.currency)?,
            page: parse_page(&row.page)?,
            created_at: instant(row.created_at)?,
            updated_at: instant(row.updated_at)?,
            expires_at: instant(row.expires_at)?,
            attempt: row.attempt_id.as_deref().map(parse_id::<domain::payment::Attempt>).transpose()?,
            order,
            details: from_text(&row.details)?,
        })
    }
}

pub(crate) fn parse_id<T: Named>(text: &str) -> QueryResult<Id<T>> {
    Id::parse(text).ok_or_else(|| malformed(format!("{text:?} is no {} id", T::PREFIX)))
}

pub(crate) fn parse_page(text: &str) -> QueryResult<PageToken> {
    PageToken::parse(text).ok_or_else(|| malformed("a page token has another shape"))
}

pub(super) const OPEN: [&str; 3] = ["incomplete", "requires_escalation", "ready_for_complete"];
pub(super) const FINAL: [&str; 2] = ["completed", "canceled"];

pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Incomplete => OPEN[0],
        Status::RequiresEscalation => OPEN[1],
        Status::ReadyForComplete => OPEN[2],
        Status::CompleteInProgress => "complete_in_progress",
        Status::Completed => FINAL[0],
        Status::Canceled => FINAL[1],
    }
}

fn parse_status(word: &str) -> QueryResult<Status> {
    [
        Status::Incomplete,
        Status::RequiresEscalation,
        Status::ReadyForComplete,
        Status::CompleteInProgress,
        Status::Completed,
        Status::Canceled,
    ]
    .into_iter()
    .find(|status| status_word(*status) == word)
    .ok_or_else(|| malformed(format!("{word:?} is no checkout status")))
}

// The ids that other modules parse from their own rows.
pub(crate) fn checkout_id(text: &str) -> QueryResult<CheckoutId> {
    parse_id(text)
}
pub(crate) fn order_id(text: &str) -> QueryResult<OrderId> {
    parse_id(text)
}
pub(crate) fn attempt_id(text: &str) -> QueryResult<AttemptId> {
    parse_id(text)
}
