//! SQL for what operators see of the outbox, and for their commands.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use domain::clock::Timestamp;
use domain::outbox::{Endpoint, EndpointSummary, MessageFilter, MessageState, MessageSummary, NextAttempt, Selection};
use domain::page::{Cursor, Limit, Page};

use super::queries::{self, IS_PENDING};
use super::rows::{DeliveryRow, DestinationRow, Ended, Failures};
use crate::database::{
    EngineTime, NO_LEASE, Statement, Tx, among, constant, engine_now, execute, first, load, on_backend, update,
};
use crate::schema::{delivery as messages, destination as endpoints};
use crate::stored::{count, millis, nearest_instant, one_more_than, word};

/// The predicate of the partial index on dead letters. The text is equal to that of the migration.
const IS_DEAD: &str = "state = 'dead'";
/// The error of messages that an operator ends.
const GIVEN_UP_BY_HAND: &str = "given up by hand";

/// Selects the state of endpoints. A comparison of the id with $2 follows. $1 engine time, $2 an endpoint id, $3 a
/// limit.
const DESTINATIONS: &str = "\
    SELECT d.id, d.channel, d.failing_since, d.rest_until, d.disabled_at, \
      (SELECT COUNT(*) FROM delivery p WHERE p.destination = d.id AND p.ended_at IS NULL) AS pending, \
      (SELECT COUNT(*) FROM delivery x WHERE x.destination = d.id AND x.state = 'dead') AS dead, \
      (SELECT MIN(o.occurred_at) FROM delivery o WHERE o.destination = d.id AND o.ended_at IS NULL) AS oldest, \
      (SELECT COUNT(*) FROM delivery l WHERE l.destination = d.id AND l.leased_until > $1) AS leases \
    FROM destination d WHERE d.id";

/// The columns of [`DESTINATIONS`].
type Columns = (Text, Text, Nullable<BigInt>, BigInt, Nullable<BigInt>, BigInt, BigInt, Nullable<BigInt>, BigInt);

#[derive(Queryable)]
struct Known {
    id: String,
    channel: String,
    failing_since: Option<i64>,
    rest_until: i64,
    disabled_at: Option<i64>,
    pending: i64,
    dead: i64,
    oldest: Option<i64>,
    leases: i64,
}

/// Returns a page of messages, the newest first: ids sort by the time of their events. For each state, an index returns
/// the newest messages.
pub(super) fn list(
    tx: &mut Tx<'_>,
    filter: &MessageFilter,
    after: Option<&Cursor>,
    limit: Limit,
) -> QueryResult<Page<MessageSummary>> {
    /// A text that sorts after the id of every message.
    const NEWEST: &str = "zz";
    let after = after.map_or(NEWEST, |cursor| cursor.0.as_str());
    let mut rows = Vec::<(DeliveryRow, Option<DestinationRow>)>::new();
    for state in filter.state.map_or(MessageState::ALL.to_vec(), |state| vec![state]) {
        let query = messages::table
            .left_join(endpoints::table.on(endpoints::id.eq(messages::destination)))
            .filter(messages::state.eq(state.into_str()))
            .filter(messages::id.lt(after))
            .order(messages::id.desc());
        let most = one_more_than(limit.get());
        let of_state: Vec<(DeliveryRow, Option<DestinationRow>)> = match &filter.endpoint {
            Some(to) => {
                let query = query.filter(messages::destination.eq(&to.0)).limit(most);
                load!(tx, query.select((DeliveryRow::as_select(), Option::<DestinationRow>::as_select())))?
            }
            None => {
                let query = query.limit(most);
                load!(tx, query.select((DeliveryRow::as_select(), Option::<DestinationRow>::as_select())))?
            }
        };
        rows.extend(of_state);
    }
    rows.sort_unstable_by(|(one, _), (other, _)| other.id.cmp(&one.id));
    let Page { items: rows, next: next_page } = Page::of(rows, limit, |(row, _)| row.id.clone());
    let at = engine_now(tx)?;
    let summaries = rows.into_iter().map(|(row, endpoint)| {
        let next = next(&row, endpoint.as_ref(), at);
        Ok(row.summary()?.map(|summary| MessageSummary { next, ..summary }))
    });
    Ok(Page { items: summaries.filter_map(Result::transpose).collect::<QueryResult<_>>()?, next: next_page })
}

