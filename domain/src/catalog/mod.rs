//! The catalog: products, their variants, and a price for each variant.
//!
//! A buyer buys a variant, and the stock counts variants; the SKU is the id of a variant. A product groups variants for
//! browsing. An imported product has exactly one variant, whose SKU is the product's id. This module has data types
//! only.

mod model;

pub use model::{ProductId, Sku, Variant};
