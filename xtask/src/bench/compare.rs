//! Compares the shop of this source tree with that of a commit, in one run: both run at the same time on databases of
//! the same kind, and are measured in turn.
//!
//! Both are built with the settings in `.cargo/config.toml` of this source tree, so a change of these settings does not
//! show.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::engine::Engine;
use super::load::{Flow, Sample};
use super::receiver::Receiver;
use super::shop::{Setup, Shop};
use super::stats::{for_each, median, median_of, rates, ratios};
use super::{Bench, release_build};
use crate::process;

const SENDING: Receiver = Receiver::Takes { after: Duration::ZERO };

/// What is measured on one pair of shops.
struct Cells {
    is_postgres: bool,
    receiver: Receiver,
    /// The flows and their numbers of connections.
    flows: &'static [(Flow, usize)],
}

const CELLS: [Cells; 3] = [
    Cells {
        is_postgres: false,
        receiver: Receiver::AsksToWait,
        flows: &[(Flow::Purchase, 1), (Flow::Purchase, 8), (Flow::Read, 8)],
    },
    Cells {
        is_postgres: true,
        receiver: Receiver::AsksToWait,
        flows: &[(Flow::Purchase, 1), (Flow::Purchase, 8), (Flow::Purchase, 64), (Flow::Read, 8)],
    },
    Cells { is_postgres: true, receiver: SENDING, flows: &[(Flow::Purchase, 8)] },
];

/// The source tree of a commit, which is removed when this value is dropped.
struct Worktree(PathBuf);

impl Worktree {
    fn of(revision: &str) -> Result<Worktree> {
        let worktree = Worktree(process::cache()?.join("compare"));
        worktree.remove();
        process::output(git(&["worktree", "add", "--force", "--detach"]).arg(&worktree.0).arg(revision))?;
        Ok(worktree)
    }

    /// Removes the worktree of this run, or what an earlier run left. If there is none, git fails, and nothing is left to
    /// do. If one stays, `git worktree add` of the next run reports it.
    fn remove(&self) {
        let _ = git(&["worktree", "remove", "--force"]).arg(&self.0).output();
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Builds the shop of a commit, and returns its binary. The target directory is kept, so that a later build of another
/// commit is short.
fn build(revision: &str) -> Result<PathBuf> {
    let (worktree, target) = (Worktree::of(revision)?, process::cache()?.join("compare-target"));
    process::run(release_build().current_dir(&worktree.0).env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join("release/tuckshop"))
}

fn git(arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.args(arguments).current_dir(process::root());
    git
}

/// The runs of one cell: those of the commit, and those of this source tree.
struct Comparison {
    name: String,
    sides: [Vec<Sample>; 2],
}

impl Bench {
    /// Prints the ratios of this source tree to a commit.
    pub fn compare(&self, revision: &str) -> Result<()> {
        let commit = process::output(&mut git(&["rev-parse", "--verify", &format!("{revision}^{{commit}}")]))
            .with_context(|| format!("git knows no commit {revision}"))?;
        let other = build(&commit)?;
        println!(
            "A is {revision} ({}), B is this source tree. B / A is the median of {} pairs.",
            &commit[..10],
            self.runs
        );
        for Cells { is_postgres, receiver, flows } in CELLS {
            let engine = |database| match is_postgres {
                true => Engine::postgres(&self.cluster, database),
                false => Engine::sqlite(),
            };
            let (first, second) = (engine("a")?, engine("b")?);
            let open = |engine, binary: &Path| Shop::open(engine, &Setup { binary, receiver, settings: &[] });
            let shops = [open(&first, &other)?, open(&second, &self.binary)?];
            for (flow, connections) in flows {
                println!("{}", self.pair(&shops, receiver, *flow, *connections)?.line());
            }
        }
        Ok(())
    }

    /// Measures both shops in turn. The first pair warms them up, and is not counted.
    fn pair(&self, shops: &[Shop<'_>; 2], receiver: Receiver, flow: Flow, connections: usize) -> Result<Comparison> {
        let sends = if receiver == SENDING { ", sending" } else { "" };
        let name = format!("{} {} {connections}{sends}", shops[0].engine_name(), flow.name());
        let mut comparison = Comparison { name, sides: [Vec::new(), Vec::new()] };
        for round in 0..=self.runs {
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for side in order {
                let sample = shops[side].measure(&self.load, flow, connections)?;
                if receiver == SENDING {
                    shops[side].wait_for_messages()?;
                }
                if round > 0 {
                    comparison.sides[side].push(sample);
                }
            }
        }
        Ok(comparison)
    }
}

impl Comparison {
    fn line(&self) -> String {
        let [a, b] = &self.sides;
        let ratios = ratios(&rates(b), &rates(a));
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        let [first, second] = [a, b].map(|side| median_of(side, |sample| sample.per_second));
        let (ratio, cpu) = (median(ratios), self.ratio_of(|sample| sample.cpu));
        let (server_cpu, wal) = (self.ratio_of(|sample| sample.server_cpu), self.ratio_of(|sample| sample.wal));
        let failed: f64 = self.sides.iter().flatten().map(|sample| sample.failed).sum();
        format!(
            "{:30} A {first:6.0}/s  B {second:6.0}/s  B / A {ratio:.3} (least {least:.3}, most {most:.3})  CPU {cpu}  \
             Postgres CPU {server_cpu}  WAL {wal}  failed {failed}",
            self.name
        )
    }

    /// The median ratio of a figure for each purchase or read. A figure that is zero has no ratio.
    fn ratio_of(&self, of: fn(&Sample) -> f64) -> String {
        let [a, b] = &self.sides;
        let pairs = a.iter().zip(b).filter(|(a, _)| of(a) > 0.0);
        let ratios: Vec<f64> = pairs.map(|(a, b)| for_each(b, of(b)) / for_each(a, of(a))).collect();
        if ratios.is_empty() { "-".to_owned() } else { format!("{:.3}", median(ratios)) }
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
