//! The promises that hold after any fault, checked on the stored state and on what the buyers observed. The checks are
//! pure functions, so that a test can show each of them a broken state.

use std::collections::{BTreeMap, BTreeSet};

pub struct Stock {
    pub sku: String,
    pub on_hand: i64,
    pub held: i64,
}

#[derive(Clone)]
pub struct Order {
    pub id: String,
    pub checkout: String,
    pub total: i64,
    /// The item and the units of each line.
    pub sold: Vec<(String, i64)>,
}

pub struct Attempt {
    pub id: String,
    pub checkout: String,
    pub amount: i64,
    pub state: String,
}

pub struct Checkout {
    pub id: String,
    pub status: String,
    /// Empty if the attempt did not become an order.
    pub order: String,
}

/// An event of an order and the state of its webhook message, which is empty if there is no message.
pub struct Event {
    pub order: String,
    pub sequence: i64,
    pub delivery: String,
}

#[derive(Clone)]
pub struct Charge {
    pub attempt: String,
    pub amount: i64,
}

/// An idle shop: its stored state, its charges, and the observations of its buyers.
#[derive(Default)]
pub struct State {
    /// The units on hand before the first sale.
    pub initial: BTreeMap<String, i64>,
    pub stock: Vec<Stock>,
    pub orders: Vec<Order>,
    pub attempts: Vec<Attempt>,
    pub checkouts: Vec<Checkout>,
    pub charges: Vec<Charge>,
    pub events: Vec<Event>,
    /// The longest time without a decision, and the limit for it. Both are 0 if a test does not measure.
    pub longest_undecided_ms: i64,
    pub window_ms: i64,
    /// The unfinished work of each process that was stopped; empty if there is none.
    pub left_at_shutdown: Vec<String>,
    /// The checkout and the order of every completion that a buyer saw.
    pub acknowledged: Vec<(String, String)>,
    /// The checkouts that a buyer saw refused.
    pub refused: Vec<String>,
    /// Acknowledged orders that the shop does not show.
    pub unreadable: Vec<String>,
}

/// Returns the violations of one promise.
type Check = fn(&State) -> Vec<String>;

/// All violations, each with the name of its promise. Empty if every promise holds.
pub fn violations(state: &State) -> Vec<String> {
    let checks: [(&str, Check); 13] = [
        ("acknowledged orders are there", acknowledged_orders_are_there),
        ("acknowledged orders are readable", |state| state.unreadable.clone()),
        ("refused checkouts have no order", refused_checkouts_have_no_order),
        ("units add up", units_add_up),
        ("nothing is held at rest", nothing_is_held_at_rest),
        ("no attempt is charged twice", no_attempt_is_charged_twice),
        ("every charge has its order", every_charge_has_its_order),
        ("every order is paid once", every_order_is_paid_once),
        ("the ledger equals the orders", ledger_equals_the_orders),
        ("everything is settled", everything_is_settled),
        ("nothing is undecided for long", nothing_is_undecided_for_long),
        ("every event is delivered or pending", every_event_is_delivered_or_pending),
        ("nothing outlives a shutdown", nothing_outlives_a_shutdown),
    ];
    let broken = checks
        .into_iter()
        .flat_map(|(promise, check)| check(state).into_iter().map(move |what| format!("{promise}: {what}")));
    broken.collect()
}

fn acknowledged_orders_are_there(state: &State) -> Vec<String> {
    let there: BTreeSet<_> = state.orders.iter().map(|order| (&order.checkout, &order.id)).collect();
    let acknowledged = state.acknowledged.iter();
    acknowledged
        .filter(|(checkout, order)| !there.contains(&(checkout, order)))
        .map(|(checkout, order)| format!("{order} of {checkout} is gone"))
        .collect()
}

fn refused_checkouts_have_no_order(state: &State) -> Vec<String> {
    let ordered: BTreeSet<_> = state.orders.iter().map(|order| &order.checkout).collect();
    state.refused.iter().filter(|id| ordered.contains(id)).map(|id| format!("{id} has an order")).collect()
}

fn units_add_up(state: &State) -> Vec<String> {
    let mut sold: BTreeMap<&str, i64> = BTreeMap::new();
    for (sku, units) in state.orders.iter().flat_map(|order| &order.sold) {
        *sold.entry(sku).or_default() += units;
    }
    let wrong = state.stock.iter().filter_map(|stock| {
        let (initial, sold) = (state.initial.get(&stock.sku)?, sold.get(stock.sku.as_str()).copied().unwrap_or(0));
        let right = stock.on_hand >= 0 && stock.on_hand + sold == *initial;
        (!right).then(|| format!("{} had {initial}, sold {sold}, has {}", stock.sku, stock.on_hand))
    });
    let missing = state.initial.keys().filter(|sku| !state.stock.iter().any(|stock| stock.sku == **sku));
    wrong.chain(missing.map(|sku| format!("{sku} is gone"))).collect()
}

fn nothing_is_held_at_rest(state: &State) -> Vec<String> {
    let held = state.stock.iter().filter(|stock| stock.held != 0);
    held.map(|stock| format!("{} of {} are held without a checkout", stock.held, stock.sku)).collect()
}

