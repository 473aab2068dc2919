//! Executes one call: chooses its fault, checks its idempotency key, changes the account and makes the reply. `wire`
//! sends the reply.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::account::Account;
use crate::call::Call;
use crate::error::ApiError;
use crate::faults::{Fault, Faults};
use crate::idempotency::{Keys, Stored};
use crate::webhooks::{self, Deliveries, Webhooks};

pub(crate) struct Gateway {
    pub api_key: String,
    pub http: reqwest::Client,
    /// Runs one task for each late effect and for each copy of an event. The runtime and its tasks end with the
    /// simulator.
    runtime: Handle,
    state: Mutex<State>,
}

/// The state of the simulator. One lock protects all of it, so each call is atomic.
#[derive(Default)]
pub(crate) struct State {
    pub account: Account,
    pub faults: Faults,
    pub keys: Keys,
    pub deliveries: Deliveries,
    webhooks: Option<(Webhooks, fastrand::Rng)>,
}

/// A response, and the fault with which it is sent, if any.
pub(crate) struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub fault: Option<Fault>,
}

impl Reply {
    fn ok(body: String, fault: Option<Fault>) -> Self {
        Self { status: 200, headers: Vec::new(), body, fault }
    }

    pub fn error(error: &ApiError) -> Self {
        let headers = error.retry_after_seconds.map(|seconds| ("Retry-After", seconds.to_string()));
        let headers = headers.into_iter().collect();
        Self { status: error.status, headers, ..Self::ok(error.body().to_string(), None) }
    }
}

impl State {
    pub fn send_webhooks(&mut self, webhooks: Option<Webhooks>) {
        self.webhooks = webhooks.map(|webhooks| {
            let random = fastrand::Rng::with_seed(webhooks.seed);
            (webhooks, random)
        });
    }
}

impl Gateway {
    /// Must be called on the runtime that serves the gateway.
    pub fn new(api_key: String) -> io::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let http = http.build().map_err(io::Error::other)?;
        Ok(Self { api_key, http, runtime: Handle::current(), state: Mutex::default() })
    }

    /// Locks the state. The lock can be used even after a panic of another holder.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the account and sends the events of the change.
    pub fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut Account) -> T) -> T {
        let mut state = self.state();
        let result = change(&mut state.account);
        self.publish(&mut state);
        result
    }

    pub async fn answer(self: Arc<Self>, call: Call) -> Reply {
        let fault = match self.begin(&call) {
            Ok(fault) => fault,
            Err(reply) => return reply,
        };
        let Some(Fault::LateEffect { ms }) = fault else { return self.execute(&call, fault) };
        let executed = self.runtime.spawn({
            let gateway = Arc::clone(&self);
            async move {
                sleep(Duration::from_millis(ms)).await;
                gateway.execute(&call, None)
            }
        });
        executed.await.unwrap_or_else(|_| Reply::error(&ApiError::internal()))
    }

    /// Decides whether the call is executed. If so, marks its idempotency key as in use and returns its fault.
    /// Otherwise returns the reply as the error.
    fn begin(&self, call: &Call) -> Result<Option<Fault>, Reply> {
        let mut state = self.state();
        let fault = state.faults.draw(call.operation);
        refuse(&mut state, fault, call)?;
        let now = state.account.journal.now();
        if let Some(stored) = state.keys.find(call, now).map_err(|error| Reply::error(&error))? {
            return Err(replay(&mut state, stored, fault));
        }
        let fault = fault.or_else(|| state.account.card(call)?.fault());
        refuse(&mut state, fault, call)?;
        state.faults.count(fault);
        state.keys.begin(call, now);
        Ok(fault)
    }

    fn execute(self: &Arc<Self>, call: &Call, fault: Option<Fault>) -> Reply {
        let mut state = self.state();
        let result = match fault {
            Some(Fault::ErrorWithoutEffect) => Err(ApiError::internal()),
            _ => state.account.execute(call.operation, &call.id, call.parameters.clone()),
        };
        self.publish(&mut state);
        let result = match result {
            Err(error) if error.is_before_effect => {
                state.keys.release(call);
                return Reply::error(&error);
            }
            _ if fault == Some(Fault::ErrorAfterEffect) => Err(ApiError::internal()),
            result => result,
        };
        let reply = match result {
            Ok(object) => Reply::ok(object.to_string(), fault),
            Err(error) => Reply { fault, ..Reply::error(&error) },
        };
        let in_use_until = match fault {
            Some(Fault::Late { ms }) => Some(Instant::now() + Duration::from_millis(ms)),
            _ => None,
        };
        let stored = Stored { status: reply.status, body: reply.body.clone() };
        state.keys.store(call, stored, in_use_until);
        reply
    }

    fn publish(self: &Arc<Self>, state: &mut State) {
        for event in state.account.journal.events.drain(..) {
            let Some((webhooks, random)) = &mut state.webhooks else { continue };
            for _ in 0..webhooks.copies {
                let delay = Duration::from_millis(random.u64(0..=webhooks.shuffle_ms));
                state.deliveries.pending += 1;
                let (gateway, webhooks, payload) = (Arc::clone(self), webhooks.clone(), event.to_string());
                self.runtime.spawn(async move {
                    sleep(delay).await;
                    let now = gateway.state().account.journal.now();
                    let is_delivered = webhooks::post(&gateway.http, &webhooks, payload, now).await;
                    gateway.state().deliveries.count(is_delivered);
                });
            }
        }
    }
}

/// Returns the reply as the error if the fault happens before the effect and before the use of the idempotency key.
fn refuse(state: &mut State, fault: Option<Fault>, call: &Call) -> Result<(), Reply> {
    let reply = match fault {
        Some(Fault::InUse) => Reply::error(&ApiError::key_in_use(call.key.as_deref().unwrap_or_default())),
        Some(Fault::RateLimited { retry_after_seconds }) => Reply::error(&ApiError::rate_limited(retry_after_seconds)),
        Some(Fault::HangWithoutEffect | Fault::ResetWithoutEffect) => Reply::ok(String::new(), fault),
        _ => return Ok(()),
    };
    state.faults.count(fault);
    Err(reply)
}

/// Returns the stored response to a repeated call. A fault can change how the response is sent. A fault of the effect
/// is ignored, because a repeated call has no effect.
fn replay(state: &mut State, stored: Stored, fault: Option<Fault>) -> Reply {
    let is_of_effect =
        |fault: &Fault| matches!(fault, Fault::ErrorAfterEffect | Fault::ErrorWithoutEffect | Fault::LateEffect { .. });
    let fault = fault.filter(|fault| !is_of_effect(fault));
    state.faults.count(fault);
    let headers = vec![("Idempotent-Replayed", "true".to_owned())];
    Reply { status: stored.status, headers, body: stored.body, fault }
}
