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
    /// The method in capital letters, because methods are case-sensitive.
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

    /// The names and values of the components that are signed, in order. The query is included if the URL has one.
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

/// The host and the port, in lower case and without the default port (RFC 9421, section 2.2.3). The URL parser ensures
/// both.
fn authority(url: &Url) -> Result<String, KeyError> {
    let host = url.host_str().ok_or(KeyError::Unprintable)?;
    Ok(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// The signature parameters (RFC 9421, section 2.3). The same text is in the signature base and, after the label, in
/// `Signature-Input`.
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

/// Formats bytes as a byte sequence of a header field (RFC 8941, section 3.3.5).
fn bytes(of: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(of))
}

/// The signature base, which is the text that is signed (RFC 9421, section 2.5).
fn base(components: &[(&'static str, String)], parameters: &str) -> String {
    let lines = components.iter().map(|(name, value)| format!("\"{name}\": {value}\n"));
    lines.chain([format!("\"@signature-params\": {parameters}")]).collect()
}

fn key(name: &'static str) -> &'static KeyRef {
    KeyRef::constant(name)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
