//! One ES256 key pair: ECDSA on P-256 with SHA-256 (RFC 7518, section 3.4).

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::secret::Secret;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

const PEM_LINE: usize = 64;

pub struct KeyPair {
    id: String,
    pair: EcdsaKeyPair,
}

/// Why a key cannot be used. The error contains no part of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("not a private key in PEM, between BEGIN PRIVATE KEY and END PRIVATE KEY")]
    NotPem,
    #[error("not a private key on the curve P-256")]
    NotP256,
    #[error("the signed text contains a character that a header cannot contain")]
    Unprintable,
    #[error("no key given")]
    Missing,
    #[error("the same key is configured twice: remove one of them")]
    Twice,
    #[error("the cryptographic library failed")]
    Library,
}

impl KeyPair {
    pub fn generate() -> Result<Self, KeyError> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Self::new).map_err(|_| KeyError::Library)
    }

    /// Reads the first key of a PEM text: PKCS #8 (RFC 7468, section 10) or SEC 1 (RFC 5915), as OpenSSL writes them.
    pub fn from_pem(pem: &Secret) -> Result<Self, KeyError> {
        Self::all_from_pem(pem.expose()).next().unwrap_or(Err(KeyError::NotPem))
    }

    /// Reads all private keys of a PEM text. Other sections, and text between the sections, are ignored.
    pub(super) fn all_from_pem(pem: &str) -> impl Iterator<Item = Result<Self, KeyError>> {
        PrivateKeyDer::pem_slice_iter(pem.as_bytes()).map(|key| match key.map_err(|_| KeyError::NotPem)? {
            key @ (PrivateKeyDer::Pkcs8(_) | PrivateKeyDer::Sec1(_)) => {
                let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_der());
                pair.map(Self::new).map_err(|_| KeyError::NotP256)
            }
            _ => Err(KeyError::NotPem),
        })
    }

    fn new(pair: EcdsaKeyPair) -> Self {
        let [x, y] = coordinates(&pair);
        // The thumbprint covers the required members, sorted by name (RFC 7638).
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let id = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, members.as_bytes()));
        Self { id, pair }
    }

    /// The thumbprint of the public key (RFC 7638). Different keys have different thumbprints.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key pair, including the private key, as PKCS #8 in PEM.
    pub fn to_pem(&self) -> Result<Secret, KeyError> {
        let der = self.pair.to_pkcs8v1().map_err(|_| KeyError::Library)?;
        let text = STANDARD.encode(der.as_ref());
        let lines = text.as_bytes().chunks(PEM_LINE).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
        let body: String = lines.collect();
        Ok(Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\n")))
    }

    /// The public key as a JWK for the profile (RFC 7517), with the given key id.
    pub fn jwk(&self, id: &str) -> Value {
        let [x, y] = coordinates(&self.pair);
        json!({"kid": id, "kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": "ES256"})
    }

    /// Signs the message. Returns 64 bytes: r and s, with 32 bytes each.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Library)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// The coordinates x and y of the public key, in base64url. The library returns the key as an uncompressed point: the
/// byte 4, then x, then y.
fn coordinates(pair: &EcdsaKeyPair) -> [String; 2] {
    let point = pair.public_key().as_ref();
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate))
}
