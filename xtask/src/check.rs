//! `cargo xtask check`: everything that must hold before a merge, with a verdict and a time for each step.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::process::{cargo, run as run_command};
use crate::provision::Options;
use crate::{boundaries, docs, test};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: Options,
    /// Run every step but the tests. These steps take seconds after the first build.
    #[arg(long, conflicts_with = "only")]
    fast: bool,
    /// Run only this step (repeatable).
    #[arg(long, value_name = "STEP")]
    only: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    Fmt,
    Clippy,
    Boundaries,
    Docs,
    Test,
}

const CLIPPY: &[&str] = &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];

pub fn run(args: Args) -> Result<()> {
    let chosen = args.chosen();
    let tests = test::Args::all(args.options);
    let run = |step: Step| match step {
        Step::Fmt => run_command(&mut cargo(&["fmt", "--all", "--check"])),
        Step::Clippy => run_command(&mut cargo(CLIPPY)),
        Step::Boundaries => boundaries::run(),
        Step::Docs => docs::check(),
        Step::Test => test::run(&tests),
    };
    run_steps(&chosen, run, &mut std::io::stdout())
}

impl Args {
    fn chosen(&self) -> Vec<Step> {
        match self.only.as_slice() {
            [] => Step::value_variants().iter().copied().filter(|step| !self.fast || *step != Step::Test).collect(),
            only => only.to_vec(),
        }
    }
}

/// Runs the chosen steps. A failed step does not prevent the next one.
fn run_steps(chosen: &[Step], mut run: impl FnMut(Step) -> Result<()>, out: &mut impl Write) -> Result<()> {
    let (mut failures, mut total) = (Vec::new(), Duration::ZERO);
    for step in Step::value_variants() {
        let name = step.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        if !chosen.contains(step) {
            writeln!(out, "NOT RUN {name}")?;
            continue;
        }
        let began = Instant::now();
        let outcome = run(*step);
        let took = began.elapsed();
        total += took;
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        writeln!(out, "{verdict:<8}{name} ({:.1} s)", took.as_secs_f64())?;
        failures.extend(outcome.err().map(|failure| format!("{name}: {failure:#}")));
    }
    writeln!(out, "total   {:.1} s", total.as_secs_f64())?;
    if !failures.is_empty() {
        bail!("{} steps failed:\n  {}", failures.len(), failures.join("\n  "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(words: &str) -> Result<Args, clap::Error> {
        Line::try_parse_from(words.split(' ')).map(|line| line.args)
    }

    #[test]
    fn each_step_prints_its_time_and_the_last_line_is_the_sum() {
        let run = |step| {
            std::thread::sleep(Duration::from_millis(60));
            if step == Step::Fmt { bail!("not formatted") } else { Ok(()) }
        };
        let mut out = Vec::new();
        let failure = run_steps(&[Step::Fmt, Step::Clippy, Step::Boundaries, Step::Docs], run, &mut out)
            .expect_err("one failed")
            .to_string();
        assert_eq!(failure, "1 steps failed:\n  fmt: not formatted");
        let text = String::from_utf8(out).expect("text");
        let shape: String = text.chars().filter(|character| !character.is_ascii_digit()).collect();
        let expected = "FAILED  fmt (. s)\nok      clippy (. s)\nok      boundaries (. s)\nok      docs (. s)\n\
                        NOT RUN test\ntotal   . s\n";
        assert_eq!(shape, expected);
        let times: Vec<f64> = text.split([' ', '(']).filter_map(|word| word.parse().ok()).collect();
        assert!(times[..4].iter().all(|time| *time > 0.0) && times[4] >= 0.2, "{text}");
    }

    #[test]
    fn only_chooses_steps_and_an_unknown_step_is_refused_with_the_list() {
        let chosen = |words| parse(words).expect("valid").chosen();
        assert_eq!(chosen("check --only docs --only fmt"), [Step::Docs, Step::Fmt]);
        assert_eq!(chosen("check --fast"), [Step::Fmt, Step::Clippy, Step::Boundaries, Step::Docs]);
        assert_eq!(chosen("check"), Step::value_variants());
        let refused = parse("check --only tests").map(drop).expect_err("unknown").to_string();
        assert!(refused.contains("[possible values: fmt, clippy, boundaries, docs, test]"), "{refused}");
    }
}
