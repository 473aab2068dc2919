//! Measures the bare engine: it runs the same statements, rows and commits as the shop, but without the shop.

use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use super::cluster::Cluster;
use super::engine::Engine;
use super::load::{Flow, sample, scripts};
use super::recording::Recording;
use super::script::{Script, script};
use crate::process;

/// The size in bytes of the document of a checkout with one line, an address and two options.
const DOCUMENT: usize = 1_500;
/// Counts what a purchase leaves behind. The recorded script must add to it as the shop does.
const PURCHASES: &str =
    "SELECT count(*) FROM checkout c JOIN orders o ON o.checkout_id = c.id WHERE c.status = 'completed'";

pub enum Bare<'a> {
    /// The statements in `xtask/bench/*.sql`, on a copy of the database of the shop.
    Sqlite { engine: &'a Engine<'a>, checkout: String },
    /// The statements that were recorded, on the database in which they were recorded.
    Postgres { engine: &'a Engine<'a>, cluster: &'a Cluster, scripts: [(PathBuf, Vec<String>); 2] },
}

impl<'a> Bare<'a> {
    /// `checkout` is the id of an existing checkout, which the flow `Read` reads.
    pub fn sqlite(engine: &'a Engine<'a>, checkout: &str) -> Bare<'a> {
        Bare::Sqlite { engine, checkout: checkout.to_owned() }
    }

    /// Makes scripts of what was recorded on this engine. Fails if the script of a purchase leaves no order behind.
    pub fn postgres(engine: &'a Engine<'a>, recording: &Recording) -> Result<Bare<'a>> {
        let cluster = engine.cluster().context("the statements of SQLite are not recorded")?;
        let mut types = |sql: &str, examples: &[Option<&str>]| types(engine, sql, examples);
        let mut write = |flow: Flow, of| -> Result<(PathBuf, Vec<String>)> {
            let Script { text, variables } = script(of, &mut types)?;
            let path = engine.directory.path().join(format!("{}.sql", flow.name()));
            std::fs::write(&path, text)?;
            Ok((
                path,
                variables.into_iter().flat_map(|(name, value)| ["-D".to_owned(), format!("{name}={value}")]).collect(),
            ))
        };
        let scripts = [write(Flow::Purchase, &recording.purchases)?, write(Flow::Read, &recording.reads)?];
        let bare = Bare::Postgres { engine, cluster, scripts };
        let before: u64 = engine.query(PURCHASES)?.parse()?;
        bare.pgbench(Flow::Purchase, &["-t", "2"])?;
        if engine.query(PURCHASES)?.parse::<u64>()? != before + 2 {
            bail!(
                "the script of a recorded purchase completes no checkout: a value that differs from purchase to purchase \
                 stays the same in it, or the other way round. See `unique` in xtask/src/bench/script.rs"
            );
        }
        Ok(bare)
    }

    pub fn name(&self) -> &'static str {
        match self {
            Bare::Sqlite { engine, .. } | Bare::Postgres { engine, .. } => engine.name,
        }
    }

    /// Runs the statements of a flow repeatedly, and returns how often they ran per second.
    pub fn measure(&self, flow: Flow, connections: usize, seconds: u64) -> Result<f64> {
        let (connections, threads) = (connections.to_string(), connections.min(2).to_string());
        match self {
            Bare::Sqlite { engine, checkout } => {
                let mut command = Command::new("python3");
                command.arg(scripts().join("sqlite_engine.py")).arg(scripts().join(format!("{}.sql", flow.name())));
                command.arg(engine.file()).args([connections, seconds.to_string()]);
                command.args([format!("doc={}", "x".repeat(DOCUMENT)), format!("id={checkout}")]);
                let sample = sample(&process::output(&mut command)?)?;
                if sample.failed > 0.0 {
                    bail!("statements in xtask/bench/{}.sql change no row", flow.name());
                }
                Ok(sample.per_second)
            }
            Bare::Postgres { .. } => {
                let output = self.pgbench(flow, &["-T", &seconds.to_string(), "-c", &connections, "-j", &threads])?;
                let rate = output.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
                rate.context("pgbench printed no rate")
            }
        }
    }

    fn pgbench(&self, flow: Flow, arguments: &[&str]) -> Result<String> {
        let Bare::Postgres { engine, cluster, scripts } = self else { bail!("pgbench runs on Postgres only") };
        let (script, variables) = match flow {
            Flow::Purchase => &scripts[0],
            Flow::Read => &scripts[1],
        };
        // Each client counts its runs from this number on, and makes fewer than ten in a millisecond. So no later run
        // makes the same ids.
        let start = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() * 10;
        let mut pgbench = cluster.pgbench();
        pgbench.args(["-n", "-M", "prepared", "-D", &format!("n={start}")]).args(variables).args(arguments);
        // Like the sessions of the shop, so that both have the same plans.
        pgbench.env("PGOPTIONS", "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off");
        process::output(pgbench.arg("-f").arg(script).arg(&engine.url))
    }
}

/// The types of the parameters of a statement. Postgres finds most types by itself. If it does not, the other types
/// follow from the example values.
fn types(engine: &Engine<'_>, sql: &str, examples: &[Option<&str>]) -> Result<Vec<String>> {
    let ask = |types: &str| {
        engine.query(&format!(
            "PREPARE recorded{types} AS {sql};\n\
             SELECT array_to_string(parameter_types::text[], '|') FROM pg_prepared_statements WHERE name = 'recorded';"
        ))
    };
    let guesses = || examples.iter().map(|example| guess(*example)).collect::<Vec<_>>().join(", ");
    let types = ask("").or_else(|_| ask(&format!("({})", guesses())))?;
    Ok(types.split('|').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn guess(example: Option<&str>) -> &'static str {
    match example {
        Some(array) if array.starts_with('{') && !array.contains(':') => "text[]",
        Some(number) if number.parse::<i64>().is_ok() => "bigint",
        _ => "text",
    }
}
