//! A directory and a database for one test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, RunQueryDsl, SqliteConnection};
use faultkit::provided::{self, POSTGRES};

use super::logs::Record;
use super::server::Server;

/// Servers are started on it. It must outlive them.
pub struct Place {
    directory: tempfile::TempDir,
    database: Option<Database>,
    record: Arc<Record>,
}

/// A Postgres database that is created for one test and dropped after it.
struct Database {
    admin: String,
    name: String,
    url: String,
}

impl Place {
    pub fn sqlite() -> Self {
        provided::used("SQLite");
        Self::directory_only()
    }

    /// Only a directory, for a test that uses another database.
    pub fn directory_only() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory"), database: None, record: Arc::default() }
    }

    /// `None` if no Postgres server is configured. The test is then reported as skipped.
    pub fn postgres() -> Option<Self> {
        let admin = POSTGRES.get()?;
        let name = format!("shop_{}", uuid::Uuid::new_v4().simple());
        execute(&admin, &format!("CREATE DATABASE {name} TEMPLATE template0"));
        let mut url = url::Url::parse(&admin).expect("an admin url");
        url.set_path(&name);
        POSTGRES.used();
        let database = Some(Database { admin, name, url: url.into() });
        Some(Self { database, ..Self::directory_only() })
    }

    pub fn is_postgres(&self) -> bool {
        self.database.is_some()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn database_url(&self) -> String {
        match &self.database {
            Some(database) => database.url.clone(),
            None => format!("sqlite://{}", self.sqlite_path().display()),
        }
    }

    pub fn sqlite_path(&self) -> PathBuf {
        self.directory().join("shop.db")
    }

    /// The ledger of the simulated payments. `integrations::mock_gateway::Ledger` reads it.
    pub fn ledger_path(&self) -> PathBuf {
        self.directory().join("payments.ledger")
    }

    /// Every answer and log line so far, of all servers of this place.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Starts a server with the settings of the kit.
    pub async fn serve(&self) -> Server {
        Server::start(self, &[]).await
    }

    /// Starts a server with the settings of the kit and these pairs of variable and value, which take precedence.
    pub async fn serve_with(&self, settings: &[(&str, &str)]) -> Server {
        Server::start(self, settings).await
    }

    /// The environment of a server. The waits are long, so that a slow machine fails no test.
    pub fn settings(&self) -> Vec<(String, String)> {
        let settings = [
            ("TUCKSHOP_HTTP_ADDRESS", "127.0.0.1:0".to_owned()),
            ("TUCKSHOP_HTTP_WORKERS", "2".to_owned()),
            ("TUCKSHOP_LOG_FORMAT", "json".to_owned()),
            ("TUCKSHOP_DATABASE_URL", self.database_url()),
            ("TUCKSHOP_DATABASE_POOL_SIZE", "8".to_owned()),
            ("TUCKSHOP_DATABASE_POOL_WAIT_MS", "10000".to_owned()),
            ("TUCKSHOP_SIMULATION_LEDGER_PATH", self.ledger_path().display().to_string()),
            ("TUCKSHOP_SIMULATION_SECRET", super::server::SECRET.to_owned()),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The number of rows of a table.
    pub fn count(&self, table: &str) -> i64 {
        let counted = diesel::dsl::sql::<diesel::sql_types::BigInt>(&format!("SELECT COUNT(*) FROM {table}"));
        let count = match &self.database {
            Some(database) => counted.get_result(&mut PgConnection::establish(&database.url).expect("a connection")),
            None => {
                let file = self.sqlite_path().display().to_string();
                counted.get_result(&mut SqliteConnection::establish(&file).expect("a connection"))
            }
        };
        count.unwrap_or_else(|error| panic!("{table}: {error}"))
    }

    /// Runs SQL statements over a connection of the test.
    pub fn execute(&self, sql: &str) {
        let Some(database) = &self.database else {
            let file = self.sqlite_path().display().to_string();
            let mut connection = SqliteConnection::establish(&file).expect("a connection");
            // The server writes too, so the file may be locked for a moment.
            connection.batch_execute("PRAGMA busy_timeout = 20000").expect("a pragma");
            return connection.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        };
        execute(&database.url, sql);
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        execute(&self.admin, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::establish(url).unwrap_or_else(|error| panic!("no connection: {error}"));
    connection.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}
