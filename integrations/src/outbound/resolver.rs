//! Name resolution. The addresses of untrusted destinations are checked here.
//!
//! The HTTP client connects to the addresses that this resolver returns. There is no second look-up between the check
//! and the connection, so a name cannot change in between (DNS rebinding). If one address of a name is forbidden, the
//! whole name is refused, because a public name with a private address is a mistake or an attack.
//!
//! A look-up by the operating system blocks a thread and cannot be stopped. So the number of concurrent look-ups is
//! limited, and a look-up that no caller waits for any more still counts until it ends.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Shared;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_public;
use super::guard::{Blocked, LOCALHOST, Trust, UntrustedPolicy};

/// A running look-up. Its result is the addresses of the host.
pub type LookupFuture = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, Arc<io::Error>>> + Send>>;

/// Looks up the addresses of a host. Production uses [`SystemLookup`]; tests choose the addresses.
pub trait Lookup: Send + Sync {
    fn look_up(&self, host: String) -> LookupFuture;
}

/// Looks up names with the resolver of the operating system.
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn look_up(&self, host: String) -> LookupFuture {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.take(MAX_ADDRESSES).map(|address| address.ip()).collect())
        })
    }
}

const MAX_ADDRESSES: usize = 64;

/// The shop itself refuses a look-up. The destination is not at fault.
#[derive(Debug, thiserror::Error)]
#[error("too many names are being looked up")]
pub(super) struct TooManyLookups;

/// The resolver for trusted or for untrusted destinations. Each of the two resolvers has a separate limit of concurrent
/// look-ups, so slow look-ups for untrusted destinations do not block those for trusted destinations.
#[derive(Clone)]
pub(super) struct CheckedResolver(Arc<Resolver>);

struct Resolver {
    trust: Trust,
    policy: UntrustedPolicy,
    lookup: Arc<dyn Lookup>,
    timeout: Duration,
    max_lookups: usize,
    /// The look-ups that have not ended, by host. Concurrent calls to the same host share one look-up.
    pending: Mutex<HashMap<String, Shared<LookupFuture>>>,
}

impl CheckedResolver {
    pub(super) fn new(
        trust: Trust,
        policy: UntrustedPolicy,
        lookup: Arc<dyn Lookup>,
        timeout: Duration,
        max_lookups: usize,
    ) -> Self {
        Self(Arc::new(Resolver { trust, policy, lookup, timeout, max_lookups, pending: Mutex::default() }))
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Box<dyn Error + Send + Sync>> {
        if host.eq_ignore_ascii_case(LOCALHOST) {
            // `localhost` is never sent to a name server (RFC 6761, section 6.3).
            return self.checked(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], true);
        }
        let lookup = self.pending_lookup(host).ok_or(TooManyLookups)?;
        let found = tokio::time::timeout(self.0.timeout, lookup).await;
        self.checked(found.map_err(|_| "no answer from the name server")??, false)
    }

    /// Returns the running look-up of this host, or starts one. `None` if too many look-ups of other hosts are running.
    fn pending_lookup(&self, host: &str) -> Option<Shared<LookupFuture>> {
        let mut pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, lookup| lookup.clone().now_or_never().is_none());
        if let Some(lookup) = pending.get(host) {
            return Some(lookup.clone());
        }
        if pending.len() >= self.0.max_lookups {
            return None;
        }
        let lookup = self.0.lookup.look_up(host.to_owned()).shared();
        pending.insert(host.to_owned(), lookup.clone());
        Some(lookup)
    }

    fn checked(&self, found: Vec<IpAddr>, is_localhost: bool) -> Result<Vec<IpAddr>, Box<dyn Error + Send + Sync>> {
        if self.0.trust == Trust::Untrusted {
            let may_be_local = is_localhost && self.0.policy == UntrustedPolicy::DevelopmentLoopback;
            let is_allowed = |address: &IpAddr| is_public(*address) || may_be_local && address.is_loopback();
            if let Some(address) = found.iter().find(|address| !is_allowed(address)) {
                return Err(Blocked::Address(*address).into());
            }
        }
        if found.is_empty() { Err("the name has no address".into()) } else { Ok(found) }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let found = this.addresses(name.as_str()).await?;
            // The client replaces port 0 by the port of the URL.
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;
