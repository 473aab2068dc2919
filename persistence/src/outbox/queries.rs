//! SQL for messages and endpoints.

use std::sync::LazyLock;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
use domain::clock::Timestamp;
use domain::order::OrderId;
use domain::outbox::{
    Channel, ClaimTerms, Endpoint, EndpointHealth, FailureStreak, MAX_ENDPOINT_BACKOFF, MessageState, OutboxMessage,
    PROBE_PAUSE, StaleClaim,
};

use super::rows::{DeliveryRow, DestinationRow, Ended, Failures};
use crate::database::{
    Engine, EngineTime, NO_LEASE, Statement, Timed, Tx, among, bytewise, constant, execute, insert_all, keep_all,
    leases, load, lock_all, on_backend, update,
};
use crate::schema::{delivery as messages, destination as endpoints};
use crate::stored::{count, millis, word};

leases!(messages, attempts, claims);

/// The predicate of the partial index on due messages: only pending messages have not ended. The text is equal to that
/// of the migration, so both engines use the index. The state would match other indexes too, which hold the pending
/// messages of all endpoints.
pub(super) const IS_PENDING: &str = "ended_at IS NULL";

/// Selects the least recently served endpoints that meet all these conditions: the endpoint is not backing off, or its
/// backoff may end early; its health is within reach; it has fewer leases than [`NextEndpoint::max_leases`]; and it has
/// a due message without a lease and without an older pending message of its order.
///
/// $1 channel, $2 the worst health within reach, $3 business time, $4 the latest time at which a backoff that begins
/// now can end, $5 the latest time of a failure after which a new message may end the backoff, $6 the most leases, $7
/// the most endpoints.
///
/// The query walks from one endpoint with a pending message to the next, with one probe of `delivery_due` each, and
/// never visits an endpoint that has nothing pending. So an endpoint's row needs no due time, for which every order
/// would have to lock the row. `CROSS JOIN` makes SQLite join in the written order.
///
/// A backoff that ends after $4 was set by a clock that was ahead, perhaps by years, and does not count. A backoff ends
/// early if a message without an attempt became due since the last failure, but not before the time that the receiver
/// asked for.
///
/// `(SELECT 1 ... LIMIT 1) IS NOT NULL` replaces `EXISTS`, because Postgres turns `EXISTS` into a join that reads the
/// whole backlog of a failing endpoint. `o.state || ''` is an expression, so neither engine uses an index on the state
/// to find the older messages of an order; both use `delivery_by_event`. `CASE ... END IS NOT NULL` corrects an
/// estimate of Postgres. The planner estimates that a plain `IS NULL` of a subquery is rarely true, and then reads and
/// sorts the whole backlog. The planner estimates that `IS NOT NULL` is almost always true, which is right: most
/// messages have no older pending message.
const NEXT_DESTINATIONS: &str = "\
    WITH RECURSIVE waiting(id) AS ( \
      SELECT (SELECT p.destination FROM delivery p WHERE p.ended_at IS NULL AND p.destination > '' \
        ORDER BY p.destination LIMIT 1) \
      UNION ALL \
      SELECT (SELECT p.destination FROM delivery p WHERE p.ended_at IS NULL AND p.destination > w.id \
        ORDER BY p.destination LIMIT 1) FROM waiting w WHERE w.id IS NOT NULL) \
    SELECT d.id, d.failures, d.answered_at FROM waiting w CROSS JOIN destination d \
    WHERE d.id = w.id AND d.channel = $1 AND d.disabled_at IS NULL \
      AND CASE WHEN d.answered_at IS NULL AND d.failures = 0 THEN 1 \
        WHEN d.answered_at IS NULL OR d.failures > 1 THEN 2 ELSE 0 END <= $2 \
      AND (d.rest_until <= $3 OR d.rest_until > $4 OR (d.asked_until <= $3 AND d.failed_at <= $5 \
        AND (SELECT 1 FROM delivery n WHERE n.destination = d.id AND n.ended_at IS NULL AND n.due_at > d.failed_at \
          AND n.due_at <= $3 AND n.attempts = 0 LIMIT 1) IS NOT NULL)) \
      AND (SELECT 1 FROM delivery v WHERE v.destination = d.id AND v.ended_at IS NULL AND v.due_at <= $3 \
        AND (v.leased_until IS NULL OR v.leased_until <= {now}) \
        AND CASE WHEN (SELECT 1 FROM delivery o WHERE o.order_id = v.order_id AND o.destination = v.destination \
          AND o.sequence < v.sequence AND o.state || '' = 'pending' LIMIT 1) IS NULL THEN 1 END IS NOT NULL \
        ORDER BY v.due_at LIMIT 1) IS NOT NULL \
      AND (SELECT COUNT(*) FROM delivery l WHERE l.destination = d.id AND l.leased_until > {now}) \
        < CASE WHEN d.failures > 0 THEN 1 ELSE $6 END \
    ORDER BY d.served_at, d.id LIMIT $7";

