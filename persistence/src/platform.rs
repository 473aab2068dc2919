//! Pinned platforms.

use diesel::prelude::*;
use domain::PortFuture;
use domain::context::{PlatformId, RequestContext};
use domain::fault::Fault;
use domain::platform::{PinnedPlatform, PlatformStore};

use crate::database::{Database, Operation, Tx, bytewise, execute, first, load};
use crate::schema::platform;
use crate::stored::{instant, millis};

pub struct SqlPlatformStore {
    database: Database,
}

impl SqlPlatformStore {
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl PlatformStore for SqlPlatformStore {
    fn find(&self, ctx: &RequestContext, id: &PlatformId) -> PortFuture<Option<PinnedPlatform>, Fault> {
        let id = id.clone();
        self.database.run(ctx, Operation::read("platform.find"), move |tx| Ok(find(tx, &id)?))
    }

    fn pin(&self, ctx: &RequestContext, pinned: PinnedPlatform) -> PortFuture<(), Fault> {
        self.database.run(
            ctx,
            Operation::repeatable_write("platform.pin", "it sets what it would set again"),
            move |tx| Ok(pin(tx, &pinned)?),
        )
    }

    fn list(&self, ctx: &RequestContext, limit: u32) -> PortFuture<Vec<PinnedPlatform>, Fault> {
        self.database.run(ctx, Operation::read("platform.list"), move |tx| Ok(list(tx, limit)?))
    }

    fn remove(&self, ctx: &RequestContext, id: &PlatformId) -> PortFuture<bool, Fault> {
        let id = id.clone();
        self.database.run(ctx, Operation::write("platform.remove"), move |tx| Ok(remove(tx, &id)?))
    }
}

type Row = (String, String, i64);

fn find(tx: &mut Tx<'_>, id: &PlatformId) -> QueryResult<Option<PinnedPlatform>> {
    let query = platform::table.find(&id.0);
    let row: Option<Row> = first!(tx, query)?;
    row.map(pinned).transpose()
}

fn pin(tx: &mut Tx<'_>, pinned: &PinnedPlatform) -> QueryResult<()> {
    let document = (platform::profile.eq(&pinned.profile), platform::pinned_at.eq(millis(pinned.pinned_at)));
    let insert = diesel::insert_into(platform::table)
        .values((platform::id.eq(&pinned.id.0), document))
        .on_conflict(platform::id)
        .do_update()
        .set(document);
    execute!(tx, insert).map(drop)
}

fn list(tx: &mut Tx<'_>, limit: u32) -> QueryResult<Vec<PinnedPlatform>> {
    let query = platform::table.order(bytewise(tx, "id")).limit(i64::from(limit));
    let rows: Vec<Row> = load!(tx, query)?;
    rows.into_iter().map(pinned).collect()
}

fn remove(tx: &mut Tx<'_>, id: &PlatformId) -> QueryResult<bool> {
    let delete = diesel::delete(platform::table.find(&id.0));
    Ok(execute!(tx, delete)? == 1)
}

fn pinned((id, profile, pinned_at): Row) -> QueryResult<PinnedPlatform> {
    Ok(PinnedPlatform { id: PlatformId(id), profile, pinned_at: instant(pinned_at)? })
}
