//! Builds the parts that the operator's commands need.

use std::sync::Arc;

use domain::clock::Clock;
use domain::outbox::OutboxStore;
use domain::platform::PlatformStore;
use domain::signing::KeyStore;
use integrations::outbound::{Destination, UntrustedPolicy};
use integrations::platform_profile::validate_profile;
use integrations::signatures::Signer;
use persistence::{Database, SqlOutboxStore, SqlPlatformStore};
use slog::Logger;
use tokio::runtime::Handle;

use super::{StartError, key_store, settings};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::shopping::v2026_04_08::{AgentPolicy, platform};

/// What the operator's commands work on. A server may use the same database at the same time.
pub struct Tools {
    pub platforms: Arc<dyn PlatformStore>,
    pub outbox: Arc<dyn OutboxStore>,
    /// Whether a mail relay is configured.
    pub has_mail_relay: bool,
    pub keys: Arc<dyn KeyStore>,
    /// Whether the keys come from a file. The operator replaces such keys in the file.
    pub keys_are_configured: bool,
    pub signer: Signer,
    pub clock: Arc<dyn Clock>,
    policy: UntrustedPolicy,
    agents: AgentPolicy,
}

impl Tools {
    /// Opens the database. Refuses a schema that is not current. Blocks.
    pub fn open(config: &Config, log: &Logger, runtime: &Handle) -> Result<Self, StartError> {
        let database = Database::open_beside(settings::database(config)?, runtime.clone(), log);
        database.must_be_current()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let keys = key_store(config, &database)?;
        Ok(Self {
            platforms: Arc::new(SqlPlatformStore(database.clone())),
            outbox: Arc::new(SqlOutboxStore::new(database)),
            has_mail_relay: config.mail.host.is_some(),
            signer: Signer::new(keys.clone(), clock.clone()),
            keys,
            keys_are_configured: config.webhook.keys_path.is_some(),
            clock,
            policy: settings::untrusted_policy(config),
            agents: AgentPolicy { trust_loopback: config.simulation() },
        })
    }

    /// Checks that a request may name `address` as the address of a profile. Otherwise returns the reason.
    pub fn check_platform(&self, address: &str) -> Result<(), String> {
        platform(address, self.agents).map(drop).map_err(|problem| problem.content)
    }

    /// The webhook URL of a profile, or `None` if the profile has none. An error says why the profile or its URL can
    /// never be used. The host name is not resolved here, because every attempt resolves it again.
    pub fn webhook_url(&self, profile: &str) -> Result<Option<String>, String> {
        let Some(url) = validate_profile(profile)? else { return Ok(None) };
        let never = |blocked| format!("no webhook could be sent to its webhook_url: {blocked}");
        Destination::untrusted(url.as_str(), self.policy).map_err(never)?;
        Ok(Some(url.into()))
    }
}
