//! Checkout rows: columns for searches and locks, and one document for the content.

use diesel::prelude::*;
use domain::checkout::{Checkout, OrderLink, Status};
use domain::context::PlatformId;

use crate::schema::checkout;
use crate::stored::{currency, from_text, id, instant, millis, page_token, to_text, word};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = checkout, treat_none_as_default_value = false, treat_none_as_null = true)]
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
            status: checkout.status.into_str().to_owned(),
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
            (Some(order), Some(token)) => Some(OrderLink { id: id(&order)?, page: page_token(&token)? }),
            _ => None,
        };
        Ok(Self {
            id: id(&row.id)?,
            owner: PlatformId(row.owner),
            status: word(&row.status)?,
            version: row.version,
            currency: currency(&row.currency)?,
            page: page_token(&row.page)?,
            created_at: instant(row.created_at)?,
            updated_at: instant(row.updated_at)?,
            expires_at: instant(row.expires_at)?,
            attempt: row.attempt_id.as_deref().map(id).transpose()?,
            order,
            details: from_text(&row.details)?,
        })
    }
}

pub(super) const OPEN: [&str; 3] =
    [Status::Incomplete.into_str(), Status::RequiresEscalation.into_str(), Status::ReadyForComplete.into_str()];
pub(super) const FINAL: [&str; 2] = [Status::Completed.into_str(), Status::Canceled.into_str()];
