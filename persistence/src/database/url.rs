//! Parses a database URL. Only its scheme selects the engine, so that a mistyped Postgres URL does not become a new,
//! empty SQLite file.

use std::fmt;
use std::path::PathBuf;

use super::postgres_url::{PostgresUrl, is_escape};

#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// A checked database URL: `sqlite://PATH` or `postgres://...`. It is shown without the password.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    Sqlite(PathBuf),
    Postgres(PostgresUrl),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("must begin with sqlite:// or postgres://")]
    Scheme,
    #[error("names no file: write sqlite://PATH")]
    NoPath,
    /// What is wrong with the URL. Repeats no part of the URL, because any part may be the password.
    #[error("{0}")]
    Malformed(&'static str),
    #[error(
        "names a remote host without sslmode=require (or stronger): passwords and orders would travel in the clear"
    )]
    Plaintext,
    #[error("asks for TLS, which this build does not have: build with --features pg-tls")]
    NoTls,
}

impl DatabaseUrl {
    /// Parses a database URL. `allow_plaintext` permits a remote Postgres server without TLS, for networks that
    /// encrypt.
    pub fn parse(text: &str, allow_plaintext: bool) -> Result<Self, UrlError> {
        match text.split_once("://") {
            Some(("sqlite", path)) => Ok(Self::Sqlite(sqlite_path(path)?)),
            Some(("postgres" | "postgresql", _)) => {
                let url = PostgresUrl::parse(text).map_err(UrlError::Malformed)?;
                if url.is_encrypted() && !cfg!(feature = "pg-tls") {
                    return Err(UrlError::NoTls);
                }
                match url.is_encrypted() || allow_plaintext || url.is_local() {
                    true => Ok(Self::Postgres(url)),
                    false => Err(UrlError::Plaintext),
                }
            }
            _ => Err(UrlError::Scheme),
        }
    }

    /// Returns a database URL for display, without secrets. Returns `***` for a text that is not a valid database URL.
    pub fn shown(text: &str) -> String {
        match text.split_once("://") {
            Some(("sqlite", path)) if sqlite_path(path).is_ok() => text.to_owned(),
            Some(("postgres" | "postgresql", _)) => {
                PostgresUrl::parse(text).map_or_else(|_| "***".to_owned(), |url| url.to_string())
            }
            _ => "***".to_owned(),
        }
    }

    pub fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

/// Returns the path as it is written, not percent-decoded. Refuses a text that looks like more than a path, because the
/// text as a path would name a new, empty file.
fn sqlite_path(path: &str) -> Result<PathBuf, UrlError> {
    let first = path.split('/').next().unwrap_or_default();
    let why = if path.is_empty() {
        return Err(UrlError::NoPath);
    } else if path.contains(char::is_control) || path.trim() != path {
        "has a blank at an end, a line end or another control character"
    } else if path == ":memory:" || path.starts_with("file:") {
        "must name a file: a shop in memory forgets its orders"
    } else if path.contains(['?', '#']) {
        "has a `?` or `#`: options are not supported, and no file name may have them"
    } else if path.split('%').skip(1).any(is_escape) {
        "is percent-encoded: write the path as it is"
    } else if path.starts_with('~') {
        "begins with `~`, which has no meaning here: write the whole path"
    } else if path.ends_with('/') {
        "names a directory: write the name of the file too"
    } else if first.contains(':') && first.contains('@') {
        "looks like the address of a server: SQLite is a file"
    } else {
        return Ok(PathBuf::from(path));
    };
    Err(UrlError::Malformed(why))
}
