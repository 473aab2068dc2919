//! The command line.
//!
//! Exit codes: 0 success; 1 failure; 2 wrong arguments or configuration; 3 success, but the output could not be
//! written.

mod banner;
mod deliveries;
mod demo;
mod demo_platform;
mod import;
mod keys;
mod output;
mod platforms;
mod serve;
mod tools;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use slog::{Logger, info};
use tokio::runtime::{Builder, Runtime};

use crate::app::{self, StartError};
use crate::config::{Config, Environment, markdown};
use crate::log;
use crate::log::Output;
use crate::storefront;
use output::{complain, one_line, say};
use tools::Session;

/// A shop backend that takes orders reliably. Settings come from the environment; see `tuckshop config`.
#[derive(Parser)]
#[command(name = "tuckshop", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the shop (the default).
    Serve,
    /// Bring the database's schema up to date and exit.
    Migrate,
    /// Import CSV files. Nothing is stored if a row has a mistake. More than 1,000 rows are stored in parts.
    Import {
        /// The directory of products.csv, inventory.csv and the others; see docs/IMPORT.md.
        directory: PathBuf,
    },
    /// Print every setting with its effective value, secrets masked.
    Config {
        /// Print the reference of all settings instead.
        #[arg(long)]
        markdown: bool,
    },
    /// Print the OpenAPI document of the storefront.
    Openapi,
    /// Pin, list and unpin platforms.
    #[command(subcommand)]
    Platforms(platforms::Command),
    /// List, retry and give up webhooks and email messages.
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    /// List, rotate and revoke the keys that webhooks are signed with.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Buy something from a running shop in development mode and print each step.
    Demo {
        /// The URL of the shop. Default: the configured address, in development mode only.
        #[arg(long, value_parser = demo::shop_url)]
        url: Option<String>,
        /// The SKU of an item to buy; may be given several times. Default: two items of the demo catalogue.
        #[arg(long = "item", default_values = ["chocolate_bar", "gift_card"])]
        items: Vec<String>,
        /// A token of the shop's payment handler. Default: one that the simulated handler charges. With a test account
        /// of Stripe, or with paysim: pm_card_visa.
        #[arg(long, default_value = "success_token")]
        token: String,
    },
}

/// How a command ended.
struct Outcome {
    code: u8,
    /// What to print on standard error, after the last line of the log.
    why: Option<String>,
}

/// The longest wait at the end for connections to close.
const LAST_CONNECTIONS: Duration = Duration::from_secs(1);

const DONE: Outcome = Outcome { code: 0, why: None };
const FAILED: Outcome = Outcome { code: 1, why: None };
const MISUSED: u8 = 2;
const OUTPUT_LOST: u8 = 3;

/// Runs one command to its end and returns its exit code.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let Outcome { mut code, why } = run_command(arguments, environment);
    if let Some(why) = why {
        complain!("{why}");
    }
    if output::is_lost() {
        complain!("tuckshop: the output could not be written");
        code = if code == DONE.code { OUTPUT_LOST } else { code };
    }
    ExitCode::from(code)
}

fn run_command(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Outcome {
    let command = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.command.unwrap_or(Command::Serve),
        Err(error) => {
            let printed = error.print();
            if error.use_stderr() {
                return Outcome { code: MISUSED, why: None };
            }
            output::note(printed);
            return DONE;
        }
    };
    if let Command::Config { markdown: true } = command {
        output::to_standard(format_args!("{}", markdown()), "");
        return DONE;
    }
    if let Command::Openapi = command {
        return match storefront::openapi().to_pretty_json() {
            Ok(document) => {
                say!("{document}");
                DONE
            }
            Err(error) => failed(&error.to_string()),
        };
    }
    let environment = Environment::new(environment);
    let config = match app::read_config(&environment) {
        Ok(config) => config,
        Err(mistakes) => {
            return misused(format!("The configuration is wrong:\n{}", mistakes.to_string().trim_end()));
        }
    };
    if let Command::Config { .. } = command {
        for (name, value) in app::effective(&config) {
            say!("{name}={value}");
        }
        return DONE;
    }
    let output = if matches!(command, Command::Serve) { Output::Standard } else { Output::Error };
    let (log, _flush, lost) = log::start(config.log_format(), config.log.level, output);
    log::bridge_libraries(&log);
    if !environment.service_links().is_empty() {
        info!(log, "service links were ignored"; "op" => "config.read",
            "variables" => environment.service_links().join(", "));
    }
    let runtime = match Builder::new_multi_thread().enable_all().thread_name("tuckshop").build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    let outcome = match command {
        Command::Serve => serve::run(&config, &log, lost, &runtime),
        Command::Migrate => migrate(&config, &log, &runtime),
        Command::Import { directory } => import::run(&config, &log, &runtime, &directory),
        Command::Platforms(command) => {
            with_tools(&config, &log, &runtime, "platforms", |session| platforms::run(session, command))
        }
        Command::Deliveries(command) => {
            with_tools(&config, &log, &runtime, "deliveries", |session| deliveries::run(session, command))
        }
        Command::Keys(command) => with_tools(&config, &log, &runtime, "keys", |session| keys::run(session, command)),
        Command::Demo { url, items, token } => demo::run(&config, &runtime, url, items, token),
        Command::Config { .. } | Command::Openapi => DONE,
    };
    // Drops the last tasks, and with them the connections: the last connection writes the log of SQLite back into the
    // database file. A statement that hangs is not awaited any longer.
    runtime.shutdown_timeout(LAST_CONNECTIONS);
    outcome
}

/// Runs an operator's command, whose error is the reason for the operator.
fn with_tools(
    config: &Config,
    log: &Logger,
    runtime: &Runtime,
    name: &'static str,
    command: impl FnOnce(&Session<'_>) -> Result<(), String>,
) -> Outcome {
    match Session::open(config, log, runtime, name) {
        Ok(session) => command(&session).map_or_else(|why| failed(&why), |()| DONE),
        Err(error) => cannot_open(&error),
    }
}

fn migrate(config: &Config, log: &Logger, runtime: &Runtime) -> Outcome {
    match app::migrate(config, log, runtime.handle()) {
        Ok(0) => say!("The schema is current."),
        Ok(applied) => say!("{applied} migration(s) applied."),
        Err(error) => return cannot_open(&error),
    }
    DONE
}

fn failed(why: &str) -> Outcome {
    Outcome { why: Some(format!("tuckshop: {why}")), ..FAILED }
}

/// The outcome of a failed start. The message is joined into one line, because errors of libraries contain line ends.
fn cannot_open(error: &StartError) -> Outcome {
    failed(&one_line(&error.to_string()))
}

fn misused(why: String) -> Outcome {
    Outcome { code: MISUSED, why: Some(why) }
}
