//! Signing keys from the configuration, for shops that keep their secrets outside the database.

use std::collections::HashSet;

use domain::PortFuture;
use domain::clock::Timestamp;
use domain::context::RequestContext;
use domain::fault::Fault;
use domain::signing::{KeyStore, SigningKey};
use time::macros::datetime;

use super::key::{KeyError, KeyPair};

const LONG_AGO: Timestamp = datetime!(1970-01-01 0:00 UTC);
const NEVER: Timestamp = datetime!(9000-01-01 0:00 UTC);

/// A fixed list of keys. The first key signs, and all keys are published. To replace a key, add the new key in second
/// place, move it to the first place after an hour, and remove the old key eight days later.
pub struct FixedKeys(Vec<SigningKey>);

impl FixedKeys {
    /// Reads the keys of a PEM text, PKCS #8 or SEC 1. There must be at least one key, and no key twice. Text between
    /// the sections is a comment. A section that is not a private key is an error, except for the curve parameters that
    /// OpenSSL writes before some keys.
    pub fn read(pem: &str) -> Result<Self, KeyError> {
        let sections = pem.matches("-----BEGIN ").count() - pem.matches("-----BEGIN EC PARAMETERS-----").count();
        let keys = KeyPair::all_from_pem(pem).enumerate().map(|(position, key)| {
            let key = key?;
            let signs_from = if position == 0 { LONG_AGO } else { NEVER };
            let (id, private) = (key.id().to_owned(), key.to_pem()?);
            Ok(SigningKey { id, private, created_at: LONG_AGO, signs_from, revoked_at: None })
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let ids: HashSet<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        match keys.len() {
            count if count < sections => Err(KeyError::NotPem),
            0 => Err(KeyError::Missing),
            count if ids.len() < count => Err(KeyError::Twice),
            _ => Ok(Self(keys)),
        }
    }
}

impl KeyStore for FixedKeys {
    fn keys(&self, _: &RequestContext) -> PortFuture<Vec<SigningKey>, Fault> {
        let keys = self.0.clone();
        Box::pin(async move { Ok(keys) })
    }

    /// Fails, because the operator adds keys in the configuration.
    fn add(&self, _: &RequestContext, _: SigningKey, _: usize) -> PortFuture<bool, Fault> {
        Box::pin(async { Err(Fault::internal("signing.add", "configured keys are replaced in the configuration")) })
    }

    /// Fails, because the operator removes keys from the configuration.
    fn revoke(&self, _: &RequestContext, _: String, _: Timestamp) -> PortFuture<bool, Fault> {
        Box::pin(async { Err(Fault::internal("signing.revoke", "configured keys are removed from the configuration")) })
    }
}