/// Selects the due messages of an endpoint that have waited longest, among those without a lease and without an older
/// pending message of their order, each with the number of leases of the endpoint. $1 endpoint, $2 business time, $3
/// the most messages.
const NEXT_DELIVERIES: &str = "\
    SELECT v.id, v.channel, v.destination, v.order_id, v.sequence, v.event, v.body, v.state, v.occurred_at, v.due_at, \
      v.attempts, v.leased_until, v.ended_at, v.last_error, v.claims, v.caused_by, \
      (SELECT COUNT(*) FROM delivery l WHERE l.destination = $1 AND l.leased_until > {now}) \
    FROM delivery v WHERE v.destination = $1 AND v.ended_at IS NULL AND v.due_at <= $2 \
      AND (v.leased_until IS NULL OR v.leased_until <= {now}) \
      AND CASE WHEN (SELECT 1 FROM delivery o WHERE o.order_id = v.order_id AND o.destination = v.destination \
        AND o.sequence < v.sequence AND o.state || '' = 'pending' LIMIT 1) IS NULL THEN 1 END IS NOT NULL \
    ORDER BY v.due_at LIMIT $3";

const DISABLED_WITH_PENDING: &str = "\
    SELECT d.id, d.disabled_at FROM destination d WHERE d.disabled_at > 0 \
      AND (SELECT 1 FROM delivery v WHERE v.destination = d.id AND v.ended_at IS NULL LIMIT 1) IS NOT NULL LIMIT 1";

/// An endpoint that is served next.
#[derive(Queryable)]
pub(super) struct NextEndpoint {
    pub id: String,
    failures: i32,
    answered_at: Option<i64>,
}

impl NextEndpoint {
    pub(super) fn health(&self) -> EndpointHealth {
        EndpointHealth::of(self.answered_at.is_some(), self.failures())
    }

    /// The consecutive failures of the endpoint.
    pub(super) fn failures(&self) -> u32 {
        count(self.failures)
    }

    /// Returns the most leases that the endpoint may have. After a failure this is one, so that a hanging endpoint does
    /// not use up the concurrency.
    pub(super) fn max_leases(&self, terms: &ClaimTerms) -> i64 {
        if self.failures > 0 { 1 } else { i64::from(terms.per_endpoint) }
    }
}

pub(super) fn insert(tx: &mut Tx<'_>, rows: Vec<DeliveryRow>) -> QueryResult<()> {
    insert_all!(tx, messages::table, rows)
}

/// Returns those of the endpoints that are disabled, and keeps them disabled until the transaction ends. Creates the
/// rows of new endpoints. Waits for the lock of a row only if the endpoint is disabled.
pub(super) fn ensure_endpoints(tx: &mut Tx<'_>, to: &[(Endpoint, Channel)]) -> QueryResult<Vec<Endpoint>> {
    let ids = to.iter().map(|(endpoint, _)| &endpoint.0);
    let query = endpoints::table.filter(among(endpoints::id, ids)).limit(to.len() as i64);
    let known: Vec<(String, Option<i64>)> = load!(tx, query.select((endpoints::id, endpoints::disabled_at)))?;
    for (endpoint, channel) in to {
        if !known.iter().any(|(id, _)| *id == endpoint.0) {
            let row = DestinationRow::new(endpoint, *channel);
            let insert = diesel::insert_into(endpoints::table).values(row).on_conflict(endpoints::id).do_nothing();
            execute!(tx, insert)?;
        }
    }
    if known.iter().all(|(_, disabled_at)| disabled_at.is_none()) {
        return Ok(Vec::new());
    }
    // An operator may enable an endpoint at this moment. After that nothing would send a message that is stored as
    // dead.
    let ids = to.iter().map(|(endpoint, _)| &endpoint.0);
    let disabled = endpoints::table
        .filter(among(endpoints::id, ids).and(endpoints::disabled_at.is_not_null()))
        .order(bytewise(tx, "id"))
        .limit(to.len() as i64);
    let disabled: Vec<String> = keep_all!(tx, disabled.select(endpoints::id))?;
    Ok(disabled.into_iter().map(Endpoint).collect())
}

