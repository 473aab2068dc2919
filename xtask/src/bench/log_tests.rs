//! Tests of the log of the server.

use super::*;

fn line(session: &str, application: &str, message: &str, detail: &str) -> String {
    let quoted = |text: &str| text.replace('"', "\"\"");
    let (message, detail) = (quoted(message), quoted(detail));
    format!(
        "t,\"postgres\",\"shop\",1,\"h\",{session},1,\"SELECT\",t,3/1,0,LOG,00000,\"{message}\",\"{detail}\",,,,,,,,\"{application}\",\"b\",,0\n"
    )
}

fn read(lines: &[String]) -> Vec<Transaction> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log.csv");
    std::fs::write(&file, lines.concat()).unwrap();
    transactions(&file, 0, "shop").unwrap()
}

#[test]
fn transactions_of_two_sessions_are_returned_in_the_order_of_their_ends() {
    let begin = "duration: 0.1 ms  statement: BEGIN READ WRITE; SET LOCAL lock_timeout = 1";
    let transactions = read(&[
        line("a", "", begin, ""),
        line("b", "", begin, ""),
        line("b", "", "duration: 0.2 ms  parse s1: SELECT\n  $1", ""),
        line("b", "", "duration: 0.2 ms  bind s1: SELECT\n  $1", "parameters: $1 = 'x'"),
        line("a", "", "duration: 0.2 ms  execute s2: SELECT 2", ""),
        line("c", "psql", "duration: 0.2 ms  statement: SELECT 3", ""),
        line("c", "", "duration: 0.2 ms  statement: SELECT 4", ""),
        line("b", "", "duration: 0.5 ms  execute s1: SELECT\n  $1", "parameters: $1 = 'x'"),
        line("b", "", "duration: 0.2 ms  statement: COMMIT", ""),
        line("a", "", "duration: 0.2 ms  statement: rollback;", ""),
        line("a", "", "duration: 0.2 ms  execute <unnamed>: SELECT 5", ""),
        line("a", "", "connection authorized", ""),
    ]);
    let sql: Vec<Vec<&str>> = transactions.iter().map(|t| t.iter().map(|entry| entry.sql.as_str()).collect()).collect();
    let begin = "BEGIN READ WRITE; SET LOCAL lock_timeout = 1";
    let select = "SELECT\n  $1";
    let expected = [
        vec!["SELECT 4"],
        vec![begin, select, select, select, "COMMIT"],
        vec![begin, "SELECT 2", "rollback;"],
        vec!["SELECT 5"],
    ];
    assert_eq!(sql, expected);
    assert_eq!(transactions[1][1].step, Step::Parse);
    assert_eq!(
        transactions[1][3],
        Entry { step: Step::Execute, sql: select.to_owned(), parameters: vec![Some("x".to_owned())], ms: 0.5 }
    );
    assert!(transactions[1][0].is_boundary() && !transactions[1][3].is_boundary());
}

#[test]
fn parameters_may_contain_quotes_and_separators() {
    let some = |text: &str| Some(text.to_owned());
    for (detail, expected) in [
        ("", vec![]),
        ("parameters: $1 = 'it''s', $2 = NULL, $3 = ''", vec![some("it's"), None, some("")]),
        ("Parameters: $1 = '{\"a\": \"b, $9 = ''c''\"}', $2 = 'd'", vec![some("{\"a\": \"b, $9 = 'c'\"}"), some("d")]),
        ("parameters: $1 = NULL", vec![None]),
    ] {
        assert_eq!(parameters(detail), expected, "{detail}");
    }
}
