//! A ledger, handlers on it, and sample payments.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::PortFuture;
use domain::checkout::CheckoutId;
use domain::clock::{Clock, Timestamp};
use domain::context::{Caller, Deadline, RequestContext, RequestId, TraceContext};
use domain::fault::Fault;
use domain::money::{Amount, Currency, Money};
use domain::payment::{Attempt, AttemptId, AttemptState, Credential, HandlerId};
use domain::secret::Secret;
use integrations::mock_gateway::{EntryKind, Ledger, LedgerEntry, MockConfig, MockPaymentHandler, OnFile};
use slog::Logger;
use tempfile::TempDir;
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

use crate::shared::Lines;

pub const NOON: Timestamp = datetime!(2026-04-08 12:00 UTC);
pub const SLOW: Duration = Duration::from_millis(300);

/// A clock that always shows the same time.
pub struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        NOON
    }
    fn pause(&self, _: &RequestContext, _: Duration) -> PortFuture<(), Fault> {
        Box::pin(async { Ok(()) })
    }
}

/// A ledger in a temporary folder, and handlers that use it.
pub struct Shop {
    pub folder: TempDir,
    pub lines: Lines,
}

impl Shop {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), lines: Lines::default() }
    }
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("payments.jsonl")
    }
    pub fn log(&self) -> Logger {
        self.lines.log()
    }
    pub fn handler(&self) -> MockPaymentHandler {
        open_on(&self.path(), &self.log())
    }
    pub fn ctx(&self, budget: Duration) -> RequestContext {
        context(&self.log(), budget)
    }
    pub fn entries(&self) -> Vec<LedgerEntry> {
        Ledger::read(self.path()).expect("a readable ledger")
    }
    pub fn kinds(&self) -> Vec<EntryKind> {
        self.entries().iter().map(|entry| entry.entry).collect()
    }
    pub fn append(&self, bytes: &[u8]) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path()).expect("opens");
        file.write_all(bytes).expect("writes");
    }
    /// The line that the handler writes for this entry, with the line feed.
    pub fn line(&self, entry: &LedgerEntry) -> Vec<u8> {
        let mut line = serde_json::to_vec(entry).expect("serialises");
        line.push(b'\n');
        line
    }
}

pub fn open_on(path: &Path, log: &Logger) -> MockPaymentHandler {
    let config = MockConfig { ledger_path: path.to_owned(), slow: SLOW };
    let on_file: OnFile = Arc::new(|_, choice| {
        let found = (choice.instrument.id == "instr_1").then(|| token("success_token"));
        Box::pin(async { Ok(found) })
    });
    MockPaymentHandler::open(config, on_file, Arc::new(FixedClock), log).expect("opens")
}

pub fn context(log: &Logger, budget: Duration) -> RequestContext {
    let (id, trace) = (RequestId::generate(), TraceContext::start());
    RequestContext::new(log, id, trace, Caller::Anonymous, Deadline::after(budget), CancellationToken::new())
}

pub fn attempt() -> Attempt {
    Attempt {
        id: AttemptId::generate(NOON),
        checkout: CheckoutId::generate(NOON),
        handler: HandlerId("mock_payment_handler".to_owned()),
        money: Money { amount: Amount::new(3500), currency: Currency::parse("USD").expect("valid") },
        state: AttemptState::Opened,
        reference: None,
        checks: 0,
        created_at: NOON,
    }
}

pub fn token(value: &str) -> Credential {
    Credential { kind: "token".to_owned(), token: Secret::new(value) }
}
