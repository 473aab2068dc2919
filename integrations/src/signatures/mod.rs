//! Signs outbound requests, so that the receiver can verify that the shop sent them.
//!
//! The signatures are HTTP Message Signatures (RFC 9421), with the restrictions of the commerce protocol:
//!
//! - The algorithm is ES256. The values r and s have a fixed width and are not in ASN.1.
//! - A digest of the raw body is signed (RFC 9530).
//! - `keyid` names a key in the shop's profile.
//! - `alg` is left out, because the published key contains the algorithm.
//!
//! ```text
//!   key.rs      one key pair: PEM in, JWK and signatures out
//!   request.rs  one request: digest, signature base, headers
//!   signer.rs   the key that signs, the published keys, rotation and revocation
//!   fixed.rs    keys from the configuration
//! ```
//!
//! The `httpsig` crate is not used, because it brings a second implementation of elliptic curves and reads the clock
//! directly. The needed part of RFC 9421 takes fifty lines in `request.rs`. The tests verify the signatures with an
//! independent implementation.

mod fixed;
mod key;
mod request;
mod signer;

pub use fixed::FixedKeys;
pub use key::{KeyError, KeyPair};
pub use request::{SignatureHeaders, SignedRequest, content_digest};
pub use signer::{Revoked, Rotated, Signer};
