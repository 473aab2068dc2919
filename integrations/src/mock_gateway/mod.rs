//! A payment gateway inside the process, for development and tests only. The composition root refuses it in production.
//!
//! It moves no money, but it keeps the guarantees of a gateway. A repeated call with the same key returns the first
//! result. A payment is charged at most once, and not after it was cancelled. A charge is stored even if the process is
//! killed before it responds.
//!
//! The token of the credential selects what a confirmation does:
//!
//! | token                    | charges | response                                           |
//! |--------------------------|---------|----------------------------------------------------|
//! | `success_token`          | yes     | confirmed                                          |
//! | `fail_token`             | no      | declined                                           |
//! | `slow_token`             | yes     | confirmed, [`MockConfig::slow`] later              |
//! | `hang_token`             | no      | never: the call ends with the context's deadline   |
//! | `charge_then_fail_token` | yes     | like a 500: a fault of kind `OutcomeUnknown`       |
//! | any other                | no      | declined                                           |
//!
//! `ledger.rs` reads and writes the file that stores the payments.

mod ledger;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::PortFuture;
use domain::clock::Clock;
use domain::context::{RequestContext, Stopwatch};
use domain::fault::{Failure, Fault, FaultKind};
use domain::payment::{
    Attempt, Credential, Decline, GatewayState, HandlerId, PaymentChoice, PaymentGateway, PaymentHandler,
    PaymentReference, Refund, RefundState,
};
use slog::{Logger, debug};
use uuid::Uuid;

use ledger::Payments;
pub use ledger::{EntryKind, Ledger, LedgerEntry};

#[derive(Clone, Debug)]
pub struct MockConfig {
    /// The file of the ledger. Processes with the same file act as one gateway. The folder must exist.
    pub ledger_path: PathBuf,
    /// How late the response to `slow_token` is.
    pub slow: Duration,
}

/// Finds the credential of a stored instrument. Only the mock gateway needs this, because a real gateway stores the
/// instruments.
pub type OnFile = Arc<dyn Fn(&RequestContext, &PaymentChoice) -> PortFuture<Option<Credential>, Fault> + Send + Sync>;

/// The simulated gateway. Clones share one ledger.
#[derive(Clone)]
pub struct MockPaymentHandler {
    ledger: Arc<Mutex<Ledger>>,
    slow: Duration,
    on_file: OnFile,
    clock: Arc<dyn Clock>,
}

impl MockPaymentHandler {
    /// Opens or creates the ledger.
    ///
    /// # Errors
    /// The ledger cannot be read or written; the error names the file.
    pub fn open(config: MockConfig, on_file: OnFile, clock: Arc<dyn Clock>, log: &Logger) -> io::Result<Self> {
        let path = &config.ledger_path;
        let ledger = Ledger::open(path, log)
            .map_err(|error| io::Error::new(error.kind(), format!("payment ledger {}: {error}", path.display())))?;
        Ok(Self { ledger: Arc::new(Mutex::new(ledger)), slow: config.slow, on_file, clock })
    }

    /// Calls `decide` with the present payments, and appends the entry that it returns. This is one atomic step.
    ///
    /// The file is locked, read and written on a thread of the async runtime. That takes microseconds, and nothing is
    /// awaited in this time. If a process is suspended while it holds the lock, it blocks the other processes beyond
    /// their deadlines. If a process is killed, its lock is released.
    fn update<T>(
        &self,
        operation: &'static str,
        decide: impl FnOnce(&Payments) -> Result<(T, Option<LedgerEntry>), Fault>,
    ) -> Result<T, Fault> {
        // After a panic the payments in memory are still valid, because they were read from the file.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).update(operation, decide)
    }

    /// Appends `next` if it is given and the payment is still open. Returns the last entry of the payment.
    fn advance(
        &self,
        operation: &'static str,
        reference: &PaymentReference,
        next: Option<Next>,
    ) -> Result<LedgerEntry, Fault> {
        self.update(operation, |payments| {
            let Some(last) = payments.find(&reference.0) else {
                let what = format!("the mock payment handler has no payment {}", reference.0);
                return Err(Fault::internal(operation, what));
            };
            let next = next.filter(|_| last.entry == EntryKind::Opened);
            let next = next.map(|Next { entry, key, reason }| LedgerEntry {
                at: self.clock.now(),
                entry,
                key,
                reason,
                ..last.clone()
            });
            Ok((next.as_ref().unwrap_or(last).clone(), next))
        })
    }

