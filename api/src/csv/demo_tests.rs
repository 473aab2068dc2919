//! Tests of `demo.rs`.

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
    let mut eligible = by_line.chain(batch.free_shipping.iter().map(|promotion| &promotion.eligible_skus)).flatten();
    assert!(eligible.all(|sku| skus.contains(sku)));
    let customers: HashSet<_> = batch.customers.iter().map(|customer| &customer.id).collect();
    assert!(batch.addresses.iter().all(|address| customers.contains(&address.customer)));
}
