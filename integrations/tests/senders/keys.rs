//! Key pairs: PEM, JWK and signatures.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::secret::Secret;
use integrations::signatures::{KeyError, KeyPair};
use serde_json::json;

/// The private key of RFC 9421, appendix B.1.3.
const RFC_KEY: &str = "-----BEGIN EC PRIVATE KEY-----\n\
    MHcCAQEEIFKbhfNZfpDsW43+0+JjUr9K+bTeuxopu653+hBaXGA7oAoGCCqGSM49\n\
    AwEHoUQDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lfw0EkjqF7xB4FivAxzic30tMM\n\
    4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n\
    -----END EC PRIVATE KEY-----\n";

fn rfc_key() -> KeyPair {
    KeyPair::from_pem(&Secret::new(RFC_KEY)).expect("a key")
}

fn is_signed(key: &KeyPair, message: &str, signature: &[u8]) -> bool {
    // The public key as an uncompressed point: the byte 4, then x, then y.
    let jwk = key.jwk("k");
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().expect("text")).expect("base64url");
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message.as_bytes(), signature).is_ok()
}

#[test]
fn jwk_equals_the_public_key_of_the_rfc() {
    let expected = json!({
        "kid": "test-key-ecc-p256", "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
        "x": "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA", "y": "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0",
    });
    assert_eq!(rfc_key().jwk("test-key-ecc-p256"), expected);
}

#[test]
fn signature_of_the_rfc_is_valid_for_its_key() {
    // The signature base of RFC 9421, appendix B.2.4.
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
fn key_is_equal_after_a_round_trip_through_pem() {
    let key = KeyPair::generate().expect("a key");
    let pem = key.to_pem().expect("a text");
    assert!(pem.expose().lines().all(|line| line.len() <= 64));
    let again = KeyPair::from_pem(&pem).expect("a key");
    assert_eq!((again.id(), again.jwk("k")), (key.id(), key.jwk("k")));
    let signature = again.sign(b"a message").expect("signed");
    assert_eq!(signature.len(), 64);
    assert!(is_signed(&key, "a message", &signature));
    assert_ne!(KeyPair::generate().expect("a key").id(), key.id());
}

#[test]
fn text_that_is_no_key_is_refused() {
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
