//! Events are appended to an order all or none, and each event once.

use domain::checkout::LineId;
use domain::fault::{Failure, FaultKind};
use domain::money::Amount;
use domain::order::{
    Adjustment, AdjustmentStatus, ExpectedLine, Order, OrderChange, OrderChangeKind, OrderChangeRefusal, OrderId,
    OrderRefusal, OrderStore, Shipment,
};

use crate::kit::data::{hours, noon, task};
use crate::kit::{Expected, Place, Shop};
use crate::on_both_engines;
use time::macros::datetime;

on_both_engines!(
    order_changes_are_appended_in_order,
    known_event_changes_nothing,
    change_of_too_many_units_is_refused_with_its_whole_batch,
    change_of_a_missing_order_is_refused,
    rest_is_shipped_once_and_units_are_taken_back_with_their_money,
    instant_that_cannot_be_read_back_is_not_written,
    concurrent_reports_are_all_kept,
    full_history_refuses_events_and_stays_readable,
);

mod racing {
    use super::*;
    use crate::kit::until;

    crate::on_postgres!(changes_that_wait_for_the_order_are_decided_on_what_is_left);

    async fn changes_that_wait_for_the_order_are_decided_on_what_is_left(place: Place) {
        let shop = std::sync::Arc::new(place.shop_with(|config| config.pool_size = 6).await);
        let order = placed(&shop).await;
        let (mut other, mut observer) = (place.raw(), place.raw());
        other.hold(&format!("SELECT id FROM orders WHERE id = '{}'", order.id));
        let mut at_once = tokio::task::JoinSet::new();
        for one in 0..6 {
            let (shop, order) = (shop.clone(), order.id.clone());
            let change = taken_back(&format!("adj_{one}"), "li_1", 1);
            at_once.spawn(async move { shop.orders.append(&task(), order, vec![change], noon()).await.is_ok() });
        }
        until("all of them wait for the order", || observer.waiting() == 6).await;
        other.release();
        let taken = at_once.join_all().await.into_iter().filter(|is_taken| *is_taken).count();
        assert_eq!((taken, read(&shop, order.id).await.lines[0].total), (4, 0));
    }
}

fn taken_back(id: &str, line: &str, units: i64) -> OrderChange {
    let (line, kind) = (LineId(line.to_owned()), "refund".to_owned());
    let kind = OrderChangeKind::TakenBack { kind, line, units };
    OrderChange { id: id.to_owned(), occurred_at: noon() + hours(3), kind }
}

fn units(line: &str, quantity: i64) -> Vec<ExpectedLine> {
    vec![ExpectedLine { line: LineId(line.to_owned()), quantity }]
}

fn shipped(id: &str, line: &str, quantity: i64) -> OrderChange {
    let shipment = Shipment {
        kind: "shipped".into(),
        lines: units(line, quantity),
        tracking_number: Some("T-1".into()),
        tracking_url: None,
        carrier: Some("Pigeon".into()),
        description: None,
    };
    OrderChange { id: id.to_owned(), occurred_at: noon() + hours(1), kind: OrderChangeKind::Shipped(shipment) }
}

fn returned(id: &str, line: &str, quantity: i64) -> OrderChange {
    let adjustment = Adjustment {
        kind: "return".into(),
        status: AdjustmentStatus::Completed,
        lines: units(line, -quantity),
        amount: Some(Amount::new(-500 * quantity)),
        description: Some("Wrong colour".into()),
    };
    OrderChange { id: id.to_owned(), occurred_at: noon() + hours(2), kind: OrderChangeKind::Adjusted(adjustment) }
}

async fn placed(shop: &Shop) -> Order {
    let checkout = shop.bought(&[("song", 4), ("book", 1)], "k1").await;
    read(shop, checkout.order.expect("an order").id).await
}

async fn read(shop: &Shop, id: OrderId) -> Order {
    shop.orders.read(&task(), id).await.expect("read").expect("an order")
}

fn events(order: &Order) -> Vec<&str> {
    order.events.iter().map(|event| event.id.as_str()).collect()
}

async fn order_changes_are_appended_in_order(place: Place) {
    let shop = place.shop().await;
    let order = placed(&shop).await;
    let changes = vec![shipped("zebra", "li_1", 2), returned("apple", "li_1", 1)];
    let changed = shop.orders.append(&task(), order.id.clone(), changes, noon()).await.expect("appended");
    let changed_again = shop.orders.append(&task(), order.id.clone(), vec![shipped("mango", "li_1", 1)], noon()).await;
    let changed_again = changed_again.expect("appended");
    assert_eq!(events(&changed), ["evt_placed", "zebra", "apple"]);
    assert_eq!(events(&changed_again), ["evt_placed", "zebra", "apple", "mango"]);
    let line = &changed_again.lines[0];
    assert_eq!((line.original, line.total, line.fulfilled), (4, 3, 3));
    assert_eq!(read(&shop, order.id).await, changed_again);
    // Later returns and adjustments do not change the stock.
    assert_eq!(place.raw().level("song"), (6, 0));
}

