//! Pages of a list in requests: the query members `cursor` and `limit`.

use std::fmt::Display;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use domain::page::{Cursor, Limit};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use validator::Validate;

use super::Problem;
use super::validation::{Violation, violations};

/// The most items of a page that a client may request.
const MOST: u32 = 100;
const USUAL: u32 = 20;

/// The query members of a page, as the OpenAPI document describes them.
#[derive(Deserialize, IntoParams, Validate)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// The `next` of the page before. The first page without it.
    #[param(max_length = 128)]
    cursor: Option<String>,
    /// The most items of the page, from 1 to 100. 20 without it.
    #[validate(range(min = 1, max = MOST))]
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// The page that a request asks for, of a list whose cursors are texts of the type `T`.
pub struct PageQuery<T> {
    cursor: Option<T>,
    limit: Limit,
}

impl<T: TryFrom<String> + Display> PageQuery<T> {
    /// Reads a query. The error names each value that is out of its bounds.
    fn parse(query: &str) -> Result<Self, String> {
        let params: PageParams = url_encoded(query.as_bytes())?;
        let mut mistakes = violations(&params);
        let cursor = match params.cursor.map(cursor) {
            Some(None) => {
                mistakes.insert(0, Violation::new("cursor", "is no cursor of this list"));
                None
            }
            read => read.flatten(),
        };
        let texts: Vec<_> = mistakes.iter().map(|one| format!("{}: {}", one.path, one.content)).collect();
        let limit = Limit::new(params.limit.unwrap_or(USUAL));
        if texts.is_empty() { Ok(Self { cursor, limit }) } else { Err(texts.join("; ")) }
    }

    pub fn limit(&self) -> Limit {
        self.limit
    }

    pub fn after(&self) -> Option<Cursor> {
        self.cursor.as_ref().map(|cursor| Cursor(cursor.to_string()))
    }
}

/// The cursor of this text: 1 to 128 visible ASCII characters that are a `T`. The shop sends no other cursor. With
/// another text, a store would return an arbitrary page or fail.
fn cursor<T: TryFrom<String>>(text: String) -> Option<T> {
    let is_possible = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    T::try_from(text).ok().filter(|_| is_possible)
}

/// Reads a query or a form. The error names the field that cannot be read.
pub(super) fn url_encoded<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let reader = serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(text));
    serde_path_to_error::deserialize(reader).map_err(|error| match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("{path}: {}", error.inner()),
    })
}

impl<T: TryFrom<String> + Display> FromRequest for PageQuery<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::parse(req.query_string()).map_err(|mistake| Problem::bad_request("invalid_query", mistake)))
    }
}
