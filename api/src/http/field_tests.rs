//! Tests of `field.rs`.

use actix_web::http::header::HeaderName;

use super::*;

#[test]
fn field_has_a_text_only_if_it_occurs_once() {
    for (values, text) in [(&[][..], None), (&["a"], Some("a")), (&["a", "a"], None), (&["a", "b"], None)] {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HeaderName::from_static("x-field"), HeaderValue::from_static(value));
        }
        assert_eq!(Field::of(&headers, "X-Field").text(), text, "{values:?}");
    }
}
