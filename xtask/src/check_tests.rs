//! Tests of `check.rs`.

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
