//! The demo catalogue, which is built into the program.

use std::borrow::Cow;

use domain::import::Batch;
use domain::money::Currency;

use super::problem::ReadError;
use super::table::Reading;
use super::{read, rows};

const FILES: [(&str, &str); 8] = [
    (rows::ADDRESSES.file, include_str!("demo/addresses.csv")),
    (rows::CUSTOMERS.file, include_str!("demo/customers.csv")),
    (rows::DISCOUNTS.file, include_str!("demo/discounts.csv")),
    (rows::INVENTORY.file, include_str!("demo/inventory.csv")),
    (rows::INSTRUMENTS.file, include_str!("demo/payment_instruments.csv")),
    (rows::PRODUCTS.file, include_str!("demo/products.csv")),
    (rows::PROMOTIONS.file, include_str!("demo/promotions.csv")),
    (rows::SHIPPING_RATES.file, include_str!("demo/shipping_rates.csv")),
];

/// The demo catalogue, with prices in minor units of `currency`.
pub fn demo(currency: Currency) -> Result<Batch, ReadError> {
    let source = |file: &'static str| {
        let found = FILES.into_iter().find(|(name, _)| *name == file);
        Ok(found.map(|(_, text)| Cow::Borrowed(text.as_bytes())))
    };
    Ok(read(&source, Reading::new(currency))?.batch)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use domain::promotion::DiscountScope;

    use super::*;

    #[test]
    fn demo_catalogue_is_valid_and_has_every_case() {
        let batch = demo(Currency::parse("USD").expect("valid")).expect("good");
        assert!((10..=14).contains(&batch.products.len()));
        assert_eq!(batch.products.iter().filter(|product| !product.variant.requires_shipping).count(), 1);
        assert!(batch.stock.iter().any(|stock| stock.on_hand == 0));
        assert!(batch.stock.iter().any(|stock| (1..5).contains(&stock.on_hand)));
        assert_eq!((batch.customers.len(), batch.shipping_rates.len(), batch.discounts.len()), (2, 3, 3));
        assert!(batch.free_shipping.iter().any(|promotion| promotion.min_subtotal.is_some()));
        let tokens: HashSet<&str> = batch.instruments.iter().map(|instrument| instrument.token.as_str()).collect();
        assert_eq!(tokens, HashSet::from(["success_token", "fail_token"]));
    }

    #[test]
    fn demo_catalogue_has_every_item_that_it_refers_to() {
        let batch = demo(Currency::parse("USD").expect("valid")).expect("good");
        let skus: HashSet<_> = batch.products.iter().map(|product| &product.variant.sku).collect();
        let stocked: HashSet<_> = batch.stock.iter().map(|stock| &stock.sku).collect();
        assert_eq!(skus, stocked);
        let by_line = batch.discounts.iter().filter_map(|discount| match &discount.scope {
            DiscountScope::Lines(skus) => Some(skus),
            DiscountScope::Order => None,
        });
        let mut eligible =
            by_line.chain(batch.free_shipping.iter().map(|promotion| &promotion.eligible_skus)).flatten();
        assert!(eligible.all(|sku| skus.contains(sku)));
        let customers: HashSet<_> = batch.customers.iter().map(|customer| &customer.id).collect();
        assert!(batch.addresses.iter().all(|address| customers.contains(&address.customer)));
    }
}
