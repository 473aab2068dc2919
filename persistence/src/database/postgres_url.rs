//! A Postgres address, read as the client library reads it: `postgres://me@one:5432,two:5432/shop?sslmode=require`.
//!
//! It is parsed here to check each of its hosts, and to report errors without repeating any part: in a mistyped
//! address the password can be anywhere.
//!
//! The library takes what an address lacks from the environment and from a service file that the environment names.
//! `PGHOST`, `PGHOSTADDR` and `PGSERVICE` would lead it to an unchecked host, so the address that it gets always says
//! where to connect to; see [`with_parameters`].

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use super::UrlError;

/// The parameters that the client library knows.
const PARAMETERS: &str = "application_name channel_binding client_encoding connect_timeout dbname \
    fallback_application_name gssdelegation gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle \
    keepalives_interval krbsrvname load_balance_hosts max_protocol_version min_protocol_version options passfile password \
    port require_auth requirepeer service servicefile ssl ssl_max_protocol_version ssl_min_protocol_version sslcert \
    sslcertmode sslcompression sslcrl sslcrldir sslkey sslmode sslnegotiation sslpassword sslrootcert sslsni \
    target_session_attrs tcp_user_timeout user";
/// The parameters whose values are never shown.
const HIDDEN: [&str; 3] = ["options", "password", "sslpassword"];

/// An address whose parts are where the client library looks for them. Parts are as written.
pub(super) struct PostgresUrl<'u> {
    scheme: &'u str,
    user: Option<&'u str>,
    password: Option<&'u str>,
    hosts: &'u str,
    database: &'u str,
    parameters: Vec<(&'u str, &'u str)>,
}

const ENCODE: UrlError =
    UrlError::Malformed("`@`, `/`, `?`, `#` and `%` in a user name or password must be percent-encoded");

impl<'u> PostgresUrl<'u> {
    pub(super) fn parse(text: &'u str) -> Result<Self, UrlError> {
        let malformed = |why| Err(UrlError::Malformed(why));
        let Some((scheme @ ("postgres" | "postgresql"), rest)) = text.split_once("://") else {
            return Err(UrlError::Scheme);
        };
        if rest.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return malformed("has a blank, a line end or another control character");
        }
        if !is_percent_encoded(rest) {
            return malformed("has a `%` that is not followed by two hexadecimal digits");
        }
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = address.split_once('/').unwrap_or((address, ""));
        if database.contains(['@', '/', '#']) || authority.contains('#') {
            return Err(ENCODE);
        }
        let (user_info, hosts) = match authority.split_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        let (user, password) = match user_info.map(|info| info.split_once(':').ok_or(info)) {
            None => (None, None),
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
        };
        if hosts.contains('@') {
            return Err(ENCODE);
        }
        let mut parameters = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((name, value)) if is_known(name) && !value.contains('=') => {
                    parameters.push((name, value));
                }
                _ => return malformed("has a parameter that the client library does not know"),
            }
        }
        let url = Self { scheme, user, password, hosts, database, parameters };
        url.check_hosts()?;
        Ok(url)
    }

    fn check_hosts(&self) -> Result<(), UrlError> {
        for host in self.hosts.split(',') {
            let (name, port) = split_port(host).ok_or(UrlError::Malformed("has a host that cannot be read"))?;
            if name.contains([':', '[', ']']) && !host.starts_with('[') {
                return Err(UrlError::Malformed("has a host that cannot be read"));
            }
            check_port(port)?;
        }
        let Some(ports) = self.parameter("port") else { return Ok(()) };
        let ports: Vec<&str> = ports.split(',').collect();
        ports.iter().try_for_each(|port| check_port(port))?;
        match ports.len() {
            1 => Ok(()),
            ports if ports == self.targets().len() => Ok(()),
            _ => Err(UrlError::Malformed("has neither one port nor one for each host")),
        }
    }

    /// The last parameter of a name counts.
    fn parameter(&self, wanted: &str) -> Option<Cow<'u, str>> {
        self.parameters.iter().rfind(|(name, _)| *name == wanted).map(|(_, value)| decoded(value))
    }

    /// Each host that may be connected to: its address if there is one, else its name.
    fn targets(&self) -> Vec<String> {
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let named = match self.parameter("host") {
            Some(hosts) => list(&hosts),
            None => {
                let names = self.hosts.split(',').filter_map(split_port);
                names.map(|(name, _)| decoded(name).into_owned()).collect()
            }
        };
        match self.parameter("hostaddr").filter(|addresses| !addresses.is_empty()) {
            Some(addresses) => {
                let addresses = list(&addresses);
                let names = named.into_iter().chain(std::iter::repeat(String::new()));
                let both = addresses.into_iter().zip(names);
                both.map(|(address, name)| if address.is_empty() { name } else { address }).collect()
            }
            None => named,
        }
    }

    /// Whether there is a host before the path. A port alone is none.
    fn names_a_host(&self) -> bool {
        self.hosts.contains(',') || split_port(self.hosts).is_some_and(|(name, _)| !name.is_empty())
    }

    /// Whether every host is on this machine. The content of a service file is not known here.
    pub(super) fn is_local(&self) -> bool {
        let elsewhere = ["service", "servicefile"].iter().any(|name| self.parameter(name).is_some());
        !elsewhere && self.targets().iter().all(|host| is_local(host))
    }

    /// Whether the client library refuses a connection without TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        let mode = self.parameter("sslmode");
        let by_mode = matches!(mode.as_deref(), Some("require" | "verify-ca" | "verify-full"));
        by_mode || (mode.is_none() && self.parameter("ssl").as_deref() == Some("true"))
    }

    /// The values that must never be shown, as written and decoded.
    pub(super) fn secrets(&self) -> Vec<String> {
        let hidden = self.parameters.iter().filter(|(name, _)| HIDDEN.contains(name)).map(|(_, value)| *value);
        let written = self.password.into_iter().chain(hidden);
        written.flat_map(|secret| [secret.to_owned(), decoded(secret).into_owned()]).collect()
    }
}

