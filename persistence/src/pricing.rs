//! Pricing data in memory: shipping rates, free-shipping promotions and discounts, while their revision is the same.
//!
//! Each import that changes such data changes the revision in the same transaction. A priced write reads the revision
//! with its variants, and reads the data only if the revision is new. A change that bypasses the import, such as one by
//! an older release beside this one, is seen after at most [`KEPT_FOR`].

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel::prelude::*;
use domain::context::Stopwatch;
use domain::fulfillment::{FreeShipping, ShippingRate};
use domain::money::Currency;
use domain::promotion::{Code, Discount};

use crate::database::{Tx, execute, update};
use crate::schema::reference_revision;
use crate::stored::{malformed, storable};
use crate::{fulfillment, promotion};

/// The name of the revision of pricing data.
pub(crate) const PRICING: &str = "pricing";
/// The longest time for which data is kept without a look at its rows.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// The most codes that are kept. Codes come from strangers, so unknown codes count too.
const MOST_CODES: usize = 1_000;

/// The pricing data that a process keeps.
#[derive(Default)]
pub(crate) struct Pricing {
    kept: Mutex<Option<Kept>>,
}

/// Data of one revision and one currency.
struct Kept {
    revision: i64,
    currency: Currency,
    since: Stopwatch,
    delivery: Option<Delivery>,
    /// `None` for a code that no discount has.
    discounts: HashMap<Code, Option<Discount>>,
}

/// What the fulfillment of a checkout needs.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) rates: Vec<ShippingRate>,
    pub(crate) free_shipping: Vec<FreeShipping>,
}

impl Pricing {
    /// Returns the rates and promotions of a currency. `revision` is the current one.
    pub(crate) fn delivery(&self, tx: &mut Tx<'_>, revision: i64, currency: Currency) -> QueryResult<Delivery> {
        if let Some(known) = self.kept(revision, currency).as_ref().and_then(|kept| kept.delivery.clone()) {
            return Ok(known);
        }
        let rates = fulfillment::rates(tx, currency)?;
        let read = Delivery { rates, free_shipping: fulfillment::free_shipping(tx, currency)? };
        if let Some(kept) = self.kept(revision, currency).as_mut() {
            kept.delivery = Some(read.clone());
        }
        Ok(read)
    }

    /// Returns the discounts in this currency that the codes of a request name.
    pub(crate) fn discounts(
        &self,
        tx: &mut Tx<'_>,
        revision: i64,
        codes: &[String],
        currency: Currency,
    ) -> QueryResult<Vec<Discount>> {
        let codes: Vec<Code> = codes.iter().filter(|code| storable(code)).map(|code| Code::new(code)).collect();
        let known =
            |kept: &Kept| codes.iter().map(|code| kept.discounts.get(code).cloned()).collect::<Option<Vec<_>>>();
        if let Some(known) = self.kept(revision, currency).as_ref().and_then(known) {
            return Ok(known.into_iter().flatten().collect());
        }
        let read = promotion::discounts_of(tx, &codes, currency)?;
        if let Some(kept) = self.kept(revision, currency).as_mut() {
            if kept.discounts.len() + codes.len() > MOST_CODES {
                kept.discounts.clear();
            }
            for code in codes {
                let discount = read.iter().find(|discount| discount.code == code).cloned();
                kept.discounts.insert(code, discount);
            }
        }
        Ok(read)
    }

    /// Returns the data that is kept, which is of this revision and currency. Data of others is dropped.
    fn kept(&self, revision: i64, currency: Currency) -> MutexGuard<'_, Option<Kept>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current =
            |kept: &Kept| (kept.revision, kept.currency) == (revision, currency) && kept.since.elapsed() < KEPT_FOR;
        if !kept.as_ref().is_some_and(is_current) {
            let (since, discounts) = (Stopwatch::start(), HashMap::new());
            *kept = Some(Kept { revision, currency, since, delivery: None, discounts });
        }
        kept
    }
}

/// Records that pricing data changes in this transaction. The revision is random: a counter would have the same value
/// again after a transaction that was rolled back.
pub(crate) fn changed(tx: &mut Tx<'_>) -> QueryResult<()> {
    let revision = fastrand::i64(..);
    let change = update(reference_revision::table.find(PRICING)).set(reference_revision::revision.eq(revision));
    match execute!(tx, change)? {
        1 => Ok(()),
        _ => Err(malformed("the revision of pricing data is missing")),
    }
}
