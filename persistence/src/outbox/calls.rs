//! Joins the claims and records of a process that wait at the same time into one transaction.

use std::sync::Arc;

use domain::clock::Timestamp;
use domain::context::RequestContext;
use domain::fault::Fault;
use domain::outbox::{Channel, ClaimTerms, Claimed, OutboxMessage, Recorded, SendOutcome};
use slog::warn;

use super::{TIME_TO_RELEASE, claim, record};
use crate::database::{Batch, Database, Done, Operation, Tx, TxError};

/// The claims and records of a process. One transaction for them runs at a time, because all of them lock the rows of the
/// same endpoints. A transaction has the operation and the time of the call that leads.
#[derive(Clone)]
pub(super) struct Calls {
    database: Database,
    batch: Arc<Batch<Call, Answer>>,
}

#[derive(Clone)]
enum Call {
    Claim(Channel, ClaimTerms),
    Record(Box<record::Attempt>),
}

/// The result of a [`Call`].
#[derive(Default)]
struct Answer {
    /// `Some` for a claim.
    claimed: Option<Claimed>,
    /// `Some` for a record.
    recorded: Option<Recorded>,
}

impl Calls {
    pub(super) fn new(database: Database) -> Self {
        Self { database, batch: Arc::default() }
    }

    pub(super) async fn claim(
        &self,
        ctx: &RequestContext,
        channel: Channel,
        terms: ClaimTerms,
    ) -> Result<Claimed, Fault> {
        let op = "outbox.claim";
        let answer = self.call(ctx, op, Call::Claim(channel, terms), terms.now).await?;
        answer.claimed.ok_or_else(|| Fault::internal(op, "a claim has no result"))
    }

    pub(super) async fn record(
        &self,
        ctx: &RequestContext,
        message: OutboxMessage,
        outcome: SendOutcome,
        now: Timestamp,
    ) -> Result<Recorded, Fault> {
        let op = "outbox.record";
        let answer = self.call(ctx, op, Call::Record(Box::new((message, outcome))), now).await?;
        answer.recorded.ok_or_else(|| Fault::internal(op, "a record has no result"))
    }

    async fn call(&self, ctx: &RequestContext, op: &'static str, call: Call, now: Timestamp) -> Result<Answer, Fault> {
        let transaction =
            |calls: Vec<Call>| self.database.run(ctx, Operation::write(op), move |tx| run(tx, &calls, now));
        let Done { result, unclaimed } = self.batch.call(ctx, op, call, transaction).await?;
        self.release(ctx, unclaimed, now).await;
        Ok(result)
    }

    /// Releases the messages of claims whose callers have given up. Otherwise their leases would keep every worker away
    /// until they end.
    async fn release(&self, ctx: &RequestContext, unclaimed: Vec<Answer>, now: Timestamp) {
        let unsent = unclaimed.into_iter().filter_map(|answer| answer.claimed?.message);
        let attempts: Vec<_> = unsent.map(|message| (message, SendOutcome::Interrupted)).collect();
        if attempts.is_empty() {
            return;
        }
        let (ctx, op) = (ctx.must_finish(TIME_TO_RELEASE), Operation::write("outbox.record"));
        let released: Result<Vec<Recorded>, Fault> =
            self.database.run(&ctx, op, move |tx| record::record(tx, &attempts.iter().collect::<Vec<_>>(), now)).await;
        if let Err(fault) = released {
            warn!(ctx.log(), "claimed messages keep their leases until they end"; "op" => fault.operation(),
                "error_code" => fault.kind().into_str(), "error" => fault.chain());
        }
    }
}

/// Runs the records, and then the claims, because a record can make the next message of its order due. Returns the
/// results in the order of the calls.
fn run(tx: &mut Tx<'_>, calls: &[Call], now: Timestamp) -> Result<Vec<Answer>, TxError<Fault>> {
    let attempts: Vec<&record::Attempt> = calls.iter().filter_map(Call::attempt).collect();
    let mut recorded = record::record(tx, &attempts, now)?.into_iter();
    let mut answers: Vec<Answer> = Vec::with_capacity(calls.len());
    answers.resize_with(calls.len(), Answer::default);
    for (place, call) in calls.iter().enumerate() {
        match call {
            Call::Record(_) => answers[place].recorded = recorded.next(),
            // An earlier claim with these terms has served this claim too.
            Call::Claim(..) if answers[place].claimed.is_some() => {}
            Call::Claim(channel, terms) => {
                let served: Vec<usize> =
                    (place..calls.len()).filter(|place| calls[*place].joins(*channel, terms)).collect();
                let claimed = claim::claim(tx, *channel, *terms, served.len())?;
                for (place, claimed) in served.into_iter().zip(claimed) {
                    answers[place].claimed = Some(claimed);
                }
            }
        }
    }
    Ok(answers)
}

impl Call {
    fn attempt(&self) -> Option<&record::Attempt> {
        match self {
            Self::Record(attempt) => Some(attempt),
            Self::Claim(..) => None,
        }
    }

    /// Whether this is a claim that a claim with these terms serves too.
    fn joins(&self, channel: Channel, terms: &ClaimTerms) -> bool {
        matches!(self, Self::Claim(other, others) if *other == channel && others.joins(terms))
    }
}