impl fmt::Display for PostgresUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.user.unwrap_or_default())?;
        if self.password.is_some() {
            f.write_str(":***")?;
        }
        if self.user.is_some() {
            f.write_str("@")?;
        }
        write!(f, "{}/{}", self.hosts, self.database)?;
        for (at, (name, value)) in self.parameters.iter().enumerate() {
            let value = if HIDDEN.contains(name) { "***" } else { value };
            write!(f, "{}{name}={value}", if at == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

/// The parameters that say where to connect to, and their values when the address lacks them: empty, which the
/// library reads as the default socket of this machine, and as no address beside the host.
const WHERE: [(&str, &str); 2] = [("host", ""), ("hostaddr", "")];

/// Appends the parameters that the address lacks. Every result says where to connect to, so that neither the
/// environment nor a service file that it names can. An address with a service leaves this to the service, and is
/// checked as such.
pub(super) fn with_parameters(text: &str, wanted: &[(&str, &str)]) -> String {
    let Ok(url) = PostgresUrl::parse(text) else { return text.to_owned() };
    let mut extended = text.to_owned();
    let pinned = WHERE.iter().filter(|(name, _)| match *name {
        _ if url.parameter("service").is_some() => false,
        "host" => !url.names_a_host(),
        _ => true,
    });
    for (name, value) in wanted.iter().chain(pinned).filter(|(name, _)| url.parameter(name).is_none()) {
        extended.push(if extended.contains('?') { '&' } else { '?' });
        extended.push_str(&format!("{name}={value}"));
    }
    extended
}

fn is_known(name: &str) -> bool {
    PARAMETERS.split(' ').any(|known| known == name)
}

/// `name:port`, `[address]:port`, and both without a port.
fn split_port(host: &str) -> Option<(&str, &str)> {
    match host.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            let port = if after.is_empty() { "" } else { after.strip_prefix(':')? };
            Some((address, port))
        }
        None => Some(host.split_once(':').unwrap_or((host, ""))),
    }
}

fn check_port(port: &str) -> Result<(), UrlError> {
    match port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0) {
        true => Ok(()),
        false => Err(UrlError::Malformed("has a port that is no number from 1 to 65535")),
    }
}

fn is_local(host: &str) -> bool {
    // A socket in the file system, or an abstract one; the default socket when the host is empty.
    host.is_empty()
        || host.starts_with(['/', '@'])
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_percent_encoded(text: &str) -> bool {
    let hexadecimal = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let mut percents = (0..bytes.len()).filter(|at| bytes[*at] == b'%');
    percents
        .all(|at| hexadecimal(bytes.get(at + 1)) && hexadecimal(bytes.get(at + 2)) && bytes[at + 1..at + 3] != *b"00")
}

fn decoded(text: &str) -> Cow<'_, str> {
    // The parser of forms decodes percent-encoding; a plus is a plus here.
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let pairs = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    Cow::Owned(url::form_urlencoded::parse(pairs.as_bytes()).map(|(name, _)| name.into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address leaves nothing to `PGHOST`, `PGHOSTADDR` and the service of `PGSERVICE`.
    #[test]
    fn address_overrides_hosts_of_the_environment() {
        for (text, expected) in [
            ("postgres:///shop", "postgres:///shop?host=&hostaddr="),
            ("postgres://", "postgres://?host=&hostaddr="),
            ("postgres://me@:5433/shop", "postgres://me@:5433/shop?host=&hostaddr="),
            ("postgres://me@localhost/shop", "postgres://me@localhost/shop?hostaddr="),
            ("postgres://me@[::1]:5433/shop", "postgres://me@[::1]:5433/shop?hostaddr="),
            ("postgres://one,two/shop?user=me", "postgres://one,two/shop?user=me&hostaddr="),
            ("postgres:///shop?host=/run/pg", "postgres:///shop?host=/run/pg&hostaddr="),
            ("postgres://db/shop?hostaddr=127.0.0.1", "postgres://db/shop?hostaddr=127.0.0.1"),
            ("postgres:///shop?hostaddr=127.0.0.1", "postgres:///shop?hostaddr=127.0.0.1&host="),
            // The service decides.
            ("postgres:///shop?service=shop", "postgres:///shop?service=shop"),
        ] {
            assert_eq!(with_parameters(text, &[]), expected);
            let again = PostgresUrl::parse(expected).unwrap_or_else(|error| panic!("{expected}: {error}"));
            let first = PostgresUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(again.is_local(), first.is_local(), "{text}");
        }
    }

    #[test]
    fn empty_host_address_hides_no_host() {
        let is_local = |text| PostgresUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).is_local();
        assert!(!is_local("postgres://localhost,db.example/shop?hostaddr="));
        assert!(!is_local("postgres://db.example/shop?hostaddr="));
        assert!(is_local("postgres://localhost/shop?hostaddr="));
    }
}