/// The latest due time of the order's pending messages to this endpoint. The oldest of them, which is the one that may
/// be on its way, does not end before the transaction does. So its end makes the message that this transaction stores
/// due.
pub(super) fn latest_due(tx: &mut Tx<'_>, order: &OrderId, to: &Endpoint) -> QueryResult<Option<i64>> {
    let pending = || {
        messages::table
            .filter(messages::order_id.eq(order.as_str()).and(messages::destination.eq(&to.0)))
            .filter(constant::<Bool>(IS_PENDING))
    };
    let oldest: Vec<String> = keep_all!(tx, pending().order(messages::sequence).limit(1).select(messages::id))?;
    if oldest.is_empty() {
        return Ok(None);
    }
    // A statement of its own: it sees what was committed while the statement before it waited.
    let latest = pending().select(diesel::dsl::max(messages::due_at));
    on_backend!(tx, |conn| latest.first(*conn))
}

/// Returns at most `limit` endpoints that are served next, and locks their rows until the transaction ends. Other
/// instances skip a locked row.
pub(super) fn next_endpoints(
    tx: &mut Tx<'_>,
    channel: Channel,
    terms: &ClaimTerms,
    limit: usize,
) -> QueryResult<Vec<NextEndpoint>> {
    static NEXT: LazyLock<Timed> = LazyLock::new(|| {
        // Without the hint SQLite reads and sorts all pending messages.
        let sqlite = NEXT_DESTINATIONS.replace("delivery p ", "delivery p INDEXED BY delivery_due ");
        Timed::new(&sqlite, &format!("{NEXT_DESTINATIONS} FOR UPDATE OF d SKIP LOCKED"))
    });
    let query = Statement::<(Text, Integer, Nullable<BigInt>)>::new(NEXT.text(tx))
        .text(channel.into_str())
        .bigint(rank(terms.reach))
        .bigint(millis(terms.now))
        .bigint(millis(terms.now + MAX_ENDPOINT_BACKOFF))
        .bigint(millis(terms.now - PROBE_PAUSE))
        .bigint(terms.per_endpoint)
        .bigint(limit as i64);
    load!(tx, query)
}

/// The number of a health in [`NEXT_DESTINATIONS`].
fn rank(health: EndpointHealth) -> i64 {
    match health {
        EndpointHealth::Proven => 0,
        EndpointHealth::New => 1,
        EndpointHealth::Failing => 2,
    }
}

/// Returns the due messages of an endpoint that are sent next, at most `limit`, and at most as many as the endpoint may
/// have leases for. The leases are counted again, because the choice of the endpoint saw only what was committed before
/// its row was locked.
pub(super) fn next_messages(
    tx: &mut Tx<'_>,
    to: &NextEndpoint,
    terms: &ClaimTerms,
    limit: usize,
) -> QueryResult<Vec<DeliveryRow>> {
    static NEXT: LazyLock<Timed> = LazyLock::new(|| Timed::new(NEXT_DELIVERIES, NEXT_DELIVERIES));
    let query = Statement::<(messages::SqlType, BigInt)>::new(NEXT.text(tx));
    let query = query.text(&to.id).bigint(millis(terms.now)).bigint(limit as i64);
    let rows: Vec<(DeliveryRow, i64)> = load!(tx, query)?;
    let leases = rows.first().map_or(0, |(_, leases)| *leases);
    let room = usize::try_from(to.max_leases(terms) - leases).unwrap_or(0);
    Ok(rows.into_iter().map(|(row, _)| row).take(room).collect())
}

pub(super) fn set_served(tx: &mut Tx<'_>, to: &[&str], now: Timestamp) -> QueryResult<()> {
    let these = endpoints::table.filter(among(endpoints::id, to));
    tx.defer(update(these).set(endpoints::served_at.eq(millis(now))))
}

