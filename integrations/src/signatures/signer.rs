//! The key that signs, the published keys, and their rotation and revocation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::clock::{Clock, Timestamp};
use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};
use domain::signing::{KeyStore, PUBLISHED_BEFORE, SigningKey, published_at, signing_at};
use serde_json::Value;
use slog::{info, warn};

use super::key::{KeyError, KeyPair};
use super::request::{SignatureHeaders, SignedRequest};

/// How long keys are cached. After this time, the instance reads the keys again, and so learns which keys other
/// instances have created or revoked. The time is much shorter than the time for which a new key is published before it
/// signs.
const CACHED: Duration = Duration::from_secs(60);
/// How long cached keys are used while the store fails. The time is limited, because a key may have been revoked in the
/// meantime.
const CACHED_AT_MOST: Duration = Duration::from_secs(10 * 60);
/// The most attempts to add a key. An attempt fails if another instance has added a key in the meantime.
const ADD_ATTEMPTS: u32 = 5;

/// Signs with the shop's current key. Creates a key if there is none.
pub struct Signer {
    store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    cache: Mutex<Option<Arc<Keys>>>,
}

struct Keys {
    read_at: Timestamp,
    stored: Vec<SigningKey>,
    /// The parsed keys of `stored`, by key id.
    pairs: HashMap<String, KeyPair>,
}

/// The result of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The id of the key that signs now.
    pub signs: String,
    /// Whether the revoked key was the one that signed, so that the key in `signs` replaced it.
    pub took_over: bool,
}

/// The result of a rotation: the id of the new key, and the time from which it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    pub id: String,
    pub signs_from: Timestamp,
}

