//! What goes wrong, when: a script for the next calls, and a share of all calls dealt by a seed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dice::Dice;

/// What a call asks for; the string is `object.verb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operation {
    #[serde(rename = "intent.create")]
    IntentCreate,
    #[serde(rename = "intent.confirm")]
    IntentConfirm,
    #[serde(rename = "intent.capture")]
    IntentCapture,
    #[serde(rename = "intent.cancel")]
    IntentCancel,
    #[serde(rename = "intent.retrieve")]
    IntentRetrieve,
    #[serde(rename = "intent.list")]
    IntentList,
    #[serde(rename = "intent.search")]
    IntentSearch,
    #[serde(rename = "refund.create")]
    RefundCreate,
    #[serde(rename = "refund.retrieve")]
    RefundRetrieve,
    #[serde(rename = "refund.list")]
    RefundList,
}

/// One way to go wrong. The effect happens unless the name says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// The effect at once, the answer after `ms`; until then the key is in use.
    Late { ms: u64 },
    /// The effect only after `ms`, even if the caller has gone; then the answer.
    LateEffect { ms: u64 },
    /// Answers 500, which the key replays from then on.
    ErrorAfterEffect,
    /// Answers 500, which the key replays from then on; nothing happens.
    ErrorWithoutEffect,
    /// Never answers; the key replays what would have been answered.
    HangAfterEffect,
    /// Never answers; nothing happens and the key stays free.
    HangWithoutEffect,
    /// Closes the connection with a TCP reset instead of an answer.
    ResetAfterEffect,
    /// Closes the connection with a TCP reset; nothing happens and the key stays free.
    ResetWithoutEffect,
    /// Sends the body in pieces of 10 bytes, one in 20 ms.
    Drip,
    /// Sends half of the body and closes the connection.
    Truncated,
    /// Answers 200 with a page of HTML.
    Html,
    /// Answers with 10 MB of JSON, which hold the right answer.
    Huge,
    /// Answers 409 as if the key were in use; nothing happens and the key stays free.
    InUse,
    /// Answers 429 with `Retry-After`; nothing happens and the key stays free.
    RateLimited { retry_after_seconds: u64 },
}

impl Fault {
    /// As it is called in scripts and counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Late { .. } => "late",
            Self::LateEffect { .. } => "late_effect",
            Self::ErrorAfterEffect => "error_after_effect",
            Self::ErrorWithoutEffect => "error_without_effect",
            Self::HangAfterEffect => "hang_after_effect",
            Self::HangWithoutEffect => "hang_without_effect",
            Self::ResetAfterEffect => "reset_after_effect",
            Self::ResetWithoutEffect => "reset_without_effect",
            Self::Drip => "drip",
            Self::Truncated => "truncated",
            Self::Html => "html",
            Self::Huge => "huge",
            Self::InUse => "in_use",
            Self::RateLimited { .. } => "rate_limited",
        }
    }
}

/// The next calls that match go wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Script {
    /// `None`: any operation.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// `None`: with any idempotency key and without one.
    #[serde(default)]
    pub key: Option<String>,
    /// How many calls.
    pub next: u64,
    #[serde(flatten)]
    pub fault: Fault,
}

/// A share of all calls goes wrong; which ones, the seed says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    pub seed: u64,
    /// Empty: all operations.
    #[serde(default)]
    pub operations: Vec<Operation>,
    /// Together at most 1,000 per mille.
    pub shares: Vec<Share>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Share {
    pub per_mille: u16,
    #[serde(flatten)]
    pub fault: Fault,
}

#[derive(Default)]
pub(crate) struct Faults {
    scripts: Vec<Script>,
    mix: Option<(Mix, Dice)>,
    dealt: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub fn script(&mut self, script: Script) {
        self.scripts.push(script);
    }

    pub fn mix(&mut self, mix: Mix) {
        let dice = Dice::seeded(mix.seed);
        self.mix = Some((mix, dice));
    }

    pub fn clear(&mut self) {
        self.scripts.clear();
        self.mix = None;
    }

    pub fn dealt(&self) -> BTreeMap<&'static str, u64> {
        self.dealt.clone()
    }

    pub fn note(&mut self, fault: Fault) {
        *self.dealt.entry(fault.name()).or_default() += 1;
    }

    /// For one call. Scripts go first, in the order in which they were written.
    pub fn draw(&mut self, operation: Operation, key: Option<&str>) -> Option<Fault> {
        self.scripted(operation, key).or_else(|| self.by_chance(operation))
    }

    fn scripted(&mut self, operation: Operation, key: Option<&str>) -> Option<Fault> {
        let matches = |script: &Script| {
            script.operation.is_none_or(|wanted| wanted == operation)
                && script.key.as_deref().is_none_or(|wanted| Some(wanted) == key)
        };
        self.scripts.retain(|script| script.next > 0);
        let script = self.scripts.iter_mut().find(|script| matches(script))?;
        script.next -= 1;
        Some(script.fault)
    }

    fn by_chance(&mut self, operation: Operation) -> Option<Fault> {
        let (mix, dice) = self.mix.as_mut()?;
        if !mix.operations.is_empty() && !mix.operations.contains(&operation) {
            return None;
        }
        let mut thrown = dice.below(1000);
        for share in &mix.shares {
            match thrown.checked_sub(u64::from(share.per_mille)) {
                None => return Some(share.fault),
                Some(rest) => thrown = rest,
            }
        }
        None
    }
}