    fn open_once(&self, attempt: &Attempt) -> Result<LedgerEntry, Fault> {
        let key = attempt.open_key();
        self.update(OPEN, |payments| match payments.opened_with(&key) {
            Some(known) if (known.amount, known.currency) != (attempt.money.amount, attempt.money.currency) => {
                Err(Fault::internal(OPEN, format!("key {key} was used before, for another amount")))
            }
            Some(known) => Ok((known.clone(), None)),
            None => {
                let entry = LedgerEntry {
                    at: self.clock.now(),
                    entry: EntryKind::Opened,
                    reference: format!("mock_{}", Uuid::new_v4().simple()),
                    attempt: attempt.id.clone(),
                    key: Some(key.clone()),
                    amount: attempt.money.amount,
                    currency: attempt.money.currency,
                    reason: None,
                };
                Ok((entry.clone(), Some(entry)))
            }
        })
    }

    /// Confirms the payment. The token selects what happens; see the table of this module. A repeated call with the
    /// same token behaves like the first call, also if the response is late or lost.
    async fn confirm_once(
        &self,
        attempt: &Attempt,
        reference: &PaymentReference,
        credential: &Credential,
    ) -> Result<LedgerEntry, Fault> {
        let token = credential.token.expose();
        let (entry, reason) = match token {
            "success_token" | "slow_token" | "charge_then_fail_token" => (EntryKind::Charged, None),
            "fail_token" => (EntryKind::Declined, Some("The card was declined")),
            "hang_token" => return std::future::pending().await,
            _ => (EntryKind::Declined, Some("The token is not known to the mock payment handler")),
        };
        let next = Next { entry, key: Some(attempt.confirm_key()), reason: reason.map(str::to_owned) };
        let payment = self.advance(CONFIRM, reference, Some(next))?;
        match (token, payment.entry) {
            ("slow_token", EntryKind::Charged) => tokio::time::sleep(self.slow).await,
            ("charge_then_fail_token", EntryKind::Charged) => {
                return Err(Fault::new(FaultKind::OutcomeUnknown, CONFIRM).caused_by("the gateway answered 500"));
            }
            _ => {}
        }
        Ok(payment)
    }
}

/// The entry that ends an open payment.
struct Next {
    entry: EntryKind,
    key: Option<String>,
    reason: Option<String>,
}

const ON_FILE: &str = "payment.on_file";
const OPEN: &str = "payment.open";
const CONFIRM: &str = "payment.confirm";
const FIND: &str = "payment.find";
const LOOK_UP: &str = "payment.look_up";
const CANCEL: &str = "payment.cancel";

impl PaymentGateway for MockPaymentHandler {
    fn handler(&self) -> PaymentHandler {
        PaymentHandler {
            name: "example.tuckshop.mock_payment_handler".to_owned(),
            id: HandlerId("mock_payment_handler".to_owned()),
            version: "2026-04-08".to_owned(),
            spec: "https://tuckshop.example/specs/mock_payment_handler".to_owned(),
            schema: "https://tuckshop.example/schemas/mock_payment_handler.json".to_owned(),
            instruments: vec!["card".to_owned()],
            config: "{}".to_owned(),
        }
    }

    fn on_file(&self, ctx: &RequestContext, choice: &PaymentChoice) -> PortFuture<Option<Credential>, Fault> {
        let (this, ctx, choice) = (self.clone(), ctx.clone(), choice.clone());
        // This is not measured or logged as a call of the gateway, because the shop's database has the answer.
        Box::pin(async move {
            ctx.check(ON_FILE)?;
            in_time(&ctx, ON_FILE, FaultKind::DeadlineExceeded, (this.on_file)(&ctx, &choice)).await
        })
    }

    fn open(&self, ctx: &RequestContext, attempt: &Attempt) -> PortFuture<PaymentReference, Failure<Decline>> {
        let (this, ctx, attempt) = (self.clone(), ctx.clone(), attempt.clone());
        Box::pin(async move {
            let work = async { this.open_once(&attempt) };
            let payment = call(&ctx, OPEN, FaultKind::OutcomeUnknown, work).await?;
            Ok(PaymentReference(payment.reference))
        })
    }

