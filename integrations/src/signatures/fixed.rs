//! Keys that come from the configuration, for shops whose secrets are kept elsewhere.

use std::collections::HashSet;

use domain::PortFuture;
use domain::clock::Timestamp;
use domain::context::RequestContext;
use domain::fault::Fault;
use domain::secret::Secret;
use domain::signing::{KeyStore, SigningKey};
use time::macros::datetime;

use super::key::{KeyError, KeyPair};

const LONG_AGO: Timestamp = datetime!(1970-01-01 0:00 UTC);
const NEVER: Timestamp = datetime!(9000-01-01 0:00 UTC);

/// A fixed list of keys: the first signs, and all are published. To replace a key, the new one is configured second, and
/// an hour later first; the old one goes once eight days have passed.
pub struct FixedKeys(Vec<SigningKey>);

impl FixedKeys {
    /// The keys of a file, one PEM block after the other. What is between the blocks is a comment.
    pub fn read(file: &str) -> Result<Self, KeyError> {
        const BEGIN: &str = "-----BEGIN ";
        // OpenSSL names the curve in a block of its own before some keys; the key names it again.
        const CURVE: &str = "EC PARAMETERS-----";
        let blocks = file.split(BEGIN).skip(1).filter(|block| !block.starts_with(CURVE));
        Self::new(&blocks.map(|block| Secret::new(format!("{BEGIN}{block}"))).collect::<Vec<_>>())
    }

    /// PKCS #8 or SEC 1 in PEM, one key each. At least one, and none twice.
    pub fn new(pems: &[Secret]) -> Result<Self, KeyError> {
        let keys = pems.iter().enumerate().map(|(position, pem)| {
            let id = KeyPair::from_pem(pem)?.id().to_owned();
            let signs_from = if position == 0 { LONG_AGO } else { NEVER };
            Ok(SigningKey { id, private: pem.clone(), created_at: LONG_AGO, signs_from, revoked_at: None })
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let ids: HashSet<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        match keys.len() {
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

    /// Never: whoever configured the keys replaces them.
    fn add(&self, _: &RequestContext, _: SigningKey, _: usize) -> PortFuture<bool, Fault> {
        Box::pin(async { Err(Fault::internal("signing.add", "the keys are configured, and are replaced there")) })
    }

    /// Never: whoever configured the keys takes one away.
    fn revoke(&self, _: &RequestContext, _: String, _: Timestamp) -> PortFuture<bool, Fault> {
        Box::pin(async { Err(Fault::internal("signing.revoke", "the keys are configured, and are withdrawn there")) })
    }
}
