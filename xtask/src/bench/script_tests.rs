//! Tests of the script of a recorded purchase.

use super::*;

fn entry(step: Step, sql: &str, values: &[&str]) -> Entry {
    let parameters = values.iter().map(|value| (*value != "NULL").then(|| (*value).to_owned())).collect();
    Entry { step, sql: sql.to_owned(), parameters, ms: 0.1 }
}

/// A purchase with this id, token and time.
fn purchase(id: &str, token: &str, time: &str) -> Vec<Operation> {
    let document = format!("{{\"id\":\"{id}\",\"text\":\"{}\"}}", "x".repeat(LONGEST_KEY));
    let insert = "INSERT INTO checkout VALUES ($1, $2, $3,\n $4, $5)";
    let lines = "SELECT $12, $1, $1 WHERE id = ANY($2)";
    let made = vec![
        entry(Step::Simple, "BEGIN READ WRITE; SET LOCAL lock_timeout = 2000", &[]),
        entry(Step::Bind, insert, &[id, token, time, "NULL", &document]),
        entry(Step::Execute, insert, &[id, token, time, "NULL", &document]),
        entry(Step::Execute, "UPDATE stock SET a = $1 WHERE sku = $2", &["", "bench_1"]),
        entry(Step::Execute, "SELECT 1 WHERE id = ANY($1)", &[&format!("{{{id},{token}}}")]),
        entry(Step::Simple, "COMMIT", &[]),
    ];
    let sent = vec![entry(Step::Execute, lines, &[])];
    let operation = |name: &str, transaction| Operation { name: name.to_owned(), transaction };
    vec![operation("checkout.create", made), operation("outbox.claim", sent)]
}

fn written(recordings: &[Vec<Operation>; 2]) -> Script {
    script(recordings, &mut |_, values| Ok(vec!["text".to_owned(); values.len()])).unwrap()
}

#[test]
fn values_of_one_purchase_are_new_in_each_run_and_all_others_are_kept() {
    let (first, second) = ("chk_01a226696da87b019a671d5012cf4c74", "chk_01a22669f0007b019a67000000000000");
    let Script { text, variables } = written(&[
        purchase(first, "a9d2c780139d40c2", "1795940773288"),
        purchase(second, "77d2c780139d40c2", "1795940779999"),
    ]);
    let (sets, body) = text.strip_prefix(START).unwrap().split_once("BEGIN").unwrap();
    assert_eq!(sets, "\\set u0 :now * 100 + 0\n\\set u1 random(1000000000000000, 9999999999999999)\n");
    let id = ":c0::text || :u0::text || :c1::text";
    let expected = format!(
        " READ WRITE;\n\
         INSERT INTO checkout VALUES (({id})::text, (:u1::text)::text, (:c2::text)::text,\n (NULL)::text, (:c3::text)::text);\n\
         UPDATE stock SET a = ('')::text WHERE sku = ({})::text;\n\
         SELECT 1 WHERE id = ANY((:c4::text || {id} || :c5::text || :u1::text || :c6::text)::text);\n\
         COMMIT;\n",
        PRODUCT.1
    );
    assert_eq!(body, expected);
    let value = |name: &str| variables.iter().find(|(variable, _)| variable == name).map(|(_, value)| value.as_str());
    let id = [value("c0"), value("c1")].map(Option::unwrap_or_default);
    assert_eq!(id[0], "chk_01a22669");
    assert_eq!(id[0].len() + 19 + id[1].len(), first.len());
    assert_eq!(value("c2"), Some("1795940773288"));
    assert_eq!([value("c4"), value("c5"), value("c6")], [Some("{"), Some(","), Some("}")]);
    assert!(value("c3").is_some_and(|document| document.contains(first)));
}

#[test]
fn recordings_with_other_statements_are_refused() {
    let (first, mut second) = (purchase("a", "b", "1"), purchase("c", "d", "2"));
    second[0].transaction.remove(3);
    assert!(script(&[first, second], &mut |_, _| Ok(Vec::new())).is_err());
}

#[test]
fn parameter_without_a_value_is_an_error_and_another_dollar_sign_is_kept() {
    let (values, types) = (["1".to_owned()], ["int".to_owned()]);
    assert_eq!(with_parameters("SELECT $1, '$x'", &values, &types).unwrap(), "SELECT (1)::int, '$x'");
    assert!(with_parameters("SELECT $2", &values, &types).is_err());
}

#[test]
fn tokens_are_words_and_what_is_between_them() {
    assert_eq!(tokens("{a_1,b-2}"), ["{", "a_1", ",", "b-2", "}"]);
    assert_eq!(tokens(""), [""]);
    assert_eq!(tokens("é"), ["é"]);
}
