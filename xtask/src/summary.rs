//! What a run of the tests checked, counted from the results of the tests and from the record that the tests write.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::provided::Provided;

/// Something that the tests can use: its description, or the reason why there is none.
pub struct Given {
    pub what: Provided,
    pub is: Result<String, String>,
}

impl Given {
    pub fn name(&self) -> &'static str {
        self.what.name
    }
}

/// The results that the test harness printed.
#[derive(Default)]
pub struct Results {
    passed: usize,
    failed: usize,
}

impl Results {
    /// Counts a line such as `test result: ok. 27 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; ...`.
    pub fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

/// What the tests recorded: a kind (`used`, `skipped`, `in part`, `not checked`), a name and a test.
pub struct Record<'a>(BTreeSet<[&'a str; 3]>);

impl<'a> Record<'a> {
    /// Lines of kind, name and test, separated by tabs.
    pub fn parse(text: &'a str) -> Record<'a> {
        Record(text.lines().filter_map(|line| line.split('\t').collect::<Vec<_>>().try_into().ok()).collect())
    }

    /// The number of tests that recorded this.
    fn count(&self, kind: &str, name: &str) -> usize {
        self.0.iter().filter(|record| record[..2] == [kind, name]).count()
    }

    fn names(&self, kind: &str) -> BTreeSet<&'a str> {
        self.0.iter().filter(|record| record[0] == kind).map(|record| record[1]).collect()
    }

    /// The number of tests that returned early. The harness counts them as passed.
    fn skipped(&self) -> usize {
        let tests = self.0.iter().filter(|record| ["skipped", "not checked"].contains(&record[0]));
        tests.map(|record| record[2]).collect::<BTreeSet<_>>().len()
    }
}

pub struct Summary {
    results: String,
    checked: Vec<(String, String)>,
    not_checked: Vec<String>,
    unused: Vec<String>,
}

/// The name of SQLite in the record. Nothing is provided for it.
const SQLITE: &str = "SQLite";

impl Summary {
    pub fn of(given: &[Given], record: &Record<'_>, results: &Results) -> Summary {
        let skipped = record.skipped();
        let passed = results.passed.saturating_sub(skipped);
        let results = format!("{passed} passed, {} failed, {skipped} skipped", results.failed);
        let mut summary = Summary { results, checked: Vec::new(), not_checked: Vec::new(), unused: Vec::new() };
        let sqlite = Ok(sqlite_version().unwrap_or_else(|failure| format!("version unknown: {failure:#}")));
        let given = given.iter().map(|given| (given.name(), &given.is)).chain([(SQLITE, &sqlite)]);
        for (name, is) in given {
            let [used, skipped, in_part] = ["used", "skipped", "in part"].map(|kind| record.count(kind, name));
            let reason = match is {
                Ok(is) if used > 0 => {
                    summary.checked(name, format!("{is}; used by {}", tests(used)));
                    String::new()
                }
                Ok(_) => String::new(),
                Err(why) => format!(" ({why})"),
            };
            // A test that cannot use it on this machine records that it was skipped.
            if is.is_ok() && used + skipped + in_part == 0 {
                summary.unused.push(name.to_owned());
            }
            let counts = [(skipped, "skipped"), (in_part, "run in part")].into_iter().filter(|(count, _)| *count > 0);
            let counts: String = counts.map(|(count, how)| format!(": {} {how}", tests(count))).collect();
            if is.is_err() || !counts.is_empty() {
                summary.not_checked(format!("{name}{reason}{counts}"));
            }
        }
        for what in record.names("not checked") {
            summary.not_checked(format!("{what}: {} skipped", tests(record.count("not checked", what))));
        }
        summary
    }

    pub fn checked(&mut self, what: &str, how: String) {
        self.checked.push((what.to_owned(), how));
    }

    pub fn not_checked(&mut self, what: String) {
        self.not_checked.push(what);
    }

    /// Accepts that a part of the tests does not use everything.
    pub fn is_of_a_part(&mut self, what: &str) {
        self.unused.clear();
        self.not_checked(what.to_owned());
    }

