//! Tests of the counts of an operation.

use super::*;

fn entry(step: Step, sql: &str) -> Entry {
    Entry { step, sql: sql.to_owned(), parameters: Vec::new(), ms: 0.5 }
}

#[test]
fn boundaries_and_parses_are_round_trips_and_no_statements() {
    let parse = entry(Step::Parse, "SELECT $1");
    let (bind, execute) = (entry(Step::Bind, "SELECT $1"), entry(Step::Execute, "SELECT $1"));
    let (begin, commit) = (entry(Step::Simple, "BEGIN; SET LOCAL a = 1"), entry(Step::Simple, "COMMIT"));
    let first = vec![begin, parse.clone(), bind.clone(), execute.clone(), commit];
    let alone = vec![parse, bind, execute];
    let operation = |name: &str, transaction| Operation { name: name.to_owned(), transaction };
    let counts = counts(&[operation("a", first), operation("b", alone.clone()), operation("b", alone)]);
    let count = |operation: &str, transactions, statements, round_trips, parses, ms| Count {
        operation: operation.to_owned(),
        transactions,
        statements,
        round_trips,
        parses,
        ms,
    };
    assert_eq!(counts, [count("a", 1, 1, 4, 1, 2.5), count("b", 2, 2, 4, 2, 3.0), count("all", 3, 3, 8, 3, 5.5)]);
}
