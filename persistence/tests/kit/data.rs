//! A small catalogue, callers, and their requests.

use std::time::Duration;

use domain::catalog::{ProductId, Sku, Variant};
use domain::checkout::{
    BeginCompletion, Checkout, CheckoutId, CheckoutRequest, CheckoutStore, CompletionState, NewCheckout, Outcome,
    RequestedLine, Settlement,
};
use domain::clock::Timestamp;
use domain::context::{Caller, Deadline, Platform, PlatformId, RequestContext, RequestId};
use domain::customer::{Address, Buyer, DestinationId, Email};
use domain::fulfillment::{FreeShipping, FulfillmentRequest, MethodKind, OptionId, ServiceLevel, ShippingRate};
use domain::id::PageToken;
use domain::idempotency::{Fingerprint, Key, KeyClaim, Write};
use domain::import::{Batch, ImportedAddress, ImportedCustomer, ImportedInstrument, ImportedProduct, ImportedStock};
use domain::money::{Amount, Currency, Money};
use domain::order::{Order, OrderEvent, OrderId};
use domain::outbox::{ComposeError, Content, EmailMessage, Notification, NotificationComposer};
use domain::payment::{Attempt, AttemptId, HandlerId, Instrument, PaymentOutcome};
use domain::promotion::{Code, Discount, DiscountScope, DiscountValue};
use domain::quantity::Quantity;
use slog::Logger;
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

use super::logs::Logs;
use super::{Shop, log, trace};

pub const COMPLETE: &str = "checkout.complete";
/// The time budget of a test that is not about time. It is never used up.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const ALICE: &str = "https://alice.example/profile";
pub const BOB: &str = "https://bob.example/profile";

/// The time of each call, unless a test sets another time.
pub fn noon() -> Timestamp {
    datetime!(2026-06-01 12:00 UTC)
}

pub fn hours(hours: i64) -> time::Duration {
    time::Duration::hours(hours)
}

pub fn usd() -> Currency {
    Currency::parse("USD").expect("a currency")
}

pub fn caller(platform: &str, budget: Duration) -> RequestContext {
    logging(platform, budget, &log())
}

/// A caller whose requests have this time budget, and the log lines of its requests.
pub fn recorded(platform: &str, budget: Duration) -> (RequestContext, Logs) {
    let logs = Logs::default();
    (logging(platform, budget, &logs.logger()), logs)
}

fn logging(platform: &str, budget: Duration, log: &Logger) -> RequestContext {
    let platform = Platform { id: PlatformId(platform.to_owned()), registered: platform == ALICE };
    let (principal, token) = (Caller::Platform(platform), CancellationToken::new());
    RequestContext::new(log, RequestId::generate(), trace(), principal, Deadline::after(budget), token)
}

/// A call of a registered platform, with a long time budget.
pub fn alice() -> RequestContext {
    caller(ALICE, PATIENCE)
}

/// A call of an unregistered platform, with a long time budget.
pub fn bob() -> RequestContext {
    caller(BOB, PATIENCE)
}

/// A call of the buyer of an order.
pub fn buyer(order: &OrderId) -> RequestContext {
    alice().for_caller(Caller::Buyer(order.clone()))
}

pub fn task() -> RequestContext {
    RequestContext::for_task(&log(), "test.task", trace(), Deadline::after(PATIENCE), CancellationToken::new())
}

pub fn sku(text: &str) -> Sku {
    Sku::parse(text).expect("a SKU")
}

pub fn product(id: &str, price: i64, requires_shipping: bool) -> ImportedProduct {
    let price = Money { amount: Amount::new(price), currency: usd() };
    let title = format!("The {id}");
    let variant = Variant { sku: sku(id), title, image_url: None, price, requires_shipping };
    ImportedProduct { id: ProductId(id.to_owned()), variant }
}

pub fn stock(id: &str, on_hand: i64) -> ImportedStock {
    ImportedStock { sku: sku(id), on_hand }
}

