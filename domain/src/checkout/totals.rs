//! Totals: a list of signed amounts whose last entry is the sum of all other entries.

use serde::{Deserialize, Serialize};

use crate::money::Amount;

/// The kind of a total. Discounts are negative; all other kinds are zero or positive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum TotalKind {
    Subtotal,
    ItemsDiscount,
    Discount,
    Fulfillment,
    Tax,
    Fee,
    Total,
}

/// One entry of the totals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    pub kind: TotalKind,
    /// The text that the buyer reads beside the amount.
    pub label: String,
    pub amount: Amount,
}

/// The totals of a checkout. The first entry is the only subtotal, and the last entry is the only total. The total is
/// the sum of all other entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Totals(Vec<Total>);

impl Totals {
    /// Builds the totals. Discounts are given as positive amounts; a discount of zero adds no entry.
    pub fn of(subtotal: Amount, items_discount: Amount, discount: Amount, fulfillment: Option<(&str, Amount)>) -> Self {
        let mut entries = vec![entry(TotalKind::Subtotal, "Subtotal", subtotal)];
        if !items_discount.is_zero() {
            entries.push(entry(TotalKind::ItemsDiscount, "Item discounts", -items_discount));
        }
        if !discount.is_zero() {
            entries.push(entry(TotalKind::Discount, "Discount", -discount));
        }
        if let Some((label, amount)) = fulfillment {
            entries.push(entry(TotalKind::Fulfillment, label, amount));
        }
        let sum = entries.iter().map(|total| total.amount).sum();
        entries.push(entry(TotalKind::Total, "Total", sum));
        Self(entries)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Total> {
        self.0.iter()
    }

    /// The amount to pay.
    pub fn total(&self) -> Amount {
        self.0.iter().filter(|total| total.kind == TotalKind::Total).map(|total| total.amount).sum()
    }
}

fn entry(kind: TotalKind, label: &str, amount: Amount) -> Total {
    Total { kind, label: label.to_owned(), amount }
}
