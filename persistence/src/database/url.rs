//! Which engine, and where. Decided by the URL's scheme alone: a mistyped Postgres URL must not become a new, empty
//! SQLite file.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use domain::secret::Secret;
use url::{Host, Url};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// A checked database URL: `sqlite://PATH` or `postgres://...`. The latter may hold a password and is never shown whole.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    Sqlite(PathBuf),
    Postgres(Secret),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("must begin with sqlite:// or postgres://")]
    Scheme,
    #[error("names no file: write sqlite://PATH")]
    NoPath,
    #[error("is not a URL: {0}")]
    Malformed(String),
    #[error(
        "names a remote host without sslmode=require (or stronger): passwords and orders would travel in the clear"
    )]
    Plaintext,
    #[error("asks for TLS, which this build does not have: build with --features pg-tls")]
    NoTls,
}

impl DatabaseUrl {
    /// `allow_plaintext` permits a remote Postgres without TLS, for networks that encrypt by themselves.
    pub fn parse(text: &str, allow_plaintext: bool) -> Result<Self, UrlError> {
        match text.split_once("://") {
            Some(("sqlite", "")) => Err(UrlError::NoPath),
            Some(("sqlite", path)) => Ok(Self::Sqlite(PathBuf::from(path))),
            Some(("postgres" | "postgresql", _)) => {
                let url = Url::parse(text).map_err(|error| UrlError::Malformed(error.to_string()))?;
                check_tls(&url, allow_plaintext)?;
                Ok(Self::Postgres(Secret::new(text)))
            }
            _ => Err(UrlError::Scheme),
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
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => match Url::parse(url.expose()) {
                Ok(mut url) => {
                    if url.password().is_some() {
                        let _ = url.set_password(Some("***"));
                    }
                    let hidden: Vec<(String, String)> = url
                        .query_pairs()
                        .map(|(name, value)| match name.as_ref() {
                            "password" | "sslpassword" => (name.into_owned(), "***".to_owned()),
                            _ => (name.into_owned(), value.into_owned()),
                        })
                        .collect();
                    if !hidden.is_empty() {
                        url.query_pairs_mut().clear().extend_pairs(hidden);
                    }
                    f.write_str(url.as_str())
                }
                Err(_) => f.write_str("postgres://***"),
            },
        }
    }
}

fn check_tls(url: &Url, allow_plaintext: bool) -> Result<(), UrlError> {
    let option = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
    let sslmode = option("sslmode");
    let encrypted = matches!(sslmode.as_deref(), Some("require" | "verify-ca" | "verify-full"));
    if encrypted && !cfg!(feature = "pg-tls") {
        return Err(UrlError::NoTls);
    }
    let host = option("host").or_else(|| url.host_str().map(str::to_owned)).filter(|host| !host.is_empty());
    let local = match (host.as_deref(), url.host()) {
        (None, _) => true,
        (Some(socket), _) if socket.starts_with('/') => true,
        (Some("localhost"), _) => true,
        (Some(text), Some(Host::Ipv6(address))) if text.starts_with('[') => address.is_loopback(),
        (Some(text), _) => text.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    };
    if local || encrypted || allow_plaintext { Ok(()) } else { Err(UrlError::Plaintext) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_decides_and_anything_else_is_refused() {
        for (text, engine) in [
            ("sqlite://shop.db", Some(Engine::Sqlite)),
            ("sqlite:///var/lib/shop.db", Some(Engine::Sqlite)),
            ("postgres://me@localhost/shop", Some(Engine::Postgres)),
            ("postgresql://me@127.0.0.1:5433/shop", Some(Engine::Postgres)),
            ("postgres://me@[::1]/shop", Some(Engine::Postgres)),
            ("postgres:///shop?host=/run/postgresql", Some(Engine::Postgres)),
            ("postgress://me@localhost/shop", None),
            ("shop.db", None),
            ("sqlite://", None),
            ("", None),
        ] {
            assert_eq!(DatabaseUrl::parse(text, false).ok().map(|url| url.engine()), engine, "{text:?}");
        }
    }

    #[test]
    fn a_remote_server_needs_encryption() {
        let remote = "postgres://me@db.example/shop";
        assert_eq!(DatabaseUrl::parse(remote, false).expect_err("plain"), UrlError::Plaintext);
        assert!(DatabaseUrl::parse(remote, true).is_ok());
        assert_eq!(
            DatabaseUrl::parse(&format!("{remote}?sslmode=prefer"), false).expect_err("weak"),
            UrlError::Plaintext
        );
        let encrypted = DatabaseUrl::parse(&format!("{remote}?sslmode=require"), false);
        if cfg!(feature = "pg-tls") {
            assert!(encrypted.is_ok());
        } else {
            assert_eq!(encrypted.expect_err("no TLS"), UrlError::NoTls);
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = DatabaseUrl::parse("postgres://me:hunter2@localhost/shop?password=hunter3", false).expect("valid");
        let shown = format!("{url} {url:?}");
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("localhost"));
    }
}