async fn known_event_changes_nothing(place: Place) {
    let shop = place.shop().await;
    let order = placed(&shop).await;
    let append = |changes| shop.orders.append(&task(), order.id.clone(), changes, noon());
    let first = append(vec![shipped("one", "li_1", 2)]).await.expect("appended");
    let before = place.raw().state();
    let again = append(vec![shipped("one", "li_1", 2), shipped("one", "li_2", 1)]).await.expect("appended");
    assert_eq!(again, first);
    assert_eq!(place.raw().state(), before);
    let both = append(vec![shipped("one", "li_1", 2), shipped("two", "li_2", 1)]).await.expect("appended");
    assert_eq!(events(&both), ["evt_placed", "one", "two"]);
}

async fn change_of_too_many_units_is_refused_with_its_whole_batch(place: Place) {
    let shop = place.shop().await;
    let order = placed(&shop).await;
    let before = place.raw().state();
    for (bad, refused) in [
        (shipped("two", "li_1", 3), OrderChangeRefusal::TooMany(LineId("li_1".into()))),
        (returned("two", "li_2", 2), OrderChangeRefusal::TooMany(LineId("li_2".into()))),
        (shipped("two", "li_9", 1), OrderChangeRefusal::UnknownLine(LineId("li_9".into()))),
    ] {
        let changes = vec![shipped("one", "li_1", 2), bad];
        let result = shop.orders.append(&task(), order.id.clone(), changes, noon()).await.expect_err("refused");
        assert!(matches!(&result, Failure::Refused(OrderRefusal::Change(why)) if *why == refused), "{result:?}");
        assert_eq!(place.raw().state(), before);
    }
}

async fn rest_is_shipped_once_and_units_are_taken_back_with_their_money(place: Place) {
    let shop = place.shop().await;
    let order = placed(&shop).await;
    let append = |change| shop.orders.append(&task(), order.id.clone(), vec![change], noon());
    let taken = append(taken_back("one", "li_1", 1)).await.expect("appended");
    let amounts: Vec<_> = taken.adjustments().map(|(_, adjustment)| adjustment.amount).collect();
    assert_eq!((taken.lines[0].total, amounts), (3, vec![Some(-taken.lines[0].unit_price)]));
    let OrderChange { kind: OrderChangeKind::Shipped(shipment), .. } = shipped("x", "li_9", 9) else { unreachable!() };
    let rest = |id| OrderChange { kind: OrderChangeKind::ShippedRest(shipment.clone()), ..shipped(id, "li_9", 9) };
    let sent = append(rest("two")).await.expect("appended");
    assert!(sent.units_to_ship().is_empty() && events(&sent) == ["evt_placed", "one", "two"]);
    let before = place.raw().state();
    assert_eq!(append(rest("three")).await.expect("nothing to ship"), sent);
    assert_eq!(place.raw().state(), before);
}

async fn instant_that_cannot_be_read_back_is_not_written(place: Place) {
    let shop = place.shop().await;
    let order = placed(&shop).await;
    let before = place.raw().state();
    for occurred_at in [datetime!(9999-12-31 23:59:59 -23:59), datetime!(0000-01-01 00:00 +23:59)] {
        let change = OrderChange { occurred_at, ..returned("one", "li_1", 1) };
        let result = shop.orders.append(&task(), order.id.clone(), vec![change], noon()).await;
        assert_eq!(result.fault().kind(), FaultKind::Internal, "{occurred_at}");
        assert_eq!(place.raw().state(), before, "{occurred_at}");
    }
    assert_eq!(read(&shop, order.id.clone()).await, order);
}

async fn change_of_a_missing_order_is_refused(place: Place) {
    let shop = place.shop().await;
    let id = OrderId::generate(noon());
    assert_eq!(shop.orders.read(&task(), id.clone()).await.expect("read"), None);
    let result = shop.orders.append(&task(), id, vec![shipped("one", "li_1", 1)], noon()).await;
    assert!(matches!(result, Err(Failure::Refused(OrderRefusal::NotFound))), "{result:?}");
}