fn next(row: &DeliveryRow, endpoint: Option<&DestinationRow>, at: EngineTime) -> Option<NextAttempt> {
    if row.state != MessageState::Pending.into_str() {
        return None;
    }
    if let Some(until) = row.leased_until.filter(|until| *until > at) {
        return Some(NextAttempt::Leased(until.for_display()));
    }
    if endpoint.is_some_and(|endpoint| endpoint.disabled_at.is_some()) {
        return Some(NextAttempt::GivenUp);
    }
    let rest = endpoint.map_or(0, |endpoint| endpoint.rest_until);
    Some(NextAttempt::At(nearest_instant(row.due_at.max(rest))))
}

pub(super) fn endpoint(tx: &mut Tx<'_>, name: &Endpoint) -> QueryResult<Option<EndpointSummary>> {
    Ok(known(tx, "=", &name.0, 1)?.pop())
}

pub(super) fn endpoints(tx: &mut Tx<'_>, after: Option<&Cursor>, limit: Limit) -> QueryResult<Page<EndpointSummary>> {
    let after = after.map_or("", |cursor| cursor.0.as_str());
    Ok(Page::of(known(tx, ">", after, one_more_than(limit.get()))?, limit, |endpoint| endpoint.id.0.clone()))
}

/// Returns the endpoints whose id is equal to `name` or after it, as the operator `compared` says, in the order of
/// their ids.
fn known(tx: &mut Tx<'_>, compared: &'static str, name: &str, limit: i64) -> QueryResult<Vec<EndpointSummary>> {
    let at = engine_now(tx)?;
    let query = Statement::<Columns>::new(format!("{DESTINATIONS} {compared} $2 ORDER BY d.id LIMIT $3"));
    let query = query.bigint(at).text(name).bigint(limit);
    let known: Vec<Known> = load!(tx, query)?;
    known.into_iter().map(Known::summary).collect()
}

impl Known {
    fn summary(self) -> QueryResult<EndpointSummary> {
        Ok(EndpointSummary {
            channel: word(&self.channel)?,
            id: Endpoint(self.id),
            pending: count(self.pending),
            dead: count(self.dead),
            oldest_pending: self.oldest.map(nearest_instant),
            leased: count(self.leases),
            failing_since: self.failing_since.map(nearest_instant),
            backoff_until: nearest_instant(self.rest_until),
            disabled_at: self.disabled_at.map(nearest_instant),
        })
    }
}

pub(super) fn retry(tx: &mut Tx<'_>, which: &Selection, now: Timestamp, limit: u32) -> QueryResult<u32> {
    let at = engine_now(tx)?;
    if let Selection::Of(to) = which {
        // Before the choice: a transaction that stores a dead letter for the endpoint has locked it.
        queries::lock_endpoints(tx, std::slice::from_ref(&to.0))?;
    }
    let mut chosen = dead(tx, which, limit)?;
    let room = limit.saturating_sub(count(chosen.len()));
    chosen.extend(match which {
        Selection::One(id) => with_older(tx, id.as_str(), at, room)?,
        Selection::Of(to) => waiting(tx, &to.0, Some(now), at, room)?,
        Selection::All => Vec::new(),
    });
    let (ids, mut endpoints): (Vec<String>, Vec<String>) = chosen.into_iter().unzip();
    if let Selection::Of(to) = which {
        endpoints.push(to.0.clone());
    }
    endpoints.sort_unstable();
    endpoints.dedup();
    if endpoints.is_empty() {
        return Ok(0);
    }

    // In the order in which records lock them.
    queries::lock_endpoints(tx, &endpoints)?;
    let change = update(endpoints::table.filter(among(endpoints::id, endpoints)))
        .set((endpoints::disabled_at.eq(None::<i64>), Failures::default()));
    execute!(tx, change)?;
    // Changes only messages that are still dead or waiting, because another transaction may have changed a message
    // while this one waited for the endpoint.
    let is_dead = messages::state.eq(MessageState::Dead.into_str());
    let those = among(messages::id, ids).and(is_dead.or(is_waiting(at)));
    let change = update(messages::table.filter(those)).set((
        messages::state.eq(MessageState::Pending.into_str()),
        messages::due_at.eq(millis(now)),
        messages::attempts.eq(0),
        messages::leased_until.eq(NO_LEASE),
        messages::ended_at.eq(None::<i64>),
    ));
    execute!(tx, change).map(count)
}

