//! One call from its parameters to its answer: key, fault, effect, answer. How the answer leaves is told to `wire`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::Options;
use crate::books::{Books, Outcome};
use crate::clock::Clock;
use crate::command::Command;
use crate::faults::{Fault, Faults, Mix, Operation, Script};
use crate::form::Parameters;
use crate::idempotency::{Kept, LONGEST_KEY};
use crate::ledger::Ledger;
use crate::refusal::Refusal;
use crate::webhooks::{Deliveries, Event, Webhooks};

/// Something to do later, whether or not its caller still waits.
pub(crate) struct Job {
    pub due: Instant,
    pub work: Box<dyn FnOnce() + Send>,
}

/// Events and late effects that wait; more are dropped and counted, or done at once.
pub(crate) const LONGEST_QUEUE: usize = 100_000;

pub(crate) struct Gateway {
    pub api_key: String,
    clock: Clock,
    books: Mutex<Books>,
    faults: Mutex<Faults>,
    webhooks: Mutex<Option<Webhooks>>,
    deliveries: Mutex<Deliveries>,
    events: mpsc::Sender<Event>,
    jobs: mpsc::Sender<Job>,
}

/// Recognised, but not yet read.
pub(crate) struct Call {
    pub operation: Operation,
    pub id: Option<String>,
    pub parameters: Parameters,
    /// Of a call that changes something.
    pub key: Option<String>,
    pub fingerprint: String,
}

/// An answer and the way in which it is to be sent, or not.
pub(crate) struct Sent {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub fault: Option<Fault>,
}

impl Sent {
    pub fn refusal(refusal: &Refusal) -> Self {
        let body = refusal.body().to_string();
        Self { status: refusal.status, headers: refusal.headers.clone(), body, fault: None }
    }
}

