//! Pages of a list in requests: the query members `cursor` and `limit`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use domain::page::{Cursor, Limit};
use serde::Deserialize;
use utoipa::IntoParams;
use validator::{Validate, ValidationError};

use super::Problem;
use super::validation::{Violation, invalid, violations};

/// The most items of a page that a client may request.
const MOST: u32 = 100;
const USUAL: u32 = 20;

/// The page that a request asks for.
#[derive(Deserialize, IntoParams, Validate)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The `next` of the page before. The first page without it.
    #[validate(custom(function = "is_cursor"))]
    cursor: Option<String>,
    /// The most items of the page, from 1 to 100. 20 without it.
    #[validate(range(min = 1, max = MOST))]
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Checks that a cursor has 1 to 128 visible ASCII characters. The shop sends no other cursor, and no store must search
/// for a text that it cannot store.
fn is_cursor(cursor: &str) -> Result<(), ValidationError> {
    let is_valid = (1..=128).contains(&cursor.len()) && cursor.bytes().all(|byte| byte.is_ascii_graphic());
    is_valid.then_some(()).ok_or_else(|| invalid("is no cursor of this list"))
}

impl PageQuery {
    pub fn limit(&self) -> Limit {
        Limit::new(self.limit.unwrap_or(USUAL))
    }

    pub fn after(self) -> Option<Cursor> {
        self.cursor.map(Cursor)
    }
}

impl FromRequest for PageQuery {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let query = serde_urlencoded::from_str::<Self>(req.query_string()).map_err(|error| error.to_string());
        let query = query.and_then(|query| match violations(&query).first() {
            None => Ok(query),
            Some(Violation { path, content, .. }) => Err(format!("{path}: {content}")),
        });
        ready(query.map_err(|mistake| Problem::bad_request("invalid_query", mistake)))
    }
}
