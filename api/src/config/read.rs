//! Reads the variables into sections, without stopping at the first mistake.
//!
//! `envy` stops at its first error and does not name the variable. Each variable is therefore read alone first. A
//! message never repeats a value, because the value may be a secret.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use validator::{Validate, ValidationErrors};

use super::{Config, Mode, PREFIXES, Section};

const PREFIX: &str = "TUCKSHOP_";
const MODE: &str = "TUCKSHOP_MODE";
const DATABASE_URL: &str = "TUCKSHOP_DATABASE_URL";

/// Whether Kubernetes sets this variable in every container, for a service called `tuckshop`. The value is checked too,
/// so that a misspelled setting is not taken for a service link.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_port = || value.parse::<u16>().is_ok();
    let is_address = || value.parse::<IpAddr>().is_ok();
    let is_url = || {
        let parts =
            value.split_once("://").and_then(|(protocol, address)| Some((protocol, address.rsplit_once(':')?.1)));
        parts.is_some_and(|(protocol, port)| is_protocol(protocol) && port.parse::<u16>().is_ok())
    };
    match name.strip_prefix(PREFIX) {
        Some("SERVICE_HOST") => is_address(),
        Some("SERVICE_PORT") => is_port(),
        Some(rest) if rest.starts_with("SERVICE_PORT_") => is_port(),
        Some("PORT") => is_url(),
        Some(rest) if rest.starts_with("PORT_") => match rest.rsplit('_').next() {
            Some("PORT") => is_port(),
            Some("ADDR") => is_address(),
            Some("PROTO") => is_protocol(value),
            _ => is_url(),
        },
        _ => false,
    }
}

fn is_protocol(text: &str) -> bool {
    ["tcp", "udp", "sctp"].contains(&text)
}

/// The variables that begin with `TUCKSHOP_`. The type has no `Debug`, because every value may be a secret.
#[derive(Clone, Default)]
pub struct Environment {
    ours: BTreeMap<String, String>,
    not_text: Vec<String>,
    service_links: Vec<String>,
}

impl Environment {
    /// Takes the variables that begin with `TUCKSHOP_`. Blanks and line ends around a value are removed. An empty value
    /// counts as not set. Files of settings often contain such blanks and empty values.
    pub fn new(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in vars {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)).map(str::to_owned) else { continue };
            match value.into_string() {
                Ok(value) if is_service_link(&name, value.trim()) => environment.service_links.push(name),
                Ok(value) if value.trim().is_empty() => {}
                Ok(value) => drop(environment.ours.insert(name, value.trim().to_owned())),
                Err(_) => environment.not_text.push(name),
            }
        }
        environment
    }

    /// Variables that were ignored because Kubernetes sets them for a service.
    pub fn service_links(&self) -> &[String] {
        &self.service_links
    }
}

/// A mistake, and the variable that it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {message}")]
pub struct Mistake {
    pub variable: String,
    pub message: String,
}

/// All mistakes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, variable: impl Into<String>, message: impl Into<String>) {
        self.0.push(Mistake { variable: variable.into(), message: message.into() });
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            writeln!(f, "{mistake}")?;
        }
        Ok(())
    }
}

/// Reads every section. A setting that is wrong keeps its default, and the mistake is added to `mistakes`.
pub(super) fn sections(environment: &Environment, mistakes: &mut Mistakes) -> Config {
    for name in &environment.not_text {
        mistakes.add(name, "is not text");
    }
    for name in environment.ours.keys().filter(|name| *name != MODE && section_of(name).is_none()) {
        mistakes.add(name, "is not a setting");
    }
    let mode = match environment.ours.get(MODE).map(String::as_str) {
        None | Some("development") => Mode::Development,
        Some("production") => Mode::Production,
        Some(_) => {
            mistakes.add(MODE, "must be `development` or `production`");
            Mode::Development
        }
    };
    super::read_sections(mode, environment, mistakes)
}

fn section_of(name: &str) -> Option<&'static str> {
    PREFIXES.iter().copied().find(|prefix| name.starts_with(prefix))
}