    fn confirm(
        &self,
        ctx: &RequestContext,
        attempt: &Attempt,
        reference: &PaymentReference,
        credential: &Credential,
    ) -> PortFuture<GatewayState, Fault> {
        let (this, ctx) = (self.clone(), ctx.clone());
        let (attempt, reference, credential) = (attempt.clone(), reference.clone(), credential.clone());
        Box::pin(async move {
            let work = this.confirm_once(&attempt, &reference, &credential);
            Ok(call(&ctx, CONFIRM, FaultKind::OutcomeUnknown, work).await?.state())
        })
    }

    fn find(&self, ctx: &RequestContext, attempt: &Attempt) -> PortFuture<Option<PaymentReference>, Fault> {
        let (this, ctx, key) = (self.clone(), ctx.clone(), attempt.open_key());
        Box::pin(async move {
            ctx.check(FIND)?;
            let reference = |entry: &LedgerEntry| PaymentReference(entry.reference.clone());
            this.update(FIND, |payments| Ok((payments.opened_with(&key).map(reference), None)))
        })
    }

    fn look_up(&self, ctx: &RequestContext, reference: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        let (this, ctx, reference) = (self.clone(), ctx.clone(), reference.clone());
        Box::pin(async move {
            let work = async { this.advance(LOOK_UP, &reference, None) };
            Ok(call(&ctx, LOOK_UP, FaultKind::DeadlineExceeded, work).await?.state())
        })
    }

    fn cancel(&self, ctx: &RequestContext, reference: &PaymentReference) -> PortFuture<GatewayState, Fault> {
        let (this, ctx, reference) = (self.clone(), ctx.clone(), reference.clone());
        Box::pin(async move {
            let next = Next { entry: EntryKind::Cancelled, key: None, reason: None };
            let work = async { this.advance(CANCEL, &reference, Some(next)) };
            Ok(call(&ctx, CANCEL, FaultKind::OutcomeUnknown, work).await?.state())
        })
    }

    /// Returns the state of the payment and captures nothing, because a confirmation already charges.
    fn capture(
        &self,
        ctx: &RequestContext,
        _attempt: &Attempt,
        reference: &PaymentReference,
    ) -> PortFuture<GatewayState, Fault> {
        self.look_up(ctx, reference)
    }

    /// Every refund gets the state `Failed`, because refunds are not supported.
    fn refund(&self, _ctx: &RequestContext, _refund: &Refund) -> PortFuture<RefundState, Fault> {
        Box::pin(async { Ok(RefundState::Failed("the mock payment handler refunds nothing".to_owned())) })
    }

    fn look_up_refund(&self, _ctx: &RequestContext, _refund: &Refund) -> PortFuture<Option<RefundState>, Fault> {
        Box::pin(async { Ok(None) })
    }
}

/// Runs `work` as a call of the gateway. The call does not begin after a cancellation or after the deadline. It ends at
/// the deadline. It is measured and logged.
async fn call(
    ctx: &RequestContext,
    operation: &'static str,
    when_late: FaultKind,
    work: impl Future<Output = Result<LedgerEntry, Fault>>,
) -> Result<LedgerEntry, Fault> {
    ctx.check(operation)?;
    let watch = Stopwatch::start();
    let answer = in_time(ctx, operation, when_late, work).await;
    ctx.timings().gateway.add(watch);
    match &answer {
        Ok(payment) => debug!(ctx.log(), "gateway answered"; "op" => operation, "attempt_id" => %payment.attempt,
            "gateway_state" => payment.entry.into_str(), "elapsed_us" => watch.elapsed_us()),
        Err(fault) => debug!(ctx.log(), "gateway did not respond"; "op" => operation,
            "fault" => fault.kind().into_str(), "elapsed_us" => watch.elapsed_us()),
    }
    answer
}

/// Waits for `work` until the deadline of the context. Fails with a fault of kind `when_late` if `work` takes longer.
async fn in_time<T>(
    ctx: &RequestContext,
    operation: &'static str,
    when_late: FaultKind,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let late = || Fault::new(when_late, operation).caused_by("no answer before the deadline");
    tokio::time::timeout_at(ctx.deadline().instant().into(), work).await.unwrap_or_else(|_| Err(late()))
}
