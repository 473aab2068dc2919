//! Values that must be unique, and that the shop has under another id.
//!
//! A batch replaces the rows that it names, so only other rows count. Duplicates from before this check are stored
//! again as they are, so that an import can be repeated.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use domain::fault::Failure;
use domain::fulfillment::OptionId;
use domain::import::{Batch, ImportRefusal};

use super::CHUNK;
use super::checks::stored_rates;
use crate::customer::learned_id;
use crate::database::{Tx, TxError, load, refuse};
use crate::schema::customer;

/// A destination gets one rate for each service level.
pub(super) fn none_of_rates(tx: &mut Tx<'_>, batch: &Batch) -> Result<(), TxError<Failure<ImportRefusal>>> {
    if batch.shipping_rates.is_empty() {
        return Ok(());
    }
    let named: HashSet<&str> = batch.shipping_rates.iter().map(|rate| rate.id.0.as_str()).collect();
    let (mut others, mut same) = (HashMap::new(), HashSet::new());
    for (id, country, level) in stored_rates(tx, batch)? {
        let of = (country, level);
        if named.contains(id.as_str()) {
            same.insert((id, of));
        } else {
            others.insert(of, id);
        }
    }
    for (row, rate) in batch.shipping_rates.iter().enumerate() {
        let of = (rate.country.clone(), rate.service_level.0.clone());
        if let Some(id) = others.get(&of).cloned()
            && !same.contains(&(rate.id.0.clone(), of))
        {
            return Err(refuse(ImportRefusal::SameRate { row, id: OptionId(id) }));
        }
    }
    Ok(())
}

/// Orders find a customer by the email address. A customer that was created from an order does not count: the address
/// book offers both, and no purchase may block an import.
pub(super) fn none_of_emails(tx: &mut Tx<'_>, batch: &Batch) -> Result<(), TxError<Failure<ImportRefusal>>> {
    /// Customers with one email address, from before this check.
    const COPIES: usize = 10;
    let named: HashSet<&str> = batch.customers.iter().map(|row| row.id.as_str()).collect();
    let (mut others, mut same) = (HashMap::new(), HashSet::new());
    for chunk in batch.customers.chunks(CHUNK) {
        let emails: Vec<String> = chunk.iter().map(|row| row.email.key()).collect();
        let query = customer::table
            .filter(customer::email.eq_any(emails))
            .select((customer::id, customer::email))
            .limit((CHUNK * COPIES) as i64);
        let stored: Vec<(String, String)> = load!(tx, query)?;
        for (id, email) in stored {
            if named.contains(id.as_str()) {
                same.insert((id, email));
            } else if id != learned_id(&email) {
                others.insert(email, id);
            }
        }
    }
    for (row, wanted) in batch.customers.iter().enumerate() {
        let email = wanted.email.key();
        if let Some(id) = others.get(&email).cloned()
            && !same.contains(&(wanted.id.clone(), email))
        {
            return Err(refuse(ImportRefusal::SameEmail { row, id }));
        }
    }
    Ok(())
}
