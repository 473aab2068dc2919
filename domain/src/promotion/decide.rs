//! Applies discount codes to goods. Integer arithmetic only.

use super::model::{Allocation, AppliedDiscount, Code, Discount, DiscountScope, DiscountValue};
use crate::catalog::Sku;
use crate::money::Amount;

/// The effect of all codes together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discounted {
    pub applied: Vec<AppliedDiscount>,
    /// The amount taken off each line, by the index of the line.
    pub per_line: Vec<Amount>,
    /// The amount taken off the goods as a whole, after the line discounts.
    pub order_level: Amount,
    /// Codes without effect, by their index in the request.
    pub rejected: Vec<(usize, Rejection)>,
}

/// Why a code has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    Unknown,
    /// The list contains the same code before.
    AlreadyApplied,
    /// No line is eligible, or nothing is left to discount.
    NothingToDiscount,
}

/// Applies `codes` to `goods`, which are pairs of SKU and line subtotal. `known` are the discounts that the codes may
/// name.
pub fn discount(codes: &[String], goods: &[(Sku, Amount)], known: &[Discount]) -> Discounted {
    let mut result = Discounted { per_line: vec![Amount::ZERO; goods.len()], ..Discounted::default() };
    let mut seen: Vec<Code> = Vec::new();
    let mut accepted: Vec<(usize, &Discount)> = Vec::new();
    for (index, text) in codes.iter().enumerate() {
        let code = Code::new(text);
        match known.iter().find(|discount| discount.code == code) {
            None => result.rejected.push((index, Rejection::Unknown)),
            Some(_) if seen.contains(&code) => result.rejected.push((index, Rejection::AlreadyApplied)),
            Some(found) => accepted.push((index, found)),
        }
        seen.push(code);
    }
    // Line-level discounts come first, so that an order-level percentage is taken of the amount that they leave.
    accepted.sort_by_key(|(index, discount)| (discount.scope == DiscountScope::Order, *index));

    for (index, discount) in accepted {
        let (amount, allocations) = match &discount.scope {
            DiscountScope::Order => (amount_off_order(discount.value, goods, &result), Vec::new()),
            DiscountScope::Lines(skus) => amounts_off_lines(discount.value, skus, goods, &result.per_line),
        };
        if amount.is_zero() {
            result.rejected.push((index, Rejection::NothingToDiscount));
            continue;
        }
        match discount.scope {
            DiscountScope::Order => result.order_level = result.order_level + amount,
            DiscountScope::Lines(_) => {
                for allocation in &allocations {
                    result.per_line[allocation.line] = result.per_line[allocation.line] + allocation.amount;
                }
            }
        }
        result.applied.push(AppliedDiscount {
            code: codes[index].clone(),
            title: discount.description.clone(),
            amount,
            priority: u32::try_from(result.applied.len() + 1).unwrap_or(u32::MAX),
            allocations,
            each_line: matches!(discount.value, DiscountValue::Percentage { .. }),
        });
    }
    result.rejected.sort_by_key(|(index, _)| *index);
    result
}

/// The amount that an order-level discount takes off what earlier discounts leave.
fn amount_off_order(value: DiscountValue, goods: &[(Sku, Amount)], so_far: &Discounted) -> Amount {
    let gross: Amount = goods.iter().map(|(_, subtotal)| *subtotal).sum();
    let left = gross - so_far.per_line.iter().copied().sum() - so_far.order_level;
    amount_off(value, left)
}

/// The total amount that a line-level discount takes off, and the part of it for each line.
fn amounts_off_lines(
    value: DiscountValue,
    skus: &[Sku],
    goods: &[(Sku, Amount)],
    per_line: &[Amount],
) -> (Amount, Vec<Allocation>) {
    let left: Vec<(usize, Amount)> = goods
        .iter()
        .enumerate()
        .filter(|(_, (sku, _))| skus.contains(sku))
        .map(|(line, (_, subtotal))| (line, *subtotal - per_line[line]))
        .collect();
    let allocations = match value {
        DiscountValue::Percentage { .. } => {
            left.iter().map(|(line, left)| Allocation { line: *line, amount: amount_off(value, *left) }).collect()
        }
        DiscountValue::Fixed(_) => {
            split_proportionally(amount_off(value, left.iter().map(|(_, left)| *left).sum()), &left)
        }
    };
    let allocations: Vec<_> = allocations.into_iter().filter(|allocation| !allocation.amount.is_zero()).collect();
    (allocations.iter().map(|allocation| allocation.amount).sum(), allocations)
}

/// The amount that `value` takes off `left`, at most `left`.
fn amount_off(value: DiscountValue, left: Amount) -> Amount {
    match value {
        DiscountValue::Percentage { basis_points } => left.fraction(basis_points, 10_000).min(left),
        DiscountValue::Fixed(amount) => amount.min(left),
    }
}

/// Splits `amount` over lines in proportion to `left`, the amount that each line has left. The shares sum to `amount`.
/// Each share is rounded down, and the remaining minor units go to the lines in order, one to each. No line gets more
/// than it has left.
pub(crate) fn split_proportionally(amount: Amount, left: &[(usize, Amount)]) -> Vec<Allocation> {
    let whole: Amount = left.iter().map(|(_, left)| *left).sum();
    if whole.is_zero() {
        return Vec::new();
    }
    let floor = |part: Amount| {
        let share = i128::from(amount.minor()) * i128::from(part.minor()) / i128::from(whole.minor());
        Amount::new(i64::try_from(share).unwrap_or(i64::MAX))
    };
    let mut shares: Vec<Allocation> =
        left.iter().map(|(line, part)| Allocation { line: *line, amount: floor(*part) }).collect();
    let mut rest = amount - shares.iter().map(|share| share.amount).sum();
    for (share, (_, part)) in shares.iter_mut().zip(left) {
        if rest > Amount::ZERO && share.amount < *part {
            share.amount = share.amount + Amount::new(1);
            rest = rest - Amount::new(1);
        }
    }
    shares
}