fn no_attempt_is_charged_twice(state: &State) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let twice = state.charges.iter().filter(|charge| !seen.insert(&charge.attempt));
    twice.map(|charge| charge.attempt.clone()).collect()
}

fn every_charge_has_its_order(state: &State) -> Vec<String> {
    let attempts: BTreeMap<_, _> = state.attempts.iter().map(|attempt| (&attempt.id, attempt)).collect();
    let mut totals: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    for order in &state.orders {
        totals.entry(&order.checkout).or_default().push(order.total);
    }
    let mut wrong = Vec::new();
    for charge in &state.charges {
        let Some(attempt) = attempts.get(&charge.attempt) else {
            wrong.push(format!("{} was charged and is not recorded", charge.attempt));
            continue;
        };
        let ordered = totals.get(&attempt.checkout).map(Vec::as_slice).unwrap_or_default();
        if attempt.state != "confirmed" || ordered != [charge.amount] {
            wrong.push(format!(
                "{} is {}, was charged {}, and has orders over {ordered:?}",
                attempt.id, attempt.state, charge.amount
            ));
        }
    }
    wrong
}

fn every_order_is_paid_once(state: &State) -> Vec<String> {
    let checkouts: BTreeMap<_, _> = state.attempts.iter().map(|attempt| (&attempt.id, &attempt.checkout)).collect();
    let mut paid: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    for charge in &state.charges {
        if let Some(checkout) = checkouts.get(&charge.attempt) {
            paid.entry(*checkout).or_default().push(charge.amount);
        }
    }
    let wrong = state.orders.iter().filter_map(|order| {
        let paid = paid.get(&order.checkout).map(Vec::as_slice).unwrap_or_default();
        let due: &[i64] = if order.total == 0 { &[] } else { &[order.total] };
        (paid != due).then(|| format!("{} over {} was paid with {paid:?}", order.id, order.total))
    });
    wrong.collect()
}

fn ledger_equals_the_orders(state: &State) -> Vec<String> {
    let charged: i64 = state.charges.iter().map(|charge| charge.amount).sum();
    let ordered: i64 = state.orders.iter().map(|order| order.total).sum();
    if charged == ordered { Vec::new() } else { vec![format!("{charged} was charged for orders over {ordered}")] }
}

fn nothing_is_undecided_for_long(state: &State) -> Vec<String> {
    let State { longest_undecided_ms: longest, window_ms: window, .. } = state;
    if longest <= window { Vec::new() } else { vec![format!("{longest} ms, and {window} ms are allowed")] }
}

fn every_event_is_delivered_or_pending(state: &State) -> Vec<String> {
    let with_events: BTreeSet<_> = state.events.iter().map(|event| &event.order).collect();
    let silent = state.orders.iter().filter(|order| !with_events.contains(&order.id));
    let silent = silent.map(|order| format!("{} has no event", order.id));
    let lost = state.events.iter().filter(|event| !matches!(event.delivery.as_str(), "pending" | "delivered"));
    silent.chain(lost.map(|event| format!("{} of {}: {:?}", event.sequence, event.order, event.delivery))).collect()
}

fn nothing_outlives_a_shutdown(state: &State) -> Vec<String> {
    state.left_at_shutdown.iter().filter(|left| !left.is_empty()).cloned().collect()
}

fn everything_is_settled(state: &State) -> Vec<String> {
    let mut wrong = Vec::new();
    for attempt in &state.attempts {
        if !matches!(attempt.state.as_str(), "confirmed" | "declined" | "cancelled") {
            wrong.push(format!("{} over {} is {}", attempt.id, attempt.amount, attempt.state));
        }
    }
    let orders: BTreeMap<_, _> = state.orders.iter().map(|order| (&order.checkout, &order.id)).collect();
    for checkout in &state.checkouts {
        let order = orders.get(&checkout.id).map_or("", |id| id.as_str());
        let settled = match checkout.status.as_str() {
            "completed" => !order.is_empty(),
            "complete_in_progress" => false,
            _ => order.is_empty(),
        };
        if !settled || checkout.order != order {
            let Checkout { id, status, order: named } = checkout;
            wrong.push(format!("{id} is {status}, names order {named:?} and has order {order:?}"));
        }
    }
    wrong
}

mod negative_controls {
    //! Each check gets a state that breaks its promise, to prove that it detects the violation.

    use super::*;

    /// One order of two units, one declined attempt, and ten initial units.
    fn sound() -> State {
        let text = str::to_owned;
        let attempt =
            |id, checkout, state| Attempt { id: text(id), checkout: text(checkout), amount: 500, state: text(state) };
        let checkout = |id, status, order| Checkout { id: text(id), status: text(status), order: text(order) };
        State {
            initial: BTreeMap::from([(text("bun"), 10)]),
            stock: vec![Stock { sku: text("bun"), on_hand: 8, held: 0 }],
            orders: vec![Order { id: text("o1"), checkout: text("c1"), total: 500, sold: vec![(text("bun"), 2)] }],
            attempts: vec![attempt("a1", "c1", "confirmed"), attempt("a2", "c2", "declined")],
            checkouts: vec![checkout("c1", "completed", "o1"), checkout("c2", "ready_for_complete", "")],
            charges: vec![Charge { attempt: text("a1"), amount: 500 }],
            acknowledged: vec![(text("c1"), text("o1"))],
            refused: vec![text("c2")],
            events: vec![Event { order: text("o1"), sequence: 0, delivery: text("pending") }],
            left_at_shutdown: vec![String::new()],
            ..State::default()
        }
    }

