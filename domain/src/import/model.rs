//! The rows of an import.

use crate::catalog::{ProductId, Sku, Variant};
use crate::customer::{Address, DestinationId, Email};
use crate::fulfillment::{FreeShipping, ShippingRate};
use crate::money::Currency;
use crate::promotion::Discount;

/// The rows of one import. Each row was checked separately before the import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The currency of each price in the batch.
    pub currency: Currency,
    pub products: Vec<ImportedProduct>,
    pub stock: Vec<ImportedStock>,
    pub customers: Vec<ImportedCustomer>,
    pub addresses: Vec<ImportedAddress>,
    pub shipping_rates: Vec<ShippingRate>,
    pub discounts: Vec<Discount>,
    pub free_shipping: Vec<FreeShipping>,
    pub instruments: Vec<ImportedInstrument>,
}

impl Batch {
    /// The highest number of rows in a batch that is stored in one transaction.
    pub const ATOMIC_ROWS: usize = 1_000;

    pub fn empty(currency: Currency) -> Self {
        Self {
            currency,
            products: Vec::new(),
            stock: Vec::new(),
            customers: Vec::new(),
            addresses: Vec::new(),
            shipping_rates: Vec::new(),
            discounts: Vec::new(),
            free_shipping: Vec::new(),
            instruments: Vec::new(),
        }
    }

    /// The number of rows of all kinds.
    pub fn rows(&self) -> usize {
        self.products.len()
            + self.stock.len()
            + self.customers.len()
            + self.addresses.len()
            + self.shipping_rates.len()
            + self.discounts.len()
            + self.free_shipping.len()
            + self.instruments.len()
    }
}

/// A product and its only variant, whose SKU is the product's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedProduct {
    pub id: ProductId,
    pub variant: Variant,
}

/// The units on hand, including held units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedStock {
    pub sku: Sku,
    pub on_hand: i64,
}

/// A customer. The shop finds a customer by email address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedCustomer {
    pub id: String,
    pub name: String,
    pub email: Email,
}

/// An address of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedAddress {
    pub id: DestinationId,
    /// The id of the customer who has the address.
    pub customer: String,
    pub address: Address,
}

/// An instrument that the simulated payment handler keeps on file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedInstrument {
    pub id: String,
    pub kind: String,
    pub brand: String,
    pub last_digits: String,
    pub token: String,
    pub handler: String,
}
