//! What a run of the tests checked: counted from the record that the tests write, not from what they could have done.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use crate::provided::Provided;

/// Something that the tests were given: what it is, or why it is not there.
pub struct Given {
    pub what: Provided,
    pub is: Result<String, String>,
}

/// What the tests wrote: of each kind (`used`, `skipped`, `not checked`) and each name, which tests.
#[derive(Default)]
pub struct Record(BTreeMap<(String, String), BTreeSet<String>>);

impl Record {
    /// Lines of kind, name and test, separated by tabs.
    pub fn parse(text: &str) -> Record {
        let mut record = Record::default();
        for line in text.lines() {
            let mut parts = line.split('\t').map(str::to_owned);
            if let (Some(kind), Some(name), Some(test)) = (parts.next(), parts.next(), parts.next()) {
                record.0.entry((kind, name)).or_default().insert(test);
            }
        }
        record
    }

    pub fn count(&self, kind: &str, name: &str) -> usize {
        self.0.get(&(kind.to_owned(), name.to_owned())).map_or(0, BTreeSet::len)
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, usize)> {
        let entries = self.0.iter().filter(move |((found, _), _)| found == kind);
        entries.map(|((_, name), tests)| (name.as_str(), tests.len()))
    }
}

#[derive(Default)]
pub struct Summary {
    checked: Vec<(String, String)>,
    not_checked: Vec<String>,
    unused: Vec<String>,
}

impl Summary {
    pub fn of(given: &[Given], record: &Record) -> Summary {
        let mut summary = Summary::default();
        for Given { what, is } in given {
            let name = what.name;
            let (used, skipped) = (record.count("used", name), record.count("skipped", name));
            match is {
                Ok(is) if used > 0 => summary.checked(name, format!("{is}; used by {}", tests(used))),
                // A test that found that it cannot be used here has said so.
                Ok(_) if skipped > 0 => {}
                Ok(_) => summary.unused.push(name.to_owned()),
                Err(why) => summary.not_checked(format!("{name} ({why}): {} skipped", tests(skipped))),
            }
            if is.is_ok() && skipped > 0 {
                summary.not_checked(format!("{name}: {} skipped", tests(skipped)));
            }
        }
        for (what, count) in record.of_kind("not checked") {
            summary.not_checked(format!("{what}: {}", tests(count)));
        }
        summary
    }

    pub fn checked(&mut self, what: &str, how: String) {
        self.checked.push((what.to_owned(), how));
    }

    pub fn not_checked(&mut self, what: String) {
        self.not_checked.push(what);
    }

    /// Reports something that was provided, and that no test used.
    pub fn unused(&mut self, what: &str) {
        self.unused.push(what.to_owned());
    }

    /// Takes back what the tests of this run are not expected to use.
    pub fn need_not_use(&mut self, what: Provided) {
        self.unused.retain(|name| name != what.name);
    }

    /// Fails if something was provided that no test used: a judge that is never asked judges nothing.
    pub fn everything_was_used(&self) -> Result<()> {
        if !self.unused.is_empty() {
            bail!("provided, and used by no test: {}", self.unused.join(", "));
        }
        Ok(())
    }

    pub fn print(&self, passed: bool) {
        println!("\n======================== what this run checked ========================");
        println!("  {:<20}{}", "Tests", if passed { "passed" } else { "FAILED" });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provided::{HAPROXY, MAIL, POSTGRES, STRACE};

    fn given(is: [Result<&str, &str>; 4]) -> Vec<Given> {
        let what = [POSTGRES, MAIL, HAPROXY, STRACE];
        let is = is.map(|is| is.map(str::to_owned).map_err(str::to_owned));
        what.into_iter().zip(is).map(|(what, is)| Given { what, is }).collect()
    }

    #[test]
    fn summary_counts_what_tests_used_and_not_what_was_provided() {
        let record = Record::parse(
            "used\tPostgres\tapi::a\nused\tPostgres\tapi::a\nused\tPostgres\tapi::b\n\
             skipped\thaproxy\tfaults::c\nskipped\tstrace\tfaults::d\nused\tstrace\tfaults::e\n\
             not checked\ta full disk (not root)\tfaults::f\n",
        );
        let mut summary = Summary::of(&given([Ok("15"), Ok("smtpd"), Err("not here"), Ok("/bin/strace")]), &record);
        let checked = [("Postgres", "15; used by 2 tests"), ("strace", "/bin/strace; used by 1 test")];
        assert_eq!(summary.checked, checked.map(|(what, how)| (what.to_owned(), how.to_owned())));
        let failure = summary.everything_was_used().expect_err("Mail is not used").to_string();
        assert_eq!(failure, "provided, and used by no test: Mail");
        let expected =
            ["haproxy (not here): 1 test skipped", "strace: 1 test skipped", "a full disk (not root): 1 test"];
        assert_eq!(summary.not_checked, expected);
        summary.need_not_use(MAIL);
        summary.everything_was_used().expect("everything else");
    }
}