    #[track_caller]
    fn assert_violation(promise: &str, corrupt: impl FnOnce(&mut State)) {
        let mut state = sound();
        corrupt(&mut state);
        let found = violations(&state);
        assert!(found.iter().any(|violation| violation.starts_with(promise)), "{promise:?} is not among {found:?}");
    }

    #[test]
    fn sound_state_has_no_violation() {
        assert_eq!(violations(&sound()), Vec::<String>::new());
        let free =
            State { orders: vec![Order { total: 0, ..sound().orders[0].clone() }], charges: Vec::new(), ..sound() };
        assert_eq!(violations(&free), Vec::<String>::new());
    }

    #[test]
    fn lost_order_is_a_violation() {
        assert_violation("acknowledged orders are there", |state| state.orders.clear());
        assert_violation("acknowledged orders are there", |state| state.acknowledged[0].1 = "o2".to_owned());
    }

    #[test]
    fn unreadable_order_is_a_violation() {
        assert_violation("acknowledged orders are readable", |state| state.unreadable.push("o1".to_owned()));
    }

    #[test]
    fn order_after_a_refusal_is_a_violation() {
        assert_violation("refused checkouts have no order", |state| state.refused.push("c1".to_owned()));
    }

    #[test]
    fn units_sold_twice_or_lost_are_a_violation() {
        assert_violation("units add up", |state| state.stock[0].on_hand = 9);
        assert_violation("units add up", |state| state.stock[0].on_hand = 7);
        assert_violation("units add up", |state| {
            state.initial.insert("bun".to_owned(), 1);
            state.stock[0].on_hand = -1;
        });
        assert_violation("units add up", |state| state.stock.clear());
    }

    #[test]
    fn units_reserved_without_a_checkout_are_a_violation() {
        assert_violation("nothing is held at rest", |state| state.stock[0].held = 1);
    }

    #[test]
    fn second_charge_is_a_violation() {
        assert_violation("no attempt is charged twice", |state| state.charges.push(state.charges[0].clone()));
    }

    #[test]
    fn charge_without_an_order_is_a_violation() {
        assert_violation("every charge has its order", |state| state.orders.clear());
        assert_violation("every charge has its order", |state| state.attempts.clear());
        assert_violation("every charge has its order", |state| state.charges[0].amount = 499);
        assert_violation("every charge has its order", |state| state.attempts[0].state = "declined".to_owned());
        assert_violation("every charge has its order", |state| state.orders.push(state.orders[0].clone()));
    }

    #[test]
    fn order_unpaid_or_paid_twice_is_a_violation() {
        assert_violation("every order is paid once", |state| state.charges.clear());
        assert_violation("every order is paid once", |state| {
            state.attempts[1].checkout = "c1".to_owned();
            state.charges.push(Charge { attempt: "a2".to_owned(), amount: 500 });
        });
        assert_violation("every order is paid once", |state| state.orders[0].total = 0);
    }

    #[test]
    fn ledger_off_by_one_cent_is_a_violation() {
        assert_violation("the ledger equals the orders", |state| state.charges[0].amount = 501);
        assert_violation("the ledger equals the orders", |state| state.charges.clear());
    }

    #[test]
    fn payment_undecided_for_too_long_is_a_violation() {
        assert_violation("nothing is undecided for long", |state| state.longest_undecided_ms = 1);
    }

    #[test]
    fn event_without_a_message_is_a_violation() {
        assert_violation("every event is delivered or pending", |state| state.events.clear());
        assert_violation("every event is delivered or pending", |state| state.events[0].delivery.clear());
        assert_violation("every event is delivered or pending", |state| state.events[0].delivery = "dead".to_owned());
    }

    #[test]
    fn work_left_by_a_shutdown_is_a_violation() {
        assert_violation("nothing outlives a shutdown", |state| {
            state.left_at_shutdown.push("checkout.complete".to_owned())
        });
    }

    #[test]
    fn payment_left_undecided_is_a_violation() {
        assert_violation("everything is settled", |state| state.attempts[1].state = "unknown".to_owned());
        assert_violation("everything is settled", |state| state.attempts[1].state = "opened".to_owned());
        assert_violation("everything is settled", |state| {
            state.checkouts[1].status = "complete_in_progress".to_owned()
        });
        assert_violation("everything is settled", |state| state.checkouts[0].status = "ready_for_complete".to_owned());
        assert_violation("everything is settled", |state| state.checkouts[1].status = "completed".to_owned());
    }
}
