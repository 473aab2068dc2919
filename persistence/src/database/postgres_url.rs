//! A Postgres URL as the settings of the client library: `postgres://me@one:5432,two:5432/shop?sslmode=require`.
//!
//! The URL is parsed here, and the library gets the parsed settings, so that the host that is checked is the host that
//! is used. Errors repeat no part of the URL, because in a mistyped URL the password can be anywhere.
//!
//! The library takes a missing setting from the environment and from a service file that the environment names.
//! `PGHOST`, `PGHOSTADDR` and `PGSERVICE` would lead it to an unchecked host, so `host` and `hostaddr` are set unless
//! the URL names a service.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;

/// The parameters that the client library knows in a URL.
const PARAMETERS: &str = "application_name channel_binding client_encoding connect_timeout dbname \
    fallback_application_name gssdelegation gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle \
    keepalives_interval krbsrvname load_balance_hosts max_protocol_version min_protocol_version options passfile password \
    port require_auth requirepeer service servicefile ssl_max_protocol_version ssl_min_protocol_version sslcert \
    sslcertmode sslcompression sslcrl sslcrldir sslkey sslmode sslnegotiation sslpassword sslrootcert sslsni \
    target_session_attrs tcp_user_timeout user";
/// The parameters whose values are never shown.
const HIDDEN: [&str; 3] = ["options", "password", "sslpassword"];
/// The length in bytes of the shortest secret that is removed from messages. A shorter text would match in ordinary
/// words.
const SHORTEST_SECRET: usize = 4;

const ENCODE: &str = "`@`, `/`, `?`, `#` and `%` in a user name or password must be percent-encoded";
const BAD_HOST: &str = "has a host that cannot be read";

/// A parsed and checked URL. `Display` and `Debug` show it without secrets.
#[derive(Clone)]
pub struct PostgresUrl {
    settings: BTreeMap<&'static str, String>,
    shown: String,
    /// The values that must never be shown, each as written and percent-decoded.
    secrets: Vec<String>,
}

