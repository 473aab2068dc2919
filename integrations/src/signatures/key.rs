//! One ES256 key pair: ECDSA on P-256 with SHA-256 (RFC 7518, section 3.4).

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::secret::Secret;
use serde_json::{Value, json};

/// PKCS #8 (RFC 7468, section 10), and what OpenSSL calls an EC key (RFC 5915).
const LABELS: [&str; 2] = ["PRIVATE KEY", "EC PRIVATE KEY"];
const PEM_LINE: usize = 64;

pub struct KeyPair {
    id: String,
    pair: EcdsaKeyPair,
}

/// Why a key cannot be used. Says nothing of the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("not a private key in PEM, between BEGIN PRIVATE KEY and END PRIVATE KEY")]
    NotPem,
    #[error("not a private key on the curve P-256")]
    NotP256,
    #[error("what is to be signed contains a character that a header cannot carry")]
    Unprintable,
    #[error("no key given")]
    Missing,
    #[error("the same key is given twice: take one of them out")]
    Twice,
    #[error("the cryptographic library failed")]
    Library,
}

impl KeyPair {
    pub fn generate() -> Result<Self, KeyError> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Self::new).map_err(|_| KeyError::Library)
    }

    pub fn from_pem(pem: &Secret) -> Result<Self, KeyError> {
        let der = LABELS.iter().find_map(|label| decoded(pem.expose(), label)).ok_or(KeyError::NotPem)?;
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der);
        pair.map(Self::new).map_err(|_| KeyError::NotP256)
    }

    fn new(pair: EcdsaKeyPair) -> Self {
        let [x, y] = coordinates(&pair);
        // RFC 7638: the members that make the key, by name, and nothing else.
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let id = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, members.as_bytes()));
        Self { id, pair }
    }

    /// The thumbprint of the public key (RFC 7638): two different keys never share one.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// PKCS #8 in PEM, private part included.
    pub fn to_pem(&self) -> Result<Secret, KeyError> {
        let der = self.pair.to_pkcs8v1().map_err(|_| KeyError::Library)?;
        let text = STANDARD.encode(der.as_ref());
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Ok(Secret::new(pem))
    }

    /// The public key as the profile shows it (RFC 7517), under the given key id.
    pub fn jwk(&self, id: &str) -> Value {
        let [x, y] = coordinates(&self.pair);
        json!({"kid": id, "kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": "ES256"})
    }

    /// 64 bytes: r and s, each at its full width.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Library)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// x and y, base64url. The library gives them as an uncompressed point: 4, x, y.
fn coordinates(pair: &EcdsaKeyPair) -> [String; 2] {
    let point = pair.public_key().as_ref();
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate))
}

/// The bytes under this label of a PEM text.
fn decoded(pem: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    /// RFC 9421, appendix B.1.3.
    const RFC_KEY: &str = "-----BEGIN EC PRIVATE KEY-----\n\
        MHcCAQEEIFKbhfNZfpDsW43+0+JjUr9K+bTeuxopu653+hBaXGA7oAoGCCqGSM49\n\
        AwEHoUQDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lfw0EkjqF7xB4FivAxzic30tMM\n\
        4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n\
        -----END EC PRIVATE KEY-----\n";

    fn rfc_key() -> KeyPair {
        KeyPair::from_pem(&Secret::new(RFC_KEY)).expect("a key")
    }

    fn is_signed(key: &KeyPair, message: &str, signature: &[u8]) -> bool {
        let point = key.pair.public_key().as_ref();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message.as_bytes(), signature).is_ok()
    }

    #[test]
    fn the_public_key_of_the_rfc_is_found_in_its_private_key() {
        let expected = json!({
            "kid": "test-key-ecc-p256", "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
            "x": "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA", "y": "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0",
        });
        assert_eq!(rfc_key().jwk("test-key-ecc-p256"), expected);
    }

    #[test]
    fn the_signature_of_the_rfc_is_one_of_ours() {
        // Appendix B.2.4.
        let base = "\"@status\": 200\n\
            \"content-type\": application/json\n\
            \"content-digest\": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuah\
            q4l5aGgfLQ==:\n\
            \"content-length\": 23\n\
            \"@signature-params\": (\"@status\" \"content-type\" \"content-digest\" \"content-length\")\
            ;created=1618884473;keyid=\"test-key-ecc-p256\"";
        let signature = "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==";
        let signature = STANDARD.decode(signature).expect("base64");
        assert!(is_signed(&rfc_key(), base, &signature));
        assert!(!is_signed(&rfc_key(), &base.replace("200", "201"), &signature));
    }

    #[test]
    fn a_key_survives_being_kept() {
        let key = KeyPair::generate().expect("a key");
        let pem = key.to_pem().expect("a text");
        assert!(pem.expose().lines().all(|line| line.len() <= PEM_LINE));
        let again = KeyPair::from_pem(&pem).expect("a key");
        assert_eq!((again.id(), again.jwk("k")), (key.id(), key.jwk("k")));
        let signature = again.sign(b"told").expect("signed");
        assert_eq!(signature.len(), 64);
        assert!(is_signed(&key, "told", &signature));
        assert_ne!(KeyPair::generate().expect("a key").id(), key.id());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let p384 = "-----BEGIN PRIVATE KEY-----\n\
            MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDDs8OFlAspIrbrSb6ni\n\
            -----END PRIVATE KEY-----";
        let rsa_label = RFC_KEY.replace("EC PRIVATE", "RSA PRIVATE");
        for (text, error) in [
            ("", KeyError::NotPem),
            ("MHcCAQEEIFKbhfNZfpDs", KeyError::NotPem),
            (rsa_label.as_str(), KeyError::NotPem),
            ("-----BEGIN PRIVATE KEY-----\n???\n-----END PRIVATE KEY-----", KeyError::NotPem),
            ("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", KeyError::NotP256),
            (p384, KeyError::NotP256),
        ] {
            assert_eq!(KeyPair::from_pem(&Secret::new(text)).err(), Some(error), "{text}");
        }
    }
}
