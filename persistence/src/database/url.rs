//! Selects the engine and its address by the scheme of the URL alone: a mistyped Postgres URL must not become a new,
//! empty SQLite file.

use std::fmt;
use std::path::PathBuf;

use domain::secret::Secret;

use super::postgres_url::PostgresUrl;

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

/// A checked database URL: `sqlite://PATH` or `postgres://...`. A Postgres URL may contain a password and is never
/// shown whole.
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
    /// Repeats no part of the URL: any part may be the password.
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
    /// `allow_plaintext` permits a remote Postgres without TLS, for networks that encrypt.
    pub fn parse(text: &str, allow_plaintext: bool) -> Result<Self, UrlError> {
        match text.split_once("://") {
            Some(("sqlite", path)) => Ok(Self::Sqlite(sqlite_path(path)?)),
            Some(("postgres" | "postgresql", _)) => {
                let url = PostgresUrl::parse(text)?;
                if url.is_encrypted() && !cfg!(feature = "pg-tls") {
                    return Err(UrlError::NoTls);
                }
                match url.is_encrypted() || allow_plaintext || url.is_local() {
                    true => Ok(Self::Postgres(Secret::new(text))),
                    false => Err(UrlError::Plaintext),
                }
            }
            _ => Err(UrlError::Scheme),
        }
    }

    /// The displayable part of a text that was meant to be a database URL, valid or not.
    pub fn shown(text: &str) -> String {
        match text.split_once("://") {
            Some(("sqlite", path)) if sqlite_path(path).is_ok() => text.to_owned(),
            _ => PostgresUrl::parse(text).map_or_else(|_| "***".to_owned(), |url| url.to_string()),
        }
    }

    /// Removes secrets from a message.
    pub(super) fn without_secrets(&self, mut message: String) -> String {
        /// A shorter secret would match in ordinary words.
        const SHORTEST: usize = 4;
        let Self::Postgres(text) = self else { return message };
        let Ok(url) = PostgresUrl::parse(text.expose()) else { return "***".to_owned() };
        for secret in url.secrets().into_iter().filter(|secret| secret.len() >= SHORTEST) {
            message = message.replace(&secret, "***");
        }
        message
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
            Self::Postgres(url) => f.write_str(&Self::shown(url.expose())),
        }
    }
}

