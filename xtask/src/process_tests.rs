//! Tests of `process.rs`.

use super::*;

#[test]
fn lines_are_read_until_the_command_ends_even_if_a_child_keeps_stdout_open() {
    let mut lines = Vec::new();
    let began = std::time::Instant::now();
    let mut command = Command::new("sh");
    command.args(["-c", "echo one; sleep 1.3; echo two; sleep 20 & exit 3"]);
    let failure = run_with_lines(&mut command, |line| lines.push(line.to_owned())).expect_err("exit code 3");
    assert!(failure.to_string().contains("exit status: 3"), "{failure}");
    assert_eq!(lines, ["one\n", "two\n"]);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