/// A small catalogue. `song` and `book` need no delivery, `gift` costs nothing, and `rose` is shipped.
pub fn catalogue() -> Batch {
    let rate = |id: &str, country: Option<&str>, level: &str, price| ShippingRate {
        id: OptionId(id.to_owned()),
        country: country.map(Into::into),
        service_level: ServiceLevel(level.to_owned()),
        price: Amount::new(price),
        title: format!("By {id}"),
    };
    let discount =
        |code: &str, value, scope| Discount { code: Code::new(code), value, scope, description: code.into() };
    Batch {
        products: vec![
            product("song", 500, false),
            product("book", 1_250, false),
            product("gift", 0, false),
            product("rose", 3_000, true),
            product("gone", 700, false),
        ],
        stock: vec![stock("song", 10), stock("book", 10), stock("gift", 10), stock("rose", 10), stock("gone", 0)],
        customers: vec![ImportedCustomer {
            id: "cust_1".into(),
            name: "Ada".into(),
            email: Email::parse("ada@example.com").expect("an address"),
        }],
        addresses: vec![ImportedAddress {
            id: DestinationId("addr_1".into()),
            customer: "cust_1".into(),
            address: address("1 Main St"),
        }],
        shipping_rates: vec![
            rate("us-standard", Some("US"), "standard", 500),
            rate("world-express", None, "express", 2_500),
        ],
        discounts: vec![
            discount("TENOFF", DiscountValue::Percentage { basis_points: 1_000 }, DiscountScope::Order),
            discount("BOOK5", DiscountValue::Fixed(Amount::new(500)), DiscountScope::Lines(vec![sku("book")])),
        ],
        free_shipping: vec![FreeShipping {
            id: "over-100".into(),
            min_subtotal: Some(Amount::new(10_000)),
            eligible_skus: vec![sku("rose")],
            description: "Free over 100".into(),
        }],
        instruments: vec![ImportedInstrument {
            id: "instr_1".into(),
            kind: "card".into(),
            brand: "Visa".into(),
            last_digits: "4242".into(),
            token: "success_token".into(),
            handler: "mock".into(),
        }],
        ..Batch::empty(usd())
    }
}

pub fn address(street: &str) -> Address {
    Address { street: Some(street.into()), country: Some("US".into()), ..Address::default() }
}

pub fn request(lines: &[(&str, i64)]) -> CheckoutRequest {
    let line = |(sku, units): &(&str, i64)| RequestedLine {
        id: None,
        sku: (*sku).to_owned(),
        quantity: Quantity::try_from(*units).expect("a quantity"),
    };
    CheckoutRequest { lines: lines.iter().map(line).collect(), ..CheckoutRequest::default() }
}

/// A request with every member set.
pub fn rich_request() -> CheckoutRequest {
    let to = DestinationId("home".into());
    CheckoutRequest {
        buyer: Some(Buyer {
            first_name: Some("Ada".into()),
            email: Some(Email::parse("ada@example.com").expect("an address")),
            ..Buyer::default()
        }),
        attribution: [("campaign".to_owned(), "spring \"26\" 🌱".to_owned())].into(),
        fulfillment: Some(FulfillmentRequest {
            kinds: vec![MethodKind::Shipping],
            destinations: vec![(Some(to.clone()), address("2 Side St"))],
            selected_destination: Some(to),
            selected_option: Some(OptionId("us-standard".into())),
        }),
        codes: Some(vec!["tenoff".into(), "book5".into(), "nonsense".into()]),
        instruments: vec![instrument()],
        ..request(&[("rose", 1), ("book", 2)])
    }
}

pub fn instrument() -> Instrument {
    Instrument {
        id: "instr_1".into(),
        handler: HandlerId("mock".into()),
        kind: "card".into(),
        selected: true,
        display: None,
    }
}

/// A claim by Alice with the fingerprint of the first request under this key. Whatever the caller of a test is, the
/// principal is Alice, so a second write of a test needs another key, or its own principal:
/// `KeyClaim { principal, ..claim(...) }`.
pub fn claim(operation: &'static str, resource: &str, key: &str) -> KeyClaim {
    KeyClaim {
        principal: ALICE.to_owned(),
        operation,
        resource: resource.to_owned(),
        key: Key::parse(key).expect("a key"),
        fingerprint: Fingerprint(format!("fingerprint of {key}")),
    }
}

pub fn create_at(now: Timestamp, key: &str) -> Write {
    Write { claim: claim("checkout.create", "", key), now }
}

