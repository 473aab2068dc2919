//! Faults: which call fails, and how. A script fails the next calls of an operation, a mix fails a share of all calls.

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

/// One way to fail. The effect happens unless the name says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Fault {
    /// The effect at once, the response after `ms`; until then the key is in use.
    Late { ms: u64 },
    /// The effect after `ms`, even if the caller has gone; then the response. Until then the key is in use.
    LateEffect { ms: u64 },
    /// Responds with 500, which the key replays.
    ErrorAfterEffect,
    /// Responds with 500, which the key replays; no effect.
    ErrorWithoutEffect,
    /// Never responds; the key replays the lost response.
    HangAfterEffect,
    /// Never responds; no effect, and the key stays free.
    HangWithoutEffect,
    /// Closes the connection with a TCP reset; the key replays the lost response.
    ResetAfterEffect,
    /// Closes the connection with a TCP reset; no effect, and the key stays free.
    ResetWithoutEffect,
    /// Sends the body in pieces of 10 bytes, one every 20 ms.
    Drip,
    /// Sends half of the body and closes the connection.
    Truncated,
    /// Responds with 200 and a page of HTML.
    Html,
    /// Responds with 10 MB of JSON that contain the correct response.
    Huge,
    /// Responds with 409 as if the key were in use; no effect, and the key stays free.
    InUse,
    /// Responds with 429 and `Retry-After`; no effect, and the key stays free.
    RateLimited { retry_after_seconds: u64 },
}

impl Fault {
    /// Its name in counts, in snake case.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Makes a share of the calls of one operation fail. The same seed chooses the same calls of the same sequence.
#[derive(Clone, Debug)]
pub struct Mix {
    pub seed: u64,
    pub operation: Operation,
    /// At most 1,000 per mille in total.
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

    /// The fault of the next call of this operation. Scripts go before the mix.
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
