//! Tests of `body.rs`.

use actix_web::http::header::HeaderValue;

use super::*;

#[test]
fn body_with_a_coding_is_not_plain() {
    for (values, plain) in [
        (&[][..], true),
        (&["identity"], true),
        (&["Identity"], true),
        (&[""], true),
        (&["gzip"], false),
        (&["br"], false),
        (&["identity, gzip"], false),
        (&["identity", "deflate"], false),
        (&["aes128gcm"], false),
    ] {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        assert_eq!(is_plain(&headers), plain, "{values:?}");
    }
}
