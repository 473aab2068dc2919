//! Tests of the figures from /proc.

use super::*;

#[test]
fn stat_of_a_program_with_blanks_and_brackets_is_parsed() {
    let text = "42 (a (b) c) S 7 42 42 0 -1 4194560 100 0 0 0 150 50 30 20 20 0 1 0 1000 0 0";
    assert_eq!(Stat::parse(text), Some(Stat { parent: 7, own: 2.0, ended_children: 0.5 }));
    assert_eq!(Stat::parse("42 (short) S 7"), None);
}

#[test]
fn cpu_of_a_tree_includes_a_child_that_has_ended() {
    let before = cpu_of_tree(std::process::id()).unwrap();
    let mut child = std::process::Command::new("sh");
    child.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]).status().unwrap();
    assert!(cpu_of_tree(std::process::id()).unwrap() > before);
    assert!(memory_kib(std::process::id(), "VmRSS").unwrap() > 0);
}
