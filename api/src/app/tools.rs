//! What the commands of an operator are made of.

use std::sync::Arc;

use domain::clock::Clock;
use domain::outbox::OutboxStore;
use domain::platform::PlatformStore;
use domain::signing::KeyStore;
use integrations::outbound::{Destination, GivenPolicy};
use integrations::platform_profile::validate_profile;
use integrations::signatures::Signer;
use persistence::{Database, SqlOutboxStore, SqlPlatformStore};
use slog::Logger;
use tokio::runtime::Handle;

use super::{StartError, database_config, key_store, settings};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::shopping::v2026_04_08::{AgentPolicy, platform};

/// What the commands of an operator work on, beside a server that may be running.
pub struct Tools {
    pub platforms: Arc<dyn PlatformStore>,
    pub deliveries: Arc<dyn OutboxStore>,
    /// Whether letters have somewhere to go.
    pub has_mail_relay: bool,
    pub keys: Arc<dyn KeyStore>,
    /// Whether the keys come from a file, and so are the operator's to replace.
    pub keys_are_configured: bool,
    pub signer: Signer,
    pub clock: Arc<dyn Clock>,
    given: GivenPolicy,
    agents: AgentPolicy,
}

impl Tools {
    /// Opens a database whose schema must be current already. Blocks.
    pub fn open(config: &Config, log: &Logger, runtime: &Handle) -> Result<Self, StartError> {
        let database = Database::open_beside(database_config(config)?, runtime.clone(), log);
        database.must_be_current()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let keys = key_store(config, &database)?;
        Ok(Self {
            platforms: Arc::new(SqlPlatformStore(database.clone())),
            deliveries: Arc::new(SqlOutboxStore(database)),
            has_mail_relay: config.mail.host.is_some(),
            signer: Signer::new(keys.clone(), clock.clone()),
            keys,
            keys_are_configured: config.webhook.keys_path.is_some(),
            clock,
            given: settings::given_policy(config),
            agents: AgentPolicy { trust_loopback: config.simulation() },
        })
    }

    /// Why no request could name a platform with its profile at that address.
    pub fn check_platform(&self, address: &str) -> Result<(), String> {
        platform(address, self.agents).map(drop).map_err(|problem| problem.content)
    }

    /// Where a platform with this profile wants to be told of its orders, or why it never could be. The network is not
    /// asked: a name may lead inside, or nowhere, and is looked up at each delivery.
    pub fn webhook_url(&self, profile: &str) -> Result<Option<String>, String> {
        let Some(url) = validate_profile(profile)?.webhook_url else { return Ok(None) };
        let never = |blocked| format!("nothing would ever be delivered to its webhook_url: {blocked}");
        Destination::given(url.as_str(), self.given).map_err(never)?;
        Ok(Some(url.into()))
    }
}
