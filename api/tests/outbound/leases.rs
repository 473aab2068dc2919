//! A sender that has leased a message is suspended and resumes too late, or the message kills the process at each
//! attempt.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::database::{Database, stock};
use crate::kit::basket::id;
use crate::kit::command::tuckshop_at;
use crate::kit::{Place, Server, until};
use crate::receiver::{Arrival, Receiver, Reply};
use crate::shop::ITEMS;
use crate::webhooks::{HASTY, attempt_logged, buy, messages, wait_until_all_are};

/// An attempt of [`HASTY`] ends after a second.
const LONGER_THAN_AN_ATTEMPT: Duration = Duration::from_millis(1_500);

/// Ends every lease. A lease lasts until ten seconds after its attempt and the record of it. The holder is dead or
/// suspended, so that an early end is safe.
fn lapse_leases(place: &Place) {
    Database::open(place).execute("UPDATE delivery SET leased_until = 1 WHERE leased_until IS NOT NULL");
}

/// Starts an instance. All instances of a shop have one public URL.
async fn start_instance(place: &Place) -> Server {
    place.serve_with(&[HASTY, &[("TUCKSHOP_HTTP_PUBLIC_URL", "http://shop.example")]].concat()).await
}

async fn wait_for_late_record(server: &Server) -> Value {
    let line = attempt_logged(server, "too_late").await;
    assert_eq!(
        (&line["msg"], &line["level"], &line["attempt"], &line["state"]),
        (&json!("not recorded: the message had ended"), &json!("warning"), &json!(1), &json!("delivered"))
    );
    line
}

/// P4. The sender is suspended between the receipt and its record. Another instance sends the webhook again, and the
/// late record changes nothing.
async fn sender_suspended_before_its_record_finds_the_message_delivered(place: Place) {
    stock(&place, ITEMS);
    let suspended = start_instance(&place).await;
    let receiver = Receiver::answering(|number| if number == 0 { Reply::Hold } else { Reply::Status(200) }).await;
    let order = buy(&suspended.as_platform(&receiver.profile())).await;
    let _ = receiver.wait_for(1).await;
    suspended.suspend();
    // The answer is on its way, but the process does not read it.
    receiver.release();

    let other = start_instance(&place).await;
    lapse_leases(&place);
    let arrivals = receiver.wait_for(2).await;
    assert_eq!(
        (attempt_logged(&other, "delivered").await["attempt"].clone(), arrivals[1].order()),
        (json!(2), order.clone())
    );
    wait_until_all_are(&place, "delivered").await;
    let before = Database::open(&place).snapshot();
    suspended.resume();
    assert_eq!(wait_for_late_record(&suspended).await["order_id"], order["id"]);
    assert_eq!(messages(&place), [["delivered", "2", ""].map(str::to_owned)]);
    assert_eq!(Database::open(&place).snapshot(), before);
    let arrivals = receiver.arrivals();
    assert_eq!(arrivals.len(), 2);
    assert_eq!(arrivals[0].header("webhook-id"), arrivals[1].header("webhook-id"));
}

/// P4. The sender is suspended before it sends. After it resumes, its deadline has passed: it sends and records
/// nothing.
async fn sender_suspended_before_sending_sends_nothing_afterwards(place: Place) {
    stock(&place, ITEMS);
    let (suspended, receiver) = (start_instance(&place).await, Receiver::holding_its_profile().await);
    let order = buy(&suspended.as_platform(&receiver.profile())).await;
    until("the sender fetches the profile", || async { (receiver.profiles_served() == 1).then_some(()) }).await;
    suspended.suspend();
    let resumes_at = Instant::now() + LONGER_THAN_AN_ATTEMPT;

    let other = start_instance(&place).await;
    lapse_leases(&place);
    assert_eq!(receiver.wait_for(1).await[0].order(), order);
    assert_eq!(attempt_logged(&other, "delivered").await["attempt"], 2);
    wait_until_all_are(&place, "delivered").await;
    until("the suspension outlasts an attempt", || async { (Instant::now() > resumes_at).then_some(()) }).await;
    receiver.release();
    suspended.resume();
    assert_eq!(wait_for_late_record(&suspended).await["attempt_result"], "failed");
    assert_eq!(messages(&place), [["delivered", "2", ""].map(str::to_owned)]);
    assert_eq!(receiver.arrivals().len(), 1, "the webhook was sent late");
}

/// P7. The message kills the process at every attempt. Each attempt is counted before it is made, so that the message
/// becomes a dead letter. The other messages are delivered meanwhile.
async fn message_that_kills_the_process_each_time_is_dead_and_others_are_delivered(place: Place) {
    /// The attempts of every message.
    const ATTEMPTS: usize = 11;
    let deadly = Receiver::answering(|_| Reply::Hold).await;
    let well = Receiver::start().await;
    stock(&place, ITEMS);
    // With the default timeout, so that an attempt does not end before its process is killed.
    let mut server = place.serve().await;
    let order = buy(&server.as_platform(&deadly.profile())).await;
    for death in 1..=ATTEMPTS {
        let arrivals = deadly.wait_for(death).await;
        assert_eq!(arrivals[death - 1].header("webhook-id"), arrivals[0].header("webhook-id"));
        let other = buy(&server.as_platform(&well.profile())).await;
        assert_eq!(well.wait_for(death).await[death - 1].order(), other);
        assert_eq!(attempt_logged(&server, "delivered").await["order_id"], other["id"]);
        let _ = server.kill_and_wait();
        let of_order = format!("FROM delivery WHERE order_id = '{}'", id(&order));
        let counted = Database::open(&place).rows(["state", "attempts", "last_error"], &of_order);
        assert_eq!(counted, [["pending", death.to_string().as_str(), ""].map(str::to_owned)]);
        lapse_leases(&place);
        server = place.serve().await;
    }
    let line = attempt_logged(&server, "dead").await;
    assert_eq!(
        (&line["msg"], &line["level"], &line["reason"], &line["attempt"], &line["order_id"]),
        (&json!("message given up"), &json!("warning"), &json!("no attempt ended"), &json!(ATTEMPTS), &order["id"])
    );
    let listed = tuckshop_at(&place, &["deliveries", "list", "--state", "dead"], &[]);
    assert_eq!(listed.code, 0, "{}", listed.err);
    for part in [id(&order), line["delivery_id"].as_str().expect("an id"), "no attempt ended", "1 shown."] {
        assert!(listed.out.contains(part), "no {part} in\n{}", listed.out);
    }

    // No process is killed any more, and no webhook was sent under two ids.
    let last = buy(&server.as_platform(&well.profile())).await;
    assert_eq!(well.wait_for(ATTEMPTS + 1).await[ATTEMPTS].order(), last);
    assert_eq!((deadly.arrivals().len(), well.arrivals().len()), (ATTEMPTS, ATTEMPTS + 1));
    let names: std::collections::BTreeSet<_> =
        well.arrivals().iter().map(|arrival: &Arrival| arrival.header("webhook-id").to_owned()).collect();
    assert_eq!(names.len(), ATTEMPTS + 1);
}

crate::on_both_engines!(message_that_kills_the_process_each_time_is_dead_and_others_are_delivered);

mod instances {
    use super::*;
    crate::on_postgres!(
        sender_suspended_before_its_record_finds_the_message_delivered,
        sender_suspended_before_sending_sends_nothing_afterwards,
    );
}
