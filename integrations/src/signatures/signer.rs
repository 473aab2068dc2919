//! Which key signs, which are published, and how one follows another.

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

/// How long keys are remembered: after this, a key that another instance made or revoked is known here. Far less than
/// the time for which a new key is published before it signs.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How long they are remembered while the store does not answer: one of them may have been revoked meanwhile.
const REMEMBERED_AT_MOST: Duration = Duration::from_secs(10 * 60);
/// Others may add a key at the same time, but not again and again.
const ADD_ATTEMPTS: u32 = 5;

/// Signs with the shop's current key, and makes one when there is none.
pub struct Signer {
    store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    remembered: Mutex<Option<Arc<Keys>>>,
}

struct Keys {
    read_at: Timestamp,
    stored: Vec<SigningKey>,
    /// In the same order.
    pairs: Vec<KeyPair>,
}

/// What a revocation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The key that signs now.
    pub signs: String,
    /// Whether it does so in the place of the revoked one.
    pub took_over: bool,
}

/// A key that was made to follow the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    pub id: String,
    pub signs_from: Timestamp,
}

impl Signer {
    pub fn new(store: Arc<dyn KeyStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, remembered: Mutex::default() }
    }

    /// Signs the request with the key that signs now.
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

    /// Makes a key that follows the present one: once everyone can know it, or at once because the present one must not
    /// be used any more. Whoever cached the profile then cannot verify what is signed until they read it again.
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
                *self.remembered() = None;
                info!(ctx.log(), "signing key made"; "op" => OPERATION, "key_id" => &rotated.id);
                return Ok(rotated);
            }
        }
        Err(Fault::new(FaultKind::Contention, OPERATION))
    }

    /// Withdraws a key at once: it is published no longer and signs nothing any more. If it was the one that signs, the
    /// next that was to come signs, or one that is made. `None` if there is no such key. Other instances go on with what
    /// they remember, for [`REMEMBERED`].
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
        *self.remembered() = None;
        let keys = self.read(ctx, OPERATION).await?;
        let (signs, _) = keys.signing_at(self.clock.now()).ok_or_else(|| fault(OPERATION, KeyError::Missing))?;
        Ok(Some(Revoked { signs: signs.to_owned(), took_over: signed.as_deref() == Some(id) }))
    }

    /// What is remembered, or else what is stored. A store that does not answer leaves what was known last: signing and
    /// the profile then outlive it for a while.
    async fn keys(&self, ctx: &RequestContext, operation: &'static str) -> Result<Arc<Keys>, Fault> {
        let known = self.remembered().clone();
        if let Some(keys) = known.as_ref().filter(|keys| keys.is_known_at(self.clock.now(), REMEMBERED)) {
            return Ok(Arc::clone(keys));
        }
        match (self.read(ctx, operation).await, known) {
            (Ok(keys), _) => {
                let keys = Arc::new(keys);
                *self.remembered() = Some(Arc::clone(&keys));
                Ok(keys)
            }
            (Err(fault), Some(known)) if known.is_known_at(self.clock.now(), REMEMBERED_AT_MOST) => {
                warn!(ctx.log(), "signing keys not read: those known are used"; "op" => operation,
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
            // Read again either way: what counts is what is stored, and another instance may have been first.
            if self.store.add(ctx, made, stored.len()).await? {
                info!(ctx.log(), "signing key made"; "op" => operation, "key_id" => key_id);
            }
        }
        Err(fault(operation, KeyError::Missing))
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Option<Arc<Keys>>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    fn parse(stored: Vec<SigningKey>, read_at: Timestamp) -> Result<Self, KeyError> {
        let pairs = stored.iter().map(|key| KeyPair::from_pem(&key.private)).collect::<Result<_, _>>()?;
        Ok(Self { read_at, stored, pairs })
    }

    /// A clock that was set back makes them old too.
    fn is_known_at(&self, now: Timestamp, lasts: Duration) -> bool {
        (self.read_at..self.read_at + lasts).contains(&now)
    }

    fn signing_at(&self, now: Timestamp) -> Option<(&str, &KeyPair)> {
        let key = signing_at(&self.stored, now)?;
        self.with_pairs().find(|(stored, _)| stored.id == key.id).map(|(stored, pair)| (stored.id.as_str(), pair))
    }

    fn published_at(&self, now: Timestamp) -> Vec<Value> {
        let published = published_at(&self.stored, now);
        let is_published = |key: &SigningKey| published.iter().any(|other| other.id == key.id);
        self.with_pairs().filter(|(key, _)| is_published(key)).map(|(key, pair)| pair.jwk(&key.id)).collect()
    }

    fn with_pairs(&self) -> impl Iterator<Item = (&SigningKey, &KeyPair)> {
        self.stored.iter().zip(&self.pairs)
    }
}

fn stored(pair: &KeyPair, now: Timestamp, signs_from: Timestamp) -> Result<SigningKey, KeyError> {
    Ok(SigningKey { id: pair.id().to_owned(), private: pair.to_pem()?, created_at: now, signs_from, revoked_at: None })
}

fn fault(operation: &'static str, error: KeyError) -> Fault {
    Fault::new(FaultKind::Internal, operation).caused_by(error)
}
