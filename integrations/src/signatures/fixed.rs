//! Keys from the configuration, for shops that keep their secrets elsewhere.

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

/// A fixed list of keys. The first one signs, and all are published. To replace a key, configure the new one second, make
/// it the first one after an hour, and remove the old one after eight days.
pub struct FixedKeys(Vec<SigningKey>);

impl FixedKeys {
    /// Reads the keys of a PEM text, PKCS #8 or SEC 1. There must be at least one, and none twice. Text between the sections
    /// is a comment. A section that is not a key is an error, except the curve that OpenSSL writes before some keys.
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

    /// Fails: keys are added in the configuration.
    fn add(&self, _: &RequestContext, _: SigningKey, _: usize) -> PortFuture<bool, Fault> {
        Box::pin(async { Err(Fault::internal("signing.add", "configured keys are replaced in the configuration")) })
    }

    /// Fails: keys are removed in the configuration.
    fn revoke(&self, _: &RequestContext, _: String, _: Timestamp) -> PortFuture<bool, Fault> {
        Box::pin(async { Err(Fault::internal("signing.revoke", "configured keys are removed from the configuration")) })
    }
}
