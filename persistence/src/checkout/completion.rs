//! The two transactions around a charge.
//!
//! Rows are always locked in the order attempt, checkout, stock by SKU, so no two completions deadlock. Stock is locked
//! last before the commit, because all buyers of a SKU need the same row. The idempotency key is claimed and bound
//! before these locks, and its outcome is stored while they are held. After the claim is committed, reads of the state
//! never wait for the rows of the key. On Postgres, another claim of the key waits while an open transaction has stored
//! the outcome or deleted the key.

use std::time::Duration;

use diesel::QueryResult;
use domain::checkout::{
    Answer, BeginCompletion, COMPLETE, Checkout, CheckoutId, CheckoutRefusal, CompletionState, OrderLink, Outcome,
    Settlement, demand_of, shortages,
};
use domain::clock::Timestamp;
use domain::context::TraceContext;
use domain::fault::Fault;
use domain::id::PageToken;
use domain::idempotency::KeyClaim;
use domain::money::Money;
use domain::order::{self, OrderId};
use domain::outbox::NotificationComposer;
use domain::payment::{Attempt, AttemptState, HandlerId, PaymentOutcome, capture_due};
use domain::stock::{StockChange, StockLevel, is_covered};

use super::{CallingPlatform, queries, refuse, remember_destination};
use crate::database::{Decided, Tx, TxError};
use crate::idempotency::{self, Claimed, KeyId};
use crate::stored::{from_text, malformed, to_text};
use crate::{order as orders, outbox, payment, stock};

/// If an outcome becomes known later than this after the beginning of its completion, the age of its key begins anew,
/// so that the outcome is replayed for the whole retention. Before that, an update of the index of the ages is not
/// worth it.
const LATE: Duration = Duration::from_secs(60 * 60);

pub(super) fn begin(
    tx: &mut Tx<'_>,
    caller: &CallingPlatform,
    begin: &BeginCompletion,
) -> Decided<CompletionState, CheckoutRefusal> {
    let (claim, now) = (&begin.write.claim, begin.write.now);
    match idempotency::claim(tx, claim, now)? {
        Claimed::New => {}
        Claimed::Answered(outcome) => {
            return Ok(CompletionState::Answered(Answer { outcome: *outcome, replayed: true }));
        }
        Claimed::InProgress => return own_or_in_progress(tx, caller, begin),
        Claimed::Refused(refusal) => return Err(refuse(CheckoutRefusal::Key(refusal))),
    }
    let checkout = caller.must_own(queries::lock(tx, &begin.checkout)?)?.as_of(now);
    checkout.must_be_open().map_err(refuse)?;
    checkout.must_be_complete().map_err(refuse)?;

    let amount = checkout.details.totals.total();
    if begin.instrument.is_none() && !amount.is_zero() {
        return Err(refuse(CheckoutRefusal::InstrumentMissing));
    }

    let demand = demand_of(&checkout.details.lines);
    // Read without a lock, so that a buyer for whom there is no stock left does not delay other buyers.
    let levels = stock::read(tx, &demand)?;
    if !is_covered(&demand, &levels) {
        let version = checkout.version;
        return Ok(answer_short(tx, begin, checkout, &levels, version)?);
    }
    let attempt = Attempt {
        id: begin.attempt.clone(),
        checkout: checkout.id.clone(),
        handler: begin.instrument.as_ref().map_or_else(HandlerId::none, |instrument| instrument.handler.clone()),
        money: Money { amount, currency: checkout.currency },
        state: AttemptState::Opened,
        reference: None,
        checks: 0,
        created_at: now,
    };
    payment::insert(tx, &attempt, claim.key.as_str(), begin.owned_for)?;
    let mut completing = checkout.clone().completing(attempt.id.clone(), begin.instrument.clone(), now);
    completing.details.of_registered_platform = caller.registered;
    queries::save(tx, &completing)?;

    let held = stock::change(tx, &demand, StockChange::Hold)?;
    if held.len() == demand.len() {
        return Ok(CompletionState::Claimed { checkout: completing, attempt });
    }
    // Another buyer was faster.
    let partly =
        demand.iter().filter(|(sku, _)| held.contains(sku)).map(|(sku, units)| (sku.clone(), *units)).collect();
    stock::change(tx, &partly, StockChange::Release)?;
    let levels = stock::read(tx, &demand)?;
    payment::discard(tx, &attempt.id)?;
    Ok(answer_short(tx, begin, checkout, &levels, completing.version)?)
}

/// Stores the checkout with messages about the missing stock, and the same checkout as the outcome of the key. `stored`
/// is the version of the stored checkout, which is replaced.
fn answer_short(
    tx: &mut Tx<'_>,
    begin: &BeginCompletion,
    checkout: Checkout,
    levels: &[StockLevel],
    stored: i64,
) -> QueryResult<CompletionState> {
    let short = shortages(&checkout.details.lines, levels);
    let short = checkout.short_of_stock(short, begin.write.now);
    queries::save_over(tx, &short, stored)?;
    let outcome = Outcome::Checkout(short);
    idempotency::store(tx, &begin.write.claim, &outcome)?;
    Ok(CompletionState::Answered(Answer { outcome, replayed: false }))
}

