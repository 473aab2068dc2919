//! `tuckshop import DIR`: imports CSV files and shows the progress.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::context::{Deadline, RequestContext, TraceContext};
use domain::fault::Failure;
use domain::import::ImportRefusal;
use indicatif::{ProgressBar, ProgressStyle};
use slog::Logger;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::output::say;
use super::{DONE, Outcome, cannot_open, failed};
use crate::app;
use crate::config::Config;
use crate::csv::{Positions, read_directory};

/// The longest an import may take. A million rows take one or two minutes.
const TIME: Duration = Duration::from_secs(15 * 60);

pub(super) fn run(config: &Config, log: &Logger, runtime: &Runtime, directory: &Path) -> Outcome {
    let read = match read_directory(directory, config.shop.currency) {
        Ok(read) => read,
        Err(error) => return failed(&format!("nothing was imported\n{error}")),
    };
    let importer = match app::importer(config, log, runtime.handle()) {
        Ok(importer) => importer,
        Err(error) => return cannot_open(&error),
    };
    let rows = read.batch.rows();
    let bar = bar(rows);
    let progress = {
        let bar = bar.clone();
        Arc::new(move |done: usize| bar.set_position(done as u64))
    };
    let deadline = Deadline::after(TIME);
    let ctx = RequestContext::for_task(log, "import.run", TraceContext::start(), deadline, CancellationToken::new());
    let imported = runtime.block_on(async { importer.import(&ctx, read.batch, progress).await });
    bar.finish_and_clear();
    match imported {
        Ok(_) => {
            for (file, rows) in read.positions.files() {
                say!("{file:<24} {rows:>8} rows");
            }
            say!("Imported.");
            DONE
        }
        Err(Failure::Refused(ImportRefusal::Interrupted { stored, cause })) => failed(&format!(
            "the first {stored} of {rows} rows were imported; import again\n{}",
            explained(&cause, &read.positions)
        )),
        Err(error) => failed(&format!("nothing was imported\n{}", explained(&error, &read.positions))),
    }
}

/// Why the import failed, with the file and row if a single row is at fault.
fn explained(failure: &Failure<ImportRefusal>, positions: &Positions) -> String {
    let refusal = match failure {
        Failure::Fault(fault) => return fault.chain(),
        Failure::Refused(refusal) => refusal,
    };
    match (positions.problem(refusal), refusal) {
        (Some(problem), _) => problem.to_string(),
        (None, ImportRefusal::TooMany { what, limit }) => too_many(what, *limit),
        (None, other) => format!("{other:?}"),
    }
}

/// Explains that the import exceeds a limit of the whole shop. No single row is at fault then.
fn too_many(what: &str, limit: usize) -> String {
    let file = if what.contains("promotion") { "promotions.csv" } else { "shipping_rates.csv" };
    format!(
        "{file}: the shop would have more than {limit} {what}, with those that it already has: leave some out, or give \
         them the ids of those that they replace"
    )
}

/// The progress bar. It is hidden if standard error is not a terminal.
fn bar(rows: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} rows, {eta} left");
    ProgressBar::new(rows as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