    /// Removes something that the tests of this run are not expected to use.
    pub fn need_not_use(&mut self, what: Provided) {
        self.unused.retain(|name| name != what.name);
    }

    /// Fails if something was provided and no test used it: then the tests that need it are gone or return early.
    pub fn everything_was_used(&self) -> Result<()> {
        if !self.unused.is_empty() {
            bail!("provided, and used by no test: {}", self.unused.join(", "));
        }
        Ok(())
    }

    pub fn print(&self) {
        println!("\n======================== what this run checked ========================");
        println!("  {:<20}{}", "Tests", self.results);
        for (what, checked) in &self.checked {
            println!("  {what:<20}{checked}");
        }
        for what in &self.not_checked {
            println!("  NOT CHECKED: {what}");
        }
        for what in &self.unused {
            println!("  NOT CHECKED: {what}: it was provided, and no test used it");
        }
        println!("=======================================================================");
    }
}

fn tests(count: usize) -> String {
    if count == 1 { "1 test".to_owned() } else { format!("{count} tests") }
}

/// The version in the header of the SQLite that is built from source.
fn sqlite_version() -> Result<String> {
    let metadata = process::metadata()?;
    let package = metadata.packages.iter().find(|package| package.name == "libsqlite3-sys");
    let package = package.context("no crate builds SQLite")?;
    let header = package.manifest_path.with_file_name("sqlite3").join("sqlite3.h");
    let text = std::fs::read_to_string(&header).with_context(|| format!("cannot read {header}"))?;
    let version = text.lines().find_map(|line| line.strip_prefix("#define SQLITE_VERSION "));
    let version = version.map_or("version unknown", |version| version.trim().trim_matches('"'));
    Ok(format!("{version}; bundled with libsqlite3-sys {}", package.version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provided::{HAPROXY, MAIL, POSTGRES, STRACE, UCP_MODELS};

    fn given(is: [Result<&str, &str>; 5]) -> Vec<Given> {
        let what = [POSTGRES, MAIL, HAPROXY, STRACE, UCP_MODELS];
        let is = is.map(|is| is.map(str::to_owned).map_err(str::to_owned));
        what.into_iter().zip(is).map(|(what, is)| Given { what, is }).collect()
    }

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
        let record = Record::parse(
            "used\tSQLite\tapi::a\nskipped\tPostgres\tapi::b\nskipped\thaproxy\tapi::b\nskipped\tPostgres\tapi::c\n\
             not checked\ta full disk\tapi::d\nin part\tUCP models\tapi::a\n",
        );
        let summary = Summary::of(&[], &record, &Results { passed: 5, failed: 1 });
        assert_eq!(summary.results, "2 passed, 1 failed, 3 skipped");
    }

    #[test]
    fn summary_counts_the_tests_that_used_something_and_not_what_was_provided() {
        let record = Record::parse(
            "used\tPostgres\tapi::a\nused\tPostgres\tapi::a\nused\tPostgres\tapi::b\nused\tSQLite\tapi::g\n\
             skipped\thaproxy\tfaults::c\nskipped\tstrace\tfaults::d\nused\tstrace\tfaults::e\n\
             not checked\ta full disk (not root)\tfaults::f\nin part\tUCP models\tapi::a\n",
        );
        let given = given([Ok("15"), Ok("smtpd"), Err("not here"), Ok("/bin/strace"), Err("not here")]);
        let mut summary = Summary::of(&given, &record, &Results::default());
        let (sqlite, checked) = summary.checked.split_last().expect("SQLite");
        assert!(sqlite.0 == "SQLite" && sqlite.1.ends_with("; used by 1 test"), "{sqlite:?}");
        let expected = [("Postgres", "15; used by 2 tests"), ("strace", "/bin/strace; used by 1 test")];
        assert_eq!(checked, expected.map(|(what, how)| (what.to_owned(), how.to_owned())));
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
        let mut summary = Summary::of(&given, &Record::parse(""), &Results::default());
        summary.is_of_a_part("most tests");
        summary.everything_was_used().expect("a part need not use everything");
        assert_eq!(summary.not_checked.last().map(String::as_str), Some("most tests"));
    }
}