/// Returns the state of the completion that claimed this idempotency key. For callers that wait for the completion.
pub(super) fn state(
    tx: &mut Tx<'_>,
    caller: &CallingPlatform,
    claim: &KeyClaim,
    id: &CheckoutId,
) -> Decided<CompletionState, CheckoutRefusal> {
    match idempotency::state(tx, claim)? {
        Claimed::Answered(outcome) => Ok(CompletionState::Answered(Answer { outcome: *outcome, replayed: true })),
        Claimed::New => {
            caller.must_own(queries::find(tx, id)?)?;
            Ok(CompletionState::Free)
        }
        Claimed::InProgress => in_progress(tx, caller, id),
        Claimed::Refused(refusal) => Err(refuse(CheckoutRefusal::Key(refusal))),
    }
}

/// Returns the state of a completion whose key is claimed already. An earlier run of this transaction may have
/// committed before its connection broke. Then the stored attempt has the id of this command, and this command
/// continues as the owner of the attempt.
fn own_or_in_progress(
    tx: &mut Tx<'_>,
    caller: &CallingPlatform,
    begin: &BeginCompletion,
) -> Decided<CompletionState, CheckoutRefusal> {
    match payment::lock(tx, &begin.attempt)? {
        Some((attempt, _)) if attempt.state == AttemptState::Opened => {
            let checkout = caller.must_own(queries::find(tx, &begin.checkout)?)?;
            Ok(CompletionState::Claimed { checkout, attempt })
        }
        _ => in_progress(tx, caller, &begin.checkout),
    }
}

fn in_progress(
    tx: &mut Tx<'_>,
    caller: &CallingPlatform,
    id: &CheckoutId,
) -> Decided<CompletionState, CheckoutRefusal> {
    let checkout = caller.must_own(queries::find(tx, id)?)?;
    let state = match &checkout.attempt {
        Some(attempt) => payment::state(tx, attempt)?,
        None => None,
    };
    Ok(if state == Some(AttemptState::Unknown) {
        CompletionState::Unknown(checkout)
    } else {
        CompletionState::InProgress
    })
}

pub(super) fn settle(
    tx: &mut Tx<'_>,
    composer: &dyn NotificationComposer,
    settlement: &Settlement,
    trace: TraceContext,
) -> Result<Outcome, TxError<Fault>> {
    let ((attempt, key), checkout) = queries::lock_with_attempt(tx, &settlement.attempt)?
        .ok_or_else(|| malformed(format!("{} was never recorded, or its checkout is gone", settlement.attempt)))?;
    let (owner, resource) = (checkout.owner.0.clone(), checkout.id.to_string());
    let key = KeyId { principal: &owner, operation: COMPLETE, resource: &resource, key: &key };
    if attempt.state.is_settled() {
        return Ok(match idempotency::stored_outcome(tx, key)? {
            Some(outcome) => from_text(&outcome)?,
            // The key was released or purged, but the attempt still has the result.
            None if attempt.state == AttemptState::Declined => Outcome::Declined(checkout),
            None => Outcome::Checkout(checkout),
        });
    }

    let now = settlement.now;
    let demand = demand_of(&checkout.details.lines);
    let (state, change, outcome) = match &settlement.outcome {
        PaymentOutcome::Confirmed => {
            let completed = place_order(tx, composer, checkout, trace, now)?;
            (AttemptState::Confirmed, StockChange::Take, Outcome::Checkout(completed))
        }
        PaymentOutcome::Authorized => {
            let completed = place_order(tx, composer, checkout, trace, now)?;
            (AttemptState::Authorized, StockChange::Take, Outcome::Checkout(completed))
        }
        PaymentOutcome::Declined(decline) => {
            let refused = checkout.payment_refused(&decline.reason, now);
            (AttemptState::Declined, StockChange::Release, Outcome::Declined(refused))
        }
        PaymentOutcome::ActionRequired => {
            let escalated = checkout.buyer_required(now);
            (AttemptState::Cancelled, StockChange::Release, Outcome::Checkout(escalated))
        }
        PaymentOutcome::NotAttempted => {
            let unpaid = checkout.payment_not_attempted(now);
            (AttemptState::Cancelled, StockChange::Release, Outcome::Checkout(unpaid))
        }
    };
    payment::transition(tx, &attempt.id, (attempt.state, state), Some(capture_due(attempt.created_at)))?;
    match &outcome {
        Outcome::Checkout(completed) if completed.order.is_some() => queries::save_order(tx, completed)?,
        Outcome::Checkout(unpaid) | Outcome::Declined(unpaid) => queries::save(tx, unpaid)?,
        Outcome::NothingToSell(_) => {}
    }
    if settlement.outcome == PaymentOutcome::NotAttempted {
        idempotency::forget(tx, key)?;
    } else {
        let since = (now - attempt.created_at > LATE).then_some(now);
        idempotency::set_outcome(tx, key, &to_text(&outcome)?, since)?;
    }
    stock::change(tx, &demand, change)?;
    Ok(outcome)
}

/// Stores the order of a paid checkout and the messages about the order, and returns the completed checkout.
fn place_order(
    tx: &mut Tx<'_>,
    composer: &dyn NotificationComposer,
    checkout: Checkout,
    trace: TraceContext,
    now: Timestamp,
) -> QueryResult<Checkout> {
    let link = OrderLink { id: OrderId::generate(now), page: PageToken::generate(now) };
    let order = order::place(link.id.clone(), link.page.clone(), &checkout, now);
    remember_destination(tx, &checkout)?;
    // Read before the first deferred write, so that the writes are one statement.
    let messages = outbox::messages(tx, composer, &order, checkout.details.buyer.as_ref(), trace, now)?;
    orders::insert(tx, &order)?;
    messages.store(tx)?;
    Ok(checkout.completed(link, now))
}