pub(super) fn give_up(tx: &mut Tx<'_>, which: &Selection, now: Timestamp, limit: u32) -> QueryResult<u32> {
    let at = engine_now(tx)?;
    let chosen = match which {
        Selection::One(id) => {
            with_older(tx, id.as_str(), at, limit)?.into_iter().filter(|it| it.0 == id.as_str()).collect()
        }
        Selection::Of(to) => waiting(tx, &to.0, None, at, limit)?,
        Selection::All => Vec::new(),
    };
    let Some((_, to)) = chosen.first() else { return Ok(0) };
    queries::lock_endpoints(tx, std::slice::from_ref(to))?;
    let ids = chosen.iter().map(|(id, _)| id.as_str());
    let dead = Ended::new(MessageState::Dead, Some(GIVEN_UP_BY_HAND), millis(now));
    let change = update(messages::table.filter(among(messages::id, ids).and(is_waiting(at)))).set(dead);
    let given_up = execute!(tx, change)?;
    if let Selection::One(id) = which {
        let query = messages::table.find(id.as_str()).select(messages::order_id);
        let order: String = on_backend!(tx, |conn| query.first(*conn))?;
        queries::release_newer(tx, id.as_str(), &order, to, now)?;
    }
    Ok(count(given_up))
}

/// Whether a message is pending and has no lease at the time `at`.
#[diesel::dsl::auto_type(no_type_alias)]
fn is_waiting(at: EngineTime) -> _ {
    let pending: &'static str = MessageState::Pending.into_str();
    let is_free: queries::is_free = queries::is_free(at);
    messages::state.eq(pending).and(is_free)
}

/// Returns the ids of at most `limit` dead letters, each with the id of its endpoint.
fn dead(tx: &mut Tx<'_>, which: &Selection, limit: u32) -> QueryResult<Vec<(String, String)>> {
    let dead = messages::table
        .filter(constant::<Bool>(IS_DEAD))
        .order(messages::ended_at)
        .select((messages::id, messages::destination));
    let limit = i64::from(limit);
    match which {
        Selection::One(id) => load!(tx, dead.filter(messages::id.eq(id.as_str())).limit(limit)),
        Selection::Of(to) => load!(tx, dead.filter(messages::destination.eq(&to.0)).limit(limit)),
        Selection::All => load!(tx, dead.limit(limit)),
    }
}

/// Returns the id of a waiting message, and the ids of the older messages of its order, which are sent first. Each id
/// comes with the id of the endpoint.
fn with_older(tx: &mut Tx<'_>, id: &str, at: EngineTime, limit: u32) -> QueryResult<Vec<(String, String)>> {
    let query = messages::table.find(id).filter(is_waiting(at));
    let query = query.select((messages::order_id, messages::destination, messages::sequence));
    let found: Option<(String, String, i32)> = first!(tx, query)?;
    let Some((order, to, sequence)) = found else { return Ok(Vec::new()) };
    let query = messages::table
        .filter(messages::order_id.eq(order).and(messages::destination.eq(to)))
        .filter(messages::sequence.le(sequence))
        .filter(is_waiting(at))
        .order(messages::sequence)
        .limit(i64::from(limit))
        .select((messages::id, messages::destination));
    load!(tx, query)
}

/// Returns the ids of messages that wait for an endpoint, each with the id of the endpoint. With `after`, only of
/// messages that are due later than `after`.
fn waiting(
    tx: &mut Tx<'_>,
    to: &str,
    after: Option<Timestamp>,
    at: EngineTime,
    limit: u32,
) -> QueryResult<Vec<(String, String)>> {
    let query = messages::table
        .filter(messages::destination.eq(to))
        .filter(constant::<Bool>(IS_PENDING))
        .filter(messages::due_at.gt(after.map_or(i64::MIN, millis)))
        .filter(is_waiting(at))
        .order(messages::due_at)
        .limit(i64::from(limit))
        .select((messages::id, messages::destination));
    load!(tx, query)
}