/// The state of a message that was claimed.
#[derive(Queryable, Selectable)]
#[diesel(table_name = messages)]
pub(super) struct ClaimState {
    pub id: String,
    state: String,
    leased_until: Option<EngineTime>,
    claims: i32,
}

impl ClaimState {
    /// Returns why this claim of the message is no longer valid. `None` if the claim is valid: the message is pending,
    /// still has a lease, and was not claimed again. A lease that has only expired does not make the claim invalid.
    pub(super) fn stale(&self, claimed: &OutboxMessage) -> QueryResult<Option<StaleClaim>> {
        Ok(match word(&self.state)? {
            MessageState::Pending if self.leased_until.is_none() => Some(StaleClaim::MadeDue),
            MessageState::Pending if i64::from(self.claims) == i64::from(claimed.claims) => None,
            MessageState::Pending => Some(StaleClaim::Reclaimed),
            ended => Some(StaleClaim::Ended(ended)),
        })
    }
}

/// Locks the rows of the endpoints in the order of their ids.
pub(super) fn lock_endpoints(tx: &mut Tx<'_>, ids: &[String]) -> QueryResult<()> {
    let query = endpoints::table.filter(among(endpoints::id, ids)).order(bytewise(tx, "id")).limit(ids.len() as i64);
    let _locked: Vec<String> = lock_all!(tx, query.select(endpoints::id))?;
    Ok(())
}

/// Returns the claimed messages that still exist, with their endpoints, and locks the rows of both until the
/// transaction ends: the endpoints in the order of their ids. If the statement waits for a lock, it returns the row as
/// it is after the wait.
pub(super) fn lock_claimed(tx: &mut Tx<'_>, ids: &[&str]) -> QueryResult<Vec<(DestinationRow, ClaimState)>> {
    let query = endpoints::table
        .inner_join(messages::table.on(messages::destination.eq(endpoints::id)))
        .filter(among(messages::id, ids))
        .order(bytewise(tx, "destination.id"))
        .limit(ids.len() as i64);
    lock_all!(tx, query.select((DestinationRow::as_select(), ClaimState::as_select())))
}

/// Ends messages in this state.
pub(super) fn end(
    tx: &mut Tx<'_>,
    ids: &[&str],
    state: MessageState,
    error: Option<&str>,
    now: Timestamp,
) -> QueryResult<()> {
    let these = messages::table.filter(among(messages::id, ids));
    execute!(tx, update(these).set(Ended::new(state, error, millis(now)))).map(drop)
}

/// Makes the message due at `at`, ends its lease, and sets its number of attempts. If there is no new error, the last
/// error stays.
pub(super) fn retry_at(
    tx: &mut Tx<'_>,
    claimed: &OutboxMessage,
    at: Timestamp,
    attempts: u32,
    error: Option<&str>,
) -> QueryResult<()> {
    let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
    let change = update(messages::table.find(claimed.id.as_str())).set((
        messages::due_at.eq(millis(at)),
        messages::leased_until.eq(NO_LEASE),
        messages::attempts.eq(attempts),
        error.map(|error| messages::last_error.eq(error)),
    ));
    execute!(tx, change).map(drop)
}

/// Postpones the newer messages of the order to `at`, the time at which this message is due. Before that time, each
/// claim would read and skip them.
pub(super) fn hold_newer(tx: &mut Tx<'_>, claimed: &OutboxMessage, at: Timestamp) -> QueryResult<()> {
    let (order, to) = (claimed.order.as_str(), claimed.content.endpoint());
    move_newer(tx, "due_at < $1", (claimed.id.as_str(), order, &to.0), at)
}

/// Makes the newer messages of the order due now if they have no counted attempt.
pub(super) fn release_newer(tx: &mut Tx<'_>, id: &str, order: &str, endpoint: &str, now: Timestamp) -> QueryResult<()> {
    move_newer(tx, "due_at > $1 AND attempts = 0", (id, order, endpoint), now)
}