impl PostgresUrl {
    /// Parses a Postgres URL. The error says what is wrong and repeats no part of the URL.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("has no scheme")?;
        if rest.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err("has a blank, a line end or another control character");
        }
        if !rest.split('%').skip(1).all(|after| is_escape(after) && !after.starts_with("00")) {
            return Err("has a `%` that is not followed by two hexadecimal digits");
        }
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url = Self { settings: BTreeMap::new(), shown: format!("{scheme}://"), secrets: Vec::new() };
        url.read_address(address)?;
        url.read_parameters(query)?;
        url.check_ports()?;
        // If the URL names a service, the service file may name the host. The client library reads that file later.
        if !url.settings.contains_key("service") {
            url.or_set("host", "");
            url.or_set("hostaddr", "");
        }
        Ok(url)
    }

    /// Reads `user:password@host:port,host:port/database`.
    fn read_address(&mut self, address: &str) -> Result<(), &'static str> {
        let (authority, database) = address.split_once('/').unwrap_or((address, ""));
        let (user_info, hosts) =
            authority.split_once('@').map_or((None, authority), |(info, hosts)| (Some(info), hosts));
        // A `/`, `@` or `#` in a password that is not percent-encoded splits the URL in the wrong place.
        if database.contains(['@', '/']) || hosts.contains('@') || address.contains('#') {
            return Err(ENCODE);
        }
        let named = hosts.split(',').map(split_port).collect::<Option<Vec<_>>>().ok_or(BAD_HOST)?;
        let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
        let ports: Vec<&str> = named.iter().map(|(_, port)| *port).collect();
        if let Some(info) = user_info {
            let (user, password) = info.split_once(':').map_or((info, None), |(user, password)| (user, Some(password)));
            self.shown += user;
            self.shown += password.map_or("@", |_| ":***@");
            self.set_unless_empty("user", user)?;
            self.set_unless_empty("password", password.unwrap_or_default())?;
        }
        self.shown += &format!("{hosts}/{database}");
        self.set_unless_empty("dbname", database)?;
        // A list of only empty host names or only empty ports sets nothing.
        for (name, list) in [("host", names), ("port", ports)] {
            if list.iter().any(|part| !part.is_empty()) {
                self.set(name, &list.join(","))?;
            }
        }
        Ok(())
    }

    /// Reads `name=value&name=value`.
    fn read_parameters(&mut self, query: &str) -> Result<(), &'static str> {
        let mut separator = '?';
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let known = pair.split_once('=').and_then(|(name, value)| match (name, value) {
                // The JDBC driver writes `sslmode=require` like this.
                ("ssl", "true") => Some(("sslmode", "require")),
                (_, value) if value.contains('=') => None,
                _ => PARAMETERS.split(' ').find(|known| *known == name).map(|name| (name, value)),
            });
            let (name, value) = known.ok_or("has a parameter that the client library does not know")?;
            let shown = if HIDDEN.contains(&name) { "***" } else { value };
            self.shown += &format!("{separator}{name}={shown}");
            separator = '&';
            self.set(name, value)?;
        }
        Ok(())
    }

    /// Sets a setting if its value is not empty: the client library ignores an empty part of the address.
    fn set_unless_empty(&mut self, name: &'static str, value: &str) -> Result<(), &'static str> {
        if value.is_empty() { Ok(()) } else { self.set(name, value) }
    }

    /// Decodes a percent-encoded value and stores it as a setting. Replaces an earlier value of the same name.
    fn set(&mut self, name: &'static str, value: &str) -> Result<(), &'static str> {
        let decoded = percent_decode_str(value).decode_utf8().map_err(|_| "is no UTF-8")?;
        if HIDDEN.contains(&name) {
            self.secrets.extend([value.to_owned(), decoded.clone().into_owned()]);
        }
        self.settings.insert(name, decoded.into_owned());
        Ok(())
    }

    /// Sets a setting that the URL lacks.
    pub(super) fn or_set(&mut self, name: &'static str, value: &str) {
        self.settings.entry(name).or_insert_with(|| value.to_owned());
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    fn check_ports(&self) -> Result<(), &'static str> {
        let Some(ports) = self.get("port") else { return Ok(()) };
        let ports: Vec<&str> = ports.split(',').collect();
        if !ports.iter().all(|port| port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err("has a port that is no number from 1 to 65535");
        }
        match ports.len() == 1 || ports.len() == self.targets().len() {
            true => Ok(()),
            false => Err("has neither one port nor one for each host"),
        }
    }

    /// Returns each host that may be connected to: its address if there is one, otherwise its name.
    fn targets(&self) -> Vec<&str> {
        let names = self.get("host").unwrap_or_default().split(',');
        match self.get("hostaddr").filter(|addresses| !addresses.is_empty()) {
            Some(addresses) => {
                let both = addresses.split(',').zip(names.chain(std::iter::repeat("")));
                both.map(|(address, name)| if address.is_empty() { name } else { address }).collect()
            }
            None => names.collect(),
        }
    }

    /// Whether every host is on this machine. False if the URL names a service, because the content of a service file
    /// is not known here.
    pub(super) fn is_local(&self) -> bool {
        let elsewhere = ["service", "servicefile"].iter().any(|name| self.get(name).is_some());
        !elsewhere && self.targets().into_iter().all(is_local)
    }

    /// Whether the client library refuses a connection without TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.get("sslmode"), Some("require" | "verify-ca" | "verify-full"))
    }

    /// The settings as the client library reads them: `name='value'`, separated by blanks. Contains secrets.
    pub(super) fn to_conninfo(&self) -> String {
        let quoted = |value: &str| value.replace('\\', r"\\").replace('\'', r"\'");
        let settings = self.settings.iter().map(|(name, value)| format!("{name}='{}'", quoted(value)));
        settings.collect::<Vec<_>>().join(" ")
    }

    /// Removes secrets from a message.
    pub(super) fn without_secrets(&self, message: String) -> String {
        let secrets = self.secrets.iter().filter(|secret| secret.len() >= SHORTEST_SECRET);
        secrets.fold(message, |message, secret| message.replace(secret, "***"))
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Whether the text after a `%` begins with two hexadecimal digits, so that it is a percent-encoded byte.
pub(super) fn is_escape(after: &str) -> bool {
    matches!(after.as_bytes(), [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Splits `name:port` and `[address]:port`, each with or without the port.
fn split_port(host: &str) -> Option<(&str, &str)> {
    let (name, after) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = if after.is_empty() { "" } else { after.strip_prefix(':')? };
    let is_read = host.starts_with('[') || !name.contains([':', '[', ']']);
    is_read.then_some((name, port))
}

fn is_local(host: &str) -> bool {
    // `/` begins a socket in the file system, `@` an abstract socket. An empty host means the default socket.
    host.is_empty()
        || host.starts_with(['/', '@'])
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[path = "postgres_url_tests.rs"]
mod tests;