impl Signer {
    pub fn new(store: Arc<dyn KeyStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, cache: Mutex::default() }
    }

    /// Signs the request with the current key.
    pub async fn sign(&self, ctx: &RequestContext, request: SignedRequest<'_>) -> Result<SignatureHeaders, Fault> {
        let keys = self.keys(ctx, "signing.sign").await?;
        let now = self.clock.now();
        let (id, pair) = keys.signing_at(now).ok_or_else(|| fault("signing.sign", KeyError::Missing))?;
        request.sign(pair, id, now).map_err(|error| fault("signing.sign", error))
    }

    /// The public keys for the `signing_keys` of the shop's profile.
    pub async fn published(&self, ctx: &RequestContext) -> Result<Vec<Value>, Fault> {
        let keys = self.keys(ctx, "signing.publish").await?;
        Ok(keys.published_at(self.clock.now()))
    }

    /// Creates a key that replaces the current key. If `at_once` is true or no key can sign now, the new key signs at
    /// once. Then a receiver that has cached the profile cannot verify signatures until it reads the profile again.
    /// Otherwise the new key signs later, when all receivers can know it.
    pub async fn rotate(&self, ctx: &RequestContext, at_once: bool) -> Result<Rotated, Fault> {
        const OPERATION: &str = "signing.rotate";
        let pair = KeyPair::generate().map_err(|error| fault(OPERATION, error))?;
        for _ in 0..ADD_ATTEMPTS {
            let present = self.store.keys(ctx).await?;
            let now = self.clock.now();
            let is_needed = signing_at(&present, now).is_none();
            let wait = if at_once || is_needed { Duration::ZERO } else { PUBLISHED_BEFORE };
            let key = stored(&pair, now, now + wait).map_err(|error| fault(OPERATION, error))?;
            let rotated = Rotated { id: key.id.clone(), signs_from: key.signs_from };
            if self.store.add(ctx, key, present.len()).await? {
                *self.cached() = None;
                info!(ctx.log(), "signing key created"; "op" => OPERATION, "key_id" => &rotated.id);
                return Ok(rotated);
            }
        }
        Err(Fault::new(FaultKind::Contention, OPERATION))
    }

    /// Revokes a key at once, so that it is no longer published and no longer signs. If the key was the current key,
    /// the next key signs, or a new key if there is no next key. Returns `None` if no key has this id. Other instances
    /// use their cached keys for up to [`CACHED`].
    pub async fn revoke(&self, ctx: &RequestContext, id: &str) -> Result<Option<Revoked>, Fault> {
        const OPERATION: &str = "signing.revoke";
        let present = self.store.keys(ctx).await?;
        if !present.iter().any(|key| key.id == id) {
            return Ok(None);
        }
        let now = self.clock.now();
        let signed = signing_at(&present, now).map(|key| key.id.clone());
        if self.store.revoke(ctx, id.to_owned(), now).await? {
            warn!(ctx.log(), "signing key revoked"; "op" => OPERATION, "key_id" => id);
        }
        *self.cached() = None;
        let keys = self.read(ctx, OPERATION).await?;
        let (signs, _) = keys.signing_at(self.clock.now()).ok_or_else(|| fault(OPERATION, KeyError::Missing))?;
        Ok(Some(Revoked { signs: signs.to_owned(), took_over: signed.as_deref() == Some(id) }))
    }

    /// Returns the cached keys if they are fresh, or else the stored keys. While the store fails, returns the last
    /// known keys for a limited time.
    async fn keys(&self, ctx: &RequestContext, operation: &'static str) -> Result<Arc<Keys>, Fault> {
        let known = self.cached().clone();
        if let Some(keys) = known.as_ref().filter(|keys| keys.is_known_at(self.clock.now(), CACHED)) {
            return Ok(Arc::clone(keys));
        }
        match (self.read(ctx, operation).await, known) {
            (Ok(keys), _) => {
                let keys = Arc::new(keys);
                *self.cached() = Some(Arc::clone(&keys));
                Ok(keys)
            }
            (Err(fault), Some(known)) if known.is_known_at(self.clock.now(), CACHED_AT_MOST) => {
                warn!(ctx.log(), "signing keys could not be read: the cached keys are used"; "op" => operation,
                    "error_code" => fault.kind().into_str(), "error" => fault.chain());
                Ok(known)
            }
            (Err(fault), _) => Err(fault),
        }
    }

    async fn read(&self, ctx: &RequestContext, operation: &'static str) -> Result<Keys, Fault> {
        for _ in 0..ADD_ATTEMPTS {
            let stored = self.store.keys(ctx).await?;
            let now = self.clock.now();
            if signing_at(&stored, now).is_some() {
                return Keys::parse(stored, now).map_err(|error| fault(operation, error));
            }
            let made = KeyPair::generate().and_then(|pair| self::stored(&pair, now, now));
            let made = made.map_err(|error| fault(operation, error))?;
            let key_id = made.id.clone();
            // The next round reads the keys again in any case, because another instance may have added a key first.
            if self.store.add(ctx, made, stored.len()).await? {
                info!(ctx.log(), "signing key created"; "op" => operation, "key_id" => key_id);
            }
        }
        Err(fault(operation, KeyError::Missing))
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, Option<Arc<Keys>>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    fn parse(stored: Vec<SigningKey>, read_at: Timestamp) -> Result<Self, KeyError> {
        let pairs = stored.iter().map(|key| Ok((key.id.clone(), KeyPair::from_pem(&key.private)?)));
        let pairs = pairs.collect::<Result<_, _>>()?;
        Ok(Self { read_at, stored, pairs })
    }

    /// Whether the keys may be used at `now`. They may not if the clock was set back to a time before they were read.
    fn is_known_at(&self, now: Timestamp, lasts: Duration) -> bool {
        (self.read_at..self.read_at + lasts).contains(&now)
    }

    fn signing_at(&self, now: Timestamp) -> Option<(&str, &KeyPair)> {
        let id = &signing_at(&self.stored, now)?.id;
        Some((id, self.pairs.get(id)?))
    }

    fn published_at(&self, now: Timestamp) -> Vec<Value> {
        let published = published_at(&self.stored, now).into_iter();
        published.filter_map(|key| Some(self.pairs.get(&key.id)?.jwk(&key.id))).collect()
    }
}

fn stored(pair: &KeyPair, now: Timestamp, signs_from: Timestamp) -> Result<SigningKey, KeyError> {
    Ok(SigningKey { id: pair.id().to_owned(), private: pair.to_pem()?, created_at: now, signs_from, revoked_at: None })
}

fn fault(operation: &'static str, error: KeyError) -> Fault {
    Fault::new(FaultKind::Internal, operation).caused_by(error)
}
