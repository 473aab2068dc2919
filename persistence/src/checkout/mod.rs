//! Checkouts. Each change is one transaction; a completion is two.

mod completion;
mod queries;
mod rows;

use std::sync::Arc;

use domain::PortFuture;
use domain::checkout::{
    Answer, BeginCompletion, Checkout, CheckoutId, CheckoutRefusal, CheckoutRequest, CheckoutStore, CompletionState,
    Expired, NewCheckout, NothingToSell, Outcome, PricingFacts, Settlement, price,
};
use domain::clock::Timestamp;
use domain::context::{Caller, PlatformId, RequestContext};
use domain::fault::{Failure, Fault};
use domain::fulfillment::FulfillmentFacts;
use domain::id::PageToken;
use domain::idempotency::{KeyClaim, Write};
use domain::money::Currency;
use domain::outbox::NotificationComposer;

use crate::catalog::Requested;
use crate::database::{Database, Decided, Operation, Tx, refuse};
use crate::pricing::{Delivery, Pricing};
use crate::stored::{count, malformed};
use crate::{catalog, customer, idempotency};

/// The [`CheckoutStore`] in the database.
pub struct SqlCheckoutStore {
    database: Database,
    composer: Arc<dyn NotificationComposer>,
    pricing: Arc<Pricing>,
}

impl SqlCheckoutStore {
    /// `composer` decides which messages a new order causes.
    pub fn new(database: Database, composer: Arc<dyn NotificationComposer>) -> Self {
        Self { database, composer, pricing: Arc::default() }
    }
}

impl CheckoutStore for SqlCheckoutStore {
    fn create(
        &self,
        ctx: &RequestContext,
        write: Write,
        checkout: NewCheckout,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        let (caller, pricing) = (CallingPlatform::of(ctx), self.pricing.clone());
        idempotency::once(&self.database, ctx, "checkout.create", write, move |tx, now| {
            create(tx, &pricing, &caller, now, &checkout)
        })
    }

    fn read(&self, ctx: &RequestContext, id: CheckoutId) -> PortFuture<Checkout, Failure<CheckoutRefusal>> {
        let caller = CallingPlatform::of(ctx);
        self.database.run(ctx, Operation::read_one("checkout.read"), move |tx| caller.must_own(queries::find(tx, &id)?))
    }

    fn read_page(&self, ctx: &RequestContext, page: PageToken) -> PortFuture<Option<Checkout>, Fault> {
        self.database
            .run(ctx, Operation::read_one("checkout.read_page"), move |tx| Ok(queries::find_by_page(tx, &page)?))
    }

    fn update(
        &self,
        ctx: &RequestContext,
        write: Write,
        id: CheckoutId,
        request: CheckoutRequest,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        let (caller, pricing) = (CallingPlatform::of(ctx), self.pricing.clone());
        idempotency::once(&self.database, ctx, "checkout.update", write, move |tx, now| {
            update(tx, &pricing, &caller, now, &id, &request)
        })
    }

    fn cancel(
        &self,
        ctx: &RequestContext,
        write: Write,
        id: CheckoutId,
    ) -> PortFuture<Answer, Failure<CheckoutRefusal>> {
        let caller = CallingPlatform::of(ctx);
        idempotency::once(&self.database, ctx, "checkout.cancel", write, move |tx, now| cancel(tx, &caller, now, &id))
    }

    fn begin_completion(
        &self,
        ctx: &RequestContext,
        begin: BeginCompletion,
    ) -> PortFuture<CompletionState, Failure<CheckoutRefusal>> {
        let caller = CallingPlatform::of(ctx);
        let op = Operation::repeatable_write("checkout.begin_completion", "it claims an idempotency key first");
        self.database.run(ctx, op, move |tx| completion::begin(tx, &caller, &begin))
    }

    fn settle(&self, ctx: &RequestContext, settlement: Settlement) -> PortFuture<Outcome, Fault> {
        let composer = self.composer.clone();
        let op =
            Operation::repeatable_write("checkout.settle", "it locks the attempt, which shows whether it is settled");
        let trace = *ctx.trace();
        self.database.run(ctx, op, move |tx| completion::settle(tx, &*composer, &settlement, trace))
    }

    fn completion(
        &self,
        ctx: &RequestContext,
        claim: KeyClaim,
        id: CheckoutId,
    ) -> PortFuture<CompletionState, Failure<CheckoutRefusal>> {
        let caller = CallingPlatform::of(ctx);
        let op = Operation::read("checkout.completion");
        self.database.run(ctx, op, move |tx| completion::state(tx, &caller, &claim, &id))
    }

    fn expire(
        &self,
        ctx: &RequestContext,
        now: Timestamp,
        forget_before: Timestamp,
        limit: u32,
    ) -> PortFuture<Expired, Fault> {
        self.database.run(ctx, Operation::write("checkout.expire"), move |tx| {
            let canceled = count(queries::cancel_expired(tx, now, limit)?);
            let deleted = count(queries::forget(tx, forget_before, limit)?);
            Ok(Expired { canceled, deleted })
        })
    }
}

