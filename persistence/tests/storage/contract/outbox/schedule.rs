//! The retry schedule over many days on a fake clock, with the real task and store and a scripted sender.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::PortFuture;
use domain::clock::{Clock, Timestamp};
use domain::context::RequestContext;
use domain::fault::Fault;
use domain::outbox::{
    Channel, DispatchLimits, Finality, MAX_ATTEMPTS, MessageState, OutboxDispatcher, OutboxMessage, Receipt, SendError,
    Sender,
};
use domain::task::{BackgroundTask, Progress};
use persistence::SqlOutboxStore;

use super::{ILL, WELL, health, seed, states};
use crate::kit::data::{hours, noon, task};
use crate::kit::{Place, Shop};
use crate::on_both_engines;

on_both_engines!(
    message_fails_for_three_days_and_becomes_a_dead_letter,
    recovered_receiver_gets_the_same_message_with_the_same_id,
    receiver_with_retry_after_is_not_called_before,
    receiver_that_fails_for_five_days_is_disabled,
    stopped_pass_releases_its_message,
    pass_with_an_internal_fault_ends,
    pass_without_due_messages_is_idle,
);

/// The backoffs of the schedule, in seconds.
const WAITS: [f64; 10] = [2.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0];

type Answer = dyn Fn(&RequestContext, &OutboxMessage) -> Result<Receipt, SendError> + Send + Sync;

/// The fake clock, and a receiver of messages.
struct World {
    now: Mutex<Timestamp>,
    /// Returns the result of each attempt.
    answer: Box<Answer>,
    received: Mutex<Vec<(Timestamp, OutboxMessage)>>,
}

#[derive(Clone)]
struct Ports(Arc<World>);

impl Clock for Ports {
    fn now(&self) -> Timestamp {
        *self.0.now.lock().expect("not poisoned")
    }
    fn pause(&self, _: &RequestContext, _: Duration) -> PortFuture<(), Fault> {
        Box::pin(async { Err(Fault::internal("test.pause", "a delivery never waits")) })
    }
}

impl Sender for Ports {
    fn send(&self, ctx: &RequestContext, delivery: &OutboxMessage) -> PortFuture<Receipt, SendError> {
        self.0.received.lock().expect("not poisoned").push((self.now(), delivery.clone()));
        let answer = (self.0.answer)(ctx, delivery);
        Box::pin(async move { answer })
    }
}

struct Deliverer {
    ports: Ports,
    task: OutboxDispatcher,
}

impl Deliverer {
    fn new(
        shop: &Shop,
        answer: impl Fn(&RequestContext, &OutboxMessage) -> Result<Receipt, SendError> + Send + Sync + 'static,
    ) -> Self {
        let world = World { now: Mutex::new(noon()), answer: Box::new(answer), received: Mutex::default() };
        let ports = Ports(Arc::new(world));
        let (book, port) = (SqlOutboxStore::new(shop.database.clone()), Arc::new(ports.clone()));
        let limits = DispatchLimits { send: Duration::from_secs(15), per_endpoint: 4, at_once: 4 };
        Self { ports, task: OutboxDispatcher::new(Channel::Webhook, Arc::new(book), port.clone(), port, limits) }
    }

    async fn pass(&self) -> Progress {
        self.task.pass(&task()).await.expect("a pass")
    }

    fn set(&self, now: Timestamp) {
        *self.ports.0.now.lock().expect("not poisoned") = now;
    }

    fn received(&self) -> Vec<(Timestamp, OutboxMessage)> {
        self.ports.0.received.lock().expect("not poisoned").clone()
    }

    /// Sends messages until no message is pending, or until `end`. Sets the clock forward to the next due time.
    async fn work_until(&self, shop: &Shop, end: Timestamp) {
        loop {
            while self.pass().await != Progress::Idle {}
            let pending = shop.listed().await.into_iter().filter(|message| message.state == MessageState::Pending);
            let Some(due) = pending.map(|message| message.due_at).min() else { return };
            // A message can be due while its endpoint backs off. Then the clock advances by a second.
            let next = due.max(self.ports.now() + Duration::from_secs(1));
            if next > end {
                return self.set(end);
            }
            self.set(next);
        }
    }
}

fn days(days: i64) -> Timestamp {
    noon() + hours(24 * days)
}

fn broken(_: &RequestContext, _: &OutboxMessage) -> Result<Receipt, SendError> {
    Err(SendError::again("status 500"))
}

async fn message_fails_for_three_days_and_becomes_a_dead_letter(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    let deliverer = Deliverer::new(&shop, broken);
    deliverer.work_until(&shop, days(30)).await;

    let received = deliverer.received();
    assert_eq!(received.len(), MAX_ATTEMPTS as usize);
    for (number, pair) in received.windows(2).enumerate() {
        let ((before, first), (after, second)) = (&pair[0], &pair[1]);
        let share = (*after - *before).as_seconds_f64() / WAITS[number];
        // The clock of this test advances by at least a second.
        let slack = 1.0 / WAITS[number];
        assert!((0.8..=1.2 + slack).contains(&share), "wait {number} is {share} of what it should be");
        let same = (&second.id, second.occurred_at, &second.content) == (&first.id, first.occurred_at, &first.content);
        assert!(same && second.attempts == first.attempts + 1);
    }
    let (first, last) = (received[0].0, received[received.len() - 1].0);
    assert_eq!(first, noon());
    assert!((received[1].0 - first).as_seconds_f64() <= 3.0);
    let total = (last - first).as_seconds_f64() / WAITS.iter().sum::<f64>();
    assert!((0.8..=1.2).contains(&total), "{total}");
    let listed = shop.listed().await;
    assert_eq!((listed[0].order.clone(), listed[0].state), (order, MessageState::Dead));
    assert_eq!(listed[0].last_error.as_deref(), Some("status 500"));
}

