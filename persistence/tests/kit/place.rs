//! Databases that exist for one test.
//!
//! The Postgres half runs on the server that `XTASK_POSTGRES_URL` names (a URL with admin rights). `cargo xtask test`
//! provides such a server. Without a server each test of that half is reported as skipped.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use domain::order::OrderId;
use faultkit::provided::{self, POSTGRES};
use persistence::{Database, DatabaseConfig, Engine};
use tokio::sync::OnceCell;

use super::raw::Raw;
use super::{Shop, config, data, open};

/// A database that exists for one test.
pub struct Place {
    url: String,
    owned: Owned,
}

enum Owned {
    /// A directory, in which `shop.db` is made when it is first opened.
    Directory(tempfile::TempDir),
    /// A database on a server, which is created when it is first used.
    Database { admin: String, name: String, options: &'static str, created: OnceLock<()> },
}

impl Place {
    pub fn sqlite() -> Self {
        provided::used("SQLite");
        let directory = tempfile::tempdir().expect("a directory");
        Self {
            url: format!("sqlite://{}", directory.path().join("shop.db").display()),
            owned: Owned::Directory(directory),
        }
    }

    /// An empty Postgres database. `None` if there is no server: then the test is reported as skipped.
    pub fn postgres() -> Option<Self> {
        Self::postgres_with("")
    }

    /// An empty Postgres database with the collation of `en-US`.
    pub fn collated_postgres() -> Option<Self> {
        Self::postgres_with("LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
    }

    fn postgres_with(options: &'static str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let admin = POSTGRES.get()?;
        let name = format!("{PREFIX}{}_{}", run(&admin), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut url = url::Url::parse(&admin).expect("an admin url");
        url.set_path(&name);
        POSTGRES.used();
        Some(Self { url: url.into(), owned: Owned::Database { admin, name, options, created: OnceLock::new() } })
    }

    /// Creates the Postgres database as a copy of `template`, unless it exists.
    fn create(&self, template: &str) {
        if let Owned::Database { admin, name, options, created } = &self.owned {
            created.get_or_init(|| {
                Raw::connect(admin).execute(&format!("CREATE DATABASE {name} TEMPLATE {template} {options}"));
            });
        }
    }

    pub fn engine(&self) -> Engine {
        config(&self.url).url.engine()
    }

    pub fn url(&self) -> &str {
        self.create("template0");
        &self.url
    }

    /// The settings of the shop's database. The time limits are long, so that no test fails on a slow machine.
    pub fn config(&self) -> DatabaseConfig {
        config(self.url())
    }

    pub fn open(&self) -> Database {
        open(self.config())
    }

    /// Opens a connection that does not belong to the shop.
    pub fn raw(&self) -> Raw {
        Raw::connect(self.url())
    }

    /// Stores copies of the one order that exists, each with another id, and returns their ids.
    pub fn copies_of_an_order(&self, count: u32) -> Vec<OrderId> {
        let zeros = "0".repeat(28);
        self.raw().execute(&format!(
            "INSERT INTO orders SELECT 'ord_{zeros}' || i, 'chk_{zeros}' || i, owner, '{zeros}' || i, currency, \
             expectations, totals, attribution, placed_at FROM orders, \
             (WITH RECURSIVE n(i) AS (SELECT 1001 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n) AS n",
            1_000 + count
        ));
        (1_001..=1_000 + count).map(|i| OrderId::parse(&format!("ord_{zeros}{i}")).expect("an id")).collect()
    }

    /// A shop that sells [`data::catalogue`].
    pub async fn shop(&self) -> Shop {
        self.shop_with(|_| ()).await
    }

    /// A shop that sells [`data::catalogue`], with changed settings. The pool is empty.
    pub async fn shop_with(&self, change: impl FnOnce(&mut DatabaseConfig)) -> Shop {
        match &self.owned {
            Owned::Directory(_) if !self.sqlite_path().exists() => {
                std::fs::write(self.sqlite_path(), stocked_file().await).expect("a file");
            }
            Owned::Database { options: "", created, .. } if created.get().is_none() => {
                self.create(stocked_template().await);
            }
            _ => self.stock().await,
        }
        let mut config = self.config();
        change(&mut config);
        Shop::on(open(config))
    }

    async fn stock(&self) {
        let shop = Shop::on(self.open());
        shop.database.migrate().expect("a schema");
        shop.stock(data::catalogue()).await;
    }

    pub fn sqlite_path(&self) -> PathBuf {
        match &self.owned {
            Owned::Directory(directory) => directory.path().join("shop.db"),
            Owned::Database { .. } => panic!("not on SQLite"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Owned::Database { admin, name, created, .. } = &self.owned
            && created.get().is_some()
        {
            drop_database(&mut Raw::connect(admin), name);
        }
    }
}

/// The SQLite file of a stocked shop, which tests copy.
async fn stocked_file() -> &'static [u8] {
    static FILE: OnceCell<Vec<u8>> = OnceCell::const_new();
    let stock = || async {
        let place = Place::sqlite();
        place.stock().await;
        // Moves what is in the log of the file into the file.
        place.raw().execute("PRAGMA wal_checkpoint(TRUNCATE)");
        std::fs::read(place.sqlite_path()).expect("a file")
    };
    FILE.get_or_init(stock).await
}

/// The name of the Postgres database of a stocked shop, which tests copy. It is dropped by the next run of the tests.
async fn stocked_template() -> &'static str {
    static PLACE: OnceCell<Place> = OnceCell::const_new();
    let stock = || async {
        let place = Place::postgres().expect("a server");
        place.stock().await;
        // A database with open connections cannot be copied.
        place.raw().terminate_others();
        place
    };
    match &PLACE.get_or_init(stock).await.owned {
        Owned::Database { name, .. } => name,
        Owned::Directory(_) => unreachable!("it is on Postgres"),
    }
}

/// The first part of the names of all databases.
const PREFIX: &str = "persistence_";

/// Returns the second part of the names of this process's databases. Drops the databases of processes that have ended,
/// for example because they were killed. Each process holds a lock for as long as it runs.
fn run(admin: &str) -> &'static str {
    static RUN: OnceLock<(String, Mutex<Raw>)> = OnceLock::new();
    let (run, _) = RUN.get_or_init(|| {
        let (run, mut raw) = (uuid::Uuid::new_v4().simple().to_string(), Raw::connect(admin));
        raw.execute(&format!("SELECT pg_advisory_lock(hashtextextended('{run}', 0))"));
        let left = raw.texts(&format!(
            "SELECT CAST(datname AS TEXT) AS value FROM pg_database WHERE starts_with(datname, '{PREFIX}') \
             AND pg_try_advisory_lock(hashtextextended(split_part(datname, '_', 2), 0))"
        ));
        left.iter().for_each(|name| drop_database(&mut raw, name));
        (run, Mutex::new(raw))
    });
    run
}

/// Drops a database that may have sessions. Postgres ends the sessions itself with `FORCE`, but then looks only ten times
/// a second whether they have ended.
fn drop_database(raw: &mut Raw, name: &str) {
    let ends = format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'");
    let most = 1_000;
    (0..most).take_while(|_| raw.number(&ends) > 0).for_each(|_| std::thread::sleep(Duration::from_millis(1)));
    raw.execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
}
