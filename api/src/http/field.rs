//! Header fields that a request may have only once.
//!
//! A repeated field is refused, because a proxy in front of the shop may read the first value and the shop the last
//! one.

use actix_web::http::header::{AsHeaderName, HeaderMap, HeaderValue};

/// A header field that may occur at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    Missing,
    Once(&'a HeaderValue),
    Repeated,
}

impl<'a> Field<'a> {
    pub fn of(headers: &'a HeaderMap, name: impl AsHeaderName) -> Self {
        let mut values = headers.get_all(name);
        match (values.next(), values.next()) {
            (None, _) => Self::Missing,
            (Some(value), None) => Self::Once(value),
            (Some(_), Some(_)) => Self::Repeated,
        }
    }

    /// The value, if the field occurs once and the value is visible ASCII.
    pub fn text(self) -> Option<&'a str> {
        match self {
            Self::Once(value) => value.to_str().ok(),
            Self::Missing | Self::Repeated => None,
        }
    }
}

#[cfg(test)]
#[path = "field_tests.rs"]
mod tests;
