//! Decides which calls fail, and how. A script makes the next calls of an operation fail. A mix makes a random share of
//! the calls of an operation fail.

use std::collections::BTreeMap;

/// An endpoint of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    IntentCreate,
    IntentConfirm,
    IntentCapture,
    IntentCancel,
    IntentRetrieve,
    IntentSearch,
    RefundCreate,
    RefundList,
}

/// How a call fails. Unless a variant says otherwise, the call has its effect, and its idempotency key replays the
/// response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Fault {
    /// Has the effect at once, and responds after `ms`. Until the response, the idempotency key is in use.
    Late { ms: u64 },
    /// Waits for `ms`, then has the effect and responds. The effect happens even if the caller has disconnected before.
    /// Until the effect, the idempotency key is in use.
    LateEffect { ms: u64 },
    /// Has the effect, but responds with 500. The key replays the 500.
    ErrorAfterEffect,
    /// Has no effect, and responds with 500. The key replays the 500.
    ErrorWithoutEffect,
    /// Has the effect, but never responds. The key replays the lost response.
    HangAfterEffect,
    /// Has no effect, and never responds. The key stays free.
    HangWithoutEffect,
    /// Has the effect, but closes the connection with a TCP reset. The key replays the lost response.
    ResetAfterEffect,
    /// Has no effect, and closes the connection with a TCP reset. The key stays free.
    ResetWithoutEffect,
    /// Sends the body in pieces of 10 bytes, with one piece every 20 ms.
    Drip,
    /// Sends half of the body and closes the connection.
    Truncated,
    /// Responds with 200 and a page of HTML.
    Html,
    /// Responds with more than 10 MB of JSON. The JSON contains the correct response.
    Huge,
    /// Has no effect, and responds with 409 as if the key were in use. The key stays free.
    InUse,
    /// Has no effect, and responds with 429 and `Retry-After`. The key stays free.
    RateLimited { retry_after_seconds: u64 },
}

impl Fault {
    /// The name of the fault in [`Paysim::faults_dealt`](crate::Paysim::faults_dealt), in snake case.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Makes a random share of the calls of one operation fail. In equal sequences of calls, equal seeds make the same
/// calls fail.
#[derive(Clone, Debug)]
pub struct Mix {
    pub seed: u64,
    pub operation: Operation,
    /// The faults, each with its share of the calls. The shares are at most 1,000 per mille in total.
    pub shares: Vec<Share>,
}

#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub per_mille: u16,
    pub fault: Fault,
}

struct Script {
    operation: Operation,
    calls_left: u64,
    fault: Fault,
}

#[derive(Default)]
pub(crate) struct Faults {
    scripts: Vec<Script>,
    mix: Option<(Mix, fastrand::Rng)>,
    /// How often each fault has happened, by its name.
    pub dealt: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub fn fail_next(&mut self, operation: Operation, calls: u64, fault: Fault) {
        self.scripts.push(Script { operation, calls_left: calls, fault });
    }

    pub fn set_mix(&mut self, mix: Mix) {
        let random = fastrand::Rng::with_seed(mix.seed);
        self.mix = Some((mix, random));
    }

    pub fn clear(&mut self) {
        self.scripts.clear();
        self.mix = None;
    }

    pub fn count(&mut self, fault: Option<Fault>) {
        if let Some(fault) = fault {
            *self.dealt.entry(fault.name()).or_default() += 1;
        }
    }

    /// Chooses the fault of the next call of this operation. Uses the oldest script with calls left. If there is none,
    /// uses the mix.
    pub fn draw(&mut self, operation: Operation) -> Option<Fault> {
        let matches = |script: &&mut Script| script.operation == operation && script.calls_left > 0;
        if let Some(script) = self.scripts.iter_mut().find(matches) {
            script.calls_left -= 1;
            return Some(script.fault);
        }
        let (mix, random) = self.mix.as_mut().filter(|(mix, _)| mix.operation == operation)?;
        let mut drawn = random.u16(..1000);
        for share in &mix.shares {
            match drawn.checked_sub(share.per_mille) {
                None => return Some(share.fault),
                Some(rest) => drawn = rest,
            }
        }
        None
    }
}
