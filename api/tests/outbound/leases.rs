//! Who claimed a message does not always live to say what came of it: it stands still, and wakes up late; or the message
//! is its death, each time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::books::{Books, stock};
use crate::kit::basket::id;
use crate::kit::command::tuckshop_at;
use crate::kit::{Place, Server, until};
use crate::receiver::{Arrival, Receiver, Say};
use crate::shop::ITEMS;
use crate::webhooks::{HASTY, all_are, bought, messages, tried};

/// A try of [`HASTY`] is over after a second.
const LONGER_THAN_A_TRY: Duration = Duration::from_millis(1_500);

/// Leases last until a try, its record and ten seconds are over. Whoever held them does not live or does not move, so
/// that they may as well have lapsed.
fn lapse_leases(place: &Place) {
    Books::open(place).execute("UPDATE delivery SET leased_until = 1 WHERE leased_until IS NOT NULL");
}

/// Instances of one shop answer in one name.
async fn instance(place: &Place) -> Server {
    place.serve_with(&[HASTY, &[("TUCKSHOP_HTTP_PUBLIC_URL", "http://shop.example")]].concat()).await
}

async fn in_vain(server: &Server) -> Value {
    let line = tried(server, "too_late").await;
    assert_eq!(
        (&line["msg"], &line["level"], &line["attempt"], &line["state"]),
        (&json!("not recorded: the message had ended"), &json!("warning"), &json!(1), &json!("delivered"))
    );
    line
}

/// P4. Halted between the receipt and its record. Another instance tells it again; the late record changes nothing.
async fn sender_suspended_before_its_record_finds_the_message_delivered(place: Place) {
    stock(&place, ITEMS);
    let halted = instance(&place).await;
    let receiver = Receiver::saying(|number| if number == 0 { Say::Hold } else { Say::Status(200) }).await;
    let order = bought(&halted.as_platform(&receiver.profile())).await;
    let _ = receiver.told(1).await;
    halted.suspend();
    // The answer is on its way, and nobody is there to read it.
    receiver.let_go();

    let other = instance(&place).await;
    lapse_leases(&place);
    let told = receiver.told(2).await;
    assert_eq!((tried(&other, "delivered").await["attempt"].clone(), told[1].order()), (json!(2), order.clone()));
    all_are(&place, "delivered").await;
    let before = Books::open(&place).everything();
    halted.resume();
    assert_eq!(in_vain(&halted).await["order_id"], order["id"]);
    assert_eq!(messages(&place), [["delivered", "2", ""].map(str::to_owned)]);
    assert_eq!(Books::open(&place).everything(), before);
    let told = receiver.arrivals();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].header("webhook-id"), told[1].header("webhook-id"));
}

/// P4. Halted before it sent anything. When it wakes up its time is over: it sends nothing, and records nothing.
async fn sender_suspended_before_sending_sends_nothing_afterwards(place: Place) {
    stock(&place, ITEMS);
    let (halted, receiver) = (instance(&place).await, Receiver::holding_its_profile().await);
    let order = bought(&halted.as_platform(&receiver.profile())).await;
    until("it asks where to", || async { (receiver.profiles_served() == 1).then_some(()) }).await;
    halted.suspend();
    let over = Instant::now() + LONGER_THAN_A_TRY;

    let other = instance(&place).await;
    lapse_leases(&place);
    assert_eq!(receiver.told(1).await[0].order(), order);
    assert_eq!(tried(&other, "delivered").await["attempt"], 2);
    all_are(&place, "delivered").await;
    until("it is halted for longer than a try may take", || async { (Instant::now() > over).then_some(()) }).await;
    receiver.let_go();
    halted.resume();
    assert_eq!(in_vain(&halted).await["came_of_it"], "failed");
    assert_eq!(messages(&place), [["delivered", "2", ""].map(str::to_owned)]);
    assert_eq!(receiver.arrivals().len(), 1, "it was sent late");
}

/// P7. The process dies of a message, on every try. What is counted before it is made counts: the message is given up
/// in the end, and meanwhile the others are told.
async fn message_that_kills_the_process_each_time_is_dead_and_others_are_delivered(place: Place) {
    /// As many as any message has.
    const TRIES: usize = 11;
    let deadly = Receiver::saying(|_| Say::Hold).await;
    let well = Receiver::start().await;
    stock(&place, ITEMS);
    // With the usual patience: a try must not end before its process does.
    let mut server = place.serve().await;
    let order = bought(&server.as_platform(&deadly.profile())).await;
    for death in 1..=TRIES {
        let told = deadly.told(death).await;
        assert_eq!(told[death - 1].header("webhook-id"), told[0].header("webhook-id"));
        let other = bought(&server.as_platform(&well.profile())).await;
        assert_eq!(well.told(death).await[death - 1].order(), other);
        assert_eq!(tried(&server, "delivered").await["order_id"], other["id"]);
        let _ = server.kill9();
        let of_order = format!("FROM delivery WHERE order_id = '{}'", id(&order));
        let counted = Books::open(&place).rows(["state", "attempts", "last_error"], &of_order);
        assert_eq!(counted, [["pending", death.to_string().as_str(), ""].map(str::to_owned)]);
        lapse_leases(&place);
        server = place.serve().await;
    }
    let line = tried(&server, "dead").await;
    assert_eq!(
        (&line["msg"], &line["level"], &line["reason"], &line["attempt"], &line["order_id"]),
        (&json!("message given up"), &json!("warning"), &json!("no try came to an end"), &json!(TRIES), &order["id"])
    );
    let listed = tuckshop_at(&place, &["deliveries", "list", "--state", "dead"], &[]);
    assert_eq!(listed.code, 0, "{}", listed.err);
    for part in [id(&order), line["delivery_id"].as_str().expect("an id"), "no try came to an end", "1 shown."] {
        assert!(listed.out.contains(part), "no {part} in\n{}", listed.out);
    }

    // Nobody dies any more, and nobody was told under two names.
    let last = bought(&server.as_platform(&well.profile())).await;
    assert_eq!(well.told(TRIES + 1).await[TRIES].order(), last);
    assert_eq!((deadly.arrivals().len(), well.arrivals().len()), (TRIES, TRIES + 1));
    let names: std::collections::BTreeSet<_> =
        well.arrivals().iter().map(|told: &Arrival| told.header("webhook-id").to_owned()).collect();
    assert_eq!(names.len(), TRIES + 1);
}

crate::on_both_engines!(message_that_kills_the_process_each_time_is_dead_and_others_are_delivered);

mod instances {
    use super::*;
    crate::on_postgres!(
        sender_suspended_before_its_record_finds_the_message_delivered,
        sender_suspended_before_sending_sends_nothing_afterwards,
    );
}
