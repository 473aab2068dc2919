//! Tests of `request.rs`.

use super::*;
use time::macros::datetime;

fn url(text: &str) -> Url {
    Url::parse(text).expect("a url")
}

fn values(text: &str) -> Vec<(&'static str, String)> {
    SignedRequest { method: "POST", url: &url(text), fields: &[] }.components().expect("clean")
}

#[test]
fn signature_base_equals_the_example_of_the_rfc() {
    // The request of the first example in RFC 9421, section 2.5. Its query is left out, because the shop would also
    // sign the query.
    let digest = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
    let url = url("https://EXAMPLE.com:443/foo");
    let fields = [("content-digest", digest), ("content-length", "18"), ("content-type", "application/json")];
    let components = SignedRequest { method: "POST", url: &url, fields: &fields }.components().expect("clean");
    let names = components.iter().map(|(name, _)| *name);
    let created = Timestamp::from_unix_timestamp(1_618_884_473).expect("in range");
    let parameters = parameters(names, "test-key-rsa-pss", created).expect("clean");
    let expected = format!(
        "\"@method\": POST\n\
         \"@authority\": example.com\n\
         \"@path\": /foo\n\
         \"content-digest\": {digest}\n\
         \"content-length\": 18\n\
         \"content-type\": application/json\n\
         \"@signature-params\": (\"@method\" \"@authority\" \"@path\" \"content-digest\" \"content-length\" \
         \"content-type\");created=1618884473;keyid=\"test-key-rsa-pss\""
    );
    assert_eq!(base(&components, &parameters), expected);
}

#[test]
fn digest_equals_the_example_of_the_rfc() {
    // RFC 9530, appendix D, the first example, with and without the line feed at the end.
    assert_eq!(content_digest(b"{\"hello\": \"world\"}\n"), "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
    assert_eq!(content_digest(b"{\"hello\": \"world\"}"), "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:");
}

#[test]
fn url_parts_are_signed_as_they_are_sent() {
    for (text, authority, path, query) in [
        ("https://P.example", "p.example", "/", None),
        ("https://p.example:8443/a%20b/", "p.example:8443", "/a%20b/", None),
        ("http://127.0.0.1:80/hook?a=1&b=%2F", "127.0.0.1", "/hook", Some("?a=1&b=%2F")),
        ("https://[2606:4700::1111]/?", "[2606:4700::1111]", "/", Some("?")),
    ] {
        let values = values(text);
        let value = |name| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        assert_eq!(
            [value("@authority"), value("@path"), value("@query")],
            [Some(authority), Some(path), query],
            "{text}"
        );
    }
}

#[test]
fn url_without_host_is_not_signed() {
    let (key, url) = (KeyPair::generate().expect("a key"), url("data:text/plain,hello"));
    let request = SignedRequest { method: "POST", url: &url, fields: &[] };
    assert_eq!(request.sign(&key, "k", datetime!(2026-11-22 12:00 UTC)), Err(KeyError::Unprintable));
}

#[test]
fn value_with_line_break_is_not_signed() {
    let (key, url) = (KeyPair::generate().expect("a key"), url("https://p.example/"));
    let now = datetime!(2026-11-22 12:00 UTC);
    for value in ["a\n\"@path\": /b", "a\r", "ä", "\0"] {
        let request = SignedRequest { method: "POST", url: &url, fields: &[("ucp-agent", value)] };
        assert_eq!(request.sign(&key, "k", now), Err(KeyError::Unprintable), "{value:?}");
    }
    let request = SignedRequest { method: "POST", url: &url, fields: &[] };
    assert_eq!(request.sign(&key, "k\n", now), Err(KeyError::Unprintable));
    let signed = request.sign(&key, "a\"b", now).expect("signed");
    assert!(signed.input.ends_with(r#";keyid="a\"b""#), "{}", signed.input);
}
