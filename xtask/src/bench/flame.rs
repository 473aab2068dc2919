//! A flame graph of the shop under load.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::engine::Engine;
use super::load::Flow;
use super::receiver::Receiver;
use super::shop::Shop;
use crate::install::program;
use crate::process;

const CONNECTIONS: usize = 8;
/// The programs that fold stacks and draw them: those of the crate `inferno`, and the scripts of FlameGraph.
const TOOLS: [(&str, &str); 2] =
    [("inferno-collapse-perf", "inferno-flamegraph"), ("stackcollapse-perf.pl", "flamegraph.pl")];

impl Bench {
    /// Records the stacks of the shop during purchases on Postgres, and draws them.
    pub fn flame(&self) -> Result<()> {
        let perf = program("perf").context("perf is not installed. Debian has it in the package linux-perf")?;
        let engine = Engine::postgres(&self.cluster, "flame")?;
        let shop = Shop::open(&engine, &self.setup(Receiver::Takes { after: std::time::Duration::ZERO }))?;
        let (data, graph) = (process::cache()?.join("perf.data"), process::cache()?.join("flame.svg"));
        let mut record = Command::new(&perf);
        record
            .args(["record", "-q", "-F", "199", "--call-graph", "dwarf", "-p", &shop.id().to_string(), "-o"])
            .arg(&data);
        // perf ends with the command that it runs.
        record.args(["--", "sleep", &self.load.seconds.to_string()]);
        let mut recorder = record.stdout(Stdio::null()).spawn()?;
        let sample = shop.measure(&self.load, Flow::Purchase, CONNECTIONS)?;
        if !recorder.wait()?.success() {
            bail!("perf cannot record the shop. It needs root, or kernel.perf_event_paranoid = 1");
        }
        println!("{:.0} purchases per second while perf recorded", sample.per_second);
        let Some((fold, draw)) = TOOLS.iter().find_map(|(fold, draw)| Some((program(fold)?, program(draw)?))) else {
            println!("recorded: {}. `cargo install inferno` installs the programs that draw it", data.display());
            return Ok(());
        };
        draw_graph(&perf, &data, &fold, &draw, &graph)?;
        println!("written: {}", graph.display());
        Ok(())
    }
}

fn draw_graph(perf: &Path, data: &Path, fold: &Path, draw: &Path, graph: &Path) -> Result<()> {
    let mut script =
        Command::new(perf).args(["script", "-i"]).arg(data).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let stacks = script.stdout.take().context("stdout is a pipe")?;
    let mut folder = Command::new(fold).stdin(stacks).stdout(Stdio::piped()).spawn()?;
    let folded = folder.stdout.take().context("stdout is a pipe")?;
    let drawn = Command::new(draw).stdin(folded).stdout(std::fs::File::create(graph)?).status()?;
    let all = [script.wait()?, folder.wait()?, drawn];
    if !all.iter().all(std::process::ExitStatus::success) {
        bail!("perf script, {} or {} failed", fold.display(), draw.display());
    }
    Ok(())
}
