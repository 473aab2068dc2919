//! Reads the CSV files of `tuckshop import DIR`, and the demo catalogue.
//!
//! A directory is read as a whole. If any row has a problem, nothing is imported and all problems are reported
//! together. [`Import`](domain::import::Import) stores the rows.

mod demo;
mod directory;
mod field;
mod grammar;
mod problem;
mod rows;
mod table;

use std::borrow::Cow;
use std::collections::BTreeMap;

use domain::import::{Batch, ImportRefusal};

pub use demo::demo;
pub use directory::read_directory;
pub use problem::{Problem, Problems, ReadError};
use table::{Reading, Table};

/// The most rows of all files together. They are held in memory.
pub const MAX_ROWS: usize = 1_000_000;

/// The largest file, in bytes. A file is held in memory; a million rows of ordinary length are much smaller.
pub const MAX_FILE_BYTES: u64 = 512_000_000;

/// The rows of a directory.
pub struct Read {
    pub batch: Batch,
    pub positions: Positions,
}

/// The files of a directory, each with the line numbers of its rows. The rows of a file have their order in the
/// [`Batch`].
#[derive(Clone, Debug, Default)]
pub struct Positions(BTreeMap<&'static str, Vec<u64>>);

impl Positions {
    /// The files, in the order of their names, with their numbers of rows.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.0.iter().map(|(file, lines)| (*file, lines.len()))
    }

    /// Describes the row that the shop refused, with the reason. `None` if no single row is at fault.
    pub fn problem(&self, refusal: &ImportRefusal) -> Option<Problem> {
        let (file, row, column, message) = match refusal {
            ImportRefusal::UnknownProduct(row) => {
                let message = "names a product that is neither in products.csv nor in the shop".to_owned();
                (rows::INVENTORY.file, row, "product_id", message)
            }
            ImportRefusal::UnknownCustomer(row) => {
                let message = "names a customer who is neither in customers.csv nor in the shop".to_owned();
                (rows::ADDRESSES.file, row, "customer_id", message)
            }
            ImportRefusal::StockBelowHeld { row, held } => {
                let message = format!("must be at least {held}: that many are held for checkouts in progress");
                (rows::INVENTORY.file, row, "quantity", message)
            }
            ImportRefusal::SameRate { row, id } => {
                let message = format!(
                    "is the same as that of the rate {0:?} in the shop: give this row the id {0:?}, or name both rates in the file",
                    id.0
                );
                (rows::SHIPPING_RATES.file, row, rows::COUNTRY_AND_LEVEL, message)
            }
            ImportRefusal::SameEmail { row, id } => {
                let message = format!(
                    "is the same as that of the customer {id:?} in the shop: give this row the id {id:?}, or name both customers in the file"
                );
                (rows::CUSTOMERS.file, row, "email", message)
            }
            ImportRefusal::TooManyAddresses { row, limit } => {
                let message =
                    format!("would have more than {limit} addresses, those in the shop included: leave some out");
                (rows::ADDRESSES.file, row, "customer_id", message)
            }
            ImportRefusal::TooMany { .. } | ImportRefusal::Interrupted { .. } => return None,
        };
        let line = *self.0.get(file)?.get(*row)?;
        Some(Problem { file: file.to_owned(), line, column: column.to_owned(), message })
    }
}

/// Returns the bytes of a file by its name, or `None` if the file does not exist.
type Source<'a> = &'a dyn Fn(&'static str) -> Result<Option<Cow<'static, [u8]>>, ReadError>;

/// Reads every file of `source`. Returns all rows, or all problems. The files are read in the order of their names, so
/// that the problems of the first files are kept if there are too many.
fn read(source: Source<'_>, mut reading: Reading) -> Result<Read, ReadError> {
    let addresses = read_file(&rows::ADDRESSES, source, &mut reading)?;
    let customers = read_file(&rows::CUSTOMERS, source, &mut reading)?;
    let discounts = read_file(&rows::DISCOUNTS, source, &mut reading)?;
    let stock = read_file(&rows::INVENTORY, source, &mut reading)?;
    let instruments = read_file(&rows::INSTRUMENTS, source, &mut reading)?;
    let products = read_file(&rows::PRODUCTS, source, &mut reading)?;
    let free_shipping = read_file(&rows::PROMOTIONS, source, &mut reading)?;
    let shipping_rates = read_file(&rows::SHIPPING_RATES, source, &mut reading)?;
    let Reading { currency, problems, positions, .. } = reading;
    let batch = Batch {
        currency,
        products,
        stock,
        customers,
        addresses,
        shipping_rates,
        discounts,
        free_shipping,
        instruments,
    };
    problems.none_or(Read { batch, positions })
}

/// The rows of one file. Empty if `source` does not have it.
fn read_file<T, const N: usize>(
    table: &Table<T, N>,
    source: Source<'_>,
    reading: &mut Reading,
) -> Result<Vec<T>, ReadError> {
    Ok(source(table.file)?.map(|bytes| table.read(&bytes, reading)).unwrap_or_default())
}

#[cfg(test)]
mod tests;
