//! Tests of `problem.rs`.

use super::*;

fn problem(file: &str, line: u64, column: &str) -> Problem {
    Problem { file: file.into(), line, column: column.into(), message: "is odd".into() }
}

#[test]
fn problem_is_shown_with_its_place() {
    for (problem, shown) in [
        (problem("products.csv", 3, "price"), "products.csv:3: price: is odd"),
        (problem("products.csv", 3, ""), "products.csv:3: is odd"),
        (problem("product.csv", 0, ""), "product.csv: is odd"),
    ] {
        assert_eq!(problem.to_string(), shown);
    }
}

#[test]
fn first_hundred_problems_are_kept_in_order_and_the_rest_is_counted() {
    let mut problems = Problems::default();
    for line in (1..=102).rev() {
        problems.add(problem("b.csv", line, ""));
    }
    let Err(ReadError::Problems(problems)) = problems.none_or(()) else { panic!("there are problems") };
    assert_eq!((problems.kept.len(), problems.more), (Problems::MAX, 2));
    assert!(problems.kept.is_sorted_by_key(|problem| problem.line));
    assert!(problems.to_string().ends_with("b.csv:102: is odd\nand 2 more"));
    assert!(Problems::default().none_or(()).is_ok());
}
