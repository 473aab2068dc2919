//! The shopping API: Universal Commerce Protocol, version 2026-04-08, REST binding. Section names in comments refer to
//! `docs/specification` in the specification's tag `v2026-04-08`.

mod agent;
mod checkout;
mod discovery;
mod envelope;
mod message;
mod order;
mod problem;
mod total;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use domain::PortFuture;
use domain::checkout::{CheckoutStore, CompleteCheckout};
use domain::context::RequestContext;
use domain::fault::Fault;
use domain::money::Currency;
use domain::order::OrderStore;
use domain::payment::PaymentHandler;

use crate::http::{Routes, Writes};
use crate::runtime::Supervisor;

pub use agent::{AgentPolicy, platform};
pub use order::dto::order as render_order;

/// The version of the protocol, in every response.
pub const VERSION: &str = "2026-04-08";

/// The parts of the shopping API, built once by the composition root.
#[derive(Clone)]
pub struct Shopping {
    pub complete: CompleteCheckout,
    pub checkouts: Arc<dyn CheckoutStore>,
    /// The currency of all prices.
    pub currency: Currency,
    /// How long a checkout stays open, from its creation.
    pub expires_after: Duration,
    pub orders: Arc<dyn OrderStore>,
    pub writes: Writes,
    pub supervisor: Supervisor,
    pub settings: ShoppingSettings,
    pub signing_keys: PublishedKeys,
}

/// Returns the public halves of the keys that the shop signs with, as JSON Web Keys (RFC 7517).
pub type PublishedKeys = Arc<dyn Fn(&RequestContext) -> PortFuture<Vec<serde_json::Value>, Fault> + Send + Sync>;

/// The settings of the shopping API: the public description of the shop, and who may read what.
#[derive(Clone)]
pub struct ShoppingSettings {
    /// Scheme, host and port, without a slash at the end.
    pub public_url: String,
    pub terms_url: String,
    pub privacy_url: String,
    /// The payment handlers. Without one, only a checkout that costs nothing can be completed.
    pub handlers: Vec<PaymentHandler>,
    pub agents: AgentPolicy,
    /// Whether every caller that knows the id of an order may read it. Otherwise only the platform that placed the
    /// order may.
    pub open_orders: bool,
}

pub fn routes(routes: &mut Routes) {
    routes.get("/.well-known/ucp", discovery::profile);
    checkout::routes(routes);
    order::routes(routes);
}
