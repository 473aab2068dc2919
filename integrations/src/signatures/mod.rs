//! Signs outbound requests, so that the receiver can verify that the shop sent them.
//!
//! HTTP Message Signatures (RFC 9421) with the restrictions of the commerce protocol: ES256 only, with r and s at fixed
//! width and not in ASN.1; a digest of the raw body (RFC 9530); `keyid` names a key in the shop's profile; `alg` is left
//! out, because the key contains it.
//!
//! ```text
//!   key.rs      one key pair: PEM in, JWK and signatures out
//!   request.rs  one request: digest, signature base, headers
//!   signer.rs   the key that signs, the published keys, rotation and revocation
//!   fixed.rs    keys from the configuration
//! ```
//!
//! The `httpsig` crate is not used: it brings a second implementation of elliptic curves and reads the clock by itself.
//! The needed part of RFC 9421 is fifty lines in `request.rs`. An independent implementation verifies it in the tests.

mod fixed;
mod key;
mod request;
mod signer;

pub use fixed::FixedKeys;
pub use key::{KeyError, KeyPair};
pub use request::{SignatureHeaders, SignedRequest, content_digest};
pub use signer::{Revoked, Rotated, Signer};