async fn recovered_receiver_gets_the_same_message_with_the_same_id(place: Place) {
    let shop = place.shop().await;
    let order = shop.order("k1").await;
    shop.news(&order, &["one"]).await;
    let deliverer =
        Deliverer::new(
            &shop,
            |ctx, delivery| if delivery.attempts < 4 { broken(ctx, delivery) } else { Ok(Receipt::Accepted) },
        );
    deliverer.work_until(&shop, days(30)).await;
    let received = deliverer.received();
    // The newer message waits until the older message has ended, and then has all its attempts.
    let attempts: Vec<_> = received.iter().map(|(_, message)| (message.id.to_string(), message.attempts)).collect();
    let ids = place.raw().texts("SELECT id AS value FROM delivery ORDER BY sequence");
    let expected: Vec<_> = ids.iter().flat_map(|id| (1..=4).map(|attempt| (id.clone(), attempt))).collect();
    assert_eq!(attempts, expected);
    assert!(shop.listed().await.iter().all(|message| message.state == MessageState::Delivered));
}

async fn receiver_with_retry_after_is_not_called_before(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 3);
    let asks =
        SendError { reason: "status 429".into(), finality: Finality::Again { after: Some(Duration::from_secs(600)) } };
    let asked = Mutex::new(false);
    let deliverer = Deliverer::new(&shop, move |_, _| {
        let before = std::mem::replace(&mut *asked.lock().expect("not poisoned"), true);
        if before { Ok(Receipt::Accepted) } else { Err(asks.clone()) }
    });
    deliverer.work_until(&shop, days(1)).await;
    let received: Vec<_> = deliverer.received().into_iter().map(|(at, _)| (at - noon()).whole_seconds()).collect();
    assert_eq!(received, [0, 600, 600, 600]);
}

async fn receiver_that_fails_for_five_days_is_disabled(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), ILL, 1, 1);
    let deliverer = Deliverer::new(&shop, |ctx, delivery| match delivery.content.endpoint().0.as_str() {
        ILL => broken(ctx, delivery),
        _ => Ok(Receipt::Accepted),
    });
    // On every day a new message fails.
    for day in 1..=5 {
        deliverer.work_until(&shop, days(day)).await;
        assert!(health(&mut place.raw(), ILL).ends_with(" -"), "disabled after {day} days");
        seed(&mut place.raw(), ILL, 1 + u32::try_from(day).expect("few"), 1);
        deliverer.set(days(day) - Duration::from_secs(if day == 5 { 0 } else { 1 }));
    }
    let before = deliverer.received().len();
    deliverer.work_until(&shop, days(30)).await;
    assert_eq!(deliverer.received().len(), before + 1);
    assert!(!health(&mut place.raw(), ILL).ends_with(" -"));
    assert_eq!(states(&mut place.raw(), ILL), ["dead 6"]);
    // Other endpoints are not affected.
    seed(&mut place.raw(), WELL, 50, 1);
    deliverer.work_until(&shop, days(31)).await;
    assert_eq!(states(&mut place.raw(), WELL), ["delivered 1"]);
}

async fn stopped_pass_releases_its_message(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 1);
    let stops = Mutex::new(true);
    let deliverer = Deliverer::new(&shop, move |ctx, delivery| {
        if std::mem::take(&mut *stops.lock().expect("not poisoned")) {
            ctx.cancellation().cancel();
            return broken(ctx, delivery);
        }
        Ok(Receipt::Accepted)
    });
    assert_eq!(deliverer.pass().await, Progress::More(1));
    let listed = shop.listed().await;
    assert_eq!((listed[0].state, listed[0].due_at), (MessageState::Pending, noon()));
    assert_eq!(health(&mut place.raw(), WELL), "0 - -");
    assert_eq!(deliverer.pass().await, Progress::More(1));
    assert_eq!(states(&mut place.raw(), WELL), ["delivered 1"]);
    assert_eq!(deliverer.received().iter().map(|(at, _)| *at).collect::<Vec<_>>(), [noon(), noon()]);
}

/// The pass ends, because the internal fault would fail the next message too.
async fn pass_with_an_internal_fault_ends(place: Place) {
    let shop = place.shop().await;
    seed(&mut place.raw(), WELL, 1, 2);
    let deliverer = Deliverer::new(&shop, |_, _| Err(SendError::local("no key")));
    for _ in 0..2 {
        assert_eq!(deliverer.pass().await, Progress::Done(1));
    }
    assert_eq!(deliverer.pass().await, Progress::Idle);
    // After three days attempts with an internal fault count.
    deliverer.set(days(3) - Duration::from_secs(600));
    deliverer.work_until(&shop, days(30)).await;
    assert_eq!(states(&mut place.raw(), WELL), ["dead 2"]);
    assert_eq!(health(&mut place.raw(), WELL), "0 - -");
}

async fn pass_without_due_messages_is_idle(place: Place) {
    let shop = place.shop().await;
    let deliverer = Deliverer::new(&shop, broken);
    assert_eq!(deliverer.pass().await, Progress::Idle);
    shop.order("k1").await;
    deliverer.set(noon() - Duration::from_secs(1));
    assert_eq!(deliverer.pass().await, Progress::Idle);
    assert!(deliverer.received().is_empty());
}
