//! Tests of `job.rs`.

use super::*;

#[test]
fn caller_and_job_decide_once() {
    let (given_up, committed) = (Stage::new(), Stage::new());
    assert!(given_up.abandon());
    assert!(!given_up.begin_commit());
    assert!(!given_up.begin_again());
    assert!(committed.begin_commit());
    assert!(!committed.abandon());
    assert!(given_up.end());
    assert!(!committed.end());
    assert!(!committed.abandon());
}

#[test]
fn job_that_starts_again_after_a_refused_commit_can_be_abandoned() {
    let stage = Stage::new();
    assert!(stage.begin_again());
    assert!(stage.begin_commit() && stage.begin_again());
    assert!(stage.abandon());
    assert!(!stage.begin_again());
}

#[test]
fn caller_that_leaves_a_commit_is_counted_until_the_job_ends() {
    let stage = Stage::new();
    assert!(!stage.leave());
    assert!(stage.begin_commit() && stage.leave());
    assert!(!stage.begin_again());
    assert!(stage.end());
}
