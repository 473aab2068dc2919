//! What the shop sells: products, their variants, and a price for each.
//!
//! A variant is what is bought, held and shipped; its SKU is the id that a basket names. A product groups variants for
//! browsing. An imported product has exactly one variant, whose SKU is the product's id.

mod model;

pub use model::{Product, ProductId, Sku, Variant};
