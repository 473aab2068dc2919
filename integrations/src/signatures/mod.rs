//! Signs the requests that the shop makes of others, so that they can tell who asks.
//!
//! HTTP Message Signatures (RFC 9421) in the profile that the commerce protocol prescribes: ES256 only, the two halves of
//! a signature at fixed width and not in ASN.1; a digest of the raw body (RFC 9530); the key is named by `keyid` and
//! found in the shop's profile, and `alg` is left out, since the key says it.
//!
//! ```text
//!   key.rs      one key pair: PEM in, JWK and signatures out
//!   request.rs  one request: digest, signature base, headers
//!   signer.rs   which key signs now, which are published, how they are replaced
//!   fixed.rs    keys that come from the configuration
//! ```
//!
//! Written on aws-lc-rs and `sfv` rather than on the `httpsig` crate: that one brings a second implementation of
//! elliptic curves, reads the clock by itself, and the part of RFC 9421 that is needed here is the fifty lines of
//! `request.rs`. The tests ask an independent implementation whether they are right.

mod fixed;
mod key;
mod request;
mod signer;

pub use fixed::FixedKeys;
pub use key::{KeyError, KeyPair};
pub use request::{SignatureHeaders, SignedRequest, content_digest};
pub use signer::{Revoked, Rotated, Signer};
