//! A shop whose payments go through a simulated gateway. The gateway fails on request, and its ledger is the evidence.

use std::collections::BTreeMap;

use faultkit::Port;
use paysim::{Movement, Options, Paysim};
use serde_json::{Value, json};

use crate::database::{Database, Item, stock};
use crate::invariants::{Charge, violations};
use crate::kit::basket::{basket, checkout_path, complete_path, id};
use crate::kit::client::fresh_key;
use crate::kit::{Answer, Place, Request, Server, until};

/// An item with a price and a free item. Neither needs delivery.
pub const ITEMS: &[Item] = &[("bun", 250, 100), ("sample", 0, 100_000)];
/// The units that one checkout of the tests buys, and their price.
pub const UNITS: i64 = 2;
pub const PRICE: i64 = 500;

/// Settings with a payment timeout of one second.
pub const HASTY: &[(&str, &str)] = &[
    ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "1000"),
    ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "4000"),
    ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "100"),
];

pub struct Shop {
    pub gateway: Paysim,
    pub server: Server,
    settings: Vec<(String, String)>,
    /// The port of the gateway, reserved also while the gateway is down.
    port: Port,
}

fn paysim(port: &Port) -> Paysim {
    Paysim::start(Options { listen: port.address(), ..Options::default() }).expect("a port")
}

/// Settings for payments through the gateway at this address.
pub fn gateway_settings(url: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let ours = [("TUCKSHOP_PAYMENT_GATEWAY_URL", url), ("TUCKSHOP_PAYMENT_GATEWAY_KEY", "sk_test_paysim")];
    ours.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub async fn serve(place: &Place, settings: &[(String, String)]) -> Server {
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    place.serve_with(&settings).await
}

impl Shop {
    /// Starts a shop with these settings besides those of the gateway.
    pub async fn open(place: &Place, more: &[(&str, &str)]) -> Self {
        stock(place, ITEMS);
        let port = Port::keep();
        let gateway = paysim(&port);
        let settings = gateway_settings(&gateway.url(), more);
        let server = serve(place, &settings).await;
        Self { gateway, server, settings, port }
    }

    /// Stops the gateway. Its replacement runs at an address that the shop does not call.
    pub fn without_gateway(self) -> Self {
        Self { gateway: Paysim::start(Options::default()).expect("a free port"), ..self }
    }

    /// Starts the gateway at its address again.
    pub fn with_gateway(self) -> Self {
        Self { gateway: paysim(&self.port), ..self }
    }

    /// Starts a new process after the old one has ended.
    pub async fn reopen(self, place: &Place) -> Self {
        let Self { gateway, server, settings, port } = self;
        drop(server);
        let server = serve(place, &settings).await;
        Self { gateway, server, settings, port }
    }

    /// Creates a checkout that is ready to be completed.
    pub async fn checkout(&self) -> Value {
        let checkout = self.server.post("/checkout-sessions", &basket(&[("bun", UNITS)])).await.body(201);
        assert_eq!(checkout["status"], "ready_for_complete", "{checkout}");
        checkout
    }

    /// Completes a checkout under a fresh idempotency key.
    pub async fn pay(&self, checkout: &Value, token: &str) -> Answer {
        self.payment(checkout, token, &fresh_key()).await
    }

    pub fn payment(&self, checkout: &Value, token: &str, key: &str) -> Request {
        self.server.post(&complete_path(checkout), &card(token)).key(key)
    }

    pub async fn read_checkout(&self, checkout: &Value) -> Value {
        self.server.get(&checkout_path(checkout)).await.body(200)
    }

    /// Waits until the outcome of the payment is known. Returns the checkout.
    pub async fn wait_until_settled(&self, checkout: &Value) -> Value {
        until("the payment is settled", || async {
            let now = self.read_checkout(checkout).await;
            (now["status"] != "complete_in_progress").then_some(now)
        })
        .await
    }

    /// The number of captures and their sum.
    pub fn captured(&self) -> (u64, i64) {
        let totals = self.gateway.ledger().totals();
        (totals.captures, totals.captured)
    }

    /// Waits for the first log line with this message.
    pub async fn wait_for_log_line(&self, message: &str) -> Value {
        until(&format!("{message:?} is logged"), || async {
            self.server.log().into_iter().find(|line| line["msg"] == message)
        })
        .await
    }

    /// Panics unless every promise holds according to the ledger of the gateway: each sale is paid for once, no refused
    /// sale is paid for, and neither stock nor money is held.
    #[track_caller]
    pub fn assert_sound(&self, place: &Place, acknowledged: &[&Value], refused: &[&Value]) {
        let mut state = Database::open(place).state(place, ITEMS);
        let ledger = self.gateway.ledger();
        let captures = ledger.entries.iter().filter(|entry| entry.kind == Movement::Captured);
        state.charges = captures
            .map(|entry| Charge { attempt: entry.metadata["attempt_id"].clone(), amount: entry.amount })
            .collect();
        let owned = |checkout: &&Value| id(checkout).to_owned();
        state.acknowledged = acknowledged.iter().map(|done| (owned(done), id(&done["order"]).to_owned())).collect();
        state.refused = refused.iter().map(owned).collect();
        assert_eq!(violations(&state), Vec::<String>::new());
        assert_eq!(ledger.totals().held, 0, "the gateway still holds money: {:?}", ledger.entries);
        let twice: BTreeMap<_, _> =
            ledger.by_metadata("attempt_id").into_iter().filter(|(_, totals)| totals.captures > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}

/// The body of a completion: one card, which the gateway knows by this token.
pub fn card(token: &str) -> Value {
    json!({"payment": {"instruments": [{
        "id": "card_1", "handler_id": "card", "type": "card", "selected": true,
        "display": {"brand": "Visa", "last_digits": "4242"},
        "credential": {"type": "token", "token": token},
    }]}})
}
