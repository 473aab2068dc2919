//! Storing a batch.

use std::sync::Arc;

use super::model::{Batch, Imported};
use crate::PortFuture;
use crate::catalog::Sku;
use crate::context::RequestContext;
use crate::fault::{Failure, Fault, Refusal};
use crate::fulfillment::OptionId;

/// Told how many rows are stored so far. The transaction may still fail.
pub type Progress = Arc<dyn Fn(usize) + Send + Sync>;

pub trait Import: Send + Sync {
    /// Stores the batch, replacing rows of the same id. Refuses all of it before anything is stored when one row would
    /// leave less on hand than is held, names something that neither the batch nor the shop knows, or would be a second
    /// one of what there may be one of, and when the shop would have more of something than is read.
    ///
    /// A batch of up to [`Batch::ATOMIC_ROWS`] is stored whole or not at all. A larger one is stored in parts, so that
    /// the shop can go on selling beside it; when it fails in between, it can be run again. That can be a refusal only
    /// if the shop changed meanwhile.
    fn import(
        &self,
        ctx: &RequestContext,
        batch: Batch,
        progress: Progress,
    ) -> PortFuture<Imported, Failure<ImportRefusal>>;

    /// Whether the shop sells nothing yet.
    fn is_empty(&self, ctx: &RequestContext) -> PortFuture<bool, Fault>;
}

/// Why a batch is not stored.
#[derive(Debug)]
pub enum ImportRefusal {
    StockBelowHeld(StockBelowHeld),
    /// Index of a stock row whose product is not known.
    UnknownProduct(usize),
    /// Index of an address row whose customer is not known.
    UnknownCustomer(usize),
    /// Index of a shipping rate whose country and service level the shop has under this other id.
    SameRate {
        row: usize,
        id: OptionId,
    },
    /// Index of a customer whose e-mail address the shop has of this other customer.
    SameEmail {
        row: usize,
        id: String,
    },
    /// Index of an address with which its customer would have more than `limit`.
    TooManyAddresses {
        row: usize,
        limit: usize,
    },
    /// The shop would have more rows of this kind than it reads.
    TooMany {
        what: &'static str,
        limit: usize,
    },
    /// The first rows were stored, so many of them; then this.
    Interrupted {
        stored: usize,
        cause: Box<Failure<ImportRefusal>>,
    },
}

impl Refusal for ImportRefusal {}

/// Index of a stock row, and what is held of its SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockBelowHeld {
    pub row: usize,
    pub sku: Sku,
    pub held: i64,
}