/// A panic in the middle of a change would have been a bug here; what was written stays readable.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gateway {
    pub fn new(options: &Options, events: mpsc::Sender<Event>, jobs: mpsc::Sender<Job>) -> Self {
        Self {
            api_key: options.api_key.clone(),
            clock: Clock::default(),
            books: Mutex::new(Books::new(options.authorisations_last, options.search_lags_by)),
            faults: Mutex::default(),
            webhooks: Mutex::new(options.webhooks.clone()),
            deliveries: Mutex::default(),
            events,
            jobs,
        }
    }

    /// Keys are looked at before the parameters, and the parameters are checked before anything is done.
    pub async fn answer(self: Arc<Self>, call: Call) -> Sent {
        if call.key.as_ref().is_some_and(|key| key.chars().count() > LONGEST_KEY) {
            let message = format!("Idempotency keys may be at most {LONGEST_KEY} characters long.");
            return Sent::refusal(&Refusal::invalid(message));
        }
        let fault = locked(&self.faults).draw(call.operation, call.key.as_deref());
        if let Some(sent) = self.kept_off(fault, call.key.as_deref()) {
            return sent;
        }
        if let Some(key) = &call.key {
            let now = self.clock.now();
            match locked(&self.books).keys.begin(key, &call.fingerprint, now) {
                Err(refusal) => return Sent::refusal(&refusal),
                Ok(Some(kept)) => return self.replay(kept, fault),
                Ok(None) => {}
            }
        }
        let command = match Command::read(call.operation, call.id, call.parameters) {
            Ok(command) => command,
            Err(refusal) => {
                if let Some(key) = &call.key {
                    locked(&self.books).keys.release(key);
                }
                return Sent::refusal(&refusal);
            }
        };
        let fault = fault.or_else(|| locked(&self.books).card(&command)?.fault());
        if matches!(fault, Some(Fault::HangWithoutEffect | Fault::ResetWithoutEffect)) {
            if let Some(key) = &call.key {
                locked(&self.books).keys.release(key);
            }
            return self.nothing(fault);
        }
        match fault {
            Some(Fault::LateEffect { ms }) => self.execute_late(command, call.key, ms).await,
            fault => self.execute(command, call.key.as_deref(), fault),
        }
    }

    /// What goes wrong before the gateway has looked at the call.
    fn kept_off(&self, fault: Option<Fault>, key: Option<&str>) -> Option<Sent> {
        let refusal = match fault? {
            Fault::InUse => Refusal::key_in_use(key.unwrap_or_default()),
            Fault::RateLimited { retry_after_seconds } => Refusal::rate_limited(retry_after_seconds),
            Fault::HangWithoutEffect | Fault::ResetWithoutEffect => return Some(self.nothing(fault)),
            _ => return None,
        };
        self.note(fault);
        Some(Sent::refusal(&refusal))
    }

    fn nothing(&self, fault: Option<Fault>) -> Sent {
        self.note(fault);
        Sent { status: 500, headers: Vec::new(), body: String::new(), fault }
    }

    /// The first answer again. It can be lost again on its way, but it cannot become another one.
    fn replay(&self, kept: Kept, fault: Option<Fault>) -> Sent {
        let of_the_effect = |fault: &Fault| {
            matches!(fault, Fault::ErrorAfterEffect | Fault::ErrorWithoutEffect | Fault::LateEffect { .. })
        };
        let fault = fault.filter(|fault| !of_the_effect(fault));
        self.note(fault);
        let headers = vec![("Idempotent-Replayed", "true".to_owned())];
        Sent { status: kept.status, headers, body: kept.body, fault }
    }

    fn execute(&self, command: Command, key: Option<&str>, fault: Option<Fault>) -> Sent {
        self.note(fault);
        let mut books = locked(&self.books);
        books.pass_time(self.clock.now());
        let result = match fault {
            Some(Fault::ErrorWithoutEffect) => Err(Refusal::internal()),
            _ => books.execute(command),
        };
        let mut sent = match (result, fault) {
            (_, Some(Fault::ErrorAfterEffect)) => Sent::refusal(&Refusal::internal()),
            (Ok(object), _) => Sent { status: 200, headers: Vec::new(), body: object.to_string(), fault: None },
            (Err(refusal), _) => Sent::refusal(&refusal),
        };
        sent.fault = fault;
        if let Some(key) = key {
            let in_use_until = match fault {
                Some(Fault::Late { ms }) => Some(Instant::now() + Duration::from_millis(ms)),
                _ => None,
            };
            books.keys.keep(key, Kept { status: sent.status, body: sent.body.clone() }, in_use_until);
        }
        self.publish(&mut books);
        sent
    }

    async fn execute_late(self: Arc<Self>, command: Command, key: Option<String>, ms: u64) -> Sent {
        self.note(Some(Fault::LateEffect { ms }));
        let (done, result) = oneshot::channel();
        let gateway = Arc::clone(&self);
        let work = Box::new(move || {
            let sent = gateway.execute(command, key.as_deref(), None);
            // The caller may have gone, which is the point.
            let _ = done.send(sent);
        });
        let job = Job { due: Instant::now() + Duration::from_millis(ms), work };
        if let Err(mpsc::error::TrySendError::Full(job)) = self.jobs.try_send(job) {
            (job.work)();
        }
        result.await.unwrap_or_else(|_| Sent::refusal(&Refusal::internal()))
    }

    fn note(&self, fault: Option<Fault>) {
        if let Some(fault) = fault {
            locked(&self.faults).note(fault);
        }
    }

    fn publish(&self, books: &mut Books) {
        for event in books.events.drain(..) {
            if locked(&self.webhooks).is_some() && self.events.try_send(event).is_err() {
                self.delivery(|counts| counts.dropped += 1);
            }
        }
    }

    pub fn now(&self) -> i64 {
        self.clock.now()
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        let mut books = locked(&self.books);
        books.pass_time(self.clock.now());
        self.publish(&mut books);
    }

    pub fn settle(&self, intent: &str, outcome: Outcome) -> Result<Value, Refusal> {
        let mut books = locked(&self.books);
        books.pass_time(self.clock.now());
        let result = books.settle(intent, outcome);
        self.publish(&mut books);
        result
    }

    pub fn ledger(&self) -> Ledger {
        locked(&self.books).ledger.clone()
    }

    pub fn script(&self, script: Script) {
        locked(&self.faults).script(script);
    }

    pub fn mix(&self, mix: Mix) {
        locked(&self.faults).mix(mix);
    }

    pub fn clear_faults(&self) {
        locked(&self.faults).clear();
    }

    pub fn faults_dealt(&self) -> BTreeMap<&'static str, u64> {
        locked(&self.faults).dealt()
    }

    pub fn webhooks(&self) -> Option<Webhooks> {
        locked(&self.webhooks).clone()
    }

    pub fn send_webhooks(&self, webhooks: Option<Webhooks>) {
        *locked(&self.webhooks) = webhooks;
    }

    pub fn deliveries(&self) -> Deliveries {
        *locked(&self.deliveries)
    }

    pub fn delivery(&self, count: impl FnOnce(&mut Deliveries)) {
        count(&mut locked(&self.deliveries));
    }
}
