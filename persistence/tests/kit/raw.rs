//! Connections that do not belong to the shop: to hold locks, to read rows, to break things.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

pub enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

#[derive(QueryableByName)]
struct TextRow {
    #[diesel(sql_type = Text)]
    value: String,
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

#[derive(QueryableByName)]
struct SqlitePlanRow {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[derive(QueryableByName)]
struct PostgresPlanRow {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    line: String,
}

impl Raw {
    pub fn connect(url: &str) -> Self {
        let mut raw = match url.strip_prefix("sqlite://") {
            Some(path) => Self::Sqlite(SqliteConnection::establish(path).expect("a connection")),
            None => Self::Postgres(PgConnection::establish(url).expect("a connection")),
        };
        // The recorder of statements is removed, because statements of a test are not statements of the product.
        match &mut raw {
            Self::Sqlite(conn) => {
                conn.set_instrumentation(None::<Box<dyn diesel::connection::Instrumentation>>);
                conn.batch_execute("PRAGMA busy_timeout = 20000").expect("a pragma");
            }
            Self::Postgres(conn) => conn.set_instrumentation(None::<Box<dyn diesel::connection::Instrumentation>>),
        }
        raw
    }

    pub fn execute(&mut self, sql: &str) {
        self.try_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub fn try_execute(&mut self, sql: &str) -> QueryResult<()> {
        match self {
            Self::Sqlite(conn) => conn.batch_execute(sql),
            Self::Postgres(conn) => conn.batch_execute(sql),
        }
    }

    /// Returns the one integer that `sql` selects.
    pub fn number(&mut self, sql: &str) -> i64 {
        let sql = format!("SELECT CAST(({sql}) AS BIGINT) AS value");
        let row: NumberRow = match self {
            Self::Sqlite(conn) => diesel::sql_query(&sql).get_result(conn),
            Self::Postgres(conn) => diesel::sql_query(&sql).get_result(conn),
        }
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
        row.value
    }

    /// Returns the column `value` of the rows that `sql` selects.
    pub fn texts(&mut self, sql: &str) -> Vec<String> {
        let rows: Vec<TextRow> = match self {
            Self::Sqlite(conn) => diesel::sql_query(sql).load(conn),
            Self::Postgres(conn) => diesel::sql_query(sql).load(conn),
        }
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.into_iter().map(|row| row.value).collect()
    }

    /// Runs `explain` and returns the rows of its result.
    pub fn plan(&mut self, explain: &str) -> QueryResult<Vec<String>> {
        match self {
            Self::Sqlite(conn) => {
                let rows = diesel::sql_query(explain).load::<SqlitePlanRow>(conn)?;
                Ok(rows.into_iter().map(|row| row.detail).collect())
            }
            Self::Postgres(conn) => {
                let rows = diesel::sql_query(explain).load::<PostgresPlanRow>(conn)?;
                Ok(rows.into_iter().map(|row| row.line).collect())
            }
        }
    }

    pub fn tables(&mut self) -> Vec<String> {
        self.texts(match self {
            Self::Sqlite(_) => "SELECT name AS value FROM sqlite_master",
            Self::Postgres(_) => "SELECT CAST(tablename AS TEXT) AS value FROM pg_tables WHERE schemaname = 'public'",
        })
    }

    /// The tables that the migrations create.
    pub fn product_tables(&mut self) -> Vec<String> {
        let own = |name: &String| !name.starts_with("__diesel") && !name.starts_with("sqlite_");
        let sql = match self {
            Self::Sqlite(_) => "SELECT name AS value FROM sqlite_master WHERE type = 'table' ORDER BY rowid",
            Self::Postgres(_) => "SELECT CAST(tablename AS TEXT) AS value FROM pg_tables WHERE schemaname = 'public'",
        };
        self.texts(sql).into_iter().filter(own).collect()
    }

    /// The columns of a table, in any order.
    pub fn columns(&mut self, table: &str) -> Vec<String> {
        let sql = match self {
            Self::Sqlite(_) => format!("SELECT name AS value FROM pragma_table_info('{table}')"),
            Self::Postgres(_) => format!(
                "SELECT CAST(column_name AS TEXT) AS value FROM information_schema.columns \
                 WHERE table_schema = 'public' AND table_name = '{table}'"
            ),
        };
        self.texts(&sql)
    }

    pub fn count(&mut self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}"))
    }

    /// Returns the units of a SKU on hand and the units held.
    pub fn level(&mut self, sku: &str) -> (i64, i64) {
        let mut of = |column| self.number(&format!("SELECT {column} FROM stock WHERE sku = '{sku}'"));
        (of("on_hand"), of("held"))
    }

    /// Returns all rows of all tables, with every column that the engine's catalog lists. If the states before and
    /// after a call are equal, the call has changed nothing.
    pub fn state(&mut self) -> Vec<String> {
        let mut state = Vec::new();
        for table in self.product_tables() {
            let mut columns = self.columns(&table);
            columns.sort();
            let quote = match self {
                Self::Sqlite(_) => "quote",
                Self::Postgres(_) => "quote_nullable",
            };
            let shown: Vec<String> = columns.iter().map(|column| format!("{quote}({column})")).collect();
            let rows = self.texts(&format!("SELECT '{table} ' || {} AS value FROM {table}", shown.join(" || ' ' || ")));
            state.extend(rows);
        }
        state.sort();
        state
    }

    /// Takes the lock that a write of the shop needs: on SQLite the only write lock, on Postgres the locks of the rows
    /// that `select` returns. Holds the lock until [`Raw::release`].
    pub fn hold(&mut self, select: &str) {
        match self {
            Self::Sqlite(_) => self.execute("BEGIN IMMEDIATE"),
            Self::Postgres(_) => self.execute(&format!("BEGIN; {select} FOR UPDATE")),
        }
    }

    pub fn release(&mut self) {
        self.execute("ROLLBACK");
    }

    /// The number of other sessions of this Postgres database that wait for a lock.
    pub fn waiting(&mut self) -> i64 {
        self.number(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
    }

    /// Ends all other sessions of this Postgres database and returns their number. A session that waits for a lock ends
    /// first, so that it does not get the lock of another one.
    pub fn terminate_others(&mut self) -> i64 {
        self.number(
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() \
             ORDER BY coalesce(wait_event_type = 'Lock', false) DESC) others",
        )
    }
}
