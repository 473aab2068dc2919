//! A large batch in parts, which are stored one after the other.

use domain::fault::Failure;
use domain::import::{Batch, ImportRefusal};

/// The most rows of a part. The transaction that stores a part holds its locks for some milliseconds.
const PART: usize = 500;

/// A part of a batch, and the number of stock and address rows in the earlier parts.
pub(super) struct Part {
    pub(super) batch: Batch,
    /// Whether this part is the whole batch.
    pub(super) is_whole: bool,
    stock: usize,
    addresses: usize,
}

/// Splits a large batch into parts. A small batch is one part. Rows come after the rows that they refer to. Stock comes
/// last, so that nothing is sold before it is described.
pub(super) fn of(batch: Batch) -> Vec<Part> {
    if batch.rows() <= Batch::ATOMIC_ROWS {
        return vec![Part { batch, is_whole: true, stock: 0, addresses: 0 }];
    }
    let empty = Batch::empty(batch.currency);
    let mut parts = Vec::new();
    let (mut addresses, mut stock) = (0, 0);
    macro_rules! split {
        ($($table:ident),+) => {$(
            for rows in batch.$table.chunks(PART) {
                let part = Batch { $table: rows.to_vec(), ..empty.clone() };
                parts.push(Part { stock, addresses, is_whole: false, batch: part });
                stock += parts.last().map_or(0, |part| part.batch.stock.len());
                addresses += parts.last().map_or(0, |part| part.batch.addresses.len());
            }
        )+};
    }
    split!(products, customers, addresses, shipping_rates, discounts, free_shipping, instruments, stock);
    parts
}

impl Part {
    /// Returns the error with the row numbers of the whole batch in place of those of the part.
    pub(super) fn renumber_for_batch(&self, failure: Failure<ImportRefusal>) -> Failure<ImportRefusal> {
        let Failure::Refused(refusal) = failure else { return failure };
        Failure::Refused(match refusal {
            ImportRefusal::UnknownProduct(row) => ImportRefusal::UnknownProduct(self.stock + row),
            ImportRefusal::UnknownCustomer(row) => ImportRefusal::UnknownCustomer(self.addresses + row),
            ImportRefusal::StockBelowHeld { row, held } => {
                ImportRefusal::StockBelowHeld { row: self.stock + row, held }
            }
            other => other,
        })
    }
}