pub fn create(key: &str) -> Write {
    create_at(noon(), key)
}

pub fn update(id: &CheckoutId, key: &str) -> Write {
    Write { claim: claim("checkout.update", id.as_str(), key), now: noon() }
}

pub fn cancel(id: &CheckoutId, key: &str) -> Write {
    Write { claim: claim("checkout.cancel", id.as_str(), key), now: noon() }
}

pub fn new_checkout(request: CheckoutRequest) -> NewCheckout {
    NewCheckout {
        id: CheckoutId::generate(noon()),
        page: PageToken::generate(noon()),
        currency: usd(),
        expires_at: noon() + hours(6),
        request,
    }
}

pub fn begin(id: &CheckoutId, key: &str) -> BeginCompletion {
    BeginCompletion {
        write: Write { claim: claim(COMPLETE, id.as_str(), key), now: noon() },
        checkout: id.clone(),
        attempt: AttemptId::generate(noon()),
        instrument: Some(instrument()),
        // The lease ends at once, so that the next claim finds the attempt.
        owned_for: Duration::ZERO,
    }
}

pub fn settlement(attempt: &Attempt, outcome: PaymentOutcome) -> Settlement {
    Settlement { attempt: attempt.id.clone(), outcome, now: noon() }
}

/// Returns the checkout in an outcome.
pub fn about(outcome: &Outcome) -> &Checkout {
    match outcome {
        Outcome::Checkout(checkout) | Outcome::Declined(checkout) => checkout,
        Outcome::NothingToSell(messages) => panic!("nothing was sold: {messages:?}"),
    }
}

/// Notifies the buyer's platform of every event, and the buyer by email of the first.
pub struct Announce;

impl NotificationComposer for Announce {
    fn compose(
        &self,
        order: &Order,
        event: &OrderEvent,
        buyer: Option<&Buyer>,
    ) -> Result<Vec<Notification>, ComposeError> {
        // The text of the document identifies the event and the number of events that the order has at that time.
        let document = format!("{} {} of {}", order.id, event.id, order.events.len());
        let webhook = Content::Webhook { platform: order.owner.clone(), document };
        let email = buyer.and_then(|buyer| buyer.email.as_ref()).map(|email| {
            let text = || format!("Order {}", order.id);
            Content::Mail(EmailMessage { to: email.as_str().to_owned(), subject: text(), text: text(), html: text() })
        });
        let contents = [Some(webhook), email].into_iter().flatten();
        Ok(contents.map(|content| Notification { event: "order_changed", content }).collect())
    }
}

impl Shop {
    /// Creates a checkout for Alice.
    pub async fn opened(&self, lines: &[(&str, i64)], key: &str) -> Checkout {
        self.opened_at(noon(), lines, key).await
    }

    pub async fn opened_at(&self, now: Timestamp, lines: &[(&str, i64)], key: &str) -> Checkout {
        let new = NewCheckout { expires_at: now + hours(6), ..new_checkout(request(lines)) };
        let answer = self.checkouts.create(&alice(), create_at(now, key), new).await.expect("created");
        about(&answer.outcome).clone()
    }

    /// Creates a checkout and begins its payment.
    pub async fn begun(&self, lines: &[(&str, i64)], key: &str) -> (Checkout, Attempt) {
        let checkout = self.opened(lines, key).await;
        self.begin(&checkout.id, key).await
    }

    pub async fn begin(&self, id: &CheckoutId, key: &str) -> (Checkout, Attempt) {
        match self.checkouts.begin_completion(&alice(), begin(id, key)).await.expect("begun") {
            CompletionState::Claimed { checkout, attempt } => (checkout, attempt),
            other => panic!("not claimed: {other:?}"),
        }
    }

    pub async fn settle(&self, attempt: &Attempt, outcome: PaymentOutcome) -> Outcome {
        self.checkouts.settle(&task(), settlement(attempt, outcome)).await.expect("settled")
    }

    /// Creates a checkout and completes its payment.
    pub async fn bought(&self, lines: &[(&str, i64)], key: &str) -> Checkout {
        let (_, attempt) = self.begun(lines, key).await;
        about(&self.settle(&attempt, PaymentOutcome::Confirmed).await).clone()
    }
}
