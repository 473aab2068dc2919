//! Pinned platforms.

use diesel::prelude::*;
use domain::PortFuture;
use domain::context::{PlatformId, RequestContext};
use domain::fault::Fault;
use domain::page::{Cursor, Limit, Page};
use domain::platform::{PinnedPlatform, PlatformStore};

use crate::database::{Database, Operation, Tx, bytewise, execute, first, load};
use crate::schema::platform;
use crate::stored::{instant, millis, one_more_than};

/// The [`PlatformStore`] in the database.
pub struct SqlPlatformStore(pub Database);

impl PlatformStore for SqlPlatformStore {
    fn find(&self, ctx: &RequestContext, id: &PlatformId) -> PortFuture<Option<PinnedPlatform>, Fault> {
        let id = id.clone();
        self.0.run(ctx, Operation::read_one("platform.find"), move |tx| Ok(find(tx, &id)?))
    }

    fn pin(&self, ctx: &RequestContext, pinned: PinnedPlatform) -> PortFuture<(), Fault> {
        self.0.run(ctx, Operation::repeatable_write("platform.pin", "sets columns to fixed values"), move |tx| {
            Ok(pin(tx, &pinned)?)
        })
    }

    fn list(
        &self,
        ctx: &RequestContext,
        after: Option<Cursor>,
        limit: Limit,
    ) -> PortFuture<Page<PinnedPlatform>, Fault> {
        self.0.run(ctx, Operation::read_one("platform.list"), move |tx| Ok(list(tx, after.as_ref(), limit)?))
    }

    fn remove(&self, ctx: &RequestContext, id: &PlatformId) -> PortFuture<bool, Fault> {
        let id = id.clone();
        self.0.run(ctx, Operation::write("platform.remove"), move |tx| Ok(remove(tx, &id)?))
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

fn list(tx: &mut Tx<'_>, after: Option<&Cursor>, limit: Limit) -> QueryResult<Page<PinnedPlatform>> {
    let id = bytewise(tx, "id");
    let after = after.map_or("", |cursor| cursor.0.as_str());
    let query = platform::table.filter(id.clone().gt(after)).order(id).limit(one_more_than(limit.get()));
    let rows: Vec<Row> = load!(tx, query)?;
    let platforms = rows.into_iter().map(pinned).collect::<QueryResult<_>>()?;
    Ok(Page::of(platforms, limit, |platform| platform.id.0.clone()))
}

fn remove(tx: &mut Tx<'_>, id: &PlatformId) -> QueryResult<bool> {
    let delete = diesel::delete(platform::table.find(&id.0));
    Ok(execute!(tx, delete)? == 1)
}

fn pinned((id, profile, pinned_at): Row) -> QueryResult<PinnedPlatform> {
    Ok(PinnedPlatform { id: PlatformId(id), profile, pinned_at: instant(pinned_at)? })
}
