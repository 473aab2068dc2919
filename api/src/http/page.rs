//! Pages of a list in requests: the query members `cursor` and `limit`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use domain::page::{Cursor, Limit};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use validator::{Validate, ValidationError};

use super::Problem;
use super::validation::{invalid, violations};

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

    pub fn after(&self) -> Option<Cursor> {
        self.cursor.clone().map(Cursor)
    }
}

/// Reads a query or a form. The error names the field that cannot be read.
pub(super) fn url_encoded<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let reader = serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(text));
    serde_path_to_error::deserialize(reader).map_err(|error| match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("{path}: {}", error.inner()),
    })
}

impl FromRequest for PageQuery {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let query = url_encoded::<Self>(req.query_string().as_bytes()).and_then(|query| {
            let mistakes = violations(&query);
            let texts: Vec<_> = mistakes.iter().map(|one| format!("{}: {}", one.path, one.content)).collect();
            if texts.is_empty() { Ok(query) } else { Err(texts.join("; ")) }
        });
        ready(query.map_err(|mistake| Problem::bad_request("invalid_query", mistake)))
    }
}
