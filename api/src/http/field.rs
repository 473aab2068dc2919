//! Header fields that a request has once or not at all.
//!
//! Two fields of one name are not one of them: a proxy before the shop may read the first and the shop the last.

use actix_web::http::header::{AsHeaderName, HeaderMap, HeaderValue};

/// A header field of which there may be one.
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

    /// Its text, if it is there once and is visible ASCII.
    pub fn text(self) -> Option<&'a str> {
        match self {
            Self::Once(value) => value.to_str().ok(),
            Self::Missing | Self::Repeated => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderName;

    use super::*;

    #[test]
    fn field_has_a_text_only_if_it_is_there_once() {
        for (values, text) in [(&[][..], None), (&["a"], Some("a")), (&["a", "a"], None), (&["a", "b"], None)] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HeaderName::from_static("x-field"), HeaderValue::from_static(value));
            }
            assert_eq!(Field::of(&headers, "X-Field").text(), text, "{values:?}");
        }
    }
}
