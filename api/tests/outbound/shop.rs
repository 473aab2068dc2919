//! A shop that is paid through a gateway which fails when asked to, and whose ledger is the judge.

use std::collections::BTreeMap;

use faultkit::Port;
use paysim::{Movement, Options, Paysim};
use serde_json::{Value, json};

use crate::books::{Books, Item, stock};
use crate::invariants::{Charge, violations};
use crate::kit::basket::{basket, checkout_path, complete_path, id};
use crate::kit::client::fresh_key;
use crate::kit::{Answer, Place, Request, Server, until};

/// One that must be paid for, and one that costs nothing. Neither needs to be delivered.
pub const ITEMS: &[Item] = &[("bun", 250, 100), ("sample", 0, 100_000)];
/// What one checkout of the tests buys, and what it costs.
pub const UNITS: i64 = 2;
pub const PRICE: i64 = 500;

/// Settings under which a gateway that hangs is given up after a second.
pub const HASTY: &[(&str, &str)] = &[
    ("TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS", "1000"),
    ("TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS", "4000"),
    ("TUCKSHOP_TASKS_PAYMENT_RECONCILE_MS", "100"),
];

pub struct Shop {
    pub gateway: Paysim,
    pub server: Server,
    settings: Vec<(String, String)>,
    /// That of its gateway, also while the gateway is down.
    port: Port,
}

fn paysim(port: &Port) -> Paysim {
    Paysim::start(Options { listen: port.address(), ..Options::default() }).expect("a port")
}

/// The settings of a shop that is paid through the gateway at this address.
pub fn paid_through(url: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let ours = [("TUCKSHOP_PAYMENT_GATEWAY_URL", url), ("TUCKSHOP_PAYMENT_GATEWAY_KEY", "sk_test_paysim")];
    ours.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub async fn serve(place: &Place, settings: &[(String, String)]) -> Server {
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    place.serve_with(&settings).await
}

impl Shop {
    /// With these settings beside those of the gateway.
    pub async fn open(place: &Place, more: &[(&str, &str)]) -> Self {
        stock(place, ITEMS);
        let port = Port::keep();
        let gateway = paysim(&port);
        let settings = paid_through(&gateway.url(), more);
        let server = serve(place, &settings).await;
        Self { gateway, server, settings, port }
    }

    /// The gateway goes down; another stands where nobody asks.
    pub fn without_gateway(self) -> Self {
        Self { gateway: Paysim::start(Options::default()).expect("a free port"), ..self }
    }

    /// It comes up again.
    pub fn with_gateway(self) -> Self {
        Self { gateway: paysim(&self.port), ..self }
    }

    /// A new process in place of the one that ended.
    pub async fn reopen(self, place: &Place) -> Self {
        let Self { gateway, server, settings, port } = self;
        drop(server);
        let server = serve(place, &settings).await;
        Self { gateway, server, settings, port }
    }

    /// A checkout that is ready to be completed.
    pub async fn checkout(&self) -> Value {
        let checkout = self.server.post("/checkout-sessions", &basket(&[("bun", UNITS)])).await.body(201);
        assert_eq!(checkout["status"], "ready_for_complete", "{checkout}");
        checkout
    }

    /// Completes under a key of its own.
    pub async fn pay(&self, checkout: &Value, token: &str) -> Answer {
        self.payment(checkout, token, &fresh_key()).await
    }

    pub fn payment(&self, checkout: &Value, token: &str, key: &str) -> Request {
        self.server.post(&complete_path(checkout), &card(token)).key(key)
    }

    pub async fn read(&self, checkout: &Value) -> Value {
        self.server.get(&checkout_path(checkout)).await.body(200)
    }

    /// The checkout, once it is known what came of its payment.
    pub async fn settled(&self, checkout: &Value) -> Value {
        until("the payment is settled", || async {
            let now = self.read(checkout).await;
            (now["status"] != "complete_in_progress").then_some(now)
        })
        .await
    }

    /// How often money was taken, and how much.
    pub fn captured(&self) -> (u64, i64) {
        let totals = self.gateway.ledger().totals();
        (totals.captures, totals.captured)
    }

    /// The first line of the log with this message.
    pub async fn logged(&self, message: &str) -> Value {
        until(&format!("{message:?} is logged"), || async {
            self.server.log().into_iter().find(|line| line["msg"] == message)
        })
        .await
    }

    /// Panics unless every promise holds, with the gateway's ledger as the judge: what was sold was paid for once, what
    /// was not sold was not paid for, and nothing is held of the goods or of anyone's money.
    #[track_caller]
    pub fn must_be_sound(&self, place: &Place, acknowledged: &[&Value], refused: &[&Value]) {
        let mut state = Books::open(place).state(place, ITEMS);
        let ledger = self.gateway.ledger();
        let captures = ledger.entries.iter().filter(|entry| entry.kind == Movement::Captured);
        state.charges = captures
            .map(|entry| Charge { attempt: entry.metadata["attempt_id"].clone(), amount: entry.amount })
            .collect();
        let owned = |checkout: &&Value| id(checkout).to_owned();
        state.acknowledged = acknowledged.iter().map(|done| (owned(done), id(&done["order"]).to_owned())).collect();
        state.refused = refused.iter().map(owned).collect();
        assert_eq!(violations(&state), Vec::<String>::new());
        assert_eq!(ledger.totals().held, 0, "money is held for nothing: {:?}", ledger.entries);
        let twice: BTreeMap<_, _> =
            ledger.by_metadata("attempt_id").into_iter().filter(|(_, totals)| totals.captures > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}

/// The body of complete: one card, which the gateway knows by this token.
pub fn card(token: &str) -> Value {
    json!({"payment": {"instruments": [{
        "id": "card_1", "handler_id": "card", "type": "card", "selected": true,
        "display": {"brand": "Visa", "last_digits": "4242"},
        "credential": {"type": "token", "token": token},
    }]}})
}
