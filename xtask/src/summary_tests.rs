//! Tests of `summary.rs`.

use super::*;
use crate::provided::MAIL;

#[test]
fn results_of_all_test_binaries_are_added() {
    let mut results = Results::default();
    for line in [
        "test a ... ok",
        "test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.31s",
        "test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 2.01s",
        "the test result: ok. 5 passed",
    ] {
        results.add(line);
    }
    assert_eq!((results.passed, results.failed), (17, 2));
}

#[test]
fn skipped_test_is_not_counted_as_passed() {
    let record = "used\tSQLite\tapi::a\nskipped\tPostgres\tapi::b\nskipped\thaproxy\tapi::b\nskipped\tPostgres\tapi::c\n\
             not checked\ta full disk\tapi::d\nin part\tUCP models\tapi::a\n";
    let summary = Summary::of(&[], record, &Results { passed: 5, failed: 1 });
    assert_eq!(summary.results, "2 passed, 1 failed, 3 skipped");
}

#[test]
fn summary_counts_the_tests_that_used_something_and_not_what_was_provided() {
    let record = "used\tPostgres\tapi::a\nused\tPostgres\tapi::a\nused\tPostgres\tapi::b\nused\tSQLite\tapi::g\n\
             skipped\thaproxy\tfaults::c\nskipped\tstrace\tfaults::d\nused\tstrace\tfaults::e\n\
             not checked\ta full disk (not root)\tfaults::f\nin part\tUCP models\tapi::a\n";
    let given = [
        ("Postgres", Ok("15")),
        ("Mail", Ok("smtpd")),
        ("haproxy", Err("not here")),
        ("strace", Ok("/bin/strace")),
        ("UCP models", Err("not here")),
        (SQLITE, Ok("3")),
    ];
    let given = given.map(|(name, is)| Given { name, is: is.map(str::to_owned).map_err(str::to_owned) });
    let mut summary = Summary::of(&given, record, &Results::default());
    let expected =
        [("Postgres", "15; used by 2 tests"), ("strace", "/bin/strace; used by 1 test"), (SQLITE, "3; used by 1 test")];
    assert_eq!(summary.checked, expected.map(|(what, how)| (what, how.to_owned())));
    let failure = summary.everything_was_used().expect_err("Mail is not used").to_string();
    assert_eq!(failure, "provided, and used by no test: Mail");
    let expected = [
        "haproxy (not here): 1 test skipped",
        "strace: 1 test skipped",
        "UCP models (not here): 1 test run in part",
        "a full disk (not root): 1 test skipped",
    ];
    assert_eq!(summary.not_checked, expected);
    summary.need_not_use(MAIL);
    summary.everything_was_used().expect("everything else was used");
    let mut summary = Summary::of(&given, "", &Results::default());
    summary.is_of_a_part("most tests".to_owned());
    summary.everything_was_used().expect("a part need not use everything");
    assert_eq!(summary.not_checked.last().map(String::as_str), Some("most tests"));
}

#[test]
fn version_of_the_bundled_sqlite_is_known() {
    assert!(sqlite_version().expect("known").starts_with("3."));
}
