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

use domain::import::{Batch, ImportRefusal};

pub use demo::demo;
pub use directory::read_directory;
pub use problem::{Problem, Problems, ReadError};
use table::{Reading, Rows, Table};

/// The most rows of all files together. They are held in memory.
pub const MAX_ROWS: usize = 1_000_000;

/// The largest file, in bytes. A file is held in memory; a million rows of ordinary length are much smaller.
pub const MAX_FILE_BYTES: u64 = 512_000_000;

/// The rows of a directory.
pub struct Read {
    pub batch: Batch,
    /// The files of the directory, with their numbers of rows.
    pub files: Vec<FileRows>,
    pub positions: Positions,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRows {
    pub file: &'static str,
    pub rows: usize,
}

/// The line numbers of the rows that the shop may refuse. Each list has the order of the rows in the [`Batch`].
#[derive(Clone, Debug)]
pub struct Positions {
    stock: Vec<u64>,
    addresses: Vec<u64>,
    customers: Vec<u64>,
    shipping_rates: Vec<u64>,
}

impl Positions {
    /// Describes the row that the shop refused, with the reason. `None` if no single row is at fault.
    pub fn problem(&self, refusal: &ImportRefusal) -> Option<Problem> {
        let (file, line, column, message) = match refusal {
            ImportRefusal::UnknownProduct(row) => {
                let message = "names a product that is neither in products.csv nor in the shop".to_owned();
                (rows::INVENTORY.file, self.stock.get(*row), "product_id", message)
            }
            ImportRefusal::UnknownCustomer(row) => {
                let message = "names a customer who is neither in customers.csv nor in the shop".to_owned();
                (rows::ADDRESSES.file, self.addresses.get(*row), "customer_id", message)
            }
            ImportRefusal::StockBelowHeld { row, held } => {
                let message = format!("must be at least {held}: that many are held for checkouts in progress");
                (rows::INVENTORY.file, self.stock.get(*row), "quantity", message)
            }
            ImportRefusal::SameRate { row, id } => {
                let message = format!(
                    "is the same as that of the rate {0:?} in the shop: give this row the id {0:?}, or name both rates in the file",
                    id.0
                );
                (rows::SHIPPING_RATES.file, self.shipping_rates.get(*row), rows::COUNTRY_AND_LEVEL, message)
            }
            ImportRefusal::SameEmail { row, id } => {
                let message = format!(
                    "is the same as that of the customer {id:?} in the shop: give this row the id {id:?}, or name both customers in the file"
                );
                (rows::CUSTOMERS.file, self.customers.get(*row), "email", message)
            }
            ImportRefusal::TooManyAddresses { row, limit } => {
                let message =
                    format!("would have more than {limit} addresses, those in the shop included: leave some out");
                (rows::ADDRESSES.file, self.addresses.get(*row), "customer_id", message)
            }
            ImportRefusal::TooMany { .. } | ImportRefusal::Interrupted { .. } => return None,
        };
        Some(Problem { file: file.to_owned(), line: *line?, column: column.to_owned(), message })
    }
}

/// Returns the bytes of a file by its name, or `None` if the file does not exist.
type Source<'a> = &'a dyn Fn(&'static str) -> Result<Option<Cow<'static, [u8]>>, ReadError>;

/// Reads every file of `source`. Returns all rows, or all problems. The files are read in the order of their names, so
/// that the problems of the first files are kept if there are too many.
fn read(source: Source<'_>, mut reading: Reading) -> Result<Read, ReadError> {
    let mut files = Vec::new();
    let addresses = read_file(&rows::ADDRESSES, source, &mut reading, &mut files)?;
    let customers = read_file(&rows::CUSTOMERS, source, &mut reading, &mut files)?;
    let discounts = read_file(&rows::DISCOUNTS, source, &mut reading, &mut files)?;
    let stock = read_file(&rows::INVENTORY, source, &mut reading, &mut files)?;
    let instruments = read_file(&rows::INSTRUMENTS, source, &mut reading, &mut files)?;
    let products = read_file(&rows::PRODUCTS, source, &mut reading, &mut files)?;
    let promotions = read_file(&rows::PROMOTIONS, source, &mut reading, &mut files)?;
    let shipping_rates = read_file(&rows::SHIPPING_RATES, source, &mut reading, &mut files)?;
    let batch = Batch {
        currency: reading.currency,
        products: products.values,
        stock: stock.values,
        customers: customers.values,
        addresses: addresses.values,
        shipping_rates: shipping_rates.values,
        discounts: discounts.values,
        free_shipping: promotions.values,
        instruments: instruments.values,
    };
    let positions = Positions {
        stock: stock.lines,
        addresses: addresses.lines,
        customers: customers.lines,
        shipping_rates: shipping_rates.lines,
    };
    reading.problems.none_or(Read { batch, files, positions })
}

fn read_file<T, const N: usize>(
    table: &Table<T, N>,
    source: Source<'_>,
    reading: &mut Reading,
    files: &mut Vec<FileRows>,
) -> Result<Rows<T>, ReadError> {
    let Some(bytes) = source(table.file)? else { return Ok(Rows::none()) };
    let rows = table.read(&bytes, reading);
    files.push(FileRows { file: table.file, rows: rows.values.len() });
    Ok(rows)
}

#[cfg(test)]
mod tests;