fn move_newer(
    tx: &mut Tx<'_>,
    those: &'static str,
    (id, order, endpoint): (&str, &str, &str),
    to: Timestamp,
) -> QueryResult<()> {
    let text = format!(
        "UPDATE delivery SET due_at = $1 WHERE order_id = $2 AND destination = $3 AND {IS_PENDING} AND {those} \
         AND sequence > (SELECT c.sequence FROM delivery c WHERE c.id = $4)"
    );
    let change = Statement::<()>::new(text).bigint(millis(to)).text(order).text(endpoint).text(id);
    execute!(tx, change).map(drop)
}

/// Marks the endpoint as disabled, so that no message is sent to it.
pub(super) fn disable(tx: &mut Tx<'_>, to: &str, now: Timestamp) -> QueryResult<()> {
    let change = update(endpoints::table.find(to)).set(endpoints::disabled_at.eq(millis(now)));
    execute!(tx, change).map(drop)
}

/// Makes at most `limit` pending messages of the endpoint dead letters, leased or not, and returns their number. The
/// messages that have waited longest come first.
pub(super) fn end_pending(tx: &mut Tx<'_>, to: &str, error: &str, at: i64, limit: u32) -> QueryResult<u32> {
    let pending = messages::table
        .filter(messages::destination.eq(to))
        .filter(constant::<Bool>(IS_PENDING))
        .order(messages::due_at)
        .limit(i64::from(limit))
        .select(messages::id);
    let ids: Vec<String> = load!(tx, pending)?;
    let dead = Ended::new(MessageState::Dead, Some(error), at);
    let change = update(messages::table.filter(among(messages::id, ids))).set(dead);
    execute!(tx, change).map(count)
}

/// Returns a disabled endpoint with pending messages, and the time at which it was disabled. Locks its row; other
/// instances skip a locked row.
pub(super) fn disabled_with_pending(tx: &mut Tx<'_>) -> QueryResult<Option<(String, i64)>> {
    let query = Statement::<(Text, BigInt)>::new(match tx.engine() {
        Engine::Sqlite => DISABLED_WITH_PENDING.to_owned(),
        Engine::Postgres => format!("{DISABLED_WITH_PENDING} FOR UPDATE OF d SKIP LOCKED"),
    });
    on_backend!(tx, |conn| query.get_result(*conn).optional())
}

/// Records that the endpoint accepted a message, so that it counts as healthy.
pub(super) fn set_healthy(tx: &mut Tx<'_>, to: &str, now: Timestamp) -> QueryResult<()> {
    let change = update(endpoints::table.find(to)).set((Failures::default(), endpoints::answered_at.eq(millis(now))));
    execute!(tx, change).map(drop)
}

/// Records a failure of the endpoint and its backoff. `rest` is the backoff that the shop decides, and `asked` is the
/// backoff that the receiver asked for. A backoff of zero is stored as the time 0: the present time of a clock that is
/// ahead would be a backoff for other instances.
pub(super) fn set_failing(
    tx: &mut Tx<'_>,
    to: &str,
    streak: FailureStreak,
    (rest, asked): (Duration, Duration),
) -> QueryResult<()> {
    let until = |wait: Duration| if wait.is_zero() { 0 } else { millis(streak.last + wait) };
    let failures = Failures {
        failures: i32::try_from(streak.failures).unwrap_or(i32::MAX),
        failing_since: Some(millis(streak.first)),
        failed_at: Some(millis(streak.last)),
        rest_until: until(rest),
        asked_until: until(asked),
    };
    execute!(tx, update(endpoints::table.find(to)).set(failures)).map(drop)
}

pub(super) fn forget(tx: &mut Tx<'_>, before: Timestamp, dead_before: Timestamp, limit: u32) -> QueryResult<u32> {
    let over = [MessageState::Delivered, MessageState::Unwanted].map(|state| state.into_str());
    let ended = messages::table
        .filter(among(messages::state, over).and(messages::ended_at.lt(millis(before))))
        .or_filter(messages::state.eq(MessageState::Dead.into_str()).and(messages::ended_at.lt(millis(dead_before))))
        .limit(i64::from(limit))
        .select(messages::id);
    let ids: Vec<String> = load!(tx, ended)?;
    // Deletes only messages that are still ended, because an operator may have retried one of them meanwhile.
    let over = among(messages::id, ids).and(messages::state.ne(MessageState::Pending.into_str()));
    execute!(tx, diesel::delete(messages::table.filter(over))).map(count)
}
