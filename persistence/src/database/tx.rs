//! The open transaction, and the macros that run statements in it.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::Engine;
use super::constant::{Constant, constant};
use super::deferred::{Deferrable, Deferred, Expected};

/// Permission to run SQL in the open transaction. Only this folder creates a `Tx`, and only for a synchronous closure,
/// so nothing can be awaited during a transaction.
pub(crate) struct Tx<'c> {
    conn: TxConn<'c>,
    deferred: Deferred,
}

/// The connection of a transaction.
pub(crate) enum TxConn<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl<'c> Tx<'c> {
    pub(super) fn new(conn: TxConn<'c>) -> Self {
        Self { conn, deferred: Deferred::default() }
    }

    pub(crate) const fn engine(&self) -> Engine {
        match self.conn {
            TxConn::Sqlite(_) => Engine::Sqlite,
            TxConn::Postgres(_) => Engine::Postgres,
        }
    }

    /// Returns the connection for the next statement. Sends the deferred writes first.
    pub(crate) fn conn(&mut self) -> QueryResult<&mut TxConn<'c>> {
        self.send_deferred()?;
        Ok(&mut self.conn)
    }

    /// Runs a write together with the deferred writes before and after it: at the latest before the next statement or
    /// the commit. On SQLite it runs at once, because a statement costs no round trip there.
    ///
    /// The order of deferred writes is not defined. So an update defers only changes of rows that the transaction has
    /// locked, or it could deadlock with another transaction.
    pub(crate) fn defer(&mut self, write: impl Deferrable) -> QueryResult<()> {
        self.add(write, Expected::Any)
    }

    /// Does the same for a write that must change one row. `otherwise` is the error if it changes another number.
    pub(crate) fn defer_one(&mut self, write: impl Deferrable, otherwise: String) -> QueryResult<()> {
        self.add(write, Expected::One(otherwise))
    }

    fn add<W: Deferrable>(&mut self, write: W, expected: Expected) -> QueryResult<()> {
        match &mut self.conn {
            TxConn::Sqlite(conn) => expected.check(W::execute(write, conn)?),
            TxConn::Postgres(conn) => self.deferred.push(conn, write, expected),
        }
    }

    /// Sends the deferred writes. The end of the body of a transaction calls it too.
    pub(super) fn send_deferred(&mut self) -> QueryResult<()> {
        match &mut self.conn {
            TxConn::Sqlite(_) => Ok(()),
            TxConn::Postgres(conn) => self.deferred.send(conn),
        }
    }
}

/// Runs one query on the engine of `$tx`. The compiler checks the query for each engine.
macro_rules! on_backend {
    ($tx:expr, |$conn:ident| $query:expr) => {
        match $tx.conn() {
            Ok($crate::database::TxConn::Sqlite($conn)) => $query,
            Ok($crate::database::TxConn::Postgres($conn)) => $query,
            Err(error) => Err(error),
        }
    };
}
pub(crate) use on_backend;

/// Runs a statement and returns the number of changed rows.
macro_rules! execute {
    ($tx:expr, $statement:expr) => {
        $crate::database::on_backend!($tx, |conn| $statement.execute(*conn))
    };
}
/// Returns all rows of a query.
macro_rules! load {
    ($tx:expr, $query:expr) => {
        $crate::database::on_backend!($tx, |conn| $query.load(*conn))
    };
}
/// Returns the first row of a query, if there is one.
macro_rules! first {
    ($tx:expr, $query:expr) => {
        $crate::database::on_backend!($tx, |conn| $query.first(*conn).optional())
    };
}
/// Returns the first row of a query, if there is one, and locks the row until the transaction ends. On SQLite there are
/// no row locks: a transaction that writes holds the only write lock.
macro_rules! lock {
    ($tx:expr, $query:expr) => {
        match $tx.conn() {
            Ok($crate::database::TxConn::Sqlite(conn)) => $query.first(*conn).optional(),
            Ok($crate::database::TxConn::Postgres(conn)) => $query.for_update().first(*conn).optional(),
            Err(error) => Err(error),
        }
    };
}
/// Returns all rows of a query, and locks them in the order of the query until the transaction ends.
macro_rules! lock_all {
    ($tx:expr, $query:expr) => {
        match $tx.conn() {
            Ok($crate::database::TxConn::Sqlite(conn)) => $query.load(*conn),
            Ok($crate::database::TxConn::Postgres(conn)) => $query.for_update().load(*conn),
            Err(error) => Err(error),
        }
    };
}
/// Returns all rows of a query, and keeps other transactions from changing them until the transaction ends. Several
/// transactions can keep the same row.
macro_rules! keep_all {
    ($tx:expr, $query:expr) => {
        match $tx.conn() {
            Ok($crate::database::TxConn::Sqlite(conn)) => $query.load(*conn),
            Ok($crate::database::TxConn::Postgres(conn)) => $query.for_share().load(*conn),
            Err(error) => Err(error),
        }
    };
}
/// Returns the rows of a query that no other transaction has locked, and locks these rows until the transaction ends.
macro_rules! lock_free {
    ($tx:expr, $query:expr) => {
        match $tx.conn() {
            Ok($crate::database::TxConn::Sqlite(conn)) => $query.load(*conn),
            Ok($crate::database::TxConn::Postgres(conn)) => $query.for_update().skip_locked().load(*conn),
            Err(error) => Err(error),
        }
    };
}
pub(crate) use {execute, first, keep_all, load, lock, lock_all, lock_free};

/// A text column, ordered by its bytes. On Postgres the default order is the collation of the database. With that
/// order, lists would differ between the engines, and rows would be locked in another order than in the program.
pub(crate) fn bytewise(tx: &Tx<'_>, column: &'static str) -> Constant<Text> {
    match tx.engine() {
        Engine::Sqlite => constant(column),
        Engine::Postgres => constant(format!("{column} COLLATE \"C\"")),
    }
}