async fn concurrent_reports_are_all_kept(place: Place) {
    let shop = std::sync::Arc::new(place.shop().await);
    let order = placed(&shop).await;
    let mut reporters = tokio::task::JoinSet::new();
    for reporter in 0..8 {
        let (shop, id) = (shop.clone(), order.id.clone());
        // Each report is sent twice, and there are four units to ship.
        let change = shipped(&format!("report-{}", reporter / 2), "li_1", 1);
        reporters.spawn(async move { shop.orders.append(&task(), id, vec![change], noon()).await.expect("appended") });
    }
    reporters.join_all().await;
    let order = read(&shop, order.id).await;
    let mut known = events(&order);
    known.sort_unstable();
    assert_eq!(known, ["evt_placed", "report-0", "report-1", "report-2", "report-3"]);
    assert_eq!(order.lines[0].fulfilled, 4);
}

async fn full_history_refuses_events_and_stays_readable(place: Place) {
    let shop = place.shop().await;
    let order = placed(&shop).await;
    let noted = |number: usize| {
        let adjustment = Adjustment {
            kind: "note".into(),
            status: AdjustmentStatus::Pending,
            lines: Vec::new(),
            amount: None,
            description: None,
        };
        OrderChange { id: format!("note-{number}"), occurred_at: noon(), kind: OrderChangeKind::Adjusted(adjustment) }
    };
    let append = async |changes| shop.orders.append(&task(), order.id.clone(), changes, noon()).await;
    let full = append((1..Order::MAX_EVENTS).map(noted).collect()).await.expect("appended");
    assert_eq!(full.events.len(), Order::MAX_EVENTS);
    let before = place.raw().state();
    for changes in [vec![noted(5_000)], vec![noted(1), noted(5_000)]] {
        let refused = append(changes).await;
        assert!(matches!(refused, Err(Failure::Refused(OrderRefusal::TooManyEvents))), "{refused:?}");
        assert_eq!(place.raw().state(), before);
    }
    // Events that the order has already are still accepted, and not added again.
    assert_eq!(append(vec![noted(7)]).await.expect("known").events.len(), Order::MAX_EVENTS);
    // An earlier release, which appended without a check, left this event.
    place.raw().execute("INSERT INTO order_event SELECT order_id, 1000, 'last', kind, occurred_at, body FROM order_event WHERE sequence = 999");
    assert_eq!(read(&shop, order.id.clone()).await.events.len(), Order::MAX_EVENTS + 1);
    let refused = append(vec![noted(5_001)]).await;
    assert!(matches!(refused, Err(Failure::Refused(OrderRefusal::TooManyEvents))), "{refused:?}");
}

mod snapshot {
    use super::*;
    use crate::kit::until;

    crate::on_postgres!(order_read_during_a_change_is_one_snapshot);

    /// The reader has read the lines and waits for the events. Meanwhile both change.
    async fn order_read_during_a_change_is_one_snapshot(place: Place) {
        let shop = place.shop().await;
        let checkout = shop.bought(&[("song", 2)], "k1").await;
        let order = checkout.order.expect("an order");
        let (mut writer, mut observer) = (place.raw(), place.raw());
        for by_page in [false, true] {
            writer.execute("BEGIN; LOCK TABLE order_event IN ACCESS EXCLUSIVE MODE");
            let ctx = task();
            let reading = async {
                match by_page {
                    false => shop.orders.read(&ctx, order.id.clone()).await,
                    true => shop.orders.read_page(&ctx, order.page.clone()).await,
                }
            };
            let changing = async {
                until("the reader waits for the events", || observer.waiting() == 1).await;
                writer_changes(&mut writer, order.id.as_str());
                writer.execute("COMMIT");
            };
            let (read, ()) = tokio::join!(reading, changing);
            let read = read.expect("read").expect("an order");
            assert_eq!((read.lines[0].fulfilled, read.events.len()), (0, 1), "as of the moment before");
            let after = shop.orders.read(&ctx, order.id.clone()).await.expect("read").expect("an order");
            assert_eq!((after.lines[0].fulfilled, after.events.len()), (2, 2));
            writer.execute("UPDATE order_line SET fulfilled = 0; DELETE FROM order_event WHERE sequence = 1");
        }
    }

    fn writer_changes(raw: &mut crate::kit::raw::Raw, order: &str) {
        raw.execute(&format!(
            "UPDATE order_line SET fulfilled = total; \
             INSERT INTO order_event SELECT order_id, 1, 'second', kind, occurred_at, body FROM order_event \
             WHERE order_id = '{order}' AND sequence = 0"
        ));
    }
}