/// The path as it is, not decoded. Anything that looks like more than a path is refused: as a path it would name a
/// new and empty file.
fn sqlite_path(path: &str) -> Result<PathBuf, UrlError> {
    let first = path.split('/').next().unwrap_or_default();
    let encoded = |path: &str| {
        let hexadecimal = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
        path.split('%').skip(1).any(hexadecimal)
    };
    let why = if path.is_empty() {
        return Err(UrlError::NoPath);
    } else if path.contains(char::is_control) || path.trim() != path {
        "has a blank at an end, a line end or another control character"
    } else if path == ":memory:" || path.starts_with("file:") {
        "must name a file: a shop in memory forgets its orders"
    } else if path.contains(['?', '#']) {
        "has a `?` or `#`: options are not supported, and no file name may have them"
    } else if encoded(path) {
        "is percent-encoded: write the path as it is"
    } else if path.starts_with('~') {
        "begins with `~`, which stands for nothing here: write the whole path"
    } else if path.ends_with('/') {
        "names a directory: write the name of the file too"
    } else if first.contains(':') && first.contains('@') {
        "looks like the address of a server: SQLite is a file"
    } else {
        return Ok(PathBuf::from(path));
    };
    Err(UrlError::Malformed(why))
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
    fn url_is_read_as_the_client_library_reads_it() {
        for (text, local) in [
            ("postgres://me@localhost:1,127.0.0.1:2,[::1]:3/shop", true),
            ("postgres://me@localhost,db.example/shop", false),
            ("postgres://me@db.example,localhost/shop", false),
            ("postgres:///shop?host=localhost,/run/postgresql,::1&port=1,2,3", true),
            ("postgres:///shop?host=localhost,db.example&port=1,2", false),
            ("postgres://localhost/shop?host=db.example", false),
            ("postgres://db.example/shop?host=localhost", true),
            ("postgres://localhost/shop?hostaddr=192.0.2.1", false),
            ("postgres://db.example/shop?hostaddr=127.0.0.1", true),
            ("postgres://one,two/shop?hostaddr=127.0.0.1,192.0.2.1", false),
            ("postgres://%2Frun%2Fpostgresql/shop", true),
            ("postgres://me:p%40ss%2Fword@[2001:db8::1]:5432/shop", false),
            ("postgres:///shop?service=shop", false),
            ("postgres:///shop?servicefile=/tmp/x", false),
            ("postgres://", true),
            ("postgresql://me@localhost?application_name=a%26b", true),
        ] {
            let expected = if local { Ok(Engine::Postgres) } else { Err(UrlError::Plaintext) };
            assert_eq!(DatabaseUrl::parse(text, false).map(|url| url.engine()), expected, "{text}");
            assert!(DatabaseUrl::parse(text, true).is_ok(), "{text}");
        }
    }

    /// The password is `hunter2` with one more character that changes the syntax.
    #[test]
    fn password_of_a_broken_url_is_never_shown() {
        let whole = [
            "postgres://me:hunter2@localhost/shop",
            "postgres://me:hunter2:x@localhost/shop",
            "postgres://me:hunter%32@one:1,two:2/shop",
            "postgres://me@localhost/shop?password=hunter2&sslpassword=hunter2",
            "postgres://localhost/shop?user=me&password=hunter2&options=-c%20x.y%3Dhunter2",
        ];
        for text in whole {
            let url = DatabaseUrl::parse(text, true).expect(text);
            let redacted = url.without_secrets(format!("{text} is wrong"));
            let shown = format!("{url} {url:?} {} {redacted}", DatabaseUrl::shown(text));
            assert!(!shown.contains("hunter"), "{shown}");
            assert!(shown.contains("***"), "{shown}");
        }
        let broken = [
            "postgres://me:hunter2/x@localhost/shop",
            "postgres://me:hunter2?x@localhost/shop",
            "postgres://me:hunter2#x@localhost/shop",
            "postgres://me:hunter2@x@localhost/shop",
            "postgres://me:hunter2%x@localhost/shop",
            "postgres://me:hunter2 x@localhost/shop",
            "postgres://me:hunter2\n@localhost/shop",
            "postgres://me:5/hunter2@localhost/shop",
            "postgres://me:5?hunter2@localhost/shop",
            "postgres://me:hunter2",
            "postgres://me:hunter2@[::1/shop",
            "postgres://me:hunter2@localhost:many/shop",
            "postgres://me:hunter2@localhost:0/shop",
            "postgres://me:hunter2@a,b,c/shop?port=1,2",
            "postgres://me@localhost/shop?pasword=hunter2",
            "postgres://me@localhost/shop?hunter2",
            "postgres://me@localhost/shop?password=x&hunter2=y",
            "postgres://me@localhost/shop?password=x=hunter2",
            "postgress://me:hunter2@localhost/shop",
            "postgres:/me:hunter2@localhost/shop",
            "me:hunter2@localhost/shop",
            "sqlite://me:hunter2@localhost/shop",
            "sqlite://shop.db?password=hunter2",
            "host=localhost password=hunter2",
        ];
        for text in broken {
            let refused = DatabaseUrl::parse(text, true).expect_err(text);
            let shown = format!("{refused} {refused:?} {}", DatabaseUrl::shown(text));
            assert!(!shown.contains("hunter"), "{text}: {shown}");
        }
    }

    #[test]
    fn sqlite_path_is_taken_literally_or_refused() {
        for path in ["shop.db", "/var/lib/my shop/shop.db", "data/50%.db", "ümlaut.db", "./a@b.db", "a:b.db", "../x"] {
            let url = DatabaseUrl::parse(&format!("sqlite://{path}"), false).expect(path);
            assert!(matches!(&url, DatabaseUrl::Sqlite(found) if found.as_os_str() == path), "{url}");
            assert_eq!(DatabaseUrl::shown(&url.to_string()), url.to_string());
        }
        for path in [
            "my%20shop.db",
            "shop.db?mode=ro",
            "shop.db?mode=memory&cache=shared",
            "shop.db#1",
            ":memory:",
            "file:shop.db",
            "file::memory:",
            "~/shop.db",
            "~me/shop.db",
            "data/",
            "/",
            "shop.db\r",
            "shop.db ",
            " shop.db",
            "sh\0op.db",
            "me:secret@host/shop.db",
        ] {
            let refused = DatabaseUrl::parse(&format!("sqlite://{path}"), false).expect_err(path);
            assert!(matches!(refused, UrlError::Malformed(_)), "{path}: {refused}");
        }
    }
}
