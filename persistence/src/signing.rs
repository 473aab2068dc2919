//! The shop's signing keys, shared by its instances. Every account that may read the database may read them.

use diesel::prelude::*;
use domain::PortFuture;
use domain::clock::Timestamp;
use domain::context::RequestContext;
use domain::fault::Fault;
use domain::secret::Secret;
use domain::signing::{KeyStore, SigningKey};

use crate::database::{Database, Operation, Tx, execute, load, update};
use crate::schema::signing_key;
use crate::stored::{all_of, instant, malformed, millis, one_more_than};

/// The most signing keys that are stored: enough for a century with four rotations a year.
const MAX_KEYS: usize = 400;

/// The [`KeyStore`] in the database.
pub struct SqlKeyStore(pub Database);

impl KeyStore for SqlKeyStore {
    fn keys(&self, ctx: &RequestContext) -> PortFuture<Vec<SigningKey>, Fault> {
        self.0.run(ctx, Operation::read_one("signing.keys"), |tx| Ok(keys(tx)?))
    }

    fn add(&self, ctx: &RequestContext, key: SigningKey, seen: usize) -> PortFuture<bool, Fault> {
        self.0.run(ctx, Operation::write("signing.add"), move |tx| Ok(add(tx, &key, seen)?))
    }

    fn revoke(&self, ctx: &RequestContext, id: String, now: Timestamp) -> PortFuture<bool, Fault> {
        self.0.run(ctx, Operation::write("signing.revoke"), move |tx| Ok(revoke(tx, &id, now)?))
    }
}

fn keys(tx: &mut Tx<'_>) -> QueryResult<Vec<SigningKey>> {
    type Row = (i32, String, String, i64, i64, Option<i64>);
    let query = signing_key::table.order(signing_key::number).limit(one_more_than(MAX_KEYS));
    let rows: Vec<Row> = load!(tx, query)?;
    all_of(&rows, MAX_KEYS, "signing keys")?;
    let key = |(_, id, private, created_at, signs_from, revoked_at): Row| {
        let (created_at, signs_from) = (instant(created_at)?, instant(signs_from)?);
        let revoked_at = revoked_at.map(instant).transpose()?;
        Ok(SigningKey { id, private: Secret::new(private), created_at, signs_from, revoked_at })
    };
    rows.into_iter().map(key).collect()
}

fn add(tx: &mut Tx<'_>, key: &SigningKey, seen: usize) -> QueryResult<bool> {
    if seen >= MAX_KEYS {
        // With one key more, every read of the keys would fail.
        return Err(malformed(format!("there are {MAX_KEYS} signing keys already, and no more are read")));
    }
    let values = (
        signing_key::number.eq(i32::try_from(seen).map_err(|_| malformed("too many keys"))?),
        signing_key::id.eq(&key.id),
        signing_key::private.eq(key.private.expose()),
        signing_key::created_at.eq(millis(key.created_at)),
        signing_key::signs_from.eq(millis(key.signs_from)),
        signing_key::revoked_at.eq(key.revoked_at.map(millis)),
    );
    let insert = diesel::insert_into(signing_key::table).values(values).on_conflict(signing_key::number).do_nothing();
    Ok(execute!(tx, insert)? == 1)
}

fn revoke(tx: &mut Tx<'_>, id: &str, now: Timestamp) -> QueryResult<bool> {
    let key = signing_key::table.filter(signing_key::id.eq(id)).filter(signing_key::revoked_at.is_null());
    let change = update(key).set(signing_key::revoked_at.eq(millis(now)));
    Ok(execute!(tx, change)? == 1)
}
