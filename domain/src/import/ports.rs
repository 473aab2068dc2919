//! The storage port of the import.

use std::sync::Arc;

use super::model::Batch;
use crate::PortFuture;
use crate::context::RequestContext;
use crate::fault::{Failure, Fault, Refusal};
use crate::fulfillment::OptionId;

/// A callback that gets the number of rows stored so far. The transaction may still fail.
pub type Progress = Arc<dyn Fn(usize) + Send + Sync>;

/// The port that stores imported rows.
pub trait Import: Send + Sync {
    /// Stores the batch, and replaces rows with the same id. The whole batch is checked first and refused for the
    /// reasons in [`ImportRefusal`].
    ///
    /// A batch of up to [`Batch::ATOMIC_ROWS`] rows is stored in one transaction. A larger batch is stored in several
    /// transactions, so that the shop can sell meanwhile. If one of them fails, the earlier rows stay stored, and the
    /// import can be repeated. It is refused only if the shop's data changed after the whole batch was checked.
    fn import(&self, ctx: &RequestContext, batch: Batch, progress: Progress) -> PortFuture<(), Failure<ImportRefusal>>;

    /// Whether the shop has no products.
    fn is_empty(&self, ctx: &RequestContext) -> PortFuture<bool, Fault>;
}

/// Why a batch is not stored.
#[derive(Debug)]
pub enum ImportRefusal {
    /// A stock row would set fewer units on hand than are held. `row` is the index of the row, and `held` the number of
    /// held units.
    StockBelowHeld { row: usize, held: i64 },
    /// A stock row names an unknown product. The value is the index of the row.
    UnknownProduct(usize),
    /// An address row names an unknown customer. The value is the index of the row.
    UnknownCustomer(usize),
    /// The shop has a rate for the same country and service level under another `id`. `row` is the index of the
    /// shipping rate.
    SameRate { row: usize, id: OptionId },
    /// The shop has another customer, `id`, with the same email address. `row` is the index of the customer.
    SameEmail { row: usize, id: String },
    /// The customer of an address would have more than `limit` addresses. `row` is the index of the address.
    TooManyAddresses { row: usize, limit: usize },
    /// The shop would have more than `limit` rows of the kind `what`. The shop cannot read more.
    TooMany { what: &'static str, limit: usize },
    /// The first `stored` rows were stored; then the import failed because of `cause`.
    Interrupted { stored: usize, cause: Box<Failure<ImportRefusal>> },
}

impl Refusal for ImportRefusal {}