/// The platform that calls. `registered` says whether the platform may read the customer data of the shop.
struct CallingPlatform {
    id: PlatformId,
    registered: bool,
}

impl CallingPlatform {
    fn of(ctx: &RequestContext) -> Self {
        match ctx.caller() {
            Caller::Platform(platform) => Self { id: platform.id.clone(), registered: platform.registered },
            Caller::Anonymous | Caller::Buyer(_) | Caller::Task(_) => {
                Self { id: PlatformId(String::new()), registered: false }
            }
        }
    }

    /// Returns the checkout if it belongs to the caller. Refuses with `NotFound` if it belongs to another platform.
    fn must_own(&self, found: Option<Checkout>) -> Decided<Checkout, CheckoutRefusal> {
        found.filter(|checkout| checkout.owner == self.id).ok_or_else(|| refuse(CheckoutRefusal::NotFound))
    }
}

fn create(
    tx: &mut Tx<'_>,
    pricing: &Pricing,
    caller: &CallingPlatform,
    now: Timestamp,
    new: &NewCheckout,
) -> Decided<Outcome, CheckoutRefusal> {
    let facts = facts(tx, pricing, caller, &new.request, new.currency)?;
    let outcome = match price(&new.request, None, &facts) {
        Err(NothingToSell(messages)) => Outcome::NothingToSell(messages),
        Ok((details, status)) => {
            let checkout = Checkout {
                id: new.id.clone(),
                owner: caller.id.clone(),
                status,
                version: 1,
                currency: new.currency,
                page: new.page.clone(),
                created_at: now,
                updated_at: now,
                expires_at: new.expires_at,
                attempt: None,
                order: None,
                details,
            };
            queries::insert(tx, &checkout)?;
            Outcome::Checkout(checkout)
        }
    };
    Ok(outcome)
}

fn update(
    tx: &mut Tx<'_>,
    pricing: &Pricing,
    caller: &CallingPlatform,
    now: Timestamp,
    id: &CheckoutId,
    request: &CheckoutRequest,
) -> Decided<Outcome, CheckoutRefusal> {
    let checkout = caller.must_own(queries::lock(tx, id)?)?.as_of(now);
    checkout.must_be_open().map_err(refuse)?;
    let facts = facts(tx, pricing, caller, request, checkout.currency)?;
    let outcome = match price(request, Some(&checkout.details), &facts) {
        Err(NothingToSell(messages)) => Outcome::NothingToSell(messages),
        Ok((details, status)) => {
            let checkout = checkout.revised(details, status, now);
            queries::save(tx, &checkout)?;
            Outcome::Checkout(checkout)
        }
    };
    Ok(outcome)
}

fn cancel(
    tx: &mut Tx<'_>,
    caller: &CallingPlatform,
    now: Timestamp,
    id: &CheckoutId,
) -> Decided<Outcome, CheckoutRefusal> {
    let checkout = caller.must_own(queries::lock(tx, id)?)?.as_of(now);
    checkout.must_be_open().map_err(refuse)?;
    let checkout = checkout.canceled(now);
    queries::save(tx, &checkout)?;
    Ok(Outcome::Checkout(checkout))
}

/// Reads the facts that pricing needs for this request, and no others.
fn facts(
    tx: &mut Tx<'_>,
    pricing: &Pricing,
    caller: &CallingPlatform,
    request: &CheckoutRequest,
    currency: Currency,
) -> Result<PricingFacts, diesel::result::Error> {
    let Requested { variants, stock, revision } = catalog::requested(tx, request, currency)?;
    let Some(revision) = revision else {
        // Without a variant there is nothing to price.
        return match variants.is_empty() {
            true => Ok(PricingFacts::default()),
            false => Err(malformed("the revision of pricing data is missing")),
        };
    };
    let discounts = match request.codes.as_deref() {
        None | Some([]) => Vec::new(),
        Some(codes) => pricing.discounts(tx, revision, codes, currency)?,
    };
    let mut fulfillment = FulfillmentFacts::default();
    if request.fulfillment.is_some() {
        let email = request.buyer.as_ref().and_then(|buyer| buyer.email.as_ref());
        if let (true, Some(email)) = (caller.registered, email) {
            fulfillment.address_book = customer::address_book(tx, email)?;
        }
        let Delivery { rates, free_shipping } = pricing.delivery(tx, revision, currency)?;
        (fulfillment.rates, fulfillment.free_shipping) = (rates, free_shipping);
    }
    Ok(PricingFacts { variants, stock, discounts, fulfillment })
}

/// Keeps the address of an order, so that a registered platform need not ask for it again.
fn remember_destination(tx: &mut Tx<'_>, checkout: &Checkout) -> Result<(), diesel::result::Error> {
    let buyer = checkout.details.buyer.as_ref();
    let (true, Some(email), Some((destination, _))) = (
        checkout.details.of_registered_platform,
        buyer.and_then(|buyer| buyer.email.as_ref()),
        checkout.details.delivery(),
    ) else {
        return Ok(());
    };
    let names = buyer.map(|buyer| [buyer.first_name.as_deref(), buyer.last_name.as_deref()]).unwrap_or_default();
    let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
    customer::remember(tx, email, &name, destination)
}