pub(super) fn section<S: Section + Default + DeserializeOwned + Validate>(
    environment: &Environment,
    mistakes: &mut Mistakes,
) -> S {
    let read = |vars: Vec<(String, String)>| envy::prefixed(S::PREFIX).from_iter::<_, S>(vars);
    let ours = environment.ours.iter().filter(|(name, _)| name.starts_with(S::PREFIX));
    let mut good = Vec::new();
    for (name, value) in ours {
        let error = match read(vec![(name.clone(), value.clone())]) {
            Ok(_) => {
                good.push((name.clone(), value.clone()));
                continue;
            }
            Err(error) => error,
        };
        let field = name[S::PREFIX.len()..].to_lowercase();
        let message = match S::SETTINGS.iter().find(|setting| setting.name == field) {
            None => "is not a setting".to_owned(),
            Some(setting) => explained(&expected(&error.to_string()), setting.help),
        };
        mistakes.add(name, message);
    }
    let section = read(good).unwrap_or_default();
    if let Err(errors) = section.validate() {
        flatten::<S>(&errors, mistakes);
    }
    section
}

/// The expected form of a value, taken from the text of serde or envy. The text itself would repeat the rejected value.
/// Only the part before or after the value is searched, because the value may contain any word.
fn expected(error: &str) -> String {
    let (fault, _) = error.split_once(" while parsing value '").unwrap_or_default();
    let form = match fault {
        _ if error.starts_with("unknown variant `") => match error.rsplit_once("expected ") {
            Some((_, form)) => form,
            None => return "cannot be read".to_owned(),
        },
        "number too large to fit in target type" | "number too small to fit in target type" => {
            "a whole number within reason"
        }
        "invalid digit found in string" => "a whole number",
        "provided string was not `true` or `false`" => "true or false",
        _ => return "cannot be read".to_owned(),
    };
    format!("must be {form}")
}

/// The mistake, followed by the help of the setting.
fn explained(wrong: &str, help: &str) -> String {
    format!("{wrong}. {help}")
}

/// Turns the validator's errors into mistakes. The validator's text would repeat the rejected value.
fn flatten<S: Section>(errors: &ValidationErrors, mistakes: &mut Mistakes) {
    let mut fields: Vec<_> = errors.field_errors().into_iter().collect();
    fields.sort_by_key(|(field, _)| field.to_string());
    for (field, errors) in fields {
        for error in errors {
            let bound = |name: &str| error.params.get(name).map(ToString::to_string);
            let bounds = match (bound("min"), bound("max")) {
                (Some(min), Some(max)) => format!("between {min} and {max}"),
                (Some(min), None) => format!("at least {min}"),
                (None, Some(max)) => format!("at most {max}"),
                (None, None) => "within its bounds".to_owned(),
            };
            let wrong = match error.code.as_ref() {
                "range" => format!("must be {bounds}"),
                "length" => format!("must have {bounds} characters"),
                "url" => "must be a URL".to_owned(),
                _ => "cannot be used".to_owned(),
            };
            let help = S::SETTINGS.iter().find(|setting| setting.name == field.as_ref()).map_or("", |it| it.help);
            mistakes.add(format!("{}{}", S::PREFIX, field.to_uppercase()), explained(&wrong, help));
        }
    }
}

/// Every setting with its effective value. A setting that is not set shows the value that is used instead.
pub(super) fn effective(config: &Config, database_url: String, ledger_path: PathBuf) -> Vec<(String, String)> {
    let mut config = config.clone();
    let given = config.clone();
    config.http.public_url = config.http.socket_address().ok().map(|address| given.public_url(address));
    config.http.workers = Some(given.workers());
    config.simulation.enabled = Some(given.simulation());
    config.simulation.slow_ms = Some(given.simulated_slowness().as_millis().try_into().unwrap_or(u64::MAX));
    config.simulation.ledger_path = Some(ledger_path);
    config.order.read_access = Some(given.order_read_access());
    config.mail.port = config.mail.host.as_ref().map(|_| given.mail.port());
    config.shutdown.listen_ms = Some(given.listen_after_stop().as_millis().try_into().unwrap_or(u64::MAX));
    config.log.format = Some(given.log_format());
    let mode = match config.mode {
        Mode::Development => "development",
        Mode::Production => "production",
    };
    let mut all = vec![(MODE.to_owned(), mode.to_owned())];
    all.extend(super::values(&config));
    for (_, value) in all.iter_mut().filter(|(name, _)| name == DATABASE_URL) {
        value.clone_from(&database_url);
    }
    all
}

/// Full variable names and values of the settings of one section. The value of a setting that is not set is empty.
pub(super) fn values<S: Section + Serialize>(section: &S) -> Vec<(String, String)> {
    let fields = serde_json::to_value(section).unwrap_or_default();
    let value = |name: &str| match &fields[name] {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let named = S::SETTINGS.iter();
    named.map(|setting| (format!("{}{}", S::PREFIX, setting.name.to_uppercase()), value(setting.name))).collect()
}
