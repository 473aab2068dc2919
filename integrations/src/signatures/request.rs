//! The signature of one request. Pure.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::clock::Timestamp;
use sfv::{Integer, KeyRef, ListSerializer, StringRef};
use url::Url;

use super::key::{KeyError, KeyPair};

/// The name of the shop's signature among the signatures of a request.
const LABEL: &str = "sig1";

/// A request as its receiver sees it.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// In capital letters, because methods are case-sensitive.
    pub method: &'static str,
    pub url: &'a Url,
    /// The header fields to be signed, in this order, with names in lower case and one value each.
    pub fields: &'a [(&'static str, &'a str)],
}

/// The two header fields that carry a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureHeaders {
    /// `Signature-Input`
    pub input: String,
    /// `Signature`
    pub signature: String,
}

/// The value of `Content-Digest` (RFC 9530, section 2): SHA-256 of the bytes as they are sent.
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256={}", bytes(digest::digest(&digest::SHA256, body).as_ref()))
}

impl SignedRequest<'_> {
    /// Signs the request with the key that the profile publishes as `key_id`, at the time `created`.
    pub fn sign(&self, key: &KeyPair, key_id: &str, created: Timestamp) -> Result<SignatureHeaders, KeyError> {
        let components = self.components()?;
        let names = components.iter().map(|(name, _)| *name);
        let parameters = parameters(names, key_id, created)?;
        let signature = key.sign(base(&components, &parameters).as_bytes())?;
        let signature = format!("{LABEL}={}", bytes(&signature));
        Ok(SignatureHeaders { input: format!("{LABEL}={parameters}"), signature })
    }

    /// The names and values to be signed, in order. The query is included if there is one.
    fn components(&self) -> Result<Vec<(&'static str, String)>, KeyError> {
        let query = self.url.query().map(|query| ("@query", format!("?{query}")));
        let derived = [("@method", self.method.to_owned()), ("@authority", authority(self.url)?)];
        let derived = derived.into_iter().chain([("@path", self.url.path().to_owned())]).chain(query);
        let fields = self.fields.iter().map(|(name, value)| (*name, value.trim_matches([' ', '\t']).to_owned()));
        let components: Vec<_> = derived.chain(fields).collect();
        // With a line break, one component could forge another one (RFC 9421, section 2.5).
        let is_clean = |value: &str| value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if components.iter().all(|(_, value)| is_clean(value)) { Ok(components) } else { Err(KeyError::Unprintable) }
    }
}

/// RFC 9421, section 2.2.3: in lower case and without the default port. The URL parser ensures both.
fn authority(url: &Url) -> Result<String, KeyError> {
    let host = url.host_str().ok_or(KeyError::Unprintable)?;
    Ok(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// RFC 9421, section 2.3. The same text is in the signature base and, under its label, in `Signature-Input`.
fn parameters<'a>(names: impl Iterator<Item = &'a str>, key_id: &str, created: Timestamp) -> Result<String, KeyError> {
    let text = |text| StringRef::from_str(text).map_err(|_| KeyError::Unprintable);
    let created = Integer::try_from(created.unix_timestamp()).map_err(|_| KeyError::Unprintable)?;
    let mut field = ListSerializer::new();
    let mut list = field.inner_list();
    for name in names {
        let _ = list.bare_item(text(name)?);
    }
    let _ = list.finish().parameter(key("created"), created).parameter(key("keyid"), text(key_id)?);
    field.finish().ok_or(KeyError::Unprintable)
}

/// A byte sequence (RFC 8941, section 3.3.5).
fn bytes(of: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(of))
}

/// RFC 9421, section 2.5.
fn base(components: &[(&'static str, String)], parameters: &str) -> String {
    let lines = components.iter().map(|(name, value)| format!("\"{name}\": {value}\n"));
    lines.chain([format!("\"@signature-params\": {parameters}")]).collect()
}

fn key(name: &'static str) -> &'static KeyRef {
    KeyRef::constant(name)
}

#[cfg(test)]
mod tests {
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
        // Section 2.5, the request of the first example, without its query, which the shop would also sign.
        let digest =
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
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
        assert_eq!(
            content_digest(b"{\"hello\": \"world\"}\n"),
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
        );
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
}
