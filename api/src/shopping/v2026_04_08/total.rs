//! The totals of a response: `types/totals.json`.

use domain::checkout::Totals;
use domain::money::Amount;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct TotalDto {
    #[serde(rename = "type")]
    kind: &'static str,
    display_text: String,
    amount: i64,
}

pub(super) fn totals(totals: &Totals) -> Vec<TotalDto> {
    let dto = |total: &domain::checkout::Total| TotalDto {
        kind: total.kind.into_str(),
        display_text: total.label.clone(),
        amount: total.amount.minor(),
    };
    totals.iter().map(dto).collect()
}

/// The totals of one line of goods.
pub(super) fn line_totals(subtotal: Amount, discount: Amount) -> Vec<TotalDto> {
    totals(&Totals::of(subtotal, discount, Amount::ZERO, None))
}

/// A list entry for one amount: the price of a delivery option, or the amount of an adjustment.
pub(super) fn single(amount: Amount, label: &str) -> TotalDto {
    TotalDto { kind: "total", display_text: label.to_owned(), amount: amount.minor() }
}
